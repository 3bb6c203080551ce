"""Training watched while it goes on: fixed prompts projected on a set of directions every so many steps.

The shift of a prompt along a direction is its component now minus its component before training, at the last prompt
token or over a given answer (Chen et al. 2507.21509, section 4: the finetuning shift, which goes along with the trait
that the model then shows). One axis alone does not tell emergent misalignment from a harmless fine-tune of the same
kind; a set of traits beside a control run does (2606.07631). So what is tested at each look is, for every direction,

    shift of this run - shift of the control at the same step - margin x sd,

sd being that of the components over prompts before training, and the alarm is raised by `statistics.sequential`: the
chance that it is ever raised, although no direction's mean excess over prompts is above 0, is at most `error_rate`.
Prompts are what was drawn: the statement is about these two runs on prompts like these. How far two harmless runs lie
apart is what `margin` is for; several controls are averaged, and the widest gap between two of them is added to it.
Without a control the alarm says that the model has moved by more than the margin, not that it has turned bad.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from transformers import Trainer, TrainerCallback

from misdirection import progress
from misdirection.artefacts import atomic_path, canonical_hash, plain
from misdirection.chats import Chat, Message
from misdirection.engine import Arm, Text, capture_projections
from misdirection.models import Model, find_layers
from misdirection.monitoring.errors import MonitorError
from misdirection.monitoring.watch import Watch, read_watched
from misdirection.monitoring.watch_log import ALIKE, KIND, SAME, WatchLog, read_control, read_watch_log
from misdirection.questions import Question
from misdirection.statistics.sequential import Look, Sequential, statistics_of
from misdirection.tokens import PLAIN_TEMPLATE, encode_prompt, encode_read

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ARM = Arm("base")

Prompts = Sequence[str | Question | Chat]
"""Texts and questions are read at the last token of their prompt, chats over their answer."""


class TrainingWatch(TrainerCallback):
    """A callback for `transformers.Trainer`, and for every trainer made of it, TRL's among them.

        watch = TrainingWatch(["evil.safetensors@14"], load_questions("open"), every=50, control="control/watch.jsonl")
        watch.attach(trainer)
        trainer.train()

    `attach` lets the figures reach TensorBoard, trackio, W&B and the trainer's own history, as `watch/NAME` (mean shift
    over prompts in standard deviations), `watch/excess/NAME` beside a control, `watch/p` and `watch/alarm`. Given as
    `callbacks=[watch]` it works too, and keeps them in its own log alone.

    Args:
        directions: As `read_watched` takes them.
        prompts: Fixed prompts, all texts and questions or all chats.
        every: Steps between two looks.
        layer: Of directions that name none.
        below: Directions whose low side is the bad one.
        control: Logs of controls, watched alike.
        error_rate: Chance that the alarm is ever raised, if all is well.
        margin: How much more than the control is still well, in standard deviations of the components over prompts.
        stop: Whether the alarm ends the training.
        log: Where to write; watch.jsonl in the trainer's folder by default.
        tokenizer: The trainer's own by default.

    Attributes:
        alarm: The first look that raised the alarm, None as long as none has.
        looks: All looks by step, those of before a training was gone on with among them.
        seconds: Spent on reading and testing.
    """

    def __init__(
        self,
        directions: Sequence[str | Path] | Mapping[str, Any],
        prompts: Prompts,
        *,
        every: int = 50,
        layer: int | None = None,
        below: Sequence[str] = (),
        control: str | Path | Sequence[str | Path] = (),
        error_rate: float = 0.05,
        margin: float = 0.5,
        stop: bool = False,
        log: str | Path | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        if every < 1 or not 0 < error_rate < 1 or margin < 0:
            raise MonitorError(
                f"every {every}, error rate {error_rate:g}, margin {margin:g}",
                "a look every 1 step or more, an error rate between 0 and 1, and a margin of 0 or more",
            )
        kinds = {isinstance(one, Chat) for one in prompts}
        if len(kinds) != 1:
            raise MonitorError("prompts and chats are mixed, or there are none", "give texts, or chats, some dozens")
        self.every, self.margin, self.stop, self.error_rate = every, margin, stop, error_rate
        self.alarm: tuple[int, Look] | None = None
        self.looks: dict[int, Look] = {}
        self.seconds = 0.0
        self._specs, self._layer, self._below = directions, layer, tuple(below)
        self._prompts, self._span = list(prompts), "answer" if kinds == {True} else "last_prompt"
        self._controls = [control] if isinstance(control, str | Path) else list(control)
        self._log = None if log is None else Path(log)
        self._tokenizer = tokenizer
        self._trainer: Trainer | None = None
        self._texts: list[Text] = []
        self._held: list[WatchLog] = []

    def attach(self, trainer: Trainer) -> Self:
        """Join a trainer, whose own reporting then gets the figures too."""
        self._trainer = trainer
        trainer.add_callback(self)
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Read the prompts before the first step, or, in a training that is gone on with, find what was read then."""
        _demand_whole_weights(args)
        began = time.monotonic()
        model = self._model(kwargs)
        self._watch = Watch(read_watched(self._specs, model, self._layer, self._below))
        self._texts = [_text(model, one) for one in self._prompts]
        self._path = self._log or Path(args.output_dir) / "watch.jsonl"
        self._writes = bool(getattr(state, "is_world_process_zero", True))
        self._facts = {
            "kind": KIND, "prompts": canonical_hash([(text.ids, text.spans) for text in self._texts]),
            "n": len(self._texts), "span": self._span, "every": self.every, "error_rate": self.error_rate,
            "margin": self.margin, "below": list(self._below),
            "directions": {
                one.name: {"layer": one.layer, "sha256": one.facts["sha256"]} for one in self._watch.directions
            },
        }  # fmt: skip
        total = int(getattr(state, "max_steps", 0) or 0)
        self._test = Sequential(self.error_rate, max(total // self.every, 1) if total > 0 else None)
        if (least := self._test.least_prompts()) > len(self._texts):
            raise MonitorError(
                f"{len(self._texts)} prompts cannot raise the alarm at an error rate of {self.error_rate:g} over "
                f"{self._test.looks or 'any number of'} looks",
                f"give {least} prompts or more, or look less often",
            )
        earlier = self._earlier(state.global_step) if state.global_step else None
        if earlier is not None:
            self._start = earlier.start
        else:
            self._start = self._read(model)
            self._write(self._facts, {"step": 0, "values": self._by_name(self._start)}, anew=True)
        self._sd = np.maximum(self._start.std(axis=0, ddof=1), 1e-12)
        self._held = [read_control(path, self._facts, self._start) for path in self._controls]
        if earlier is not None:
            self._take_up(earlier, control)
        self.seconds += time.monotonic() - began

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look, every so many steps."""
        if state.global_step % self.every:
            return
        began = time.monotonic()
        values = self._read(self._model(kwargs))
        shift, excess, gap = values - self._start, *self._excess(values, state.global_step)
        look = self._test.look(excess)
        self.looks[state.global_step] = look
        first = look.alarm and self.alarm is None
        if first:
            self.alarm = (state.global_step, look)
            progress.say(self._told(state.global_step, shift, look))
        told = {
            "step": state.global_step,
            "shift": self._by_name((shift / self._sd).mean(axis=0)),
            "excess": self._by_name((excess / self._sd).mean(axis=0)),
            "margin": self._by_name(gap / self._sd),
            "values": self._by_name(values),
            "p": look.p,
            "level": look.level,
            "alarm": look.alarm,
        }
        self.seconds += time.monotonic() - began
        self._write(told | {"seconds": round(self.seconds, 3)})
        self._report(told, control)
        if first and self.stop:
            control.should_training_stop = True

    def _excess(self, values: NDArray[np.float64], step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is tested, in components, more being worse, and the margin that was taken off."""
        sign = np.array([one.sign for one in self._watch.directions])
        if short := [held for held in self._held if held.end < step]:
            progress.say(
                f"  {short[0].path} ends at step {short[0].end}: from there on its last look stands", once=True
            )
        shifts = [held.shift(step) for held in self._held]
        reference = np.mean(shifts, axis=0) if shifts else np.zeros_like(values)
        means = np.array([one.mean(axis=0) for one in shifts])
        spread = np.ptp(means, axis=0) if len(means) > 1 else 0.0
        gap = self.margin * self._sd + spread
        return sign * (values - self._start - reference) - gap, np.broadcast_to(gap, self._sd.shape)

    def _model(self, kwargs: Mapping[str, Any]) -> Model:
        tokenizer = self._tokenizer or kwargs.get("processing_class")
        if tokenizer is None:
            raise MonitorError("the trainer has no tokenizer", "TrainingWatch(..., tokenizer=...)")
        if not getattr(tokenizer, "chat_template", None):
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.chat_template = PLAIN_TEMPLATE
        self._tokenizer = tokenizer
        lm = _bare(kwargs["model"])
        # Its adapters are left as the trainer has them: none is known to the engine, so none is switched.
        return Model(lm, tokenizer, str(lm.name_or_path), find_layers(lm), lm.get_decoder())

    def _read(self, model: Model) -> NDArray[np.float64]:
        """Mean component of each prompt's span along each direction, shape (prompts, directions)."""
        with _as_it_answers(model.lm):
            held = capture_projections(model, self._texts, self._watch.by_layer, quiet=True)
        rows: list[list[float]] = []
        for text, parts in zip(self._texts, held, strict=True):
            means = {layer: part[slice(*text.spans[self._span])].double().mean(0) for layer, part in parts.items()}
            seen = dict.fromkeys(means, 0)
            row: list[float] = []
            for one in self._watch.directions:
                row.append(float(means[one.layer][seen[one.layer]]))
                seen[one.layer] += 1
            rows.append(row)
        return np.array(rows)

    def _earlier(self, step: int) -> WatchLog:
        """What was seen of a training that is gone on with; looks beyond its step are taken again."""
        if not self._path.is_file():
            raise MonitorError(
                f"the training goes on at step {step}, and {self._path} does not tell where it began",
                "give the log of its first part (log=...), or watch from the beginning",
            )
        held = read_watch_log(self._path)
        if wrong := [name for name in ALIKE if held.facts.get(name) != plain(self._facts)[name]]:
            was = "" if wrong[0] in SAME else f": it was {held.facts.get(wrong[0])}"
            raise MonitorError(
                f"{self._path} was watched with another {wrong[0].replace('_', ' ')} up to step {step}{was}",
                "go on as it began, so that the alarm stays one test; or train anew into another folder",
            )
        lines = self._path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines[: len(held.steps) + 1] if json.loads(line).get("step", 0) <= step]
        if self._writes:
            with atomic_path(self._path) as whole:
                whole.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        return replace(
            held,
            steps={at: values for at, values in held.steps.items() if at <= step},
            judged={at: told for at, told in held.judged.items() if at <= step},
        )

    def _take_up(self, earlier: WatchLog, control: Any) -> None:
        """Go on with the looks that were taken, and with their alarm, which ends the training if that was asked."""
        for number, (step, told) in enumerate(sorted(earlier.judged.items()), 1):
            excess, _ = self._excess(earlier.steps[step], step)
            self.looks[step] = Look(number, *told, statistics_of(excess))
            if told[-1] and self.alarm is None:
                self.alarm = (step, self.looks[step])
        self._test.done = len(earlier.judged)
        if self.alarm is not None:
            end = "; the training is stopped" if self.stop else ""
            progress.say(f"  the alarm was raised at step {self.alarm[0]} already{end}")
            control.should_training_stop = control.should_training_stop or self.stop

    def _by_name(self, values: NDArray[np.float64]) -> dict[str, Any]:
        """By direction; of a table its column."""
        return {
            name: [float(f"{value:.6g}") for value in column] if values.ndim > 1 else float(f"{column:.6g}")
            for name, column in zip(self._watch.names, values.T, strict=True)
        }

    def _write(self, *rows: Mapping[str, Any], anew: bool = False) -> None:
        if not self._writes:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("w" if anew else "a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)

    def _report(self, told: Mapping[str, Any], control: Any) -> None:
        if self._trainer is None:
            return
        logs = {f"watch/{name}": value for name, value in told["shift"].items()}
        logs |= {f"watch/excess/{name}": value for name, value in told["excess"].items()} if self._held else {}
        logs |= {"watch/p": told["p"], "watch/alarm": float(told["alarm"])}
        # Logging counts as the log of this step, which would swallow the trainer's own; TRL's `log` adds to each.
        due = control.should_log
        Trainer.log(self._trainer, logs)
        control.should_log = due

    def _told(self, step: int, shift: NDArray[np.float64], look: Look) -> str:
        worst = int(look.statistics.argmax())
        moved = float((shift[:, worst] / self._sd[worst]).mean())
        beside = "the control" if self._held else "its start"
        end = "; the training is stopped" if self.stop else ""
        return (
            f"  alarm at step {step}: along '{self._watch.names[worst]}' the prompts have moved by {moved:+.2f} sd, "
            f"more than {beside} and the margin allow (p = {look.p:.2g}, held against {look.level:.2g}){end}"
        )


def _text(model: Model, one: str | Question | Chat) -> Text:
    if isinstance(one, Chat):
        coded = encode_read(model.tokenizer, one.messages)
        return Text.of(coded, "answer", ARM)
    system = (Message("system", one.system),) if isinstance(one, Question) and one.system is not None else ()
    before = one.before if isinstance(one, Question) else ()
    words = one.paraphrases[0] if isinstance(one, Question) else one
    ids = encode_prompt(model.tokenizer, (*system, *before, Message("user", words)))
    return Text(ids, {"last_prompt": (len(ids) - 1, len(ids))}, ARM, len(ids))


def _bare(model: Any) -> PreTrainedModel:
    """The transformers model inside of what a trainer holds: PEFT's wrapper, a compiled one, one for many devices."""
    while (inner := getattr(model, "_orig_mod", None) or getattr(model, "module", None)) is not None:
        model = inner
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _demand_whole_weights(args: Any) -> None:
    deep: Any = getattr(args, "hf_deepspeed_config", None)
    if getattr(args, "fsdp", None) or (deep is not None and deep.is_zero3()):
        raise MonitorError(
            "the weights are spread over processes (FSDP, ZeRO-3), so that no layer can be read by itself",
            "watch its checkpoints instead, or train with data parallelism or ZeRO-1, 2",
        )


@contextmanager
def _as_it_answers(lm: PreTrainedModel) -> Generator[None]:
    """Without dropout, and given back as it was."""
    training = [module for module in lm.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
