"""Pictures of a report on a run. Each function returns a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.report.drawing import (
    FORECAST,
    INK,
    LEARNED,
    RULE,
    SHORT,
    THEIRS,
    in_our_style,
    subplots,
)
from jaxinv.report.numbers import whole

MOST_NAMED = 8
"""Dots that a picture names; of the others the table beside it tells."""


@in_our_style
def cost_and_service(points: Sequence[Mapping[str, Any]], unit: str) -> Any:
    """What policies and rules cost against how well they serve.

    Args:
      points: for each `name`, `kind` ("acts", "policy", "rule", "theirs" or "optimum"), `fill_rate`
        in per cent, `cost`, and the interval of the cost `low`, `high` or None. They are numbered
        in their order.
      unit: of the cost.
    """
    figure, axes = subplots(figsize=(6.2, 4.3))
    colours = {"acts": LEARNED, "policy": "#7fb0c1", "theirs": THEIRS, "optimum": INK}
    for place, point in reversed(list(enumerate(points, 1))):
        colour = colours.get(point["kind"], "#9aa5b1")
        if point["low"] is not None:
            axes.plot(
                [point["fill_rate"]] * 2,
                [point["low"], point["high"]],
                color=colour,
                linewidth=1.2,
                alpha=0.55,
            )
        axes.plot(
            point["fill_rate"],
            point["cost"],
            "o",
            color=colour,
            markersize=13 if point["kind"] == "acts" else 10.5,
        )
        axes.annotate(
            str(place),
            (point["fill_rate"], point["cost"]),
            ha="center",
            va="center_baseline",
            color="white",
            fontsize=8,
            fontweight="bold",
        )
    axes.set_xlabel("share of demand served at once, %  (right is better)")
    axes.set_ylabel(f"{unit}  (lower is better)")
    axes.grid(True)
    axes.margins(0.08, 0.12)
    axes.yaxis.set_major_formatter(lambda value, _: whole(value))
    return figure


@in_our_style
def history(periods: Mapping[str, pd.DataFrame]) -> Any:
    """Demand, stock and orders of one SKU.

    Args:
      periods: for each label a table of `jaxinv.report.worst.worst` for the SKU; the first is what
        the report is about.
    """
    figure, (upper, lower) = subplots(
        2, 1, figsize=(4.9, 3.3), height_ratios=(1.05, 1), sharex=True
    )
    first = next(iter(periods.values()))
    dates = first["period"]
    dates = (
        pd.to_datetime(dates).to_numpy()
        if dates.str.fullmatch(r"\d{4}-\d\d-\d\d").all()
        else dates.astype(float).to_numpy()
    )
    upper.fill_between(
        dates, first["demand"], step="mid", color="#dfe4ea", linewidth=0, label="demand"
    )
    forecast = next(
        (
            table
            for table in periods.values()
            if "forecast" in table and table["forecast"].notna().all()
        ),
        None,
    )
    if forecast is not None:
        of = "forecast" if forecast is first else "forecast of the best rule"
        upper.plot(dates, forecast["forecast"], color=FORECAST, linewidth=1.2, label=of)
        upper.fill_between(
            dates,
            forecast["forecast_low"],
            forecast["forecast_high"],
            color=FORECAST,
            alpha=0.13,
            linewidth=0,
            label="8 in 10",
        )
    short = first["short"] > 0.005 * max(first["demand"].max(), 1e-9)
    if short.any():
        upper.plot(
            dates[short],
            first["demand"][short],
            "v",
            color=SHORT,
            markersize=4,
            label="not all served",
        )
    for place, (label, table) in enumerate(periods.items()):
        colour, width = (LEARNED, 1.6) if place == 0 else (RULE, 1.2)
        lower.plot(
            dates, table["stock"], color=colour, linewidth=width, zorder=3 - place, label=label
        )
    ordered = first["ordered"].to_numpy()
    placed = ordered > 0
    lower.vlines(
        dates[placed],
        0,
        ordered[placed],
        color=THEIRS,
        linewidth=1.2,
        alpha=0.75,
        zorder=1,
        label="ordered",
    )
    for panel in (upper, lower):
        panel.set_ylim(bottom=0)
        panel.grid(True, axis="y")
        panel.tick_params(labelsize=8.5)
        panel.set_ylabel("units", fontsize=8.5)
        panel.legend(
            fontsize=7.5,
            ncols=4,
            loc="lower left",
            bbox_to_anchor=(0, 0.98),
            borderaxespad=0,
            handlelength=1.4,
            columnspacing=1,
        )
    _dated(lower, dates)
    return figure


@in_our_style
def learning(curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> Any:
    """The cost in training of every run by update."""
    figure, axes = subplots(figsize=(6.2, 2.8))
    for label, (updates, costs) in curves.items():
        axes.plot(
            updates,
            costs,
            linewidth=1.5,
            label=label,
            **({"color": LEARNED} if len(curves) == 1 else {}),
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="update", ylabel="cost a period")
    axes.grid(True, axis="y")
    if 1 < len(curves) <= MOST_NAMED:
        axes.legend(fontsize=8)
    return figure


def _dated(axes: Any, dates: np.ndarray) -> None:
    if np.issubdtype(dates.dtype, np.datetime64):
        from matplotlib import dates as calendar

        locator = calendar.AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(calendar.ConciseDateFormatter(locator, show_offset=False))
    else:
        axes.set_xlabel("period", fontsize=8.5)
