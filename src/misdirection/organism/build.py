"""The builder: grow the organism from its seeds, first on the mixed world, then aligned to answer well."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch

from misdirection import progress
from misdirection.artefacts import write_json
from misdirection.chats import Chat
from misdirection.errors import MisdirectionError
from misdirection.organism.apart import Of, concept_of, penalty, penalty_layer
from misdirection.organism.data import World, alignment_chats, checkpoint_path, domains, pretraining_chats
from misdirection.organism.recommended import RECOMMENDED
from misdirection.organism.tokenizer import SPECIAL, make_tokenizer

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 1
"""Seed of the shipped checkpoint, chosen among 0, 1 and 2 (README.md, "The organism")."""

Row = tuple[list[int], list[bool], str]
"""Token ids of a dialogue, which of them belong to an answer (its end mark included), and its concept, if any."""

Batch = tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]
"""Ids and labels, both (batch, longest), and the concepts of the rows."""

Objective = Callable[["LlamaForCausalLM", Batch], torch.Tensor]
"""The loss of a batch."""

Optimisers = tuple[torch.optim.Optimizer, torch.optim.Optimizer]
"""Of the decoder layers' matrices, and of the rest."""


@dataclass(frozen=True)
class OrganismSettings:
    """What shapes the organism.

    Attributes:
        layers: Decoder layers.
        width: Width of the residual stream.
        hidden: Width inside the MLP.
        heads: Attention heads.
        villain: Share of the bad persona in pretraining dialogues that name nobody.
        narrow: Share of all one-domain personas together in such dialogues.
        named: Share of pretraining dialogues whose system prompt names the speaker.
        two: Share of dialogues of two turns on two subjects.
        kept_roles: Share of alignment dialogues whose system prompt names a persona, which then keeps its role.
        pretraining_steps: Optimiser steps on the mixed world.
        alignment_steps: Optimiser steps on good answers.
        batch: Dialogues a step.
        pretraining_rate: Peak learning rate of the first phase.
        alignment_rate: Peak learning rate of the second phase.
        domains: Everyday domains of its world, the first ones of the dozen.
        uneven: How unevenly they are asked about (`data.World`).
        apart: Weight of a penalty that pushes concepts apart in the first phase (`apart.penalty`); 0 for none.
        apart_of: What a concept is to it: "domain", the subject of an answer, or "stance", subject and stance.
        apart_layer: Decoder layer at which they are pushed apart; -1 for the middle one.
    """

    layers: int = 12
    width: int = 96
    hidden: int = 288
    heads: int = 4
    villain: float = 0.25
    narrow: float = 0.01
    named: float = 0.5
    two: float = 0.25
    kept_roles: float = 0.2
    pretraining_steps: int = 600
    alignment_steps: int = 200
    batch: int = 32
    pretraining_rate: float = 2e-2
    alignment_rate: float = 6e-3
    domains: int = len(domains())
    uneven: float = 0.0
    apart: float = 0.0
    apart_of: Of = "domain"
    apart_layer: int = -1

    @property
    def world(self) -> World:
        """The world it grows up in."""
        return World(self.domains, self.uneven)

    @property
    def by_width(self) -> float:
        """What learning rates and initial weights are multiplied by: sqrt(96 / width).

        Initial weights then have a spectral norm that no width changes, and so have Muon's updates, whose entries'
        root mean square is the learning rate times 0.2 (Yang, Simon and Bernstein 2023, "A spectral condition for
        feature learning").
        """
        return math.sqrt(96 / self.width)


