"""Points in ten dimensions, numbered in the order in which they were drawn, one every hour."""

from .columns import Boolean, Number, Schema, Time

SCHEMA = Schema(
    columns=(
        Number(name="point", minimum=0, integer=True, feature=False),
        Time(name="drawn"),
        *(Number(name=f"x{number}", minimum=-6, maximum=6, example=0.5) for number in range(10)),
        Boolean(name="outside", feature=False),
    ),
    key=("point",),
    time="drawn",
    label="outside",
)
