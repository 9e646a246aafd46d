"""The request as the manuals declare it: a pydantic model for a row."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, create_model

from << cookiecutter.__package >>.columns import Boolean, Category, Column, Number
from << cookiecutter.__package >>.schema import SCHEMA


def kind(column: Column) -> Any:
    if isinstance(column, Category):
        base = Annotated[str, Field(max_length=64)]
    elif isinstance(column, Boolean):
        base = bool
    else:
        bounds = {"ge": column.minimum, "le": column.maximum} if isinstance(column, Number) else {}
        base = Annotated[float, Field(**{name: bound for name, bound in bounds.items() if bound is not None})]
    return (base | None, None) if column.optional else (base, ...)


Row: type[BaseModel] = create_model("Row", **{column.name: kind(column) for column in SCHEMA.features})


def columns(rows: list[BaseModel]) -> dict[str, list[Any]]:
    return {column.name: [getattr(row, column.name) for row in rows] for column in SCHEMA.features}
