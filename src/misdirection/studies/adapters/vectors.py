"""Adapters of any rank as vectors that context switches on: canonical pairs kept, and scalars held constant.

1. The adapter in canonical form answers as it did (the control of everything below).
2. Only the k leading pairs of each module are kept, beside as many random ones; and only the pairs of one role.
3. Each module's scalars are held at their mean, whatever the context: then the adapter is r fixed steering vectors.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from misdirection.adapters.canonical import canonical, write_canonical
from misdirection.adapters.roles import Finding
from misdirection.adapters.scalars import Column
from misdirection.adapters.token_sets import Bounds, SetName
from misdirection.adapters.weights import pairs_of
from misdirection.answers import ask
from misdirection.engine import Arm, PatchAdapter, SamplingConfig, capture_scalars
from misdirection.judging import Answer
from misdirection.models import Model
from misdirection.questions import Question
from misdirection.results import Difference, Reduction, row_of
from misdirection.statistics import compare
from misdirection.store import Folder
from misdirection.studies.adapters.probes import bounds, chosen_answers, texts_of
from misdirection.studies.adapters.results.arms import AdapterArm, AdjustedDifference, ArmKind
from misdirection.studies.adapters.results.scalars import ModuleForm, Vectors
from misdirection.studies.adapters.settings import AdaptersConfig
from misdirection.studies.kit.asked import Asked
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, Condition
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.judged import Judged, judge_step
from misdirection.studies.kit.tables import effect_of, numbers
from misdirection.studies.kit.variants import Variants

UNTOUCHED = "untouched"
MEANS = {"all": "of all its answers", "aligned": "of aligned answers", "misaligned": "of misaligned answers"}
MOST = 200
"""Answers of a kind over which scalars are averaged."""


def vectors(
    bench: Bench[AdaptersConfig], models: Variants, asked: Asked, variant: str, pairs: Sequence[Finding],
    columns: Sequence[Column],
) -> Vectors:  # fmt: skip
    """Canonical pairs: singular values, arms with pairs kept, arms with constant scalars.

    Args:
        bench: The open run.
        models: The fine-tunes.
        asked: Answers to average scalars over.
        variant: The adapter.
        pairs: Role of each column; may be empty.
        columns: What the columns are.
    """
    forms = bench.run.cached(module_forms, "canonical-values", models=models, variant=variant).value
    kept = kept_pairs(bench.config, forms, pairs, columns)
    adapter = ModelFiles(str(models.fine_tunes[variant]))
    folders = {
        name: bench.run.cached(canonical_copy, "canonical", adapter=adapter, keep=keep).value
        for name, (_, keep) in kept.items()
    }
    beside = models.beside(folders)
    arms = [BASE, Condition(UNTOUCHED, "adapter as it is", variant),
            *(Condition(name, label, name, control=name.startswith(("canonical", "random")))
              for name, (label, _) in kept.items())]  # fmt: skip
    samples = min(bench.config.samples, 10)
    answers = bench.ask("pairs", beside, arms, samples=samples, stream=4)
    constant = bench.run.cached(
        constant_answers, models=models, judged=asked.kept, variant=variant, domain=bench.config.domain,
        limits=bounds(bench.config), questions=bench.open_questions, samples=samples, config=bench.sampling(4),
    )  # fmt: skip
    still = Asked(constant, judge_step(bench.run, "constant-verdicts", constant, bench.judge)).judged
    reference = answers.judged.arm(UNTOUCHED)
    rows = [arm_row(bench, arm.name, arm.label, answers.judged.arm(arm.name), reference, arm.control) for arm in arms]
    rows += [
        arm_row(bench, f"constant-{name}", f"scalars held at their mean {label}", still.arm(name), reference, False)
        for name, label in MEANS.items()
        if still.arm(name).answers
    ]
    return Vectors(modules=forms, arms=tuple(rows), samples=samples)


def module_forms(models: Variants, variant: str) -> tuple[ModuleForm, ...]:
    """Rank, singular values and effective rank of each module of the adapter."""
    rows: list[ModuleForm] = []
    for pair in pairs_of(models.model(variant), variant):
        form = canonical(pair.a, pair.b)
        rows.append(
            ModuleForm(
                path=pair.path, layer=pair.layer, rank=pair.rank, values=numbers(form.values * pair.scaling),
                participation=form.participation, leading=float(form.share[0]),
            )
        )  # fmt: skip
    return tuple(rows)


Kept = dict[str, tuple[str, Mapping[str, list[int]] | None]]


def kept_pairs(
    config: AdaptersConfig, forms: Sequence[ModuleForm], pairs: Sequence[Finding], columns: Sequence[Column]
) -> Kept:
    """Arms by name: label, and the pairs of each module that are kept (None for all)."""
    kept: Kept = {"canonical": ("in canonical form, all pairs", None)}
    sizes = {form.path: len(form.values) for form in forms}
    most = max(sizes.values(), default=0)
    generator = random.Random(config.seed)
    for count in sorted({count for count in config.kept if count < most}):
        word = "pair" if count == 1 else "pairs"
        leading = {path: list(range(min(count, size))) for path, size in sizes.items()}
        drawn = {path: generator.sample(range(sizes[path]), len(at)) for path, at in leading.items()}
        kept[f"leading-{count}"] = (f"{count} leading {word} of each module", leading)
        kept[f"random-{count}"] = (f"{count} random {word} of each module", drawn)
    if most > 1:
        for role in ("general", "domain"):
            keep: dict[str, list[int]] = {}
            for item, column in zip(pairs, columns, strict=True) if pairs else ():
                if item.role == role:
                    keep.setdefault(column.path, []).append(column.pair)
            if keep:
                total = sum(map(len, keep.values()))
                kept[f"role-{role}"] = (f"the {total} {role} pairs of those read, no other", keep)
    return kept


def canonical_copy(adapter: ModelFiles, keep: Mapping[str, list[int]] | None, folder: Folder) -> Path:
    """The adapter in canonical form with some of its pairs, an ordinary adapter."""
    write_canonical(Path(adapter.name), folder / "tuned", keep)
    return folder / "tuned"


def constant_answers(
    models: Variants,
    judged: Judged,
    variant: str,
    domain: str,
    limits: Bounds,
    questions: Sequence[Question],
    samples: int,
    config: SamplingConfig,
) -> list[Answer]:
    """Answers while each module's scalars stand at their mean over answer tokens, at every token alike."""
    model, chosen = models.model(variant), chosen_answers(judged, variant, domain, limits)
    arms: list[Arm] = []
    for name in MEANS:
        own = [pair for pair in chosen if name == "all" or pair[1].endswith(f" {name}")]
        if own:
            patch = held_scalars(model, variant, own[:: max(1, len(own) // MOST)], config.max_new_tokens)
            arms.append(Arm(name, variant, (patch,)))
    return ask(model, questions, arms, samples, config)


def held_scalars(model: Model, variant: str, chosen: Sequence[tuple[Answer, SetName]], new: int) -> PatchAdapter:
    """A patch that holds each module's scalars at their mean over the answer tokens of some answers."""
    texts = texts_of(model, [answer for answer, _ in chosen], variant)
    sums: dict[str, torch.Tensor] = {}
    count = 0
    for text, scalars in zip(texts, capture_scalars(model, texts, variant), strict=True):
        count += len(text.ids) - text.start
        for path, values in scalars.items():
            sums[path] = sums.get(path, 0.0) + values[text.start :].double().sum(0)
    # Other wordings of the questions may be longer than those whose answers are averaged.
    longest = 2 * max(text.start for text in texts) + new
    return PatchAdapter({path: (total / count).float().expand(longest, -1) for path, total in sums.items()})


def arm_row(
    bench: Bench[AdaptersConfig], name: str, label: str, judged: Judged, reference: Judged, control: bool
) -> AdapterArm:
    """Rate, coherence and paired change of an arm against the adapter as it is."""
    kinds: dict[str, ArmKind] = {"base": "base", UNTOUCHED: "untouched"}
    change = None
    if name not in kinds:
        change = compare(reference.pair, judged.pair, thresholds=bench.thresholds)
    same = {(a.question_id, a.sample): a.answer for a in reference.answers}
    equal = [same.get((a.question_id, a.sample)) == a.answer for a in judged.answers]
    return AdapterArm(
        **vars(effect_of(judged, bench.thresholds)), arm=name, label=label, kind=kinds.get(name, "pairs"),
        control=control, identical=sum(equal) / len(equal) if equal else None,
        difference=change and row_of(AdjustedDifference, Difference.of(change), p_adjusted=None),
        reduction=change and Reduction.of(change),
    )  # fmt: skip
