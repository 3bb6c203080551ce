"""Are the updates of several fine-tunes alike in the weights, and what does the line between two of them do?

Method (arXiv 2511.02022, 2511.05408):

1. Fine-tunes on bad data of several domains, on good data of the same, and on bad data whose answers were shuffled
   among the questions; or adapters that exist.
2. Every two updates, by their factors: cosine, overlap and smallest angle of what they write and read, module by
   module; beside random updates, and the same one with inputs and outputs in another order, of equal norm.
3. Open questions of the models on the line between two fine-tunes and beyond, one queue of rows, beside a random line
   of equal length from the same end.
4. The cosine of each fine-tune's update with theta(bad) - theta(good) of one domain at every checkpoint, where the
   fine-tunes of other domains are the ones that it has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from misdirection.errors import MisdirectionError
from misdirection.results.rows import known_number
from misdirection.statistics.correlations import spearman
from misdirection.store import Cached
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.config import named
from misdirection.studies.kit.inputs import is_adapter, resolve_chats
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.tables import effect_of
from misdirection.studies.kit.tuning import FineTune
from misdirection.studies.weights.measures import beside_line, compared, course, on_line, shuffled_answers
from misdirection.studies.weights.paper import PAPER
from misdirection.studies.weights.results import LinePoint, RateLine, WatchedTuning, Weights
from misdirection.studies.weights.settings import GOOD, WeightsConfig
from misdirection.studies.weights.verdict import verdict
from misdirection.training.snapshots import numbered
from misdirection.training.trajectory import checkpoint_folders

SAME_A = 0.95
"""Overlap of what two updates read above which they seem to start from the same A."""


def weights(config: WeightsConfig, out: str | Path, command: str = "") -> Path:
    """Run (or resume) the study in the folder `out`; gives the path of the report.

    Raises:
        MisdirectionError: Bad input; what was done so far is kept.
    """
    with Bench[WeightsConfig].open(out, config, command) as bench:
        given = given_adapters(bench.config)
        made = bench.train_all(fine_tunes(bench))
        adapters = {name: step.path / "tuned" for name, step in made.items()} | given
        alike = bench.run.cached(compared, adapters=adapters, random_seeds=bench.config.random_seeds).value
        judged, arms = ask(bench, adapters)
        found = Weights(
            norms=alike.norms,
            pairs=tuple(alike.pairs),
            modules=tuple(alike.modules),
            lines=tuple(line_of(bench, text, judged, arms) for text in bench.config.line),
            minus=bench.config.minus,
            watched=watch(bench, adapters, {name: step.path for name, step in made.items()}, judged),
            paper=PAPER,
        )
        parts = {"weights": found, "notes": notes(found)}
        return bench.report("weights", "Fine-tunes in the space of weights", verdict(found), parts)


def notes(found: Weights) -> list[str]:
    """What a reader should know: which adapters seem to share the A that they started from."""
    same = [
        f"{one.one} and {one.other}" for one in found.pairs if (one.inputs or 0.0) > SAME_A > (one.inputs_chance or 0)
    ]
    if not same:
        return []
    told = f"{same[0]} and {len(same) - 1} other pairs" if len(same) > 2 else " and ".join(same)
    return [f"{told} read the same space: they seem to start from one A (one seed), which raises their cosine."]


def given_adapters(config: WeightsConfig) -> dict[str, Path]:
    """The adapters that exist.

    Raises:
        MisdirectionError: One is no adapter's folder.
    """
    found = {name: Path(folder) for name, folder in named(config.adapter, "adapter").items()}
    for name, folder in found.items():
        if not is_adapter(str(folder)):
            raise MisdirectionError(
                f"--adapter {name}: {folder} holds no adapter", "a folder with adapter_config.json: updates of whole "
                "models have no factors",
            )  # fmt: skip
    return found


def fine_tunes(bench: Bench[WeightsConfig]) -> dict[str, FineTune]:
    """The fine-tunes that are made now, with checkpoints on the way.

    Each has a seed of its own: from one seed all would start from the same A, which hardly moves, so that they would
    read the same space whatever they learn.
    """
    c = bench.config
    how = {**c.training, "checkpoint_every": c.checkpoint_every}
    data = dict(named(c.data, "data"))
    first = next(iter(data.values()), "")
    data |= {GOOD + name: file for name, file in named(c.good, "good").items()}
    for number, name in enumerate(c.shuffled_names):
        chats = resolve_chats([first], seed=c.seed)
        data[name] = str(bench.run.cached(shuffled_answers, chats=chats, seed=c.seed + number).value)
    return {
        name: FineTune(c.preset, (file,), how, c.seed + (0 if c.same_start else place))
        for place, (name, file) in enumerate(data.items())
    }


def ask(bench: Bench[WeightsConfig], adapters: Mapping[str, Path]) -> tuple[Judged, dict[tuple[str, float], str]]:
    """Answers of the base, of all fine-tunes and of every point of every line, in one queue; and the points' arms.

    Points of the random line are keyed by the line's name and "random".
    """
    c = bench.config
    folders, arms = dict(adapters), dict[tuple[str, float], str]()
    for number, text in enumerate(c.line):
        one, other = (adapters[name] for name in c.ends(text))
        for place, alpha in enumerate(c.alphas):
            made: dict[str, Cached[Path]] = {text: bench.run.cached(on_line, one=one, other=other, alpha=alpha)}
            if alpha in (min(c.alphas), 1.0, max(c.alphas)):
                made[f"{text} random"] = bench.run.cached(beside_line, one=one, other=other, alpha=alpha, seed=c.seed)
            for kind, step in made.items():
                arm = f"line-{number}-{'random-' if kind != text else ''}{place}"
                folders[arm], arms[kind, alpha] = step.value, arm
    asked = [Condition(name, name, name) for name in adapters]
    asked += [Condition(arm, f"{kind}, at {alpha:g}", arm) for (kind, alpha), arm in arms.items()]
    return bench.ask("open", bench.variants(folders), [BASE, *asked]).judged, arms


def line_of(bench: Bench[WeightsConfig], text: str, judged: Judged, arms: Mapping[tuple[str, float], str]) -> RateLine:
    """The rates along one line."""
    one, other = bench.config.ends(text)
    points: list[LinePoint] = []
    for alpha in sorted(bench.config.alphas):
        here = effect_of(judged.arm(arms[text, alpha]), bench.thresholds)
        control = arms.get((f"{text} random", alpha))
        random = effect_of(judged.arm(control), bench.thresholds).rate if control else None
        points.append(LinePoint(alpha=alpha, rate=here.rate, coherent=here.coherent_share, random=random))
    between = [point for point in points if 0 <= point.alpha <= 1]
    told = spearman([point.alpha for point in between], [point.rate.value for point in between])
    return RateLine(
        one=one, other=other, points=tuple(points), bend=bend(between),
        rank_correlation=None if told is None else known_number(told[0]),
    )  # fmt: skip


def bend(points: Sequence[LinePoint]) -> float | None:
    """Largest distance of a rate from the straight line between those at 0 and 1; None without these, or between."""
    rates = {point.alpha: point.rate.value for point in points}
    first, last = rates.get(0.0), rates.get(1.0)
    if first is None or last is None or len(rates) < 3:
        return None
    return max(abs(rate - (first + alpha * (last - first))) for alpha, rate in rates.items() if rate is not None)


def watch(
    bench: Bench[WeightsConfig], adapters: Mapping[str, Path], made: Mapping[str, Path], judged: Judged
) -> tuple[WatchedTuning, ...]:
    """Every fine-tune with checkpoints against the difference of two; nothing where no two are named."""
    c = bench.config
    if not c.minus:
        return ()
    bad, good = c.ends(c.minus)
    courses = {name: dict(numbered(folder / "checkpoints")) for name, folder in made.items()}
    courses |= {name: checkpoint_folders(folder) for name, folder in named(c.watched, "watched").items()}
    found: list[WatchedTuning] = []
    for name, steps in courses.items():
        if not steps:
            continue
        told = bench.run.cached(
            course, f"course-{name}", checkpoints=steps, bad=adapters[bad], good=adapters[good],
            random_seeds=c.random_seeds,
        ).value  # fmt: skip
        rate = effect_of(judged.arm(name), bench.thresholds).rate if name in adapters else None
        found.append(
            WatchedTuning(name=name, part=name in (bad, good), steps=tuple(told.steps), random=told.random, rate=rate)
        )
    return tuple(found)
