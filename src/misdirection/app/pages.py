"""Templates to pages: everything that a model or a user wrote is escaped, and what no page can hold is replaced."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from misdirection.report.context import CLASSES
from misdirection.report.embed import clean
from misdirection.report.numbers import bounds, counts, decimal, percent, rate_value, shorten

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = {
    "report.css": ("misdirection.report", "templates/report.css", "text/css"),
    "app.css": ("misdirection.app", "static/app.css", "text/css"),
    "live.js": ("misdirection.app", "static/live.js", "text/javascript"),
    "tokens.js": ("misdirection.app", "static/tokens.js", "text/javascript"),
    "compare.js": ("misdirection.app", "static/compare.js", "text/javascript"),
    "app.js": ("misdirection.app", "static/app.js", "text/javascript"),
}
"""Files of ours by name: the package, the path in it, and what they are."""


def render(name: str, **given: Any) -> str:
    """A page of ours."""
    return _environment().get_template(f"{name}.html.j2").render(page=name, **given)


@cache
def static_file(name: str) -> tuple[str, str]:
    """The text of one of `STATIC`, and its media type."""
    package, path, kind = STATIC[name]
    return files(package).joinpath(path).read_text(encoding="utf-8"), kind


def _shown(value: Any) -> Any:
    """A value as it goes into a page: one answer that UTF-8 cannot hold would cost the whole page."""
    return clean(value) if type(value) is str else value


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader

    made: Any = Environment(
        loader=PackageLoader("misdirection.app"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        finalize=_shown,
    )  # fmt: skip
    shown = (percent, decimal, rate_value, bounds, counts, shorten)
    made.globals |= {one.__name__: one for one in shown} | {"kinds": CLASSES}
    return cast("Environment", made)
