"""Parts a, b and e: sampling with and without steering."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from benchmarks import field
from benchmarks.measure import Line, UnequalError, compare, interleave, say
from benchmarks.setting import Setting, endings, points, questions
from misdirection.engine import Ablate, Arm, Prompt, Row, Sample, SamplingConfig, Steer, sample
from misdirection.models import Model

_TIE = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}
"""How far below the likeliest logit (they have a spread of 3) a token may lie and still count as tied with it."""

_END = -1
"""Stands for any end token while answers are compared."""


def sweep(setting: Setting, model: Model) -> list[Line]:
    """Part a: eight steering points x questions x samples against a `generate` call a point and question."""
    asked = questions(setting)
    fixed = _sweep(setting, model, asked, setting.new_tokens, f"every answer {setting.new_tokens} tokens")
    with endings(setting, model):
        longest = setting.new_tokens * 3 // 2
        ended = _sweep(setting, model, asked[::2], longest, f"answers end by themselves, at most {longest} tokens")
    return [fixed, ended]


def _sweep(setting: Setting, model: Model, asked: Sequence[Prompt], longest: int, which: str) -> Line:
    steers = points(setting)
    arms = [Arm(f"point {number}", None, (steer,)) for number, steer in enumerate(steers)]
    equal = check_greedy(setting, model, arms, asked, longest, checked=4)
    rows = [Row(prompt, arm, n) for arm in arms for prompt in asked for n in range(setting.samples)]
    config = SamplingConfig(max_new_tokens=longest, seed=setting.seed)
    lengths: list[int] = []

    def ours() -> None:
        lengths[:] = [len(found.ids) for found in sample(model, rows, config)]

    def theirs() -> None:
        for steer in steers:
            for prompt in asked:
                field.steered(model, steer, prompt, setting.samples, longest)

    spent = interleave(setting, {"ours": ours, "field": theirs}, setting.repeats)
    which += f" (mean {mean(lengths):.0f})" if min(lengths) < longest else ""
    what = (
        f"steering sweep, {len(steers)} points x {len(asked)} questions x {setting.samples} samples, {which}, "
        "against one generate call a point and question"
    )
    return compare(setting, "a", what, equal, spent["ours"], spent["field"], target=("faster", 8.0))


def steering_cost(setting: Setting, model: Model) -> list[Line]:
    """Part b: the same rows with and without interventions, in our engine."""
    asked, steers = questions(setting), points(setting)
    direction, every = steers[0].direction, tuple(range(model.n_layers))
    kinds: dict[str, list[tuple[Steer | Ablate, ...]]] = {
        "unsteered": [() for _ in steers],
        "steered": [(steer,) for steer in steers],
        "steered everywhere": [(Steer(direction, every, steer.coefficient / 10),) for steer in steers],
        "ablated everywhere": [(Ablate(direction, every),) for _ in steers],
    }
    arms = {kind: [Arm(kind, None, done) for done in many] for kind, many in kinds.items()}
    # A zero coefficient goes through the hooks and must change nothing.
    zero = Arm("zero", None, (Steer(direction, every, 0.0),))
    equal = check_greedy(setting, model, [Arm("none"), zero], asked, setting.new_tokens, checked=2)
    config = SamplingConfig(max_new_tokens=setting.new_tokens, seed=setting.seed)
    samples = max(1, setting.samples // 4)
    rows = {
        kind: [Row(p, arm, n) for arm in many for p in asked for n in range(samples)] for kind, many in arms.items()
    }
    sides = {kind: (lambda kind=kind: sample(model, rows[kind], config)) for kind in kinds}
    spent = interleave(setting, sides, setting.short_repeats)
    where = {
        "steered": f"steered at one layer a row (8 points mixed, {len(rows['steered'])} rows) against unsteered",
        "steered everywhere": "steered at every layer against unsteered",
        "ablated everywhere": "a direction projected out at every layer against unsteered",
    }
    return [
        compare(
            setting,
            "b",
            text,
            equal,
            spent[kind],
            spent["unsteered"],
            target=("slower", 1.05) if kind == "steered" else None,
            inverse=True,
        )
        for kind, text in where.items()
    ]


def plain(setting: Setting, model: Model) -> list[Line]:
    """Part e: unsteered sampling against `generate` with num_return_sequences."""
    asked, arm = questions(setting), Arm("base")
    equal = check_greedy(setting, model, [arm], asked, setting.new_tokens)
    rows = [Row(prompt, arm, n) for prompt in asked for n in range(setting.many_samples)]
    config = SamplingConfig(max_new_tokens=setting.new_tokens, seed=setting.seed)

    def theirs() -> None:
        for prompt in asked:
            field.generate(model, prompt, setting.many_samples, setting.new_tokens)

    spent = interleave(setting, {"ours": lambda: sample(model, rows, config), "generate": theirs}, setting.repeats)
    what = (
        f"unsteered, {len(asked)} questions x {setting.many_samples} samples, "
        f"against generate(num_return_sequences={setting.many_samples})"
    )
    return [compare(setting, "e", what, equal, spent["ours"], spent["generate"])]


def check_greedy(
    setting: Setting, model: Model, arms: Sequence[Arm], asked: Sequence[Prompt], longest: int, checked: int = 8
) -> str:
    """Every arm and question once, greedy, in one batch of ours, against a `generate` call each.

    For each arm `checked` questions are compared, in turn.

    Raises:
        UnequalError: A token differs where the two likeliest are not tied.
    """
    rows = [Row(prompt, arm) for arm in arms for prompt in asked]
    ours = sample(model, rows, SamplingConfig(max_new_tokens=longest, temperature=0))
    stride = max(1, len(asked) // checked)
    chosen = [number for number in range(len(rows)) if (number + number // len(asked)) % stride == 0]
    ties = sum(_check_row(setting, model, rows[number], ours[number], longest) for number in chosen)
    words = len({token for found in ours for token in found.ids})
    different = len({found.ids for found in ours})
    if different < len(asked) or words < 4:
        raise UnequalError("the model answers every question alike: equal outputs would show nothing")
    say(f"  equal: {len(chosen)} greedy answers ({different} different among {len(ours)}, {words} words), {ties} ties")
    return f"{len(chosen)} greedy answers token for token" + (f", {ties} up to a tie" if ties else "")


def _check_row(setting: Setting, model: Model, row: Row, found: Sample, longest: int) -> int:
    """0 where the answer is the field's, 1 where it leaves it at a tie."""
    point = row.arm.interventions[0] if row.arm.interventions else None
    assert point is None or isinstance(point, Steer)
    if point is None:
        theirs = field.generate(model, row.prompt, 1, longest, greedy=True)[0].tolist()
    else:
        theirs = field.steered(model, point, row.prompt, 1, longest, greedy=True)[0].tolist()
    got = [*found.ids, *([_END] if found.finished else [])]
    expected = _ended(theirs, model.eos_ids)
    if got == expected:
        return 0
    where = f"{row.arm.name}, {row.prompt.key}"
    step = next((n for n, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), None)
    if step is None:
        raise UnequalError(f"{where}: {len(got)} tokens against {len(expected)}")
    logits = field.next_logits(model, point, (*row.prompt.ids, *expected[:step]))
    heights = [
        float(logits[list(model.eos_ids) if token == _END else [token]].max()) for token in (got[step], expected[step])
    ]
    behind = float(logits.max()) - min(heights)
    if behind > _TIE[setting.dtype]:
        raise UnequalError(f"{where}: token {step} differs and is {behind:.3g} from a tie")
    return 1


def _ended(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """An answer up to its first end token, which becomes `_END`."""
    for place, token in enumerate(ids):
        if token in ends:
            return [*ids[:place], _END]
    return list(ids)
