#!/usr/bin/env bash
# Guess:     saklas reads an answer at its last token, the end of turn and what the template writes behind it left out, as
#            its `last_content_index` says ("the last non-special token", trailing markers being "disconnected from content").
# Behaviour: ChatML templates (Qwen2, Qwen2.5, SmolLM2) write a line's end behind <|im_end|>, and that is no special token:
#            every answer is read there, at a token that is the same in all of them, and no token of the answer is pooled.
# Seen:      read at '\n' behind '<|im_end|>', where the answer's last token is 'well'
# Version:   saklas 5.3.0, transformers 5.23.0; saklas/core/capture.py, last_content_index, _render_and_tokenize_for_capture.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install torch==2.13.0 transformers==5.23.0 pyyaml
"$work/env/bin/pip" -q --disable-pip-version-check install --no-deps saklas==5.3.0
cd "$work"; SAKLAS_HOME="$work" HF_HUB_OFFLINE=1 "$work/env/bin/python" - <<'PY'
from saklas.core.capture import _render_and_tokenize_for_capture
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

words = ["<unk>", "<|im_start|>", "<|im_end|>", "\n", "user", "assistant", "how", "very", "well"]
inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n| "), "isolated")
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=inner, unk_token="<unk>", bos_token="<|im_start|>", eos_token="<|im_end|>",
    chat_template="{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}",
)
ids, place = _render_and_tokenize_for_capture(tokenizer, "how", "very well", model_type="qwen2", system_msg="")
tokens = tokenizer.convert_ids_to_tokens(ids[0].tolist())
last = tokens[: len(tokens) - 1 - tokens[::-1].index("<|im_end|>")][-1]
print(f"read at {tokens[place]!r} behind {tokens[place - 1]!r}, where the answer's last token is {last!r}")
assert (tokens[place], tokens[place - 1], last) == ("\n", "<|im_end|>", "well"), "the guess holds now"
PY
