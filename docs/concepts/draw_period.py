"""Draws period.svg, the order of events in a period: `python docs/concepts/draw_period.py`."""

from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape


class Event(NamedTuple):
    """A box: its heading, its lines, and what comes into it from outside."""

    name: str
    lines: tuple[str, ...]
    comes_in: str = ""


ROWS = (
    (
        Event("policy observes", ("stock after arrivals,", "what is on its way,", "past demand")),
        Event("1  order", ("review days, packs,", "minimum order"), "the action"),
        Event("2  ship", ("limits and budgets;", "a source that is short", "shares its stock")),
        Event("3  receive", ("shipments with", "lead time 0"), "lead times, losses"),
    ),
    (
        Event("4  demand", ("served from stock;", "the rest is lost,", "or waits"), "demand"),
        Event("5  returns", ("restocked, sent on", "or liquidated")),
        Event(
            "6  pay and age", ("holding, shortage,", "freight, …; goods past", "their life expire")
        ),
        Event("next period", ("what is due arrives,", "time goes on by one"), "lead times, losses"),
    ),
)
WIDTH, HEIGHT, GAP, MARGIN, ABOVE, BETWEEN = 190, 104, 26, 24, 78, 84
INK, SOFT, FILL, NOISE, ACTION = "#1f2933", "#52606d", "#e0f2f1", "#ffccbc", "#ffe8a3"


def svg() -> str:
    """The picture as text."""
    across = 2 * MARGIN + 4 * WIDTH + 3 * GAP
    tops = [ABOVE + row * (HEIGHT + BETWEEN) for row in range(len(ROWS))]
    high = tops[-1] + HEIGHT + 74
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {high}" role="img"'
        ' font-family="Helvetica, Arial, sans-serif">',
        "<title>The order of events in a period</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        f' markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{SOFT}"/></marker>'
        "</defs>",
        f'<rect width="{across}" height="{high}" rx="8" fill="#ffffff"/>',
    ]
    for row, top in zip(ROWS, tops):
        for place, event in enumerate(row):
            parts += _event(event, MARGIN + place * (WIDTH + GAP), top)
            if place:
                left = MARGIN + place * (WIDTH + GAP)
                parts.append(_arrow(f"M{left - GAP} {top + HEIGHT / 2} H{left - 1}"))
    right, left = across - MARGIN - WIDTH / 2, MARGIN + WIDTH / 2
    turn = tops[0] + HEIGHT + 22
    parts.append(_arrow(f"M{right} {tops[0] + HEIGHT} V{turn} H14 V{tops[1] + 52} H{MARGIN - 1}"))
    under = tops[-1] + HEIGHT + 20
    parts.append(_arrow(f"M{right} {under - 20} V{under} H6 V{tops[0] + 52} H{MARGIN - 1}"))
    parts.append(_text(across / 2, under + 20, "only the state of the network is carried on", 14))
    parts.append(_dot(left + 12, under + 36, NOISE))
    parts.append(_text(left + 156, under + 43, "noise, drawn whatever the policy does", 14))
    parts.append(_dot(left + 390, under + 36, ACTION))
    parts.append(_text(left + 490, under + 43, "what the policy decides", 14))
    return "\n".join([*parts, "</svg>", ""])


def _event(event: Event, left: float, top: float) -> list[str]:
    middle = left + WIDTH / 2
    fill = FILL if event.name[0].isdigit() else "#f5f7fa"
    parts = [
        f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{fill}"'
        f' stroke="{SOFT}"/>',
        _text(middle, top + 26, event.name, 17, INK, "bold"),
        *(_text(middle, top + 50 + 19 * line, words, 15)
          for line, words in enumerate(event.lines)),
    ]  # fmt: skip
    if event.comes_in:
        colour = ACTION if event.comes_in == "the action" else NOISE
        parts += [
            f'<rect x="{middle - 76}" y="{top - 56}" width="152" height="30" rx="15"'
            f' fill="{colour}"/>',
            _text(middle, top - 36, event.comes_in, 15, INK),
            _arrow(f"M{middle} {top - 26} V{top - 1}"),
        ]
    return parts


def _text(x, y, words: str, size: int, colour: str = SOFT, weight: str = "normal") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="middle" fill="{colour}"'
        f' font-weight="{weight}">{escape(words)}</text>'
    )


def _arrow(path: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{SOFT}" stroke-width="1.5" marker-end="url(#head)"/>'
    )


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y + 2}" r="8" fill="{colour}"/>'


if __name__ == "__main__":
    (Path(__file__).parent / "period.svg").write_text(svg(), encoding="utf-8")