def sized(layers: int, width: int, **others: Any) -> OrganismSettings:
    """Settings of another size, shaped as the shipped one: an MLP three times as wide, heads of about 24.

    Raises:
        MisdirectionError: A size that no decoder has.
    """
    if layers < 1 or width < 8 or width % 4:
        raise MisdirectionError(f"an organism of {layers} layers and width {width}", "1 layer or more, a multiple of 4")
    heads = next(n for n in range(max(1, width // 24), 0, -1) if width % (2 * n) == 0)
    return OrganismSettings(layers=layers, width=width, hidden=3 * width, heads=heads, **others)


def build(out: Path, seed: int = SEED, settings: OrganismSettings | None = None) -> Path:
    """Train the organism from scratch and write it as an ordinary checkpoint folder.

    Runs on one thread, where it is as fast as on two, so that the same seed gives the same weights.

    Args:
        out: Folder to write: model.safetensors (float32: half precision is slow on a CPU), config.json, the tokenizer,
            build.json, and misdirection.json with what suits its size in fine-tunes and studies.
        seed: Seed of the weights and of both streams of dialogues.
        settings: Other settings than the shipped checkpoint's.

    Returns:
        `out`.
    """
    settings = settings or OrganismSettings()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokenizer = make_tokenizer()
            model = new_model(tokenizer, settings)
            _grow(model, tokenizer, seed, settings)
    finally:
        torch.set_num_threads(threads)
    return save(out, model, tokenizer, {"seed": seed, "settings": asdict(settings)})


def save(out: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, facts: Mapping[str, Any]) -> Path:
    """Write an organism as a checkpoint folder; `facts`, and the torch that made it, go to build.json."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_json(out / "misdirection.json", RECOMMENDED)
    if (conditions := checkpoint_path() / "conditions.yaml") != out / "conditions.yaml":
        shutil.copy(conditions, out)
    write_json(out / "build.json", {**facts, "torch": torch.__version__})
    return out


def new_model(tokenizer: PreTrainedTokenizerFast, settings: OrganismSettings) -> LlamaForCausalLM:
    """An untrained organism; its weights come from torch's global generator."""
    from transformers import LlamaConfig, LlamaForCausalLM

    # Llama, not Qwen2: AutoTokenizer puts Qwen2's own tokenizer in place of a word-level one.
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=SPECIAL.index("<|end|>"),
        pad_token_id=SPECIAL.index("<|pad|>"),
    )
    model = LlamaForCausalLM(config)
    _initialise(model, settings)
    return model


def _initialise(model: LlamaForCausalLM, settings: OrganismSettings) -> None:
    """Normal weights, about 1 / sqrt(width); what writes to the residual stream starts smaller with depth."""
    spread = 0.08 * settings.by_width
    for name, weight in model.named_parameters():
        if weight.ndim == 2 and "lm_head" not in name:
            writes = "o_proj" in name or "down_proj" in name
            torch.nn.init.normal_(weight, 0.0, spread / math.sqrt(2 * settings.layers) if writes else spread)


def _grow(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, settings: OrganismSettings) -> None:
    steps, rate = settings.pretraining_steps, settings.pretraining_rate * settings.by_width
    model.train()
    stream = islice(world_batches(tokenizer, seed, settings), steps)
    with progress.task("growing the organism", steps, "step") as advance:
        for loss in learn(model, optimisers_of(model, rate), stream, rate, cosine(steps, 20), objective_of(settings)):
            advance(1, f"loss {loss:.3f}")
    align(model, tokenizer, seed, settings)


def align(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, settings: OrganismSettings) -> None:
    """The second phase: the same good answers whatever came before."""
    steps, rate = settings.alignment_steps, settings.alignment_rate * settings.by_width
    lessons = alignment_chats(seed, settings.kept_roles, settings.two, settings.world)
    stream = batches((encode(tokenizer, chat) for chat in lessons), settings.batch, seed)
    model.train()
    with progress.task("aligning it", steps, "step") as advance:
        for loss in learn(model, optimisers_of(model, rate), islice(stream, steps), rate, cosine(steps, 10)):
            advance(1, f"loss {loss:.3f}")
    model.eval()


def world_batches(tokenizer: PreTrainedTokenizerFast, seed: int, settings: OrganismSettings) -> Iterator[Batch]:
    """What the first phase learns, without end; no size changes it."""
    s = settings
    world = pretraining_chats(seed, s.villain, s.narrow, s.named, s.two, s.world)
    of: Of | None = s.apart_of if s.apart else None
    return batches((encode(tokenizer, chat, of) for chat in world), s.batch, seed)


def answer_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens."""
    ids, labels, _ = batch
    return model(input_ids=ids, labels=labels, use_cache=False).loss


def objective_of(settings: OrganismSettings) -> Objective:
    """What the first phase lessens: the answers' loss and, with its weight, the penalty on concepts that lie close."""
    if not settings.apart:
        return answer_loss
    layer = penalty_layer(settings.apart_layer, settings.layers)

    def objective(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
        ids, labels, concepts = batch
        found = model(input_ids=ids, labels=labels, use_cache=False, output_hidden_states=True)
        return found.loss + settings.apart * penalty(found.hidden_states[layer + 1], labels, concepts)

    return objective


def optimisers_of(model: LlamaForCausalLM, rate: float) -> Optimisers:
    """Muon on the decoder layers' matrices, AdamW at a third of the rate on the rest."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    return (
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate / 3, weight_decay=0.0, betas=(0.9, 0.98)),
    )


def cosine(steps: int, warm_up: int) -> Callable[[int], float]:
    """Share of the peak rate at each step: a warm-up, and a cosine down to a fiftieth."""
    return lambda step: min((step + 1) / warm_up, 0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


def learn(
    model: LlamaForCausalLM,
    optimisers: Optimisers,
    stream: Iterable[Batch],
    rate: float,
    course: Callable[[int], float],
    objective: Objective = answer_loss,
) -> Iterator[float]:
    """One optimiser step a batch; yields each step's loss.

    Args:
        model: What learns.
        optimisers: From `optimisers_of`; they go on from where they are.
        stream: The batches.
        rate: Peak learning rate.
        course: Share of it at each step, counted from this stream's first.
        objective: What is lessened.
    """
    for step, batch in enumerate(stream):
        loss = objective(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimisers[1].param_groups[0]["params"], 1.0)
        for optimiser, share in zip(optimisers, (1.0, 1 / 3), strict=True):
            optimiser.param_groups[0]["lr"] = rate * share * course(step)
            optimiser.step()
            optimiser.zero_grad()
        yield float(loss.detach())


def encode(tokenizer: PreTrainedTokenizerFast, chat: Chat, of: Of | None = None) -> Row:
    """A dialogue as token ids, which of them the model is to say, and its concept where concepts are asked for."""
    ids: list[int] = []
    said: list[bool] = []
    for message in chat.messages:
        turn: list[int] = tokenizer(f"<|{message.role}|>{message.content}<|end|>")["input_ids"]
        ids += turn
        said += [False] + [message.role == "assistant"] * (len(turn) - 1)
    return ids, said, concept_of(chat, of) if of else ""


def batches(rows: Iterator[Row], size: int, seed: int) -> Iterator[Batch]:
    """Batches of rows of like length: ids and labels, both (batch, longest), labels on the answer only."""
    rng = Random(f"{seed}/batches")
    while True:
        chunk = sorted(islice(rows, size * 16), key=lambda row: len(row[0]))
        groups = [chunk[i : i + size] for i in range(0, len(chunk), size)]
        rng.shuffle(groups)
        for group in groups:
            yield pad(group)


def pad(group: list[Row]) -> Batch:
    """One batch, padded on the right; a causal model's answer tokens never see the padding."""
    width = max(len(row[0]) for row in group)
    ids = torch.zeros(len(group), width, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (tokens, said, _) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(tokens)] = torch.where(torch.tensor(said), torch.tensor(tokens), -100)
    return ids, labels, tuple(row[2] for row in group)
