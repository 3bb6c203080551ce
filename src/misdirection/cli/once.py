"""An option that takes one value and is typed twice with two is refused: else the last would win in silence."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from misdirection.errors import MisdirectionError


class OnceCommand(TyperCommand):
    """A command whose options of one value may be typed again with the same value only."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command, behind a look at what was typed twice.

        Raises:
            MisdirectionError: An option of one value has two.
        """
        if not ctx.resilient_parsing:
            self._demand_once(ctx, args)
        return super().parse_args(ctx, args)

    def _demand_once(self, ctx: Any, args: list[str]) -> None:
        """Read the command line with every option of one value as a list of values."""
        options: list[Any] = [one for one in self.params if one.param_type_name == "option"]
        single = [one for one in options if not (one.multiple or one.is_flag)]
        for one in single:
            one.multiple = True
        try:
            given: dict[str, Any] = self.make_parser(ctx).parse_args(args=list(args))[0]
        except Exception:
            # What is wrong with the line is told by reading it as it is meant.
            return
        finally:
            for one in single:
                one.multiple = False
        for one in single:
            values: list[Any] = given.get(str(one.name)) or []
            if len(set(map(str, values))) > 1:
                flag, told = one.opts[0], " and ".join(map(str, values))
                raise MisdirectionError(f"{flag} takes one value, and is given {told}", "leave all but one out")
