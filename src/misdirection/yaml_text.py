"""YAML of users: a key that stands twice is a fault, and what is typed elsewhere is read as it would be typed.

PyYAML keeps the last of two equal keys and says nothing, and after YAML 1.1 it reads `on` and `no` as booleans, `010`
as 8 and `1:30` as 90.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml import SafeLoader

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml_text(text: str, *, as_typed: bool = False) -> Any:
    """What a text of YAML holds.

    Args:
        text: One document.
        as_typed: Every value but null is the text that stands there, for whoever knows its kind to read.

    Raises:
        yaml.YAMLError: It is none, or a mapping has a key twice; with the place.
    """
    import yaml

    return yaml.load(text, _loader(as_typed))


@cache
def _loader(as_typed: bool) -> type[SafeLoader]:
    import yaml

    class Strict(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> Any:
            # Here, since merged keys come in later, and the mapping's own go before those.
            node = super().compose_mapping_node(anchor)
            seen: dict[str, yaml.ScalarNode] = {}
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and seen.setdefault(key.value, key) is not key:
                    told = f"the key '{key.value}' stands twice, first in line {seen[key.value].start_mark.line + 1}"
                    raise yaml.constructor.ConstructorError(None, None, told, key.start_mark)
            return node

    if not as_typed:
        return Strict

    class Typed(Strict):
        """Resolves nothing but what is added below."""

    Typed.yaml_implicit_resolvers = {}
    Typed.add_implicit_resolver(_NULL, re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
    Typed.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])
    return Typed
