"""Thresholds from benign chats: how high a component is that so many harmless answers reach.

Each direction's score s is put on one scale, z = sign (s - m) / sd, m and sd over benign answers. An answer raises the
alarm when its greatest z over the directions is beyond one critical value c, so that the rate holds for the whole set
of directions and not for each (the maximum's own distribution, as in Westfall and Young 1993, takes their correlation
into account). c is the k-th smallest of n benign maxima,

    k = ceil((n + 1) (1 - rate)),

so that a further benign answer, exchangeable with these, is beyond it with probability (n + 1 - k) / (n + 1) <= rate
(split conformal prediction: Vovk, Gammerman, Shafer 2005, section 2.2; Lei et al. 2018, JASA 113:1094, theorem 2.2).
Of the threshold as it came out, the rate among all benign answers is distributed as Beta(n + 1 - k, k) (Vovk 2012, PMLR
25:475), whose quantiles are the interval told here. Answers to one prompt resemble each other; where there are several,
both parameters are multiplied by prompts / answers, as if each prompt were one answer: wider than need be.

With several directions, m and sd come from a fifth of the answers that the maxima are not taken from; with one they
cancel out, and all serve both ends.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from misdirection.artefacts import canonical_hash, plain, read_json, write_json
from misdirection.chats import Chat, Message
from misdirection.engine import Arm
from misdirection.models import Model, asked_of
from misdirection.models.fingerprint import fingerprint
from misdirection.monitoring.errors import MonitorError
from misdirection.monitoring.scoring import BASE, Unread, read_chats
from misdirection.monitoring.watch import Watch, Watched, read_watched

KIND = "misdirection monitor calibration"
FORMAT = 1

LEAST_SCALE = 10
"""Fewest answers that set m and sd."""

_BATCH = 64


@dataclass(frozen=True)
class Scale:
    """A direction's scores on benign answers.

    Attributes:
        mean: m.
        sd: Standard deviation.
        threshold: The score beyond which (below which, for a direction watched below) it raises the alarm.
        quantiles: Scores by name of quantile, for readers: "0.5", "0.9", "0.99".
    """

    mean: float
    sd: float
    threshold: float
    quantiles: dict[str, float]


@dataclass(frozen=True)
class Calibration:
    """Thresholds, what they were set on and for what they hold.

    Attributes:
        rate: False-alarm rate that was asked for: share of benign answers, over all directions together.
        expected: Share of benign answers that the threshold lets raise the alarm, on average over calibrations.
        low: Lower end of the 95 % interval of that share for these thresholds.
        high: Upper end.
        critical: c.
        answers: Benign answers that c was taken from.
        prompts: How many different prompts they answer.
        unread: Benign chats set aside.
        scales: By direction.
        watched: What each direction is, by name: layer, side and hash of its numbers; `source` is where it was read.
        convention: How an answer becomes a score.
        model: What identifies the model as it was read: fingerprint, adapter, how it is asked, number format.
    """

    rate: float
    expected: float
    low: float
    high: float
    critical: float
    answers: int
    prompts: int
    unread: int
    scales: dict[str, Scale]
    watched: dict[str, dict[str, Any]]
    convention: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict[str, Any])

    def z(self, watch: Watch, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores, shape (..., directions), in standard deviations of benign answers, more being worse."""
        means, sds, signs = self._rows(watch)
        return signs * (scores - means) / sds

    def _rows(self, watch: Watch) -> tuple[NDArray[np.float64], ...]:
        scales = [self.scales[name] for name in watch.names]
        signs = np.array([one.sign for one in watch.directions])
        return np.array([one.mean for one in scales]), np.array([one.sd for one in scales]), signs


