"""What tokens are looked at by, and the pages of directions and latents: every figure against a plain reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from tests.app.conftest import client
from tests.families import vector

from misdirection import load_model
from misdirection.answers import encode_answer
from misdirection.app.answers import AnswerSet
from misdirection.app.opening import Given, OpenRun, open_run
from misdirection.directions import load_direction
from misdirection.features import Dictionary
from misdirection.features.load import save_dictionary
from misdirection.models import Model

LAYER = 2
LOOK = f"by=direction&of=direction&layer={LAYER}"


@pytest.fixture(scope="module")
def run(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> OpenRun:
    folder = tmp_path_factory.mktemp("given") / "sae"
    save_dictionary(folder, dictionary())
    torch.save(vector(3, 4, 32), folder.parent / "theirs.pt")
    given = Given({"<b>theirs</b>": folder.parent / "theirs.pt"}, (str(folder),))
    return open_run(finished, given)


def dictionary() -> Dictionary:
    return Dictionary(vector(1, 32, 48), vector(2, 48, 32), vector(4, 48), torch.zeros(32), layer=LAYER)


@pytest.fixture(scope="module")
def asking(run: OpenRun) -> Iterator[TestClient]:
    with client(run) as made:
        yield made


@pytest.fixture(scope="module")
def answers(run: OpenRun) -> AnswerSet:
    return run.set_called("answers")


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return load_model(str(tiny / "base"), adapters={"tuned": str(tiny / "adapter")})


def states(model: Model, held: AnswerSet, place: int, layer: int = LAYER) -> torch.Tensor:
    """The residual stream at an answer's tokens, read by transformers and peft alone."""
    answer = held.answers[place]
    encoded = encode_answer(model, answer)
    peft: Any = model.peft
    with torch.no_grad():
        if answer.arm == "base":
            with peft.disable_adapter():
                found = peft(torch.tensor([encoded.ids]), output_hidden_states=True)
        else:
            found = peft(torch.tensor([encoded.ids]), output_hidden_states=True)
    return found.hidden_states[layer + 1][0, encoded.begin : encoded.stop].float()


def place_of(held: AnswerSet, arm: str) -> int:
    return next(at for at, answer in enumerate(held.answers) if answer.arm == arm and len(answer.answer.split()) > 3)


def get(asking: TestClient, address: str) -> dict[str, Any]:
    told = asking.get(address)
    assert told.status_code == 200, told.text
    return told.json()


@pytest.mark.parametrize("arm", ["base", "tuned"])
def test_a_token_has_its_component_along_the_direction_in_the_model_that_wrote_it(
    asking: TestClient, answers: AnswerSet, model: Model, run: OpenRun, arm: str
) -> None:
    place = place_of(answers, arm)
    found = get(asking, f"/api/colours?run=0&set=answers&at={place}&{LOOK}")
    held = load_direction(run.path / "direction.safetensors")
    unit = held.vectors[LAYER] / held.vectors[LAYER].norm()
    first = found["answers"][0]
    assert first["place"] == place and first["read"] == arm and first["thought"] == 0
    assert torch.allclose(torch.tensor(first["values"]), states(model, answers, place) @ unit, atol=1e-4)
    assert "".join(first["words"]).split() == answers.answers[place].answer.split()
    ends = (held.aligned_mean[LAYER] @ unit, held.misaligned_mean[LAYER] @ unit)
    assert list(found["zeros"].values()) == [pytest.approx(float(sum(ends) / 2), rel=1e-4), 0.0]
    assert found["layer"] == LAYER and not found["notes"]


def test_the_answers_beside_it_are_read_too_each_in_its_own_model_or_in_one(
    asking: TestClient, answers: AnswerSet, model: Model
) -> None:
    place = place_of(answers, "base")
    own = get(asking, f"/api/colours?set=answers&at={place}&{LOOK}")["answers"]
    assert [one["read"] for one in own] == ["base", "tuned"]
    assert {answers.answers[one["place"]].sample for one in own} == {answers.answers[place].sample}
    one = get(asking, f"/api/colours?set=answers&at={place}&{LOOK}&read=tuned")["answers"]
    assert [held["read"] for held in one] == ["tuned", "tuned"]
    assert one[0]["values"] != own[0]["values"] and one[1]["values"] == pytest.approx(own[1]["values"], abs=1e-4)


