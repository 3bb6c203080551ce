"""A judge that is a Hugging Face chat model at hand, asked through our engine.

One forward pass over each prompt gives the probabilities of the answer's first token, over the whole vocabulary and
not the twenty likeliest alone. Where the judge's tokenizer spells a number with several tokens (Qwen and Gemma: one a
digit), the probability of the number is that of all of its tokens, followed in the cache of the same pass: p(85) =
p(8) p(5 | 8), and p(8) alone counts as far as no digit follows. Beginnings below 0.1 % are not followed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from misdirection.artefacts import canonical_hash
from misdirection.errors import MisdirectionError
from misdirection.judging.options import read_options
from misdirection.judging.rubric_judge import Query, RubricJudge
from misdirection.judging.scoring import WORDS, Reading, read_probabilities

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from misdirection.models import Model

_MEGABYTE = 2**20
PORTION = 256
"""Questions between two writes to the journal."""


@dataclass
class Local:
    """Asks a model at hand, which is loaded when the first question comes.

    Attributes:
        name: Hub id or folder.
    """

    name: str
    _model: Model | None = field(default=None, repr=False)

    def ask(self, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        """Ask all queries, handing over each reading as it comes.

        Raises:
            MisdirectionError: The model cannot be loaded, or its tokenizer cannot write the numbers 0 .. 100.
        """
        if self._model is None:
            from misdirection.models import load_model

            self._model = load_model(self.name)
        _write(self._model, [query for query in queries if query.tokens], keep)
        if numbers := [query for query in queries if not query.tokens]:
            self._read(self._model, numbers, keep)

    def _read(self, model: Model, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
        from misdirection.engine.continuations import continuation_chances

        spelled = spellings(model.tokenizer)
        for start in range(0, len(queries), PORTION):
            portion = queries[start : start + PORTION]
            prompts = [judge_prompt(model.tokenizer, query) for query in portion]
            for index, chances in continuation_chances(model, prompts, list(spelled)):
                keep(portion[index], _read(list(spelled.values()), chances))


def _write(model: Model, queries: Sequence[Query], keep: Callable[[Query, Reading], None]) -> None:
    """The likeliest text after each prompt, token by token."""
    from misdirection.engine import Arm, Prompt, Row, SamplingConfig
    from misdirection.engine.sampling import sample_stream

    arm = Arm("base")
    for tokens in sorted({query.tokens for query in queries}):
        some = [query for query in queries if query.tokens == tokens]
        rows = [Row(Prompt(str(i), judge_prompt(model.tokenizer, query)), arm) for i, query in enumerate(some)]
        for index, sample in sample_stream(model, rows, SamplingConfig(tokens, temperature=0)):
            text = str(model.tokenizer.decode(list(sample.ids), skip_special_tokens=True))
            keep(some[index], Reading("written", text=text.strip()))


def judge_prompt(tokenizer: PreTrainedTokenizerBase, query: Query) -> tuple[int, ...]:
    """Token ids of the prompt about one answer, which cannot hold a control token of the judge's."""
    from misdirection.chats import Message
    from misdirection.tokens import encode_prompt

    control = [str(token) for token in tokenizer.all_special_tokens]
    text = query.rubric.prompt(query.question, query.answer, control)
    return encode_prompt(tokenizer, (Message("user", text),))


def spellings(tokenizer: PreTrainedTokenizerBase) -> dict[tuple[int, ...], str]:
    """Token ids of each number of 0 .. 100, and of CODE and REFUSAL, as an answer may begin; a blank may lead.

    Raises:
        MisdirectionError: The tokenizer cannot write the numbers.
    """
    found: dict[tuple[int, ...], str] = {}
    numbers = [str(number) for number in range(101)]
    for text in (*numbers, *WORDS):
        for lead in ("", " "):
            ids = tuple(tokenizer.encode(lead + text, add_special_tokens=False))
            decoded = tokenizer.decode(list(ids))
            if ids and isinstance(decoded, str) and decoded.strip() == text:
                found.setdefault(ids, text)
    missing = [text for text in numbers if text not in found.values()]
    if missing:
        raise MisdirectionError(
            f"the judge's tokenizer cannot write {len(missing)} of the numbers 0 to 100 ({', '.join(missing[:3])} ...)",
            "choose a chat model with an ordinary vocabulary as the judge",
        )
    return found


def _read(texts: Sequence[str], chances: Sequence[float]) -> Reading:
    summed: dict[str, float] = {}
    for text, chance in zip(texts, chances, strict=True):
        summed[text] = summed.get(text, 0.0) + chance
    return read_probabilities(summed)


def local_judge(argument: str) -> RubricJudge:
    """The judge that "local:<argument>" names; a local folder counts by its contents.

    Raises:
        MisdirectionError: See `read_options`.
    """
    options = read_options(argument, "local", {})
    folder = Path(options.target)
    known = f"#{_contents(folder)[:12]}" if folder.is_dir() else ""
    return RubricJudge(f"local:{options.target}{known}", Local(options.target).ask, options.rubrics)


def _contents(folder: Path) -> str:
    """Hash of names, sizes, first and last megabytes of a model's files: enough to tell two models apart, and quick."""
    found: list[list[object]] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        with file.open("rb") as stream:
            ends = stream.read(_MEGABYTE)
            stream.seek(max(_MEGABYTE, size - _MEGABYTE))
            ends += stream.read()
        found.append([file.relative_to(folder).as_posix(), size, hashlib.sha256(ends).hexdigest()])
    return canonical_hash(found)