def calibrate(
    model: Model, benign: Iterable[Chat], watch: Watch, rate: float = 0.01, arm: Arm = BASE, seed: int = 0
) -> Calibration:
    """Thresholds that a share `rate` of answers like the benign ones goes beyond.

    Args:
        model: The resident model.
        benign: Chats of the kind that the monitor will see, harmless ones; streamed.
        watch: What is read.
        rate: Of false alarms, over all directions together.
        arm: Under which condition the chats are read.
        seed: Of the fifth that sets the scales, with several directions.

    Raises:
        MonitorError: Too few answers for this rate, or a direction along which they do not differ.
    """
    if not 0 < rate < 1:
        raise MonitorError(f"a false-alarm rate of {rate:g}", "a share between 0 and 1, as 0.01")
    scores: list[NDArray[np.float64]] = []
    prompts: list[int] = []
    unread = 0
    for batch in _batched(benign):
        for chat, found in zip(batch, read_chats(model, watch, batch, arm), strict=True):
            if isinstance(found, Unread):
                unread += 1
                continue
            for reading in found:
                scores.append(reading.score(watch.statistic).numpy())
                prompts.append(hash(_asked(chat, watch, reading.turn)))
    return thresholds(
        np.array(scores).reshape(len(scores), len(watch.directions)),
        prompts, watch, rate, seed=seed, unread=unread, model=model_facts(model, arm),
    )  # fmt: skip


def thresholds(
    scores: NDArray[np.float64],
    prompts: list[int],
    watch: Watch,
    rate: float,
    *,
    seed: int = 0,
    unread: int = 0,
    model: Mapping[str, Any] | None = None,
) -> Calibration:
    """`calibrate` from scores that are there.

    Args:
        scores: Of benign answers, shape (answers, directions).
        prompts: What marks the prompt of each.
        watch: What was read.
        rate: Of false alarms.
        seed: See `calibrate`.
        unread: Chats set aside.
        model: Facts of the model, `model_facts`.

    Raises:
        MonitorError: See `calibrate`.
    """
    from scipy import special

    several = scores.shape[1] > 1
    first, rest = _parts(len(scores), seed) if several else (np.arange(len(scores)),) * 2
    n, needed = len(rest), math.ceil((1 - rate) / rate)
    k = math.ceil((n + 1) * (1 - rate) - 1e-9)
    if k > n or len(first) < (LEAST_SCALE if several else 2):
        least = max(math.ceil(needed * 1.25), 5 * LEAST_SCALE) if several else max(needed, 2)
        raise MonitorError(
            f"a false-alarm rate of {rate:g} takes {least:,} benign answers or more, and {len(scores):,} could be read",
            f"give more benign chats, or a higher rate: {_reachable(n):.2g} is within reach",
        )
    means, sds = scores[first].mean(axis=0), scores[first].std(axis=0, ddof=1)
    if flat := [name for name, sd in zip(watch.names, sds, strict=True) if not sd > 0]:
        raise MonitorError(f"along '{flat[0]}' all benign answers score the same", "give chats that differ")
    signs = np.array([one.sign for one in watch.directions])
    maxima = np.sort((signs * (scores[rest] - means) / sds).max(axis=1))
    critical = float(maxima[k - 1])
    different = len({prompts[place] for place in rest})
    share = different / n
    low, high = (float(special.betaincinv((n + 1 - k) * share, k * share, tail)) for tail in (0.025, 0.975))
    marks = {str(q): np.quantile(scores, q, axis=0) for q in (0.5, 0.9, 0.99)}
    scales = {
        name: Scale(
            float(means[i]),
            float(sds[i]),
            float(means[i] + signs[i] * critical * sds[i]),
            {mark: float(values[i]) for mark, values in marks.items()},
        )
        for i, name in enumerate(watch.names)
    }
    watched = {one.name: one.facts | {"source": one.source} for one in watch.directions}
    return Calibration(
        rate, (n + 1 - k) / (n + 1), low, high, critical, n, different, unread, scales, watched, watch.convention,
        dict(model or {}),
    )  # fmt: skip