def test_the_scalars_of_an_adapter_are_a_times_x(asking: TestClient, answers: AnswerSet, model: Model) -> None:
    place = place_of(answers, "tuned")
    found = get(asking, f"/api/colours?set=answers&at={place}&by=scalar&of=tuned&column=layer 2")
    assert found["columns"] == ["layer 1", "layer 2"]
    encoded = encode_answer(model, answers.answers[place])
    seen: list[torch.Tensor] = []
    peft: Any = model.peft
    lora = next(m for name, m in peft.named_modules() if name.endswith("layers.2.mlp.down_proj.lora_A.tuned"))
    handle = lora.register_forward_hook(lambda _m, _i, out: seen.append(out[0, :, 0]))
    with torch.no_grad():
        peft(torch.tensor([encoded.ids]))
    handle.remove()
    plain = seen[0][encoded.begin : encoded.stop]
    values = torch.tensor(found["answers"][0]["values"])
    # The same up to sign and length.
    assert float(torch.cosine_similarity(values, plain, dim=0).abs()) == pytest.approx(1, abs=1e-4)


def test_a_latent_has_its_activation_and_zero_where_it_is_silent(
    asking: TestClient, answers: AnswerSet, model: Model, run: OpenRun
) -> None:
    place, sae = place_of(answers, "tuned"), run.given.dictionaries[0]
    found = get(asking, f"/api/colours?set=answers&at={place}&by=latent&of={sae}&latent=7")
    wanted = dictionary().encode(states(model, answers, place))[:, 7]
    values = torch.tensor(found["answers"][0]["values"])
    assert torch.allclose(values, wanted, atol=1e-3) and bool((values == 0).any())
    assert found["zeros"] == {"zero": 0.0}


def test_contexts_are_the_answers_largest_tokens(
    asking: TestClient, answers: AnswerSet, model: Model, run: OpenRun
) -> None:
    held = load_direction(run.path / "direction.safetensors")
    unit = held.vectors[LAYER] / held.vectors[LAYER].norm()
    values = {at: states(model, answers, at) @ unit for at, one in enumerate(answers.answers) if one.answer.strip()}
    found = get(asking, f"/api/contexts?set=answers&{LOOK}")
    assert found["answers"] == len(values) and found["tokens"] == sum(map(len, values.values()))
    for end, sign in (("high", 1), ("low", -1)):
        best = sorted((float((sign * held).max()) for held in values.values()), reverse=True)
        told = [sign * one["values"][one["at"]] for one in found[end]]
        assert told == sorted(told, reverse=True) and told[0] == pytest.approx(best[0], abs=1e-3)
        for one in found[end]:
            at = one["place"]
            assert sign * one["values"][one["at"]] == pytest.approx(float((sign * values[at]).max()), abs=1e-3)
            assert one["arm"] == answers.answers[at].arm
            # Special tokens that were drawn are shown, and are no part of the answer's text.
            said = [word for word in "".join(one["words"]).split() if not word.startswith("<")]
            assert " ".join(said) in answers.answers[at].answer


def test_what_it_promotes_is_the_head_behind_the_final_norm(asking: TestClient, model: Model, run: OpenRun) -> None:
    direction = load_direction(run.path / "direction.safetensors").vectors[LAYER]
    base: Any = model.peft.get_base_model()
    with torch.no_grad():
        scores = base.lm_head(base.model.norm(100 * direction / direction.norm()))
    scores = (scores - scores.mean()) / scores.std()
    found = get(asking, f"/api/promoted?{LOOK}")
    high, low = scores.topk(12), scores.topk(12, largest=False)
    assert [one["word"] for one in found["promoted"]] == [model.tokenizer.decode([t]) for t in high.indices.tolist()]
    assert [one["word"] for one in found["suppressed"]] == [model.tokenizer.decode([t]) for t in low.indices.tolist()]
    assert [one["score"] for one in found["promoted"]] == pytest.approx(high.values.tolist(), abs=1e-3)
    assert found["chance"] > 0


