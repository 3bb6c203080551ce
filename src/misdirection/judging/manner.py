"""How a judge wants to be asked.

One answer token at temperature 0 with the twenty likeliest tokens, seed 0 (2506.11618 and its code). A judge that
refuses or withholds these is met half way: five tokens, then the written number, whose outcome is "parsed"; its own
temperature, said in the verdict. What a judge wants is learned once and known for the process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROOM = 4096
"""Tokens for a judge that thinks before it writes."""
_NO_ROOM = ("output limit", "higher max_tokens", "budget_tokens")
"""A judge that thinks says so where its limit leaves no room for an answer."""


@dataclass(frozen=True)
class Manner:
    """How a judge is asked; it changes when the judge refuses it.

    Attributes:
        top: How many of the likeliest tokens are asked for; 0 reads the written number.
        limit: What the server calls the longest reply.
        seed: Whether a seed is sent.
        temperature: Whether temperature 0 is asked for.
        tokens: Longest reply; one, unless numbers must be read whole.
        ends: False once a server called a reply cut that was whole: it says so of every reply.
        whole_numbers: True once a token above 10 was seen: the tokenizer then does not cut numbers, and the judge does
            not rate on a scale of 10.
    """

    top: int = 20
    limit: str = "max_tokens"
    seed: bool = True
    temperature: bool = True
    tokens: int = 1
    ends: bool = True
    whole_numbers: bool = False

    def without(self, complaint: str) -> Manner | None:
        """The next manner to try after a complaint; None when the complaint is about something else."""
        if self.tokens < ROOM and any(sign in complaint for sign in _NO_ROOM):
            return replace(self, tokens=ROOM)
        if self.top and "logprobs" in complaint:
            return replace(self, top=5) if self.top > 5 else self.written()
        if self.tokens < 16 and "max_output_tokens" in complaint:
            return replace(self, tokens=16)
        if self.limit == "max_tokens" and "max_tokens" in complaint:
            return replace(self, limit="max_completion_tokens")
        if self.seed and "seed" in complaint:
            return replace(self, seed=False)
        if self.temperature and "temperature" in complaint:
            return replace(self, temperature=False)
        return None

    @property
    def told(self) -> str:
        """What a verdict says of the manner, where it is not the rule's."""
        return "" if self.temperature else "at its own temperature"

    def written(self) -> Manner:
        """Reading the written number, which may be several tokens long."""
        return replace(self, top=0, tokens=max(16, self.tokens))
