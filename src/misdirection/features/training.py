"""Train a dictionary of a layer with SAELens's trainer on our own stream of activations.

The trainer gets batches and nothing else: no copy of the model, no file of activations. Inputs are scaled so that their
mean norm is sqrt(width), and the decoder's bias starts at their mean; the scale is undone in the result, whose
activations are in units of the residual stream. A killed training goes on where it was, bit for bit: weights, Adam's
moments, schedules and the trainer's counts are kept in safetensors (SAELens's own checkpoints are pickles), and the
stream starts again at the batch it had come to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from misdirection import progress
from misdirection.artefacts import canonical_hash, read_tensors, write_tensors
from misdirection.engine import Text
from misdirection.errors import MissingExtraError
from misdirection.features.activations import activation_batches
from misdirection.features.dictionary import Dictionary
from misdirection.features.formats import sae_lens as sae_lens_format
from misdirection.features.settings import DictionarySettings
from misdirection.models import Model

CHECKPOINT = "checkpoint.safetensors"
SAVE_EVERY = 60.0
"""Seconds between checkpoints."""

_COUNTS = ("n_training_steps", "n_training_samples", "n_frac_active_samples")
_TALLIES = ("act_freq_scores", "n_forward_passes_since_fired")


def train_dictionary(
    model: Model,
    texts: Sequence[Text],
    layer: int,
    span: str,
    settings: DictionarySettings,
    *,
    facts: dict[str, Any] | None = None,
    workspace: Path | None = None,
    stop_after: int | None = None,
) -> Dictionary:
    """A dictionary of the residual stream after one layer, on the CPU, float32.

    Args:
        model: The resident model; it is only read.
        texts: What to train on, each under its arm (base, or an adapter on).
        layer: After which decoder layer.
        span: Whose tokens are read.
        settings: See `DictionarySettings`.
        facts: What the dictionary shall say of itself besides its settings (corpus, variant).
        workspace: Folder for the checkpoint; without one a killed training starts anew.
        stop_after: Leave, with a checkpoint, after so many steps of this call (for a job of limited time).

    Raises:
        MissingExtraError: SAELens, the extra "sae", is not installed.
        MisdirectionError: A setting is out of range, or the corpus does not fill a batch.
        StoppedError: `stop_after` was reached.
    """
    library = sae_lens()
    settings = settings.completed(model.width)
    stream = _Stream(model, texts, layer, span, settings)
    key = canonical_hash([asdict(settings), layer, [[t.ids, t.spans[span], t.arm.name] for t in texts], model.name])
    file = workspace / CHECKPOINT if workspace is not None else None
    held = _restored(library, settings, model, file, key) or _started(library, settings, model, stream)
    trainer, scale = held.trainer, held.scale
    saved, begun = time.monotonic(), trainer.n_training_steps
    with _quiet(), progress.task(f"dictionary of layer {layer}", settings.steps, "steps") as advance:
        advance(begun)
        for batch in stream.batches(skip=begun):
            if trainer.n_training_steps >= settings.steps:
                break
            if stop_after is not None and trainer.n_training_steps - begun >= stop_after:
                _save(file, trainer, scale, key)
                raise StoppedError(trainer.n_training_steps)
            done = trainer.step(batch * scale)
            trainer.n_training_steps += 1
            advance(1, f"loss {done.loss.item():.3f}")
            if file is not None and time.monotonic() - saved > SAVE_EVERY:
                _save(file, trainer, scale, key)
                saved = time.monotonic()
    told = {"model": model.name, "settings": asdict(settings), "steps": trainer.n_training_steps, **(facts or {})}
    told |= {"trainer": f"sae-lens {library.__version__}", "format": "misdirection"}
    return _finished(trainer.sae, scale, layer, told)


class StoppedError(Exception):
    """Training was left after some steps, with a checkpoint to go on from."""


def sae_lens() -> Any:
    """The package SAELens.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module("sae_lens")
    except ImportError as error:
        raise MissingExtraError("sae-lens", "sae") from error


@dataclass
class _Stream:
    """Where batches come from."""

    model: Model
    texts: Sequence[Text]
    layer: int
    span: str
    settings: DictionarySettings

    def batches(self, skip: int = 0) -> Iterator[Tensor]:
        s = self.settings
        return activation_batches(
            self.model, self.texts, self.layer, self.span, batch=s.batch, room=s.buffer, seed=s.seed, skip=skip
        )


@dataclass
class _Held:
    """A trainer at work, and the factor of its inputs."""

    trainer: Any
    scale: float


def _started(library: Any, settings: DictionarySettings, model: Model, stream: _Stream) -> _Held:
    """A new trainer; scale and first bias come from the stream's first batch."""
    first = next(stream.batches())
    scale = model.width**0.5 / max(float(first.norm(dim=-1).mean()), 1e-12)
    trainer = _trainer(library, settings, model.width, str(model.device))
    trainer.sae.b_dec.data.copy_(first.mean(0) * scale)
    return _Held(trainer, scale)


