"""How every picture looks, and how it is kept: as a file, or as SVG in a page."""

import html
import io
import re
from pathlib import Path
from typing import Any

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


def pyplot_for_files() -> Any:
    """matplotlib for files; imported where a picture is drawn, for that takes a second."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(STYLE)
    return pyplot


def save_figure(figure: Any, path: Path) -> None:
    """Writes a figure as a picture, and is done with it."""
    figure.savefig(path, dpi=120)
    pyplot_for_files().close(figure)


_NUMBER = re.compile(r"(?<![#\w.])-?\d+\.\d{2,}")


def _shorter(number: re.Match) -> str:
    """A coordinate to a tenth of a point."""
    return f"{float(number[0]):.1f}".removesuffix(".0")


def svg(figure: Any, name: str, says: str) -> str:
    """A figure as an `<svg>` for a page, and is done with it. The same figure gives the same text.

    Args:
      name: that no other picture of the page has: letters and digits.
      says: what the picture shows, for those who cannot see it.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "jaxinv"}):
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    pyplot_for_files().close(figure)
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
