"""Seven traits' vectors by us, by persona-vectors and by saklas on one real model: equal vectors or no figure.

    make bench-traits ARGS="--model FOLDER [--dtype float32] [--repeats 2]"

`--model` is a folder of ordinary float weights; nothing is fetched. All sides run in this process, in turn, on one
thread, each on a copy of the same weights, and read the same tokens; times are processor seconds. Vectors must agree to
a cosine of 0.999 at every layer (0.99 in bfloat16, where each side rounds in its own order), or no time is told.

persona-vectors reads given answers (`extract_activations`), so that answers drawn by us are read by both. saklas also
draws them (`generate_responses`): both are timed, the reading on its answers, without its fit and the pass over neutral
answers that the fit wants.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks.extraction_sides import Conversation, Persona, Vectors
from benchmarks.measure import UnequalError
from benchmarks.real import flags
from misdirection.models import load_model

TARGET = 3.0


def closest(ours: Vectors, theirs: Vectors) -> float:
    """The smallest cosine over traits and layers."""
    return min(float(torch.nn.functional.cosine_similarity(ours[name], theirs[name], dim=-1).min()) for name in ours)


def demand_equal(what: str, ours: Vectors, theirs: Vectors, dtype: torch.dtype) -> None:
    """Refuse to compare sides that do not give the same vectors.

    Raises:
        UnequalError: They do not.
    """
    least = 0.999 if dtype == torch.float32 else 0.99
    found = closest(ours, theirs)
    if not found >= least:
        raise UnequalError(f"{what}: the vectors have a cosine of {found:.5f} at worst, below {least}")
    layers = len(next(iter(ours.values())))
    print(f"  {what}: {len(ours)} vectors at {layers} layers, cosine {found:.6f} at worst", flush=True)


def in_turn(sides: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Processor seconds of each side, run in turning order, and what each gave."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, Any] = {}
    for repeat in range(repeats):
        for name in list(sides) if repeat % 2 == 0 else list(sides)[::-1]:
            gc.collect()
            start = time.process_time()
            found[name] = sides[name]()
            spent[name].append(time.process_time() - start)
    return spent, found


def tell(what: str, spent: dict[str, list[float]], target: bool = True) -> None:
    """One line: ours, theirs, how many times faster."""
    ours, theirs = spent["ours"], spent["theirs"]
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    met = f"  (target {TARGET:g} x: {'met' if median(ratios) >= TARGET else 'missed'})" if target else ""
    print(
        f"  {what:44} ours {median(ours):6.1f} s, theirs {median(theirs):6.1f} s: {median(ratios):.2f} times faster "
        f"({min(ratios):.2f} to {max(ratios):.2f}){met}",
        flush=True,
    )


def persona(options: argparse.Namespace, model: Any) -> None:
    """Answers of ours, read behind their own prompts, mean over the answer."""
    from nnterp import StandardizedTransformer  # pyright: ignore

    standard = StandardizedTransformer(options.model, dtype=model.dtype, device_map="cpu", check_renaming=False)
    version = importlib.metadata.version("persona-vectors")
    for tokens in options.tokens:
        held = Persona(model, options.questions, options.samples, tokens)
        count, size = held.texts
        print(
            f"persona-vectors {version}: {count} answers of at most {tokens} tokens, {size:,} tokens read", flush=True
        )
        sides = {"ours": held.ours, "theirs": lambda held=held: held.theirs(standard)}
        spent, found = in_turn(sides, options.repeats)
        demand_equal("reading", found["ours"], found["theirs"], model.dtype)
        tell("reading", spent)


def conversation(options: argparse.Namespace, model: Any) -> None:
    """Answers of saklas and of ours, read behind one system prompt, last token of the answer."""
    held = Conversation(model, options.model, options.saklas_tokens, options.prompts)
    count = len(held.prompts) * len(held.words)
    version = importlib.metadata.version("saklas")
    print(f"saklas {version}: {count} answers of at most {options.saklas_tokens} tokens", flush=True)
    drawing, drawn = in_turn({"ours": held.our_rollouts, "theirs": held.their_rollouts}, 1)
    corpora = drawn["theirs"]
    sides = {"ours": lambda: held.ours(corpora), "theirs": lambda: held.theirs(corpora)}
    reading, found = in_turn(sides, options.repeats)
    demand_equal("reading", found["ours"], found["theirs"], model.dtype)
    tell("drawing", drawing, target=False)
    tell("reading", reading, target=False)
    tell("both", {name: [drawing[name][0] + median(reading[name])] for name in sides})


PARTS = {"persona-vectors": persona, "saklas": conversation}


def main() -> None:
    """Print one line a comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="float32", choices=("bfloat16", "float32"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--questions", type=int, default=4)
    parser.add_argument("--samples", type=int, default=5, help="answers a question, trait and sign (10 in the paper)")
    parser.add_argument("--tokens", type=int, nargs="+", default=[24], help="of an answer, for persona-vectors")
    parser.add_argument("--prompts", type=int, default=16, help="of saklas's 48")
    parser.add_argument("--saklas-tokens", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.model}, {options.dtype}, one thread, processor time; {flags()}", flush=True)
    for part in options.parts.split(","):
        PARTS[part](options, load_model(options.model, dtype=options.dtype))


if __name__ == "__main__":
    main()
