"""Registries: our own entries, those that a program adds, and those of installed packages, in a package made here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from misdirection import progress
from misdirection.errors import MisdirectionError
from misdirection.judging import Answer, Verdict
from misdirection.judging.registry import JUDGES, JudgeKind
from misdirection.registry import Registry, load

PACKAGE = """
from dataclasses import dataclass

from misdirection.judging import Verdict
from misdirection.judging.registry import JudgeKind


@dataclass(frozen=True)
class Coin:
    name: str = "coin"

    def judge(self, answers):
        return [Verdict(100.0 * (i % 2), 100.0, judge=self.name) for i, _ in enumerate(answers)]


COIN = JudgeKind(Coin, "coin: heads or tails", "none")
NO_JUDGE = 3
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A package with four entry points, one of which works; what is said meanwhile."""
    (tmp_path / "coins.py").write_text(PACKAGE)
    facts = tmp_path / "coins-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: coins\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(
        "[misdirection.judges]\ncoin = coins:COIN\nbroken = coins:ABSENT\nnone = coins:COIN\nnumber = coins:NO_JUDGE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    said: list[str] = []
    monkeypatch.setattr(progress, "say", lambda text, **_: said.append(text))
    yield said
    sys.modules.pop("coins", None)


def own() -> Registry[JudgeKind]:
    return Registry("judge", "misdirection.judges", JudgeKind, {"none": JUDGES["none"]}, JudgeKind)


def test_an_installed_package_brings_a_judge_and_a_broken_one_takes_nothing_with_it(installed: list[str]) -> None:
    judges = own()
    assert list(judges) == ["none", "coin"]
    verdicts = judges.find("coin").judge("").judge([Answer("q", "?", "a"), Answer("q", "?", "b")])
    assert [v.alignment for v in verdicts] == [0.0, 100.0]
    assert len(installed) == 3 and all("left out" in text for text in installed)
    assert any("ABSENT" in text for text in installed) and any("is no judge" in text for text in installed)
    assert any("'none' is there already" in text for text in installed)


def test_the_command_line_knows_it_too(installed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from misdirection.judging import registry

    monkeypatch.setattr(registry, "JUDGES", own())
    assert registry.judge_forms() == "none, coin"
    assert registry.find_judge("coin").name == "coin"
    with pytest.raises(MisdirectionError, match="has no settings, and 'x' is given"):
        registry.find_judge("coin:x")
    with pytest.raises(MisdirectionError, match="no judge is called 'coins'") as error:
        registry.find_judge("coins")
    assert "did you mean 'coin'?" in str(error.value)


def test_a_program_adds_one_with_a_decorator() -> None:
    judges = own()

    @judges.register("mine", does="mine[:N]: says N of every answer")
    def mine(argument: str):
        class Mine:
            name = "mine"

            def judge(self, answers):
                return [Verdict(float(argument or 7), 100.0) for _ in answers]

        return Mine()

    assert judges["mine"].make is mine
    assert judges["mine"].judge("5").judge([Answer("q", "?", "a")])[0].alignment == 5.0
    with pytest.raises(MisdirectionError, match="'mine' is there already"):
        judges.register("mine", does="again")
    with pytest.raises(MisdirectionError, match="cannot be the name"):
        judges.register("a b", does="blank")


def test_every_target_of_our_own_is_there() -> None:
    from misdirection.screening import METHODS
    from misdirection.studies.registry import studies

    assert all(callable(load(kind.make)) for kind in JUDGES.values() if isinstance(kind.make, str))
    assert all(callable(method.scores) for method in METHODS.values())
    assert all(callable(study.run) and isinstance(study.sections, tuple) for study in studies().values())
