"""Readings at three sites, one every hour."""

from .columns import Category, Number, Schema, Time

SCHEMA = Schema(
    columns=(
        Number(name="reading", minimum=0, integer=True, feature=False),
        Time(name="at"),
        Category(name="site", values=("north", "east", "south"), example="east"),
        *(
            Number(name=f"x{number}", minimum=0, maximum=1, missing=0.1 if number == 3 else 0, example=0.5)
            for number in range(10)
        ),
        Number(name="value", feature=False),
    ),
    key=("reading",),
    time="at",
    label="value",
)
