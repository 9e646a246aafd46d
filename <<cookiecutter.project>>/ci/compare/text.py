"""Numbers and values from the data as text that neither Markdown nor Mermaid takes for anything else."""

import re

LONGEST = 60  # characters of a value from the data
SENTENCE = 400  # characters of a sentence that may quote some
SIGNS = r"[^\w\s,;>%+\-.:/()=…]|[:/](?=[^\s\d])|(?<!\d)\.(?=\S)|\.(?=[^\s\d])|(?<!\w)_|_(?!\w)"


def number(value: float | None, sign: bool = False) -> str:
    """A value for people: four decimals below ten, else four digits."""
    if value is None:
        return "undefined"
    form = ("+" if sign else "") + (".4f" if abs(value) < 10 else ",.4g")
    return format(value + 0.0, form)  # + 0.0 makes a negative zero positive


def cut(value: object, longest: int = LONGEST) -> str:
    """One line of at most `longest` characters."""
    line = " ".join(str(value).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def escape(value: object, longest: int = LONGEST) -> str:
    """A value inside Markdown, table cells included: no markup, no HTML, no link, no mention, no reference.

    A sign that could start one, and an underscore at the edge of a word, becomes a character reference; so does a dot
    or a slash between letters, for web addresses become links.
    """
    return re.sub(SIGNS, lambda found: f"&#{ord(found[0])};", cut(value, longest))


def label(value: object, longest: int = LONGEST) -> str:
    """A quoted text inside a Mermaid chart: letters, digits and a few signs that mean nothing there."""
    return '"' + re.sub(r"[^\w .,:/()+\-]", "_", cut(value, longest)) + '"'
