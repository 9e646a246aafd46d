"""A bar chart as SVG text."""

from html import escape

BAR, GAP, LEFT, WIDTH = 22, 8, 230, 460


def bars(title: str, values: list[tuple[str, float]]) -> str:
    """Horizontal bars from zero, one for each name and value, with the value at its end."""
    most = max(value for _, value in values)
    height = 34 + len(values) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(values):
        top = 34 + number * (BAR + GAP)
        long = max(value / most * WIDTH, 1)
        parts += [
            f'<text x="{LEFT - 8}" y="{top + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{long:.1f}" height="{BAR}" fill="#4878a8"/>',
            f'<text x="{LEFT + long + 6:.1f}" y="{top + 16}">{value:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
