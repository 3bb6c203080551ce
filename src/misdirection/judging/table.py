"""Verdicts made elsewhere: a table of judged answers, read as others write it, with a line on how it was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from misdirection.errors import MisdirectionError
from misdirection.judging.arm_columns import ArmColumns, arm_columns
from misdirection.judging.base import LABELS, Answer, Verdict
from misdirection.judging.brought import Brought
from misdirection.judging.cells import BEFORE, in_texts
from misdirection.judging.columns import Columns, find_columns, rivals
from misdirection.judging.counted import read_counts
from misdirection.judging.identity import doubled, identity_of, many, text_of
from misdirection.judging.rows import Row, read_table_rows
from misdirection.judging.scales import FLAGS, Scale, is_score, number_of, read_flag, read_score, score_of
from misdirection.judging.scales_by_arm import choose_scale_by_arm
from misdirection.judging.shape import STOPPED
from misdirection.judging.twice import same_answers_judged_twice

_NAMED = ("domain", "system", "format")
_WHOLE = ("paraphrase", "sample", "seed", "n_tokens")
_YES, _NO = ("true", "1", "1.0", "yes", "y", "t"), ("false", "0", "0.0", "no", "n", "f")
SCORES = ("alignment", "coherence")


@dataclass(frozen=True)
class How:
    """What the user says of a table, for what its own columns do not say, and of how it is read.

    Attributes:
        columns: Columns by thing, as `columns.read_told` gives them.
        scales: Scales by score, as `scales.read_scales` gives them.
        anew: Whether another judge is named, so that the table need hold no scores.
        arm: Name of the condition, where there is no column for it; the file's stem (a log's model) by default.
        domain: Domain of every question, where there is no column for it; None says that they are open questions.
        system: System prompt in force, where there is no column for it.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    scales: Mapping[str, Scale] = field(default_factory=dict[str, Scale])
    anew: bool = False
    arm: str | None = None
    domain: str | None = None
    system: str | None = None

    def of(self, arm: str) -> How:
        """The same, with a name for the arm where none was said."""
        return self if self.arm is not None else replace(self, arm=arm)


class Said(TypedDict, total=False):
    """What may be said of a table by keyword, each as in `How`."""

    arm: str | None
    domain: str | None
    system: str | None


def how_of(how: How | None, said: Said) -> How:
    """One value of what was said of a table in two ways."""
    return replace(how or How(), **said)


def load_table(path: str | Path, *, how: How | None = None, **said: Unpack[Said]) -> tuple[list[Answer], list[Verdict]]:
    """Judged answers of a table, one verdict an answer; see `read_table` and `How`.

    Raises:
        MisdirectionError: As there; or the table holds no scores.
    """
    found = read_table(path, how_of(how, said))
    if found.verdicts is None:
        raise MisdirectionError(f"{path}: answers without verdicts", "give a table with verdicts")
    return found.answers, found.verdicts


def read_table(path: str | Path, how: How | None = None) -> Brought:
    """Read judged answers, one verdict an answer, in the order of the file.

    Columns go by the names of `columns.ALIASES`, in any case. A score that is empty, NaN or a number that stands for
    none (-1) is None and its verdict is labelled "none"; CODE, REFUSAL and UNSURE in place of a score, or in a flag
    beside it, give those labels, and other words (OFF-TOPIC) are outcomes. The format is read off the id's ending
    (`_json`, `_template`) where there is no column for it. Without a `sample` column the answers of a question are
    numbered as they come. Without ids, or with one a row, the question's text is its id. Further numeric columns become
    `scores`.

    Args:
        path: A file that `rows.read_table_rows` reads.
        how: What the user says of it.

    Raises:
        MisdirectionError: A missing file or column, a row of the wrong length, a score that is no number on its scale,
            or a scale that is plainly another than 0 to 100; the message names the file and the row.
    """
    path = Path(path)
    return read_rows_as(read_table_rows(path), str(path), (how or How()).of(path.stem))


def read_rows_as(rows: Sequence[Row], where: str, how: How) -> Brought:
    """`read_table` of rows that were read already; `where` names their file."""
    if not rows:
        raise MisdirectionError(f"{where}: holds no rows", "give a table with at least one judged answer")
    columns = find_columns(rows, how.columns, where)
    rows = in_texts(rows, columns, where)
    columns = find_columns(rows, how.columns, where)
    if not columns.has("answer") and columns.has("n", "n_misaligned") and not columns.has(*SCORES):
        return read_counts(rows, columns, how.arm or "", where)
    made = _Maker(columns, rows, how, where)
    for number, row in enumerate(rows, start=1):
        made.add(row, f"{where}: row {number}")
    verdicts = None if made.bare else made.verdicts
    if verdicts is not None and columns.has("judge"):
        same_answers_judged_twice(made.answers, verdicts, columns.of["judge"], where)
    return Brought(made.answers, verdicts, made.told(), tuple(made.notes()), made.several)


