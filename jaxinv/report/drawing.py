"""How every picture looks, and how it is kept: as a file, or as SVG in a page."""

import html
import io
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

LEARNED, RULE, THEIRS, SHORT, FORECAST = "#1f6f8b", "#b8b8b8", "#c98a1b", "#b4373c", "#6a5aa8"
"""Colours: of what a report is about, of rules, of what a shop did itself, of what was not served,
and of forecasts.
"""
INK, QUIET, LINE = "#1d2733", "#5b6775", "#d9dee4"

STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": "#e8ebef",
    "grid.linewidth": 0.8,
    "xtick.color": "#9aa5b1",
    "ytick.color": "#9aa5b1",
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxinv",
}


def in_our_style(draw: Callable[..., T]) -> Callable[..., T]:
    """A function that draws or writes a picture, with matplotlib in the style of this package until
    it returns. matplotlib is imported then, for that takes a second.
    """

    @wraps(draw)
    def drawn(*args: Any, **options: Any) -> T:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*args, **options)

    return drawn


def subplots(*grid: int, figsize: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    """A figure with tight margins and its axes, as matplotlib's function of that name, for files.

    It goes past pyplot, whose backend is the caller's: a notebook shows its pictures after a
    training as before.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(*grid, **options)


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure as a picture."""
    figure.savefig(path, dpi=120)


_NUMBER = re.compile(r"(?<![#\w.])-?\d+\.\d{2,}")


def _shorter(number: re.Match) -> str:
    """A coordinate to a tenth of a point."""
    return f"{float(number[0]):.1f}".removesuffix(".0")


@in_our_style
def svg(figure: Any, name: str, says: str) -> str:
    """A figure as an `<svg>` for a page. The same figure gives the same text.

    Args:
      name: that no other picture of the page has: letters and digits.
      says: what the picture shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = re.sub(r'="[^"]*"', lambda found: _NUMBER.sub(_shorter, found[0]), text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups()
    head = (
        f'<svg role="img" aria-label="{html.escape(says)}" viewBox="0 0 {width} {height}"'
        ' class="picture"'
    )
    return re.sub(
        r"<svg[^>]*>",
        f'{head} xmlns:xlink="http://www.w3.org/1999/xlink"><title>{html.escape(says)}</title>',
        text,
        count=1,
    )
