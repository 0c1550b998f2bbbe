"""Draws period.svg, the order of events in a period: `python docs/concepts/draw_period.py`."""

from pathlib import Path
from xml.sax.saxutils import escape

EVENTS = (
    ("observe", "stock after arrivals,\nwhat is on its way,\npast demand"),
    ("1 order", "review days, packs,\nminimum order"),
    ("2 ship", "limits and budgets;\na short source\nrations its stock"),
    ("3 receive", "shipments with\nlead time 0"),
    ("4 demand", "served from stock;\nthe rest is lost\nor waits (backlog)"),
    ("5 returns", "restocked, sent on\nor liquidated"),
    ("6 age", "goods past their\nshelf life expire"),
    ("7 pay", "holding, shortage,\nordering, freight, …"),
    ("next period", "what is due arrives;\ntime + 1"),
)
WIDTH, HEIGHT, GAP, TOP, MARGIN = 132, 112, 14, 96, 16
INK, SOFT, FILL, ACCENT = "#1f2933", "#52606d", "#e0f2f1", "#ffccbc"


def svg() -> str:
    """The picture as text."""
    across = 2 * MARGIN + len(EVENTS) * (WIDTH + GAP) - GAP
    high = TOP + HEIGHT + 96
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across} {high}" role="img"'
        ' font-family="Helvetica, Arial, sans-serif">',
        "<title>The order of events in a period</title>",
        f'<rect width="{across}" height="{high}" rx="8" fill="#ffffff"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8"'
        f' markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{SOFT}"/></marker></defs>',
    ]
    for number, (name, says) in enumerate(EVENTS):
        left = MARGIN + number * (WIDTH + GAP)
        edge = number in (0, len(EVENTS) - 1)
        parts.append(
            f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" rx="6"'
            f' fill="{"#f5f7fa" if edge else FILL}" stroke="{SOFT}"/>'
        )
        parts.append(_text(left + WIDTH / 2, TOP + 26, name, 15, bold=True))
        for line, words in enumerate(says.split("\n")):
            parts.append(_text(left + WIDTH / 2, TOP + 52 + 17 * line, words, 12))
        if number:
            middle = TOP + HEIGHT / 2
            parts.append(_arrow(left - GAP, middle, left - 1, middle))
    for number, words in ((1, "the policy decides"), (3, "lead times, shares that arrive"),
                          (4, "demand")):  # fmt: skip
        centre = MARGIN + number * (WIDTH + GAP) + WIDTH / 2
        own = number == 1
        parts.append(
            f'<rect x="{centre - 96}" y="20" width="192" height="34" rx="17"'
            f' fill="{"#fff3c4" if own else ACCENT}"/>'
        ) if number != 4 else parts.append(
            f'<rect x="{centre + 8}" y="20" width="84" height="34" rx="17" fill="{ACCENT}"/>'
        )
        parts.append(_text(centre + (50 if number == 4 else 0), 42, words, 13))
        parts.append(_arrow(centre + (50 if number == 4 else 0), 54, centre, TOP - 1))
    below = TOP + HEIGHT + 30
    first, last = MARGIN + WIDTH / 2, across - MARGIN - WIDTH / 2
    parts.append(
        f'<path d="M{last} {TOP + HEIGHT} V{below} H{first} V{TOP + HEIGHT + 2}" fill="none"'
        f' stroke="{SOFT}" stroke-width="1.5" marker-end="url(#head)"/>'
    )
    parts.append(_text(across / 2, below + 22, "the state of the network is all that is carried on", 13))
    parts.append(
        _text(across / 2, below + 44, "red: noise that is drawn before and does not depend on the"
              " policy; yellow: the action", 12)  # fmt: skip
    )
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, words: str, size: int, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="middle"'
        f' fill="{INK if bold else SOFT}"{weight}>{escape(words)}</text>'
    )


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return (
        f'<path d="M{x:g} {y:g} L{to_x:g} {to_y:g}" stroke="{SOFT}" stroke-width="1.5"'
        ' marker-end="url(#head)"/>'
    )


if __name__ == "__main__":
    (Path(__file__).parent / "period.svg").write_text(svg(), encoding="utf-8")