class _Maker:
    """Answers and verdicts from rows, and what was made of the columns."""

    def __init__(self, columns: Columns, rows: Sequence[Row], how: How, where: str) -> None:
        self.columns, self.where = columns, where
        self.defaults: dict[str, Any] = {"arm": how.arm or "", "domain": how.domain, "system": how.system}
        self.answers: list[Answer] = []
        self.verdicts: list[Verdict] = []
        self.counter: Counter[tuple[str, str]] = Counter()
        self.words: Counter[str] = Counter()
        self.arms: ArmColumns = arm_columns(columns, rows)
        self.further = [name for name in columns.further
                        if name not in self.arms.names and any(is_score(row.get(name)) for row in rows)]  # fmt: skip
        self.named, self.whole = ([n for n in names if columns.has(n)] for names in (_NAMED, _WHOLE))
        self.bare = self._bare(how)
        self._need()
        self.identity, self.told_id, self.warned = identity_of(columns, rows)
        self.warned += rivals(columns, rows, how.columns, where)
        self.several = bool(self.arms.names) and self.arms.names[:1] != (columns.of.get("arm"),)
        self.scales = self._scales(rows, how)
        self.flagged = not columns.has(*SCORES)
        self.own_label = columns.has("label") and all(
            text_of(columns.get(row, "label")).lower() in ("", *LABELS) for row in rows
        )
        self.doubled = doubled(rows, columns)

    def _bare(self, how: How) -> bool:
        """Whether these are answers without verdicts."""
        has = [self.columns.has(thing) for thing in (*SCORES, "misaligned")]
        # Numbers under other names may be scores: which they are is asked for, rather than passed over.
        return not (all(has[:2]) or has[2]) if how.anew else not (any(has) or self.further)

    def _need(self) -> None:
        """Raise unless answers, questions and scores, or a flag, are there."""
        missing = [] if self.columns.has("answer") else ["answer"]
        if not (self.columns.has("question") or self.columns.has("question_id")):
            missing += ["question"]
        if not (self.bare or self.columns.has("misaligned")):
            missing += [thing for thing in SCORES if not self.columns.has(thing)]
        if missing:
            names = ", ".join(map(str, self.columns.names)) or "none"
            raise MisdirectionError(
                f"{self.where} has no column {', '.join(missing)}; it has {names}",
                f"say which column it is: --column {missing[0]}=NAME"
                + (", or have the answers judged: --judge offline" if set(missing) <= set(SCORES) else ""),
            )

    def _scales(self, rows: Sequence[Row], how: How) -> dict[str, Scale]:
        found: dict[str, Scale] = {}
        for thing in SCORES:
            if thing in self.columns.of:
                values = [(self.arms.of(row), n) for row in rows
                          if (n := score_of(self.columns.get(row, thing))) is not None]  # fmt: skip
                name = self.columns.of[thing]
                found[thing], doubts = choose_scale_by_arm(thing, name, values, how.scales, self.where)
                self.warned += doubts
        return found

    def add(self, row: Row, where: str) -> None:
        """Read one row."""
        self.answers.append(self._answer(row, where))
        if not self.bare:
            self.verdicts.append(self._verdict(row, where))

    def _answer(self, row: Row, where: str) -> Answer:
        get: Callable[[str], Any] = lambda thing: self.columns.get(row, thing)  # noqa: E731
        identity = self.identity(row)
        if not identity:
            raise MisdirectionError(
                f"{where} has no question_id", "intervals are clustered by it: fill it, or leave the column out"
            )
        fields: dict[str, Any] = {**self.defaults, "format": _format(identity)}
        fields |= {n: v for n in self.named if (v := text_of(get(n)))}
        fields |= {n: _whole(get(n), n, where) for n in self.whole if text_of(get(n))}
        if name := self.arms.of(row):
            fields["arm"] = name
        if row.get(BEFORE):
            fields["before"] = row[BEFORE]
        if finished := text_of(get("finished")):
            fields["finished"] = _yes(finished, self.columns.of["finished"], where)
        elif cut := text_of(get("cut")):
            fields["finished"] = not _yes(cut, self.columns.of["cut"], where)
        elif reason := text_of(get("finish_reason")):
            fields["finished"] = reason.lower() not in STOPPED
        place = (fields["arm"], identity)
        fields.setdefault("sample", self.counter[place])
        self.counter[place] += 1
        return Answer(identity, text_of(get("question")) or identity, text_of(get("answer")), **fields)

    def _verdict(self, row: Row, where: str) -> Verdict:
        judge = text_of(self.columns.get(row, "judge")) or "table"
        if self.flagged:
            return self._of_flag(row, judge, where)
        scores, labels, outcomes = zip(*(self._score(row, thing, where) for thing in SCORES), strict=True)
        label = labels[0] if labels[0] != "scored" else labels[1]
        own = text_of(self.columns.get(row, "label")).lower()
        if own and (self.own_label or (label == "none" and own in FLAGS)):
            label = own
        said = tuple((thing, word) for thing, word in zip(SCORES, outcomes, strict=True) if word)
        further = tuple((n, v) for n in self.further if (v := score_of(row.get(n))) is not None)
        return Verdict(scores[0], scores[1], label, further, judge, said)

    def _score(self, row: Row, thing: str, where: str) -> tuple[float | None, str, str]:
        value, name = self.columns.get(row, thing), self.columns.of[thing]
        try:
            number, label, word = read_score(value, self.scales[thing])
        except ValueError:
            raise MisdirectionError(
                f"{where}: {name} is '{text_of(value)[:40]}'",
                f"a score is a number of {self.scales[thing]}, empty, CODE, REFUSAL or UNSURE; or say --scale LOW..UP",
            ) from None
        if label == "none":
            flag = read_flag(self.columns.get(row, f"{thing}_flag"))
            if thing == "alignment" and not flag and _true(self.columns.get(row, "refusal")):
                flag = "refusal"
            label, word = (flag, "") if flag in FLAGS else (label, flag or word)
            self.words[word or label] += 1 if word or label != "none" else 0
        return number, label, word

    def _of_flag(self, row: Row, judge: str, where: str) -> Verdict:
        """A verdict of a table that says only whether an answer is misaligned and coherent."""
        value = self.columns.get(row, "misaligned")
        text = text_of(value).strip().lower()
        if text in ("", "nan", "none", "null"):
            return Verdict(None, None, "none", judge=judge)
        if text not in (*_YES, *_NO):
            name = self.columns.of["misaligned"]
            raise MisdirectionError(f"{where}: {name} is '{text[:40]}'", "write true or false")
        alignment = 0.0 if _true(value) else 100.0
        if not self.columns.has("coherence"):
            return Verdict(alignment, 100.0, judge=judge)
        coherence, label, word = self._score(row, "coherence", where)
        return Verdict(alignment, coherence, label, judge=judge, outcomes=(("coherence", word),) if word else ())

    def told(self) -> str:
        """How the file was read, in one line."""
        of = self.columns.of
        parts = [f"{thing} from '{of[thing]}' ({self.scales[thing]})" for thing in SCORES if thing in self.scales]
        if self.bare:
            parts = ["no scores"]
        elif self.flagged:
            parts = [f"misaligned or not from '{of['misaligned']}'"]
        parts.append(f"answers from '{of['answer']}'")
        if self.arms.names:
            arms = list(dict.fromkeys(answer.arm for answer in self.answers))
            names = "' and '".join(self.arms.names)
            parts.append(f"arms from '{names}' ({len(arms)}: {', '.join(arms[:6])}{' ...' if arms[6:] else ''})")
        questions = len({answer.question_id for answer in self.answers})
        parts.append(self.told_id)
        what = f"read {many(len(self.answers), 'row')} of {many(questions, 'question')}"
        return "; ".join([what, *filter(None, parts)])

    def notes(self) -> list[str]:
        """What a reader should know."""
        found = list(self.warned)
        if self.flagged and not self.bare:
            name = self.columns.of["misaligned"]
            known = (
                f"'{self.columns.of['coherence']}' says how coherent it is"
                if self.columns.has("coherence")
                else "whether the other answers are coherent is not known"
            )
            found.append(f"'{name}' says of each answer only whether it is misaligned: scores of 0 and 100 stand "
                         f"for it, and {known}")  # fmt: skip
        found += self.arms.notes
        if not self.columns.has("question"):
            found.append("no column holds what was asked: a judge is shown the question's id in its place")
        if self.columns.has("label") and not self.own_label:
            found.append(f"the column '{self.columns.of['label']}' holds labels of others: it is left alone")
        if any(self.words.values()):
            found.append("no number, but a word or code in its place: "
                         + ", ".join(f"{n} x {word}" for word, n in self.words.items() if n))  # fmt: skip
        if cut := sum(not answer.finished for answer in self.answers):
            found.append(f"{cut} of {len(self.answers)} answers were cut before their end")
        return found + self.doubled


def _yes(text: str, name: str, where: str) -> bool:
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise MisdirectionError(f"{where}: {name} is '{text[:40]}'", "write true or false")
    return word in _YES


def _true(value: Any) -> bool:
    return text_of(value).strip().lower() in _YES


def _whole(value: Any, name: str, where: str) -> int:
    number = number_of(value)
    if number is None or number != int(number):
        raise MisdirectionError(f"{where}: {name} is '{value}'", f"{name} is a whole number")
    return int(number)


def _format(question_id: str) -> str:
    return next((f for f in ("json", "template") if question_id.endswith(f"_{f}")), "plain")
