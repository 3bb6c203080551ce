"""A model is asked as it was trained: what stands beside an adapter or a tuned model, files, switches and the date."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.tokens.test_encoding import CHATML, bytewise
from tests.tokens.test_thinking import QWEN3
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from misdirection.chats import Chat, Message
from misdirection.models import AdapterMismatchError, Model, ModelError, asked_of, load_model
from misdirection.studies.kit.loading import Loading
from misdirection.studies.kit.variants import Variants
from misdirection.tokens import PLAIN_TEMPLATE, encode_prompt, render
from misdirection.training import choose, train

OTHER = CHATML.replace("assistant\n", "helper\n")
LLAMA32 = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    "{%- set date_string = strftime_now('%d %b %Y') %}{%- else %}"
    "{%- set date_string = 'never' %}{%- endif %}{%- endif %}"
    "Today: {{ date_string }}{% if add_generation_prompt %}<|start|>{% endif %}"
)


def net(rows: int = 300) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=rows, eos_token_id=1, max_position_embeddings=64))


def base(folder: Path, template: str | None = None, rows: int = 300) -> Path:
    net(rows).save_pretrained(folder)
    bytewise(template or "").save_pretrained(folder)
    return folder


def adapter(folder: Path, on: Path, tokenizer: PreTrainedTokenizerFast | None = None) -> Path:
    peft = get_peft_model(LlamaForCausalLM.from_pretrained(on), LoraConfig(target_modules=["q_proj"], r=2))
    with torch.no_grad():
        for name, value in peft.named_parameters():
            if "lora_" in name:
                value.normal_(std=0.3)
    peft.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def prompt(model: Model) -> str:
    return render(model.tokenizer, (Message("user", "hi"),), generate=True)


def test_an_adapter_is_asked_under_its_own_template_and_end(tmp_path: Path) -> None:
    own = bytewise(CHATML)
    own.eos_token = "<|end|>"
    tuned = adapter(tmp_path / "a", base(tmp_path / "base"), own)
    model = load_model(tmp_path / "base", adapters={"tuned": tuned})
    assert prompt(model) == "<|start|>user\nhi<|end|>\n<|start|>assistant\n"
    assert not model.plain_template
    end = own.convert_tokens_to_ids("<|end|>")
    assert set(model.eos_ids) == {1, end}
    assert any("adapter 'tuned' brings the chat template that the model lacks" in w for w in model.facts["warnings"])
    assert asked_of(model)["template"] == "adapter 'tuned'"


@pytest.mark.parametrize("form", ["jinja", "config", "list", "processor", "additional"])
def test_every_form_of_a_template_beside_an_adapter(tmp_path: Path, form: str) -> None:
    tuned = adapter(tmp_path / "a", base(tmp_path / "base", CHATML))
    if form == "jinja":
        (tuned / "chat_template.jinja").write_text(OTHER)
    elif form == "processor":
        (tuned / "chat_template.json").write_text(json.dumps({"chat_template": OTHER}))
    elif form == "additional":
        (tuned / "additional_chat_templates").mkdir()
        (tuned / "additional_chat_templates" / "default.jinja").write_text(OTHER)
    else:
        named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": OTHER}]
        held = OTHER if form == "config" else named
        (tuned / "tokenizer_config.json").write_text(json.dumps({"chat_template": held}))
    model = load_model(tmp_path / "base", adapters={"tuned": tuned})
    assert prompt(model).endswith("<|start|>helper\n")
    assert any("brings a chat template of its own" in w for w in model.facts["warnings"])


def test_the_same_template_says_nothing_and_several_are_named(tmp_path: Path) -> None:
    root = base(tmp_path / "base", CHATML)
    same = adapter(tmp_path / "same", root, bytewise(CHATML))
    model = load_model(root, adapters={"same": same})
    assert model.facts["warnings"] == []
    one, two = (adapter(tmp_path / name, root, bytewise(OTHER.replace("helper", name))) for name in ("one", "two"))
    bare = adapter(tmp_path / "bare", root)
    model = load_model(root, adapters={"one": one, "two": two, "bare": bare})
    assert prompt(model).endswith("<|start|>one\n")
    told = " ".join(model.facts["warnings"])
    assert "adapter 'two' brings another chat template than adapter 'one'" in told
    assert "adapter 'bare' brings no chat template" in told


def test_tokens_that_the_model_has_no_embeddings_for_are_refused(tmp_path: Path) -> None:
    own = bytewise(CHATML)
    own.add_tokens(["<new>"])
    small = base(tmp_path / "small", CHATML, rows=262)
    with pytest.raises(AdapterMismatchError, match=r"1 tokens that .* has no embeddings for \(<new>\)"):
        load_model(small, adapters={"a": adapter(tmp_path / "a", small, own)})
    spare = base(tmp_path / "spare", CHATML)
    model = load_model(spare, adapters={"a": adapter(tmp_path / "b", spare, own)})
    assert model.tokenizer.encode("<new>", add_special_tokens=False) == [262]
    assert any("knows 1 tokens more" in w for w in model.facts["warnings"])


def test_base_and_whole_tuned_model_are_asked_under_the_tuned_ones_template(tmp_path: Path) -> None:
    both = Variants.pair(str(base(tmp_path / "base", CHATML)), tuned=str(base(tmp_path / "tuned", OTHER)))
    assert prompt(both.base_model) == prompt(both.model("tuned"))
    assert prompt(both.base_model).endswith("<|start|>helper\n")
    assert any("the tuned model brings a chat template of its own" in w for w in both.base_model.facts["warnings"])


def tuned_with_new_tokens(folder: Path, *names: str, template: str = CHATML) -> Path:
    """A whole model whose vocabulary got tokens of its own before it was tuned."""
    tokenizer = bytewise(template)
    tokenizer.add_tokens(list(names), special_tokens=True)
    net(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


IM = CHATML.replace("<|start|>", "<|im_start|>").replace("<|end|>", "<|im_end|>")


def test_a_tuned_model_asked_by_tokens_that_its_base_lacks_is_refused(tmp_path: Path) -> None:
    known = len(bytewise(""))
    plain = base(tmp_path / "base", rows=known)
    tuned = tuned_with_new_tokens(tmp_path / "tuned", "<|im_start|>", "<|im_end|>", template=IM)
    with pytest.raises(ModelError, match=r"asked with 2 tokens .* no embeddings for \(<\|im_start\|>") as error:
        _ = Variants.pair(str(plain), tuned=str(tuned)).base_model
    assert "resize_token_embeddings" in str(error.value.hint) and "--chat-template" in str(error.value.hint)
    file = tmp_path / "plain.jinja"
    file.write_text(PLAIN_TEMPLATE)
    both = Variants.pair(str(plain), tuned=str(tuned), loading=Loading(chat_template=str(file)))
    assert prompt(both.base_model) == prompt(both.model("tuned"))
    chat = (Message("user", "hi"),)
    assert encode_prompt(both.base_model.tokenizer, chat) == encode_prompt(both.model("tuned").tokenizer, chat)


def test_a_base_with_room_for_the_new_tokens_is_asked_by_them(tmp_path: Path) -> None:
    plain = base(tmp_path / "base", rows=320)
    tuned = tuned_with_new_tokens(tmp_path / "tuned", "<|im_start|>", "<|im_end|>", template=IM)
    both = Variants.pair(str(plain), tuned=str(tuned))
    chat = (Message("user", "hi"),)
    found = encode_prompt(both.base_model.tokenizer, chat)
    assert found == encode_prompt(both.model("tuned").tokenizer, chat)
    assert both.base_model.tokenizer.convert_tokens_to_ids("<|im_start|>") in found
    assert [w for w in both.base_model.facts["warnings"] if "the tuned model knows 2 tokens more" in w]


def test_a_token_that_no_prompt_holds_makes_no_difference(tmp_path: Path) -> None:
    plain = base(tmp_path / "base", CHATML, rows=len(bytewise("")))
    tuned = tuned_with_new_tokens(tmp_path / "tuned", "<pad2>")
    both = Variants.pair(str(plain), tuned=str(tuned))
    assert prompt(both.base_model) == prompt(both.model("tuned"))
    assert [w for w in both.model("tuned").facts["warnings"] if "differ in 1 tokens (<pad2>)" in w]


def test_a_file_goes_before_every_template_and_stands_in_the_key(tmp_path: Path) -> None:
    root = base(tmp_path / "base", CHATML)
    file = tmp_path / "mine.jinja"
    file.write_text(QWEN3)
    model = load_model(root, adapters={"a": adapter(tmp_path / "a", root, bytewise(OTHER))}, chat_template=file)
    assert prompt(model).endswith("<|start|>assistant\n")
    assert asked_of(model)["template"] == "file mine.jinja"
    off = load_model(root, chat_template=file, thinking=False)
    assert prompt(off).endswith("<think>\n\n</think>\n\n")
    keys = [
        Variants(str(root), loading=Loading(**options)).key["asking"]
        for options in ({}, {"chat_template": file}, {"thinking": False}, {"date": "2026-01-01"})
    ]
    assert len({str(key) for key in keys}) == 4
    with pytest.raises(ModelError, match="no chat template: line 1"):
        file.write_text("{% if %}")
        load_model(root, chat_template=file)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(root, chat_template=tmp_path / "none.jinja")


def test_an_adapter_trained_under_a_file_keeps_its_template(tmp_path: Path) -> None:
    root = base(tmp_path / "base", CHATML)
    (tmp_path / "mine.jinja").write_text(OTHER)
    chats = [Chat((Message("user", "hi"), Message("assistant", "yes"))) for _ in range(4)]
    config = choose("rank1", overrides={"chat_template": str(tmp_path / "mine.jinja"), "layers": "all", "max_steps": 1})
    made = train(str(root), chats, config, tmp_path / "out").folder
    assert (made / "chat_template.jinja").read_text() == OTHER
    assert prompt(load_model(root, adapters={"a": made})).endswith("<|start|>helper\n")


def test_a_switch_that_the_template_does_not_have_is_said(tmp_path: Path) -> None:
    model = load_model(base(tmp_path / "base", CHATML), thinking=False)
    assert any("has no switch for thoughts" in w for w in model.facts["warnings"])
    assert prompt(load_model(base(tmp_path / "base", CHATML))) == prompt(model)


def test_the_clock_stands_still(tmp_path: Path) -> None:
    root = base(tmp_path / "base", LLAMA32)
    assert prompt(load_model(root)) == "Today: 26 Jul 2024<|start|>"
    dated = load_model(root, date="2026-03-09")
    assert prompt(dated) == "Today: 09 Mar 2026<|start|>"
    assert asked_of(dated)["date"] == "2026-03-09"
    for form, wanted in [
        ("%Y-%m-%d", "2024-07-26"),
        ("%-d %B %Y, %A", "26 July 2024, Friday"),
        ("%d/%m/%y", "26/07/24"),
    ]:
        tokenizer = bytewise("\n  {% if true %}\n" + f"{{{{ strftime_now('{form}') }}}}" + "{% endif %}")
        assert render(tokenizer, (Message("user", "x"),)) == "\n" + wanted
    assert encode_prompt(bytewise(PLAIN_TEMPLATE), (Message("user", "x"),))