def model_facts(model: Model, arm: Arm) -> dict[str, Any]:
    """What identifies a model as it is read under an arm."""
    return {
        "name": model.name,
        "fingerprint": fingerprint(model.lm, arm.adapter),
        "adapter": model.facts.get("adapters", {}).get(arm.adapter, {}).get("path"),
        "interventions": canonical_hash(arm.interventions) if arm.interventions else None,
        "asked": asked_of(model),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def save_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write it as JSON, the files of its directions by their place beside it."""
    folder = Path(path).resolve().parent
    facts = plain({"kind": KIND, "format": FORMAT, **asdict(calibration)})
    for held in facts["watched"].values():
        if held["source"]:
            held["source"] = os.path.relpath(Path(held["source"]).resolve(), folder)
    write_json(path, facts)


def load_calibration(path: str | Path) -> Calibration:
    """Read what `save_calibration` wrote.

    Raises:
        MonitorError: It is another file.
    """
    place = Path(path)
    held: Any = read_json(place)
    if not isinstance(held, dict) or held.get("kind") != KIND or held.get("format") != FORMAT:
        raise MonitorError(f"{path} is no calibration of a monitor", "make one: --benign FILE --calibration FILE")
    try:
        values = {name: held[name] for name in Calibration.__dataclass_fields__}
        values["scales"] = {name: Scale(**one) for name, one in values["scales"].items()}
        for one in values["watched"].values():
            one["source"] = str(place.parent / one["source"]) if one["source"] else ""
        return Calibration(**values)
    except (KeyError, TypeError) as error:
        raise MonitorError(f"{path}: the calibration lacks {error}", "make it again from benign chats") from error


def watch_of(calibration: Calibration, model: Model) -> Watch:
    """What a calibration was made for, its directions read from their files again.

    Raises:
        MonitorError: A direction came from memory, or its file is not what it was.
    """
    found: list[Watched] = []
    for name, held in calibration.watched.items():
        if not held["source"]:
            raise MonitorError(f"direction '{name}' was calibrated from memory", "name its file: --direction NAME=FILE")
        spec = {name: f"{held['source']}@{held['layer']}"}
        found += read_watched(spec, model, below=[name] if held["below"] else [])
    convention: dict[str, Any] = dict(calibration.convention)
    return Watch(tuple(found), **convention)


def demand_fitting(calibration: Calibration, watch: Watch, model: Model, arm: Arm = BASE) -> list[str]:
    """Refuse thresholds that were set on other scores than those that will be compared with them.

    Returns:
        What departs and may move scores a little, in sentences.

    Raises:
        MonitorError: Another model, adapter, template, direction, layer, side or convention.
    """
    again = "calibrate again with benign chats: --benign FILE"
    if calibration.convention != watch.convention:
        told = f"{_told(calibration.convention)}, and {_told(watch.convention)} is read"
        raise MonitorError(f"the calibration is for {told}", again)
    for one in watch.directions:
        held = calibration.watched.get(one.name)
        if held is None:
            raise MonitorError(
                f"direction '{one.name}' has no threshold in the calibration",
                f"it has {', '.join(calibration.watched)}; {again}",
            )
        for what, told in (("layer", "layer"), ("below", "side"), ("sha256", "direction")):
            if held[what] != one.facts[what]:
                pair = f": {held[what]} there, {one.facts[what]} here" if what == "layer" else ""
                raise MonitorError(f"the calibration of '{one.name}' is for another {told}{pair}", again)
    if missing := sorted(set(calibration.watched) - set(watch.names)):
        raise MonitorError(
            f"the calibration holds '{missing[0]}' too, and its rate is for all directions together",
            f"watch {', '.join(calibration.watched)}, or {again}",
        )
    own, now = calibration.model, model_facts(model, arm)
    for what, told in (("fingerprint", "model or adapter"), ("interventions", "intervention")):
        if own[what] != now[what]:
            raise MonitorError(f"the calibration is for another {told}: {_who(own)} there, {_who(now)} here", again)
    if own["asked"] != now["asked"]:
        raise MonitorError("the calibration is for another chat template or way of asking", again)
    if own["dtype"] != now["dtype"]:
        return [f"thresholds were set in {own['dtype']}, and the model is read in {now['dtype']}"]
    return []


def _asked(chat: Chat, watch: Watch, turn: int) -> tuple[Message, ...]:
    """What stands before an answer: chats that begin alike and part later have their first answers to one prompt."""
    if watch.turns == "last":
        return chat.prompt
    answers = [place for place, message in enumerate(chat.messages) if message.role == "assistant"]
    return chat.messages[: answers[turn]]


def _batched(chats: Iterable[Chat]) -> Iterable[list[Chat]]:
    held: list[Chat] = []
    for chat in chats:
        held.append(chat)
        if len(held) == _BATCH:
            yield held
            held = []
    if held:
        yield held


def _parts(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(n)
    size = max(LEAST_SCALE, n // 5)
    return order[:size], order[size:]


def _reachable(n: int) -> float:
    return math.ceil(1e5 / (n + 1)) / 1e5


def _told(convention: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in convention.items())


def _who(facts: Mapping[str, Any]) -> str:
    return f"{facts['name']}" + (f" with {facts['adapter']}" if facts["adapter"] else "")