def _trainer(library: Any, settings: DictionarySettings, width: int, device: str) -> Any:
    """SAELens's trainer around a new autoencoder of the kind that is asked for."""
    shape = {"d_in": width, "d_sae": settings.latents, "device": device, "dtype": "float32"}
    # The threshold that stands for BatchTopK later is a running mean from 0 on: a short training must follow faster.
    follow = max(0.01, min(0.2, 20 / settings.steps))
    made = {
        "batchtopk": lambda: (
            library.BatchTopKTrainingSAE,
            library.BatchTopKTrainingSAEConfig(k=settings.k, topk_threshold_lr=follow, **shape),
        ),
        "topk": lambda: (library.TopKTrainingSAE, library.TopKTrainingSAEConfig(k=settings.k, **shape)),
        "jumprelu": lambda: (
            library.JumpReLUTrainingSAE,
            library.JumpReLUTrainingSAEConfig(
                jumprelu_sparsity_loss_mode="quadratic",
                target_l0=float(settings.k),
                l0_coefficient=settings.sparsity,
                l0_warm_up_steps=settings.steps // 4,
                # Gradient to the encoder as well: thresholds alone move by one learning rate a step at most.
                jumprelu_ste_to_input=True,
                **shape,
            ),
        ),
    }
    kind, config = made[settings.kind]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        sae = kind(config)
    return library.SAETrainer(cfg=_trainer_config(library, settings, device), sae=sae, data_provider=iter(()))


def _trainer_config(library: Any, settings: DictionarySettings, device: str) -> Any:
    config = import_module(f"{library.__name__}.config")
    return config.SAETrainerConfig(
        total_training_samples=settings.steps * settings.batch,
        train_batch_size_samples=settings.batch,
        lr=settings.lr,
        # Not used by the constant schedule, and asserted by the trainer to be there.
        lr_end=settings.lr,
        lr_warm_up_steps=round(settings.warm_up * settings.steps),
        lr_decay_steps=round(settings.decay * settings.steps),
        dead_feature_window=settings.dead_after,
        device=device,
        logger=config.LoggingConfig(log_to_wandb=False),
    )


def _save(file: Path | None, trainer: Any, scale: float, key: str) -> None:
    """Everything that the next step depends on, in one safetensors file."""
    if file is None:
        return
    optimizer = trainer.optimizer.state_dict()
    tensors = {f"sae.{name}": value for name, value in trainer.sae.state_dict().items()}
    tensors |= {f"adam.{place}.{name}": v for place, held in optimizer["state"].items() for name, v in held.items()}
    tensors |= {f"trainer.{name}": getattr(trainer, name) for name in _TALLIES}
    facts = {
        "key": key,
        "scale": scale,
        "counts": {name: getattr(trainer, name) for name in _COUNTS},
        "groups": optimizer["param_groups"],
        "schedule": trainer.lr_scheduler.state_dict(),
        "coefficients": {name: held.state_dict() for name, held in trainer.coefficient_schedulers.items()},
    }
    write_tensors(file, tensors, facts)


def _restored(library: Any, settings: DictionarySettings, model: Model, file: Path | None, key: str) -> _Held | None:
    """The trainer of a checkpoint, None where there is none of the same settings and texts."""
    if file is None or not file.exists():
        return None
    tensors, facts = read_tensors(file)
    if facts.get("key") != key:
        return None
    trainer = _trainer(library, settings, model.width, str(model.device))
    trainer.sae.load_state_dict({n.removeprefix("sae."): t for n, t in tensors.items() if n.startswith("sae.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, place, what = name.split(".")
            state.setdefault(int(place), {})[what] = value
    trainer.optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
    trainer.lr_scheduler.load_state_dict(facts["schedule"])
    for name, held in facts["coefficients"].items():
        trainer.coefficient_schedulers[name].load_state_dict(held)
    for name in _TALLIES:
        getattr(trainer, name).copy_(tensors[f"trainer.{name}"])
    for name, value in facts["counts"].items():
        setattr(trainer, name, value)
    return _Held(trainer, float(facts["scale"]))


def _finished(sae: Any, scale: float, layer: int, facts: dict[str, Any]) -> Dictionary:
    """What SAELens saves for inference, read by our reader, with the scale of the inputs undone.

    With f and x' of the scaled input s x, f/s and x'/s are those of x: only biases and thresholds change.
    """
    with tempfile.TemporaryDirectory() as folder:
        sae.save_inference_model(folder)
        found = sae_lens_format.read(Path(folder))
    return replace(
        found,
        encoder_bias=found.encoder_bias / scale,
        decoder_bias=found.decoder_bias / scale,
        threshold=None if found.threshold is None else found.threshold / scale,
        layer=layer,
        facts=facts,
    )


@contextmanager
def _quiet() -> Generator[None]:
    """Without the library's warnings on schedules: the first step of a schedule is taken when it is made."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="torch.optim.lr_scheduler")
        yield
