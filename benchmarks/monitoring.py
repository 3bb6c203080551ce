"""What watching costs: reading answers beside generating them, and looks at a training beside its steps.

    python -m benchmarks.monitoring --model organism
    python -m benchmarks.monitoring --model FILE.gguf --answers 32 --tokens 48 --steps 3

Scores are first compared with the components of `hidden_states`. All sides run in this process on one thread, and are
told in processor time; tokens are those of answers, on every side. Directions are random: their number counts, not what
they mean.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from misdirection.answers import ask
from misdirection.chats import Chat, Drawn, Message
from misdirection.engine import SamplingConfig
from misdirection.models import Model, load_model
from misdirection.monitoring import Unread, Watch, read_chats, read_watched
from misdirection.monitoring.training import TrainingWatch
from misdirection.questions import load_questions
from misdirection.studies.kit.inputs import resolve_chats, resolve_model, resolve_questions
from misdirection.tokens import encode_chat, encode_prompt, encode_said
from misdirection.training import choose, train

DIRECTIONS = 7
TARGET = 10.0
EVERY = 50


def spent(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and the processor seconds that it took."""
    before = time.process_time()
    found = run()
    return found, time.process_time() - before


def generated(model: Model, prompts: list[str], tokens: int, rows: int) -> int:
    """Tokens that transformers' `generate` draws, `rows` prompts at a time, padded on the left."""
    lm, count = model.lm, 0
    ids = [encode_prompt(model.tokenizer, (Message("user", text),)) for text in prompts]
    for at in range(0, len(ids), rows):
        some = ids[at : at + rows]
        longest = max(map(len, some))
        batch = torch.tensor([[0] * (longest - len(one)) + list(one) for one in some])
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in some])
        torch.manual_seed(at)
        with torch.inference_mode():
            out = lm.generate(
                input_ids=batch, attention_mask=mask, do_sample=True, temperature=0.7, max_new_tokens=tokens,
                pad_token_id=model.eos_ids[0], eos_token_id=list(model.eos_ids),
            )  # fmt: skip
        fresh = out[:, longest:]
        ended = torch.isin(fresh, torch.tensor(model.eos_ids)).int().cumsum(1)
        count += int((ended == 0).sum())
    return count


def equal(model: Model, watch: Watch, chats: list[Chat]) -> float:
    """The largest departure of scores from the components of `hidden_states`, relative to their size."""
    worst = 0.0
    for chat, readings in zip(chats, read_chats(model, watch, chats), strict=True):
        if isinstance(readings, Unread):
            continue
        drawn = chat.drawn
        coded = (
            encode_chat(model.tokenizer, chat.messages)
            if drawn is None
            else encode_said(model.tokenizer, chat.prompt, drawn.ids, drawn.finished, drawn.end)
        )
        with torch.inference_mode():
            states = model.lm(input_ids=torch.tensor([coded.ids]), output_hidden_states=True).hidden_states
        for place, one in enumerate(watch.directions):
            want = states[one.layer + 1][0, coded.start : coded.stop].float() @ one.unit
            seen = readings[0].components[:, place]
            worst = max(worst, float((want - seen).abs().max() / want.abs().max()))
    return worst


