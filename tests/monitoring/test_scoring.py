"""Components along directions, against `hidden_states` of a plain forward pass."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from tests.families import LAYERS, WIDTH, shared, vector
from tests.tokens.test_encoding import CHATML, bytewise
from tests.tokens.test_thinking import QWEN35
from transformers import LlamaConfig, LlamaForCausalLM

from misdirection.artefacts import write_json
from misdirection.chats import Chat, Message
from misdirection.directions import Direction, DirectionError, save_direction
from misdirection.engine import Arm
from misdirection.models import Model, wrap
from misdirection.monitoring import MonitorError, Unread, Watch, read_chats, read_watched
from misdirection.tokens import encode_chat, encode_turns

A, B = vector(1, LAYERS, WIDTH), vector(2, LAYERS, WIDTH)


def chat(*turns: str) -> Chat:
    return Chat(tuple(Message("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(turns)), "x", 1)


CHATS = [chat("w10 w11", "w12 w13 w14"), chat("w20", "w21 w22 w23 w24 w25 w26"), chat("w30", "w31", "w32", "w33 w34")]


def byte_model(template: str) -> Model:
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
    tokenizer = bytewise(template)
    lm = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes)).eval()
    return wrap(lm, tokenizer, "bytes")


def plain(model: Model, ids: tuple[int, ...], layer: int, unit: torch.Tensor) -> torch.Tensor:
    """The slow way: all hidden states, off by one for the embeddings."""
    with torch.no_grad(), model.peft.disable_adapter() if model.peft else nullcontext():
        states = model.lm(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    return states[layer + 1][0].double() @ unit.double()


@pytest.mark.parametrize("span", ["answer", "last_prompt", "prompt", "first_k", "answer_and_end"])
def test_scores_are_the_components_of_hidden_states(span: str) -> None:
    model = shared("llama")
    # Two layers in an order that is not theirs.
    late, early = read_watched({"late": A}, model, 2), read_watched({"early": B}, model, 1)
    watch = Watch((*late, *early), span=span)
    found = read_chats(model, watch, CHATS)
    for one, readings in zip(CHATS, found, strict=True):
        assert not isinstance(readings, Unread)
        coded = encode_chat(model.tokenizer, one.messages)
        first, past = coded.span(span)
        assert readings[0].ids == coded.ids[first:past]
        for place, held in enumerate(watch.directions):
            want = plain(model, coded.ids, held.layer, held.unit)[first:past]
            assert torch.allclose(readings[0].components[:, place].double(), want, atol=1e-4)
            assert float(readings[0].mean[place]) == pytest.approx(float(want.mean()), abs=1e-4)


@pytest.mark.parametrize(("span", "beyond"), [("last_prompt", 1), ("first_k", 5), ("answer", 30)])
def test_nothing_behind_the_last_token_that_is_read_runs(span: str, beyond: int) -> None:
    model, words = shared("llama"), " ".join(f"w{n}" for n in range(10, 40))
    coded = encode_chat(model.tokenizer, chat("w10 w11", words).messages)
    seen: list[int] = []
    handle = model.lm.get_input_embeddings().register_forward_hook(lambda _m, given, _o: seen.append(given[0].numel()))
    try:
        read_chats(model, Watch(read_watched({"a": A}, model, 2), span=span), [chat("w10 w11", words)])
    finally:
        handle.remove()
    assert sum(seen) == coded.start + beyond < len(coded.ids)


def test_a_peak_is_the_worst_run_of_tokens() -> None:
    model = shared("llama")
    directions = read_watched({"a": A, "b": B}, model, layer=2, below=["b"])
    watch = Watch(directions, statistic="peak", window=3)
    for readings in read_chats(model, watch, CHATS):
        assert not isinstance(readings, Unread)
        (reading,) = readings
        for place, worst in ((0, max), (1, min)):
            values = reading.components[:, place].double().tolist()
            width = min(3, len(values))
            runs = [sum(values[i : i + width]) / width for i in range(len(values) - width + 1)]
            assert float(reading.peak[place]) == pytest.approx(worst(runs))
            assert int(reading.at[place]) == runs.index(worst(runs))
        assert torch.equal(reading.score("peak"), reading.peak) and torch.equal(reading.score("mean"), reading.mean)


def test_every_turn_of_a_chat_is_scored() -> None:
    model = byte_model(CHATML)
    watch = Watch(read_watched({"a": A}, model, layer=1), turns="all")
    (readings,) = read_chats(model, watch, [CHATS[2]])
    assert not isinstance(readings, Unread) and [one.turn for one in readings] == [0, 1]
    coded = encode_turns(model.tokenizer, CHATS[2].messages)
    want = plain(model, coded.ids, 1, watch.directions[0].unit)
    for turn, reading in zip(coded.turns, readings, strict=True):
        assert float(reading.mean[0]) == pytest.approx(float(want[turn.start : turn.stop].mean()), abs=1e-4)
    assert [model.tokenizer.decode(list(one.ids)) for one in readings] == ["w31", "w33 w34"]


def test_thought_and_answer_are_read_apart_where_the_template_opens_the_thought() -> None:
    model = byte_model(QWEN35)
    thinking = Chat((Message("user", "hi"), Message("assistant", "<think>\nhm, hm\n</think>\n\nyes")))
    directions = read_watched({"a": A}, model, layer=1)
    texts = {}
    for span in ("thought", "answer", "written"):
        (readings,) = read_chats(model, Watch(directions, span=span), [thinking])
        assert not isinstance(readings, Unread)
        texts[span] = model.tokenizer.decode(list(readings[0].ids))
    # The template writes an empty thought where there is none.
    (none,) = read_chats(model, Watch(directions, span="thought"), [chat("hi", "yes")])
    assert none == Unread("nothing to read: its thought has no token")
    assert texts == {"thought": "hm, hm\n</think>\n\n", "answer": "yes", "written": "hm, hm\n</think>\n\nyes"}


def test_what_cannot_be_read_says_why_and_the_others_are_read() -> None:
    model = shared("llama")
    long = chat("w10", " ".join(["w11"] * 200))
    found = read_chats(model, Watch(read_watched({"a": A}, model), span="answer"), [CHATS[0], long, CHATS[1]])
    assert [isinstance(one, Unread) for one in found] == [False, True, False]
    assert isinstance(found[1], Unread) and found[1].reason.startswith("too long: 2")
    (none,) = read_chats(model, Watch(read_watched({"a": A}, model), span="thought"), CHATS[:1])
    assert none == Unread("nothing to read: its thought has no token")


def test_an_adapter_is_read_in_effect() -> None:
    model = shared("llama")
    watch = Watch(read_watched({"a": A}, model, layer=3))
    base, tuned = (read_chats(model, watch, CHATS[:1], Arm(name or "base", name))[0] for name in (None, "one"))
    assert not isinstance(base, Unread) and not isinstance(tuned, Unread)
    assert not torch.allclose(base[0].mean, tuned[0].mean)


def test_the_layer_is_the_spec_s_the_option_s_the_run_s_or_the_middle(tmp_path: Path) -> None:
    model = shared("llama")
    nothing, none = torch.zeros_like(A), torch.zeros(LAYERS)
    run = tmp_path / "run"
    (run / "directions").mkdir(parents=True)
    save_direction(run / "direction.safetensors", Direction(A, nothing, nothing, none, none, none, none, {}))
    file = run / "direction.safetensors"
    assert [one.layer for one in read_watched([f"{file}@3", f"b={file}"], model, layer=1)] == [3, 1]
    assert read_watched([run], model)[0].layer == LAYERS // 2
    assert read_watched([run], model)[0].name == "run"
    write_json(run / "findings.json", {"steering": {"best": {"layer": 3}}})
    assert read_watched([run], model)[0].layer == 3
    assert read_watched([f"{run}@1"], model)[0].layer == 1
    save_direction(run / "directions" / "evil.safetensors", Direction(B, nothing, nothing, none, none, none, none, {}))
    assert [one.name for one in read_watched([run], model)] == ["direction", "evil"]
    unit = read_watched([file], model)[0].unit
    assert torch.allclose(unit, A[LAYERS // 2] / A[LAYERS // 2].norm()) and unit.dtype == torch.float32
    torch.save(A[1], tmp_path / "one.pt")
    assert read_watched([f"{tmp_path}/one.pt@2"], model)[0].layer == 2
    with pytest.raises(DirectionError, match="does not say after which layer") as error:
        read_watched([tmp_path / "one.pt"], model)
    assert "@LAYER" in str(error.value)


def test_what_cannot_be_watched_is_refused() -> None:
    model = shared("llama")
    (one,) = read_watched({"a": A}, model)
    for wrong in (
        lambda: Watch(()),
        lambda: Watch((one, one)),
        lambda: Watch((one,), span="asnwer"),
        lambda: Watch((one,), statistic="median"),
        lambda: Watch((one,), window=0),
        lambda: Watch((one,), span="prompt", turns="all"),
        lambda: read_watched({"a": torch.zeros(LAYERS, WIDTH)}, model),
        lambda: read_watched({"a": A}, model, layer=LAYERS),
        lambda: read_watched({"a": A}, model, below=["b"]),
    ):
        with pytest.raises(MonitorError):
            wrong()
    with pytest.raises(DirectionError, match="shape"):
        read_watched({"a": A[:2]}, model)
