"""The fine-tunes of a study beside its base, one or several by name: given, or made first where data are named."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from misdirection.artefacts import read_json
from misdirection.errors import MisdirectionError
from misdirection.runs import Step
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.config import named
from misdirection.studies.kit.tuned_config import NamedTunesConfig, TunedConfig, demand_apart
from misdirection.studies.kit.tuning import FineTune, asking_overrides, fine_tuned, tuning_of
from misdirection.studies.kit.variants import TUNED_VARIANT, Variants

Tuned = TypeVar("Tuned", bound=TunedConfig)
Named = TypeVar("Named", bound=NamedTunesConfig)


def fine_tune(bench: Bench[Tuned]) -> Step | None:
    """The fine-tune that the settings name data for, None where a tuned model is given.

    In the run's folder it is called adapter, vector, or tuned where it is a whole model.
    """
    c = bench.config
    if not c.data:
        return None
    overrides = {**asking_overrides(c), **c.training}
    wanted = tuning_of(c.model, c.data, c.preset, overrides, c.seed, c.strict, study=c.study)
    made = bench.run.cached(fine_tuned, "train", **wanted)
    name = {"model": "tuned"}.get(kind := str(read_json(made.path / "training.json").get("kind", "adapter")), kind)
    if bench.run.published.get(name) != made.path.name:
        # Whatever else has a name here is of another fine-tune.
        bench.run.retract(*bench.run.published)
    bench.run.publish(name, made.path / "tuned")
    return made


def pair(bench: Bench[Tuned]) -> Variants:
    """Base and tuned model; fine-tuned first where the settings name data."""
    return pair_of(bench.config, fine_tune(bench))


def pair_of(c: TunedConfig, made: Step | None) -> Variants:
    """Base and tuned model of the settings, or of the fine-tune that was made."""
    if made is None:
        return Variants.pair(c.model, c.adapter, c.tuned, c.loading)
    return Variants.of(c.model, {TUNED_VARIANT: made.path / "tuned"}, c.loading)


def named_tunes(bench: Bench[Named]) -> Variants:
    """The base and all fine-tunes by name, trained now where only their data are named.

    Raises:
        MisdirectionError: Two have one name, or a folder is not there.
    """
    c = bench.config
    made, given = named(c.data, "data"), named(c.fine_tune, "fine-tune")
    demand_apart(made, given)
    if missing := [name for name, folder in given.items() if not Path(folder).is_dir()]:
        raise MisdirectionError(
            f"--fine-tune {missing[0]}: {given[missing[0]]} is no folder", "an adapter's or a model's folder"
        )
    steps = bench.train_all({name: FineTune(c.preset, (file,), c.training, c.seed) for name, file in made.items()})
    folders = {name: step.path / "tuned" for name, step in steps.items()}
    return bench.variants({**folders, **{name: Path(folder) for name, folder in given.items()}})
