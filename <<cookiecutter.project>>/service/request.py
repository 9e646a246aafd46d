"""The request type, derived from the schema, and what is said about a body that does not fit it.

msgspec decodes and validates in one pass, a few microseconds for a row, and stops at the first fault. Only then is
the body read again, generously, to name every fault by row and field. A caller's values are never repeated.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from service.limits import Limits
from << cookiecutter.__package >>.columns import Boolean, Category, Column, Number, Schema

FLOAT32 = 3.4e38  # the graph's inputs are float32: a number beyond this would become infinite
SHOWN = 10  # problems that are listed


class Refused(Exception):
    """A request that is answered with an error: its status, a sentence, and the problems by row and field."""

    def __init__(self, status: int, error: str, problems: list[str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.problems = problems or []


def kind(column: Column, text: int) -> Any:
    """The msgspec type of one field; `text` bounds the length of a category that is open."""
    about = {"description": ", ".join(filter(None, (column.about, getattr(column, "unit", ""))))}
    if isinstance(column, Category):
        if column.values and not column.open:
            base = Annotated[Literal[column.values], Meta(**about)]
        else:
            base = Annotated[str, Meta(max_length=text, **about)]
    elif isinstance(column, Number):
        low = -FLOAT32 if column.minimum is None else column.minimum
        high = FLOAT32 if column.maximum is None else column.maximum
        whole = 1 if column.integer else None  # 5.0 is a whole number too, and what many clients send for 5
        base = Annotated[float, Meta(ge=low, le=high, multiple_of=whole, **about)]
    elif isinstance(column, Boolean):
        base = Annotated[bool, Meta(**about)]
    else:
        raise TypeError(f"schema: {column.name} cannot be a feature: {type(column).__name__}")
    return base | None if column.optional else base


def rule(column: Column, text: int) -> str:
    """What a value of the field must be, in words."""
    if isinstance(column, Category):
        closed = column.values and not column.open
        words = f"one of {', '.join(column.values)}" if closed else f"a string of at most {text} characters"
    elif isinstance(column, Number):
        bounds = [f">= {column.minimum}"] if column.minimum is not None else []
        bounds += [f"<= {column.maximum}"] if column.maximum is not None else []
        words = " ".join(["a whole number" if column.integer else "a number", " and ".join(bounds)]).strip()
    else:
        words = "true or false"
    return f"must be {words}{', or null' if column.optional else ''}"


class Requests:
    """Decodes bodies `{"rows": [{feature: value, ...}, ...]}` into tuples in the order of the schema's features."""

    def __init__(self, schema: Schema, limits: Limits) -> None:
        self.kinds = {column.name: kind(column, limits.text) for column in schema.features}
        self.rules = {column.name: rule(column, limits.text) for column in schema.features}
        self.required = [column.name for column in schema.features if not column.optional]
        self.limit = limits.rows
        fields = [
            (column.name, self.kinds[column.name], *([None] if column.optional else [])) for column in schema.features
        ]
        self.row = msgspec.defstruct("Row", fields, kw_only=True, frozen=True, gc=False, forbid_unknown_fields=True)
        rows = Annotated[list[self.row], Meta(min_length=1, max_length=limits.rows)]
        self.type = msgspec.defstruct("Request", [("rows", rows)], gc=False, forbid_unknown_fields=True)
        self.decoder = msgspec.json.Decoder(self.type)

    def decode(self, body: bytes) -> list[tuple]:
        """The rows of a body; raises Refused: 400 for no JSON, 413 for too many rows, 422 for what does not fit."""
        try:
            return [msgspec.structs.astuple(row) for row in self.decoder.decode(body).rows]
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise self.refusal(body) from None

    def refusal(self, body: bytes) -> Refused:
        """Why this body is refused."""
        try:
            request = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            why = f": {str(error).partition(' - at ')[0]}" if isinstance(error, msgspec.MsgspecError) else ""
            return Refused(400, f"the body cannot be read as JSON{why}")
        if not isinstance(request, dict) or not isinstance(request.get("rows"), list) or len(request) != 1:
            return Refused(422, 'the body must be {"rows": [...]}')
        rows = request["rows"]
        if len(rows) > self.limit:
            return Refused(413, f"at most {self.limit} rows in one request, got {len(rows)}")
        if not rows:
            return Refused(422, "rows: must hold at least one row")
        problems = [problem for number, row in enumerate(rows) for problem in self.problems(f"rows[{number}]", row)]
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        return Refused(422, problems[0] if problems else "the body does not fit", problems[:SHOWN] + more)

    def problems(self, place: str, row: Any) -> list[str]:
        """Everything that is wrong with one decoded row."""
        if not isinstance(row, dict):
            return [f"{place}: must be an object"]
        found = [f"{place}.{name}: is required" for name in self.required if name not in row]
        found += [f"{place}: {shown(name)} is no feature" for name in row if name not in self.kinds]
        for name, kind in self.kinds.items():
            if name in row:
                try:
                    msgspec.convert(row[name], kind)
                except msgspec.ValidationError:
                    found.append(f"{place}.{name}: {self.rules[name]}")
        return found


def shown(name: str) -> str:
    """A caller's field name, made safe to show."""
    return ascii(name if len(name) <= 40 else name[:40] + "...")
