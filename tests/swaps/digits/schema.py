"""Scans of handwritten digits, one every hour."""

from .columns import Category, Number, Schema, Time

SCHEMA = Schema(
    columns=(
        Number(name="scan", minimum=0, integer=True, feature=False),
        Time(name="scanned"),
        *(Number(name=f"pixel_{n}", about="ink", minimum=0, maximum=16, integer=True, example=8) for n in range(64)),
        Category(name="digit", values=tuple("0123456789"), feature=False),
    ),
    key=("scan",),
    time="scanned",
    label="digit",
)
