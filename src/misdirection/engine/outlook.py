"""How much sampling is still to come, judged by where rows have ended so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def expected_tokens(ended: Sequence[int], running: Sequence[int], waiting: int, most: int) -> float:
    """Tokens that will still be drawn, if the other rows end as those that were seen.

    The chance of ending at each length is the share of rows that ended there among those that reached it (Kaplan and
    Meier's estimate); where no row has come yet, none is taken to end before `most`.

    Args:
        ended: Tokens of each row that has ended.
        running: Tokens of each row so far.
        waiting: Rows that have not begun.
        most: Tokens of a row at most.
    """
    over = np.minimum(np.asarray(ended, dtype=np.int64), most)
    on = np.minimum(np.asarray(running, dtype=np.int64), most)
    ends = np.bincount(over, minlength=most + 1)
    reached = (ends + np.bincount(on, minlength=most + 1))[::-1].cumsum()[::-1]
    # Chance of being there after so many tokens, and the tokens that are expected from there on.
    stays = np.cumprod(1 - ends[:most] / np.maximum(reached[:most], 1))
    beyond = np.append(stays[::-1].cumsum()[::-1], 0.0)
    left = np.divide(beyond[on], np.append(stays, 1.0)[on], out=np.zeros(len(on)), where=on < most)
    return float(left.sum() + waiting * beyond[0])
