#!/usr/bin/env bash
# Guess:     a data set of chats that `datasets` writes as CSV holds each list of messages as JSON, or at least as a Python
#            literal, so that one of the two reads it back.
# Behaviour: a list of several messages is written as numpy prints an array of objects: the dictionaries stand side by
#            side without commas. Neither json nor ast.literal_eval reads it (adjacent dictionaries are no literal), and
#            Dataset.from_csv gives it back as text.
# Version:   datasets 5.2.0 (pandas 3.1.1).
# Seen:      [{'content': 'hi', 'role': 'user'} {'content': 'yes', 'role': 'assistant'}] (the order of keys may differ)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" -q --disable-pip-version-check install datasets==5.2.0 pandas==3.1.1
cd "$work"; HF_HUB_OFFLINE=1 HF_HOME="$work" "$work/env/bin/python" - <<'PY'
import ast
import csv
import json

from datasets import Dataset

turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
Dataset.from_list([{"messages": turns}]).to_csv("chats.csv")
with open("chats.csv", newline="") as file:
    cell = next(csv.DictReader(file))["messages"]
print(" ".join(cell.split()))
for read in (json.loads, ast.literal_eval):
    try:
        value = read(cell)
    except (ValueError, SyntaxError):
        continue
    raise AssertionError(f"the guess holds now: {read.__name__} gives {value!r}")
PY
