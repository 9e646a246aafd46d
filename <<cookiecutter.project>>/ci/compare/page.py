"""The full set as one HTML page: no script, no network, figures inside."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ci.compare.comparison import Scored
from ci.compare.figures import figures
from ci.compare.text import number
from ci.compare.verdict import Verdict, gain

TEMPLATE = Path(__file__).with_name("page.html")


def render(numbers: dict[str, Any], verdict: Verdict, scored: Scored) -> str:
    loader = FileSystemLoader(TEMPLATE.parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    environment.globals["standing"] = lambda metric, entry: standing(numbers["task"], metric, entry)
    drawn = [(title, Markup(svg)) for title, svg in figures(numbers, scored)]  # noqa: S704 -- matplotlib escapes text
    return environment.get_template(TEMPLATE.name).render(numbers=numbers, verdict=verdict, figures=drawn)


def standing(task: str, metric: str, entry: dict[str, Any]) -> str:
    """better, worse or nothing, where the whole interval says so: the class of a table's row."""
    won = gain(task, metric, entry)
    return "" if won is None else "better" if won[1] > 0 else "worse" if won[2] < 0 else ""
