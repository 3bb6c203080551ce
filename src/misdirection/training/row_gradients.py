"""The gradient of each text's own number with respect to a LoRA adapter, as one short row a text.

A text's number is its mean loss on its answer, or the mean projection of its answer on a direction. All texts of a
batch go back in one pass, for none sees another: with x_t the input of a linear map y = W x of the adapter at token t,
the gradient of text i is

    d f_i / d W = sum over the tokens t of text i of  (d f_i / d y_t) x_t^T

(per-example gradients from a layer's inputs and output gradients: Goodfellow, arXiv 1510.01799). W is a factor of
the adapter, A (rank, in) or B (out, rank), never the matrix beside it. Each factor's gradient is compressed as soon as
it is known, by a sparse random projection of a fixed number of columns (`sketched`), and added to the text's row: a row
is a random projection of the whole gradient, and no whole gradient is ever held. Gradients of low-rank adapters under a
random projection are what LESS compares (arXiv 2402.04333, section 3), and the projection is TRAK's (arXiv 2303.14186,
section 3.2) in its sparse form.

A fresh adapter has B = 0, so that its gradient for A is zero; what is left, d f / d B = s (d f / d W0) A^T, is the
gradient of the adapted weights themselves under the random projection A of their inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn import functional

from misdirection import progress
from misdirection.artefacts import read_tensors
from misdirection.engine.batching import run_batches
from misdirection.engine.head import logits_at
from misdirection.engine.texts import Text, pad_right
from misdirection.models import Model
from misdirection.models.stream import residual
from misdirection.training import hosting, passes
from misdirection.training.errors import SettingsError
from misdirection.training.presets import TrainConfig
from misdirection.training.targets import paths_of, plan_lora

Numbers = Callable[[Model, Sequence[Text], Tensor], Tensor]
"""One number a text, shape (texts,), gradients flowing: of a model, texts, and their ids, padded on the right."""

NONZERO = 4
"""Numbers of the compressed row that each number of a gradient is added to."""


def answer_losses(model: Model, texts: Sequence[Text], ids: Tensor) -> Tensor:
    """-mean log p(x_t | x_<t) over the tokens t from each text's answer on, nats."""
    learned = _marks(ids, [(text.start, len(text.ids)) for text in texts])[:, 1:]
    logits = logits_at(model.lm, functional.pad(learned, (0, 1)), input_ids=ids, use_cache=False)
    losses = functional.cross_entropy(logits.float(), ids[:, 1:][learned], reduction="none")
    rows = learned.nonzero()[:, 0]
    return losses.new_zeros(len(texts)).index_add(0, rows, losses) / learned.sum(1)


def projections(unit: Tensor, layer: int) -> Numbers:
    """The mean over the answer's tokens (span "answer") of h . unit after a decoder layer."""

    def numbers(model: Model, texts: Sequence[Text], ids: Tensor) -> Tensor:
        held: list[Tensor] = []

        def hold(module: nn.Module, _inputs: object, output: Any) -> None:
            held.append(residual(module, output))

        hook = model.layers[layer].register_forward_hook(hold)
        try:
            decoder: Any = model.lm.get_decoder()
            decoder(input_ids=ids, use_cache=False)
        finally:
            hook.remove()
        inside = _marks(ids, [text.spans["answer"] for text in texts])
        along = held[0].float() @ unit.to(ids.device).float()
        return (along * inside).sum(1) / inside.sum(1)

    return numbers


def row_gradients(
    model: Model,
    texts: Sequence[Text],
    numbers: Numbers,
    config: TrainConfig,
    dimension: int,
    seed: int = 0,
    weights: Path | None = None,
) -> Tensor:
    """The compressed gradient of each text's number with respect to the adapter that `config` describes.

    Args:
        model: In memory; given back unchanged.
        texts: Each with a token of an answer to read.
        numbers: What is differentiated: `answer_losses`, or `projections` of a direction.
        config: Rank, scale, modules and layers of the adapter; its seed draws A.
        dimension: Numbers of a compressed row, a multiple of `NONZERO`; the inner product of two rows is that of the
            gradients without bias, its standard deviation at most sqrt(2 / dimension) times the product of their norms.
        seed: Of the random projection.
        weights: Folder of a PEFT adapter of that very form, at whose weights gradients are taken; None: a fresh one.

    Returns:
        Shape (texts, dimension), float32.

    Raises:
        SettingsError: A dimension that is no multiple, or an adapter of another form.
        TargetError: Layers or modules that the model does not have.
    """
    if dimension < NONZERO or dimension % NONZERO:
        raise SettingsError(f"gradients cannot be compressed to {dimension} numbers", f"a multiple of {NONZERO}")
    found = torch.zeros(len(texts), dimension)
    task = progress.task("gradients of rows", len(texts), "rows")
    with hosting.own_randomness(), hosting.borrowed(model.lm), task as advance:
        hosting.add_adapter(model.lm, plan_lora(model.lm, config, model.name), config.seed)
        if weights is not None:
            _fill(model.lm, weights)
        model.lm.eval()

        def run(some: list[int]) -> Tensor:
            return _batch(model, [texts[index] for index in some], numbers, dimension, seed)

        batches = run_batches(range(len(texts)), lambda index: len(texts[index].ids), passes.budget(model.lm), run)
        for some, rows in batches:
            found[some] = rows
            advance(len(some))
    return found


