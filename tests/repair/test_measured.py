"""What is told of a repair: read with a change whose effect is known, and the card that a reader gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from misdirection import load_model
from misdirection.answers import ask, read_back
from misdirection.engine import Arm, SamplingConfig, Steer
from misdirection.models import Model
from misdirection.organism import open_questions
from misdirection.repair.bases import base_of
from misdirection.repair.card import CARD, Card, loading, write_card
from misdirection.repair.change import SharesAlong
from misdirection.repair.errors import RepairError
from misdirection.repair.factors import Adapter
from misdirection.repair.measure import FAR, TOKENS, RepairEffect, measure

LAYER, STRENGTH = 9, 2.5


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("organism")


@pytest.fixture(scope="module")
def units(model: Model) -> torch.Tensor:
    drawn = torch.randn(model.n_layers, model.lm.config.hidden_size, generator=torch.Generator().manual_seed(4))
    return torch.nn.functional.normalize(drawn, dim=1)


ASKED = open_questions()[:2]


def test_a_repair_that_adds_to_one_layer_is_read_as_that(model: Model, units: torch.Tensor) -> None:
    moved = Arm("moved", None, (Steer(units, (LAYER,), STRENGTH),))
    found = measure(lambda: (model, Arm("base")), lambda: (model, moved), ASKED, units)
    assert found.before and found.after and found.mean_before and found.mean_after
    # On the same tokens: nothing before the layer, the strength at it, whatever follows behind.
    assert found.mean_after[:LAYER] == pytest.approx(found.mean_before[:LAYER], abs=1e-5)
    assert found.mean_after[LAYER] - found.mean_before[LAYER] == pytest.approx(STRENGTH, abs=1e-4)
    mean, rms = found.mean_before[LAYER], found.before[LAYER]
    assert found.after[LAYER] ** 2 == pytest.approx(rms**2 + 2 * STRENGTH * mean + STRENGTH**2, rel=1e-4)
    assert found.likelihood_after < found.likelihood_before < 0 and found.questions == len(found.pairs) == 2
    # The numbers of the model as it was, by plain transformers.
    answers = ask(model, ASKED, config=SamplingConfig(max_new_tokens=TOKENS, temperature=0.0))
    said, states = [], []
    for one in read_back(model, answers).encoded:
        with torch.no_grad():
            out = model.lm(input_ids=torch.tensor([one.ids]), output_hidden_states=True)
        told = out.logits[0, :-1].log_softmax(-1).gather(1, torch.tensor(one.ids[1:])[:, None])[:, 0]
        said.append(told[one.start - 1 :])
        states.append(out.hidden_states[LAYER + 1][0] @ units[LAYER])
    assert found.likelihood_before == pytest.approx(float(torch.cat(said).mean()), abs=1e-4)
    assert (mean, rms) == pytest.approx(
        (float(torch.cat(states).mean()), float(torch.cat(states).square().mean()) ** 0.5), rel=1e-3
    )
    assert [pair[1] for pair in found.pairs] == [one.answer for one in answers]
    assert found.same == sum(before == after for _, before, after in found.pairs)


def test_a_repair_that_changes_nothing_is_read_as_nothing(model: Model) -> None:
    found = measure(lambda: (model, Arm("base")), lambda: (model, Arm("again")), ASKED, None)
    assert (found.before, found.after, found.mean_before, found.mean_after) == (None,) * 4
    assert found.likelihood_before == found.likelihood_after and found.same == found.questions == 2
    assert found.warning == ""


def effect(fall: float) -> RepairEffect:
    return RepairEffect(3, None, None, None, None, -0.5, -0.5 - fall, 1, ())


def test_damage_is_said_from_a_fall_on_and_an_answer_that_became_likelier_is_none() -> None:
    assert [bool(effect(fall).warning) for fall in (-2.0, 0.0, FAR - 0.01, FAR, 7.0)] == [
        False,
        False,
        False,
        True,
        True,
    ]


def card(**more: object) -> Card:
    held: dict[str, object] = {
        "kind": "model", "base": "org/base", "done": ["One.", "Two."], "facts": {"layer": "3"}, "along": {},
        "measured": None, "notes": [], "command": "",
    }  # fmt: skip
    return Card(**(held | more))  # pyright: ignore[reportArgumentType]


def test_a_card_holds_what_was_done_and_no_heading_without_something_under_it(tmp_path: Path) -> None:
    write_card(tmp_path, card(), tmp_path / "mended")
    text = (tmp_path / CARD).read_text()
    assert (
        text.startswith("---\nbase_model: org/base\nlibrary_name: transformers\n")
        and "\n# mended\n\nOne.\n\nTwo.\n" in text
    )
    assert (
        "- layer: 3\n" in text
        and "Nothing was measured." in text
        and loading("model", "org/base", tmp_path / "mended") in text
    )
    assert "lay along the direction" not in text and "## Notes" not in text and "```sh" not in text
    along = {2: SharesAlong(1.0, 8.0), 10: SharesAlong(0.0, 1.0), None: SharesAlong(1.0, 2.0)}
    write_card(tmp_path, card(along=along, measured=effect(0.25), notes=["careful"], command="do it"), tmp_path / "x")
    text = (tmp_path / CARD).read_text()
    # Embeddings first, then layers by number and not by letters.
    assert "| embeddings | 50.000% |\n| 2 | 12.500% |\n| 10 | 0.000% |\n" in text
    assert "3 questions were answered greedily before; 1 of the answers" in text and "0.250 nats a token" in text
    assert "The component along the direction" not in text, "none was read"
    assert text.endswith("```sh\ndo it\n```\n") and "## Notes\n\n- careful\n" in text


def test_lines_that_load_a_result_run_as_python() -> None:
    for kind in ("model", "adapter"):
        lines = loading(kind, "org/base", "/out")
        compile(lines, "card", "exec")
        assert '"/out"' in lines and ('"org/base"' in lines) == (kind == "adapter")


def test_an_adapter_whose_base_is_not_named_or_not_here_is_told_apart(tmp_path: Path) -> None:
    def of(base: str) -> Adapter:
        return Adapter("mine", tmp_path, None, {}, base)

    assert base_of(of(str(tmp_path))) == tmp_path
    with pytest.raises(RepairError, match="adapter 'mine' does not say which base it belongs to"):
        base_of(of(""))
    with pytest.raises(RepairError, match="adapter 'mine' belongs to nobody/nothing, which is not here"):
        base_of(of("nobody/nothing"))