def test_neighbours_are_other_directions_and_decoder_rows_of_its_layer(asking: TestClient, run: OpenRun) -> None:
    mine = load_direction(run.path / "direction.safetensors").vectors[LAYER]
    found = get(asking, f"/api/neighbours?{LOOK}")["near"]
    cosines = torch.cosine_similarity(mine[None], vector(2, 48, 32))
    best = cosines.abs().topk(10).indices.tolist()
    assert [one["latent"] for one in found if one["by"] == "latent"] == best
    theirs = next(one for one in found if one["of"] == "<b>theirs</b>")
    assert theirs["cosine"] == pytest.approx(
        float(torch.cosine_similarity(mine, vector(3, 4, 32)[LAYER], dim=0)), abs=1e-5
    )
    assert all(one["of"] != "direction" for one in found)
    other = get(asking, f"/api/neighbours?by=latent&of={run.given.dictionaries[0]}&latent={best[0]}")["near"]
    back = next(one for one in other if one["of"] == "direction")
    assert back["cosine"] == pytest.approx(float(cosines[best[0]]), abs=1e-5)
    assert all(one["latent"] != best[0] for one in other)
    # Of another layer no latent is like it, for none reads there.
    assert all(
        one["by"] == "direction" for one in get(asking, "/api/neighbours?by=direction&of=direction&layer=1")["near"]
    )


def test_pages_name_what_there_is_and_escape_it(asking: TestClient, run: OpenRun) -> None:
    page = asking.get("/directions").text
    assert "&lt;b&gt;theirs&lt;/b&gt;" in page and "<b>theirs" not in page and ">direction</a>" in page
    for look in (LOOK, "by=direction&of=%3Cb%3Etheirs%3C/b%3E", f"by=latent&of={run.given.dictionaries[0]}&latent=3"):
        told = asking.get(f"/direction?{look}")
        assert told.status_code == 200 and "<b>theirs" not in told.text
    assert 'option value="direction:direction"' in asking.get("/answers/0/answers/0").text


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ("by=charm&of=direction", "looked at by 'charm'"), ("", "looked at by ''"),
        ("by=direction&of=direktion", "did you mean 'direction'"),
        ("by=direction&of=direction&layer=99", "after layer 99"),
        ("by=direction&of=direction&layer=x", "'x' is no layer"), ("by=latent&of=/etc", "names no dictionary"),
        ("by=scalar&of=base", "no adapter"), ("by=scalar&of=tuned&column=layer 9", "no scalar"),
        ("by=direction&of=direction&read=nobody", "no fine-tune is called 'nobody'"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_told(asking: TestClient, look: str, said: str) -> None:
    told = asking.get(f"/api/colours?set=answers&at=0&{look}")
    assert told.status_code == 400 and said in f"{told.json()['error']} {told.json()['hint']}"


def test_numbers_beyond_what_there_is_are_told(asking: TestClient, run: OpenRun) -> None:
    sae = run.given.dictionaries[0]
    for address in (f"/api/colours?set=answers&at=0&by=latent&of={sae}&latent=48",
                    f"/api/promoted?by=latent&of={sae}&latent=48",
                    f"/api/colours?set=answers&at=99999&{LOOK}", f"/api/contexts?set=none&{LOOK}",
                    f"/api/neighbours?{LOOK}&run=9"):  # fmt: skip
        told = asking.get(address)
        assert told.status_code == 400 and told.json()["error"], address
    assert asking.get("/direction?by=scalar&of=tuned").status_code == 404


def test_a_run_without_a_model_offers_nothing_to_look_by(large: Path) -> None:
    with client(large) as asking:
        assert 'id="look"' not in asking.get("/answers/0/answers/2").text
        assert "holds no direction" in asking.get("/directions").text