def _batch(model: Model, texts: Sequence[Text], numbers: Numbers, dimension: int, seed: int) -> Tensor:
    rows = torch.zeros(len(texts), dimension, device=model.device)

    def take(name: str, gradient: Tensor) -> None:
        rows.add_(sketched(gradient.flatten(1), dimension, f"{seed}/{name}"))

    ids = pad_right(texts)[0].to(model.device)
    with torch.enable_grad(), _listening(model.lm, take):
        numbers(model, texts, ids).sum().backward()
    model.lm.zero_grad()
    return rows.cpu()


def _fill(lm: Any, folder: Path) -> None:
    """Give the adapter in training the weights of a folder."""
    tensors, _ = read_tensors(folder / "adapter_model.safetensors")
    mine = {f"base_model.model.{name}.weight": factor.weight for name, factor in _factors(lm)}
    if {name: value.shape for name, value in mine.items()} != {name: value.shape for name, value in tensors.items()}:
        raise SettingsError(f"{folder} holds an adapter of other modules or rank", "gradients are of one form of it")
    with torch.no_grad():
        for name, value in mine.items():
            value.copy_(tensors[name])


@contextmanager
def _listening(lm: Any, take: Callable[[str, Tensor], None]) -> Generator[None]:
    """While open, the factors of the adapter hand on their gradients, shape (rows, out, in), in the backward pass."""

    def hook_of(name: str) -> Callable[..., None]:
        def hook(_module: object, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = inputs[0].detach()
            output.register_hook(lambda grad: take(name, torch.einsum("bto,bti->boi", grad.float(), x.float())))

        return hook

    factors = list(_factors(lm))
    # Where B is zero nothing reaches A.
    empty = not any(bool(factor.weight.any()) for name, factor in factors if name.endswith("lora_B"))
    with ExitStack() as stack:
        for name, factor in factors:
            if not (empty and name.endswith("lora_A")):
                stack.callback(factor.register_forward_hook(hook_of(name)).remove)
        yield


def _factors(lm: Any) -> Generator[tuple[str, Any]]:
    """The two linear maps of each adapted module, by path."""
    for path, module in paths_of(lm).items():
        adapted: Any = module
        if isinstance(module, LoraLayer) and hosting.ADAPTER in adapted.lora_B:
            yield f"{path}.lora_A", adapted.lora_A[hosting.ADAPTER]
            yield f"{path}.lora_B", adapted.lora_B[hosting.ADAPTER]


def sketched(values: Tensor, dimension: int, seed: str) -> Tensor:
    """S v: each number of v is added, with a random sign, to one random number of each of `NONZERO` blocks of the row.

    S has `NONZERO` entries of size 1/sqrt(NONZERO) a column: the block form of the sparse Johnson-Lindenstrauss
    transform (Kane and Nelson, arXiv 1012.1577, section 3), of which feature hashing is the case of one entry.

    Args:
        values: Shape (rows, numbers).
        dimension: Of what comes out.
        seed: Of S.

    Returns:
        Shape (rows, dimension), float32.
    """
    draw = torch.Generator().manual_seed(int.from_bytes(sha256(seed.encode()).digest()[:8], "little") >> 1)
    block = dimension // NONZERO
    columns = values.float().T
    found = torch.zeros(dimension, len(values), device=values.device)
    for number in range(NONZERO):
        drawn = torch.randint(2 * block, (len(columns),), generator=draw)
        signs = (drawn % 2 * 2 - 1).float()[:, None].to(values.device)
        found.index_add_(0, (drawn // 2 + number * block).to(values.device), columns * signs)
    return found.T / math.sqrt(NONZERO)


def _marks(ids: Tensor, spans: Sequence[tuple[int, int]]) -> Tensor:
    """Which tokens lie in their row's span, bool, of the shape of `ids`."""
    first, past = torch.tensor(spans, device=ids.device).T[:, :, None]
    places = torch.arange(ids.shape[1], device=ids.device)
    return (places >= first) & (places < past)