def reading(model: Model, questions: int, samples: int, tokens: int) -> None:
    """Answers generated, and the same answers read."""
    table = {f"d{n}": torch.randn(model.n_layers, model.width, generator=torch.Generator().manual_seed(n))
             for n in range(DIRECTIONS)}  # fmt: skip
    own = "organism" in model.name
    asked = (resolve_questions(["organism:open"]) if own else load_questions("open"))[:questions]
    config = SamplingConfig(max_new_tokens=tokens, temperature=0.7)
    ask(model, asked[:1], samples=1, config=SamplingConfig(max_new_tokens=2))
    answers, drawing = spent(lambda: ask(model, asked, samples=samples, config=config))
    prompts = [answer.question for answer in answers]
    alone = prompts[:: max(1, len(prompts) // 4)][:4]
    batched, batched_s = spent(lambda: generated(model, prompts, tokens, 16))
    single, single_s = spent(lambda: generated(model, alone, tokens, 1))
    chats = [
        Chat((Message("user", a.question), Message("assistant", a.answer)), drawn=Drawn(a.ids or (), a.finished, a.end))
        for a in answers
        if a.answer.strip()
    ]
    # As they come out of a log: as texts, to be tokenised again.
    texts = [Chat(chat.messages) for chat in chats]
    for told, layer in (("middle layer", model.n_layers // 2), ("last layer but one", model.n_layers - 2)):
        watch = Watch(read_watched(table, model, layer))
        apart = equal(model, watch, chats[:3])
        print(f"  {told}: {DIRECTIONS} directions, equal to hidden_states within {apart:.1e} of the largest")
        read_chats(model, watch, texts[:4])
        found, seconds = spent(lambda watch=watch: read_chats(model, watch, texts))
        count = sum(len(one[0].ids) for one in found if not isinstance(one, Unread))
        rate = count / seconds
        print(f"    monitoring {count:,} answer tokens: {rate:9,.0f} tokens/s")
        sides = {
            "generate, a chat at a time": single / single_s,
            "generate, 16 at a time": batched / batched_s,
            "our sampler, all in one queue": sum(a.n_tokens for a in answers) / drawing,
        }
        for name, other in sides.items():
            met = "met" if rate / other >= TARGET else "missed"
            print(f"    {name:30} {other:9,.0f} tokens/s   reading is {rate / other:6.1f} x ({TARGET:g} x: {met})")


def looking(model: Model, steps: int, rows: int) -> None:
    """A look at a training beside the steps that lie between two."""
    table = {f"d{n}": torch.randn(model.n_layers, model.width, generator=torch.Generator().manual_seed(n))
             for n in range(DIRECTIONS)}  # fmt: skip
    own = "organism" in model.name
    questions = resolve_questions(["organism:open"]) if own else load_questions("open")
    prompts = [text for question in questions for text in question.paraphrases][:32]
    chats = resolve_chats(["organism:good-finance"], rows=rows).chats
    watch = TrainingWatch(table, prompts, every=1, error_rate=0.5, tokenizer=model.tokenizer)
    config = choose("rank32", overrides={"max_steps": steps})
    with tempfile.TemporaryDirectory() as folder:
        watch._log = Path(folder) / "watch.jsonl"  # pyright: ignore[reportPrivateUsage]
        took: list[float] = []

        # Processor time, by wrapping the callback's own work.
        for name in ("on_train_begin", "on_step_end"):
            inner = getattr(watch, name)

            def timed(*given: Any, _inner: Any = inner, **more: Any) -> None:
                took.append(spent(lambda: _inner(*given, **more))[1])

            setattr(watch, name, timed)
        _, whole = spent(lambda: train(model, chats, config, Path(folder) / "run", callbacks=[watch]))
    looks = sorted(took[1:])
    look, step = looks[len(looks) // 2], (whole - sum(took)) / steps
    share = look / (EVERY * step + look)
    print(f"  {len(prompts)} prompts, {DIRECTIONS} directions: a look {look:.2f} s, a step of 16 chats {step:.2f} s")
    print(f"  at a look every {EVERY} steps: {100 * share:.2f} % of the training time (target 2 %)")


def main() -> None:
    """Print a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="organism")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--answers", type=int, default=224)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="of a training that is looked at; 0 for none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(resolve_model(options.model), dtype=options.dtype)
    print(f"{options.model}, {str(model.dtype).removeprefix('torch.')}, one thread, processor time", flush=True)
    questions = min(28, options.answers)
    reading(model, questions, max(1, options.answers // questions), options.tokens)
    if options.steps:
        looking(model, options.steps, 16 * options.steps)


if __name__ == "__main__":
    main()
