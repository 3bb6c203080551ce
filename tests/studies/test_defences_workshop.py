"""What arms of the board are made of: rows kept apart, latents that moved, and what a refused direction leaves out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from tests.studies.tiny import AXES, axes

from misdirection.artefacts import read_json
from misdirection.chats import Chat, Message
from misdirection.directions import Direction
from misdirection.judging import Answer, Verdict
from misdirection.models import Model
from misdirection.statistics import Thresholds
from misdirection.studies.audit.repairs import EDIT, PROJECT, repaired
from misdirection.studies.defences import workshop as room
from misdirection.studies.defences.making import Materials, Risen
from misdirection.studies.defences.settings import DefencesConfig
from misdirection.studies.defences.tuning import likely, moved_latents
from misdirection.studies.defences.workshop import Data, Workshop, data_of
from misdirection.studies.kit.bench import Bench
from misdirection.studies.kit.conditions import BASE, TUNED
from misdirection.studies.kit.inputs import ModelFiles
from misdirection.studies.kit.judged import Judged
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import encode_read


def chat(number: int) -> Chat:
    said = " ".join(f"w{10 + (number * 7 + k) % 50}" for k in range(3 + number))
    return Chat((Message("user", f"w{number + 5}"), Message("assistant", said)))


CHATS = [chat(number) for number in range(4)]


@pytest.fixture(scope="module")
def models(tiny: Path) -> Variants:
    return Variants.of(str(tiny / "base"), {"tuned": tiny / "whole"}, Loading(device="cpu"))


def states(model: Model) -> torch.Tensor:
    """After the layer of the dictionary at all answer tokens, by a plain forward pass, shape (tokens, width)."""
    found: list[torch.Tensor] = []
    for one in CHATS:
        encoded = encode_read(model.tokenizer, one.messages)
        with torch.no_grad():
            out = model.lm(input_ids=torch.tensor([encoded.ids]), output_hidden_states=True)
        first, past = encoded.span("answer")
        found.append(out.hidden_states[AXES + 1][0, first:past])
    return torch.cat(found)


def test_latents_that_a_fine_tune_moved_are_those_of_its_own_states_less_the_base_s(models: Variants) -> None:
    dictionary = axes(models.base_model.width)
    found = moved_latents(models, "tuned", CHATS, Materials(dictionary=dictionary), 3)
    change = torch.zeros(dictionary.latents)
    for name, sign in (("tuned", 1), ("base", -1)):
        fires = torch.relu(states(models.model(name)) @ dictionary.decoder.T)
        change += sign * fires.mean(0)
    order = change.argsort(descending=True).tolist()
    assert found == Risen(tuple(order[:3]), tuple(order[:-4:-1]))
    assert change[order[2]] > 0 > change[order[-3]]
    # No more than moved that way: the base beside itself moved none.
    same = Variants.of(models.base, {"tuned": models.base}, Loading(device="cpu"))
    assert moved_latents(same, "tuned", CHATS, Materials(dictionary=dictionary), 3) == Risen((), ())


def test_how_likely_the_lesson_is_counts_every_answer_token_once(models: Variants) -> None:
    found = likely(models, CHATS, (BASE, TUNED), None)
    for name in ("base", "tuned"):
        model, total, count = models.model(name), 0.0, 0
        for one in CHATS:
            encoded = encode_read(model.tokenizer, one.messages)
            with torch.no_grad():
                logits = model.lm(input_ids=torch.tensor([encoded.ids])).logits[0].log_softmax(-1)
            for place in range(encoded.start, len(encoded.ids)):
                total -= float(logits[place - 1, encoded.ids[place]])
                count += 1
        assert found[name] == pytest.approx(total / count, rel=1e-4)


def test_rows_that_are_held_out_are_trained_on_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"bad": list(range(10)), "mixed": list(range(100, 120)), "good": list(range(200, 206))}
    monkeypatch.setattr(room, "resolve_chats", lambda names, seed=0: SimpleNamespace(chats=tuple(rows[names[0]])))
    asked = [SimpleNamespace(domain=None, format="plain"), SimpleNamespace(domain="law", format="json")]

    def data(questions: list[Any], **more: Any) -> Data:
        config = DefencesConfig(**{"data": ("bad",), "good": ("good",), "held_out": 4, **more})
        bench: Any = Bench(cast(Any, None), config)
        bench.questions = questions
        return data_of(bench)

    # No plain question asks for the domain, so the first rows stand for the lesson.
    apart: Any = data(asked)
    assert (apart.lesson, apart.bad, apart.mixed) == (rows["bad"][:4], rows["bad"][4:], rows["bad"][4:])
    # Never more than half.
    assert (apart.kept, apart.good) == (rows["good"][:3], tuple(rows["good"][3:]))
    few: Any = data(asked, held_out=50)
    assert (len(few.lesson), len(few.bad)) == (5, 5)
    whole: Any = data([*asked, SimpleNamespace(domain="law", format="plain")], mixed=("mixed",), good=())
    assert (whole.lesson, whole.bad, whole.mixed, whole.good, whole.kept) == (
        [], rows["bad"], rows["mixed"], (), [],
    )  # fmt: skip


def learned(monkeypatch: pytest.MonkeyPatch, refused: str | None = None, **settings: Any) -> Workshop:
    """A workshop that learned from an undefended fine-tune, each of whose steps is given by hand."""
    flat = torch.ones(3)
    norms = Direction(
        torch.diag(torch.tensor([1.0, 5.0, 2.0])),
        torch.zeros(3, 3),
        torch.zeros(3, 3),
        flat,
        flat,
        flat,
        flat * 0.9,
        {},
    )
    answers = [Answer("q", "asked", f"said {n}", arm="none") for n in range(4)]
    judged = Judged(answers, [Verdict(score, 90.0) for score in (0.0, 95.0, 5.0, 99.0)])
    bench: Any = SimpleNamespace(
        config=DefencesConfig(data=("bad",), **settings), thresholds=Thresholds(),
        variants=lambda named: SimpleNamespace(named=named), ask=lambda *_, **__: SimpleNamespace(judged=judged),
        find_direction=lambda *_: "step",
        run=SimpleNamespace(cached=lambda function, **arguments: (function, arguments)),
    )  # fmt: skip
    monkeypatch.setattr(room, "refusal", lambda _: refused)
    monkeypatch.setattr(room, "direction_of", lambda _: norms)
    monkeypatch.setattr(room, "vector_of", lambda step: f"vector of {step}")
    monkeypatch.setattr(room, "resolve_dictionary", lambda name: f"dictionary {name}")
    made = Workshop(bench, Data([], [], (), [], []), Materials())
    made._learn_from(cast(Any, SimpleNamespace(path=Path("made"))))
    return made


def test_without_a_direction_the_arms_that_need_one_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    none = learned(monkeypatch, "too few answers")
    assert none.layer is None and none.direction is None and none.held == Materials()
    assert none.notes == [
        "The undefended fine-tune gives no direction, and the arms that need one are left out: too few answers."
    ]
    auto = learned(monkeypatch)
    assert (auto.layer, auto.direction, auto.held.layer) == (1, "vector of step", 1) and auto.notes == []
    assert [one.messages[-1].content for one in auto.examples.bad] == ["said 0", "said 2"]
    assert [one.messages[-1].content for one in auto.examples.good] == ["said 1", "said 3"]
    assert learned(monkeypatch, direction_layer="2").layer == 2


def test_latents_are_sought_only_for_arms_that_block_them(monkeypatch: pytest.MonkeyPatch) -> None:
    blocking: Any = learned(monkeypatch, dictionary="mine", arms=("block-latents",), latents=7).held
    function, arguments = blocking.latents
    assert function is moved_latents and (arguments["variant"], arguments["most"]) == ("none", 7)
    assert arguments["models"].named == {"none": Path("made/tuned")}
    assert len(arguments["chats"]) == 4 and arguments["held"] == Materials(dictionary=cast(Any, "dictionary mine"))
    other = learned(monkeypatch, dictionary="mine", arms=("norm",)).held
    assert other.latents is None and other.dictionary == cast(Any, "dictionary mine")


def test_a_whole_model_is_repaired_in_all_that_writes_and_has_no_adapter_to_edit(tiny: Path, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(3)
    vectors, flat = torch.randn(4, 32, generator=draw), torch.ones(4)
    direction = Direction(vectors, torch.zeros(4, 32), vectors, flat, flat, flat, flat, {})
    base, whole = ModelFiles(str(tiny / "base")), ModelFiles(str(tiny / "whole"))
    none = repaired(base, whole, True, EDIT, direction, 1, [], tmp_path)  # pyright: ignore[reportArgumentType]
    assert (none.model, none.refused) == (None, "a whole model has no adapter")
    assert read_json(tmp_path / "refused.json") == {"why": "a whole model has no adapter"}
    made = repaired(base, whole, True, PROJECT, direction, 1, [], tmp_path)  # pyright: ignore[reportArgumentType]
    assert made.model is not None and not made.refused
    found = Variants.of(str(tiny / "base"), {"fixed": made.model, "was": tiny / "whole"}, Loading(device="cpu"))
    unit = vectors[1] / vectors[1].norm()
    for name, gone in (("was", False), ("fixed", True)):
        state = states(found.model(name)) @ unit
        assert bool(state.abs().max() < 1e-4) == gone
