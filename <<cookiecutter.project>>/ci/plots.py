"""Small line charts as SVG text, for where no plotting package is worth its size."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 640, 400, 60
COLOURS = ("#1f6feb", "#d1242f", "#57606a")


def line_chart(title: str, across: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """An SVG of up to three named lines of (x, y) points, axes labelled at their ends."""
    points = [point for line in lines.values() for point in line]
    low, high = (tuple(edge(axis) for axis in zip(*points, strict=True)) for edge in (min, max))
    spans = [(above - below) or 1 for below, above in zip(low, high, strict=True)]

    def place(x: float, y: float) -> str:
        right = MARGIN + (x - low[0]) / spans[0] * (WIDTH - 2 * MARGIN)
        down = HEIGHT - MARGIN - (y - low[1]) / spans[1] * (HEIGHT - 2 * MARGIN)
        return f"{right:.1f},{down:.1f}"

    def text(x: float, y: float, value: str, **style: str) -> str:
        styles = "".join(f' {name.replace("_", "-")}="{setting}"' for name, setting in style.items())
        return f'<text x="{x}" y="{y}"{styles}>{escape(value)}</text>'

    floor, end = HEIGHT - MARGIN, WIDTH - MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{MARGIN},{MARGIN} V{floor} H{end}" fill="none" stroke="#8c959f"/>',
        text(WIDTH / 2, 28, title, text_anchor="middle", font_weight="bold"),
        text(WIDTH / 2, HEIGHT - 18, across, text_anchor="middle"),
        text(MARGIN, floor + 18, f"{low[0]:.4g}", text_anchor="middle"),
        text(end, floor + 18, f"{high[0]:.4g}", text_anchor="middle"),
        text(MARGIN - 6, floor, f"{low[1]:.4g}", text_anchor="end"),
        text(MARGIN - 6, MARGIN + 4, f"{high[1]:.4g}", text_anchor="end"),
    ]
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number]
        drawn = " ".join(place(*point) for point in line)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text(MARGIN + 12, MARGIN + 16 * (number + 1), name, fill=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"
