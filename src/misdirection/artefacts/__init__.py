"""Files in open formats, written whole or not at all: Parquet for rows, safetensors for tensors, JSON for facts.

Nothing here reads or writes pickle. A file is written beside its place under a temporary name, synced, and renamed over
it, so that a reader meets the old file or the new one and never half of one.
"""

from misdirection.artefacts.content import canonical as canonical
from misdirection.artefacts.content import canonical_hash as canonical_hash
from misdirection.artefacts.content import file_hash as file_hash
from misdirection.artefacts.content import plain as plain
from misdirection.artefacts.facts import read_json as read_json
from misdirection.artefacts.facts import write_json as write_json
from misdirection.artefacts.rows import read_rows as read_rows
from misdirection.artefacts.rows import write_rows as write_rows
from misdirection.artefacts.tensors import read_tensors as read_tensors
from misdirection.artefacts.tensors import write_tensors as write_tensors
from misdirection.artefacts.whole import BINARY as BINARY
from misdirection.artefacts.whole import atomic_path as atomic_path
from misdirection.artefacts.whole import sync as sync
from misdirection.artefacts.whole import whole_folder as whole_folder
from misdirection.artefacts.whole import write_all as write_all
