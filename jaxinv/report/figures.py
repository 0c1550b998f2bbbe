"""Pictures of a result."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.evaluation.monitor import Monitored
from jaxinv.exact.enumeration import Enumeration
from jaxinv.exact.policy_table import order_map
from jaxinv.report.drawing import LEARNED, RULE, in_our_style, save_figure, subplots
from jaxinv.runs import Run


@in_our_style
def save_result(run: Run, document: dict[str, Any]) -> None:
    """Draws `result.png` in the run folder: the cost while learning, and every policy's cost on
    held-out demand.
    """
    rows = document["evaluation"]
    figure, (left, right) = subplots(1, 2, figsize=(11, 0.32 * len(rows) + 2.4))
    for label, (updates, costs) in learning_curves(run.metrics_path).items():
        left.plot(updates, costs, color=LEARNED, alpha=0.9, linewidth=1.5, label=label)
    left.set_xlabel("update")
    left.xaxis.get_major_locator().set_params(integer=True)
    left.set_ylabel("training cost a period, exploring")
    left.spines[["top", "right"]].set_visible(False)

    rows = sorted(rows, key=lambda row: -row["cost"])
    cheapest = min(row["cost"] for row in rows)
    shown = [row for row in rows if cheapest <= 0 or row["cost"] < 3 * cheapest]
    costs = [row["cost"] for row in shown]
    names = [row["policy"] + (", chosen" if row.get("chosen") else "") for row in shown]
    learned = [row["policy"].startswith(document["agent"]) for row in shown]
    intervals = [row["cost_interval"] or [row["cost"]] * 2 for row in shown]
    spread = [
        [cost - low for cost, (low, _) in zip(costs, intervals)],
        [high - cost for cost, (_, high) in zip(costs, intervals)],
    ]
    right.barh(
        names,
        costs,
        xerr=spread,
        color=[LEARNED if mine else RULE for mine in learned],
        error_kw={"linewidth": 1},
    )
    for place, (cost, mine) in enumerate(zip(costs, learned)):
        beside = dict(
            xytext=(4 if cost >= 0 else -4, 0),
            textcoords="offset points",
            ha="left" if cost >= 0 else "right",
        )
        right.annotate(
            f"{cost:.4g}",
            (0, place),
            va="center",
            fontsize=8,
            color="white" if mine else "black",
            **beside,
        )
    hidden = len(rows) - len(shown)
    right.set_xlabel(
        "held-out cost a period, 95% interval"
        + ("\nbelow zero is profit" if min(costs) < 0 else "")
        + (f"\n{hidden} dearer rule(s) not shown" if hidden else "")
    )
    right.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{document['agent']} on {document['env']}", fontsize=11)
    save_figure(figure, run.path / "result.png")


def learning_curves(path: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Updates and the training cost at each, of every run in a `metrics.csv`."""
    curves: dict[str, tuple[list[int], list[float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            updates, costs = curves.setdefault(row.get("run", ""), ([], []))
            updates.append(int(row["update"]))
            costs.append(float(row["cost"]))
    return curves


@in_our_style
def save_policy(path: Path, name: str, solution: Enumeration) -> None:
    """Draws the mean order of an optimal policy by stock and units on their way."""
    levels, amounts, orders = order_map(solution)
    figure, axes = subplots(figsize=(7, 4.6))
    if len(amounts) == 1:  # nothing is ever on its way when a decision is made
        axes.step(levels, orders[:, 0], where="mid", color=LEARNED)
        axes.set_ylabel("order")
        axes.spines[["top", "right"]].set_visible(False)
    else:
        drawn = axes.pcolormesh(levels, amounts, orders.T, cmap="YlGnBu", shading="nearest")
        axes.set_ylabel("units on their way")
        figure.colorbar(drawn, label="mean order")
    axes.set_xlabel("net stock" if solution.grid.topology.backlog else "units on hand")
    axes.set_title(f"optimal orders of {name}, average cost {solution.cost:.5g}", fontsize=11)
    save_figure(figure, path)


@in_our_style
def save_fronts(
    path: Path, objectives: Sequence[str], fronts: Mapping[str, np.ndarray], title: str
) -> None:
    """Draws Pareto fronts, two objectives a panel.

    Args:
      objectives: G names of the axes.
      fronts: for each label, points `[P, G]`; the first is drawn in colour.
    """
    pairs = list(itertools.combinations(range(len(objectives)), 2))
    figure, axes = subplots(1, len(pairs), figsize=(5.2 * len(pairs), 4.4), squeeze=False)
    looks = [
        {"color": LEARNED, "marker": "o"},
        {"color": "#8a8a8a", "marker": "x"},
        {"color": "black", "marker": "+"},
    ]
    for panel, (across, up) in zip(axes[0], pairs):
        for (label, points), look in zip(fronts.items(), looks):
            points = points[np.argsort(points[:, across])]
            panel.plot(
                points[:, across],
                points[:, up],
                label=label,
                linestyle="-" if len(pairs) == 1 else "",
                **look,
            )
        panel.set_xlabel(objectives[across])
        panel.set_ylabel(objectives[up])
        panel.spines[["top", "right"]].set_visible(False)
    axes[0][0].legend(frameon=False)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, path)


@in_our_style
def save_best_so_far(
    path: Path, curves: dict[tuple[int, str, str], list[tuple[float, float, float]]]
) -> None:
    """Draws the gap of the best trial so far against the number of trials, with bands; a panel a
    setting and method.

    Args:
      curves: by (setting, method, form): gap in %, and its lower and upper end, after 1, 2, …
        trials.
    """
    settings, methods = (list(dict.fromkeys(of[place] for of in curves)) for place in (0, 1))
    size = (3.2 * len(methods) + 0.4, 2.5 * len(settings) + 0.6)
    figure, panels = subplots(
        len(settings),
        len(methods),
        figsize=size,
        squeeze=False,
        sharex=True,
    )
    for (setting, method, form), curve in curves.items():
        panel = panels[settings.index(setting), methods.index(method)]
        trials = range(1, len(curve) + 1)
        mean, low, high = zip(*curve)
        color = LEARNED if form == "base" else RULE
        panel.plot(trials, mean, color=color, linewidth=1.5, label=form)
        panel.fill_between(trials, low, high, color=color, alpha=0.25, linewidth=0)
        panel.set_title(f"setting {setting}, {method}", fontsize=9)
        panel.set_yscale("symlog", linthresh=1.0)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("trials")
    for panel in panels[:, 0]:
        panel.set_ylabel("gap, %")
    panels[0, 0].legend(frameon=False, fontsize=8)
    save_figure(figure, path)


MONITORED = {
    "cost": "cost a period",
    "fill_rate": "fill rate, %",
    "turnover": "turns a year",
    "transfers": "units sent sideways",
    "forecast_error": "forecast error, % (WAPE)",
}
"""Key figures that are drawn, and their axes."""

MOST_MONITORED = 5
"""Policies in one picture; more cannot be told apart."""


@in_our_style
def save_monitor(path: Path, monitored: Sequence[Monitored], season: int, title: str) -> None:
    """Draws the key figures of policies by period, a panel each, over the season up to each period.

    Args:
      monitored: the first is drawn in colour; of more than `MOST_MONITORED`, the first ones are
        drawn.
      season: periods that each point is a mean over.
    """
    shown = monitored[:MOST_MONITORED]
    names = [name for name in MONITORED if any(one.row[name] is not None for one in shown)]
    size = (8.6, 1.75 * len(names) + 0.7)
    figure, panels = subplots(len(names), 1, figsize=size, sharex=True, squeeze=False)
    panels = panels[:, 0]
    from matplotlib import colormaps

    greys = colormaps["Dark2"](np.linspace(0, 1, 8))[1:]
    for name, panel in zip(names, panels):
        for number, one in enumerate(shown):
            if one.row[name] is None:
                continue
            look = (
                {"color": LEARNED, "linewidth": 1.8, "zorder": 3}
                if number == 0
                else {"color": greys[number], "linewidth": 1.1}
            )
            percent = 100 if "%" in MONITORED[name] else 1
            panel.plot(
                one.first + np.arange(one.periods),
                percent * one.smoothed(name, season),
                label=one.policy,
                **look,
            )
        panel.set_ylabel(MONITORED[name], fontsize=8)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    panels[-1].set_xlabel(
        f"period; each point is over the {season} up to it" if season > 1 else "period", fontsize=9
    )
    hidden = len(monitored) - len(shown)
    said = (
        f"{title}; {hidden} dearer one{'s' if hidden > 1 else ''} in the table alone"
        if hidden
        else title
    )
    panels[0].set_title(said, loc="left", fontsize=10)
    save_figure(figure, path)


@in_our_style
def save_learning(
    path: Path,
    costs: Sequence[Sequence[float]],
    service: Mapping[int, Sequence[float]],
    printed: Mapping[int, float],
) -> None:
    """Draws what agents cost while they learn, and how well they serve.

    Args:
      costs: of each episode `[episodes][seeds]`. service: fill rates in per cent of the seeds after
        so many episodes.
      printed: the same in print.
    """
    figure, (left, right) = subplots(1, 2, figsize=(10.4, 4.2))
    costs = np.asarray(costs)
    left.plot(costs, color="#c8c8c8", linewidth=0.6)
    width = max(len(costs) // 50, 1)
    smooth = np.convolve(costs.mean(1), np.ones(width) / width, "valid")
    left.plot(
        np.arange(width - 1, len(costs)),
        smooth,
        color=LEARNED,
        label=f"mean of the seeds and of {width} episodes",
    )
    left.set(xlabel="episode", ylabel="cost a day in training")
    left.legend(frameon=False)
    at, rates = list(service), np.asarray(list(service.values()))
    right.plot(at, rates, color="#8a8a8a", marker=".", linewidth=0.8)
    right.plot(at, rates.mean(1), color=LEARNED, marker="o", label="mean of the seeds")
    right.plot(
        list(printed),
        list(printed.values()),
        color="black",
        marker="x",
        linestyle="",
        label="in print",
    )
    right.set(xlabel="episodes learned from", ylabel="fill rate, %")
    right.legend(frameon=False)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


@in_our_style
def save_stock_maps(
    path: Path, maps: Mapping[str, Sequence[Sequence[float]]], names: Sequence[str]
) -> None:
    """Draws stock as heat maps, one beside the other on one scale of colours.

    Args:
      maps: for each label the stock of each node on each day, in days of its mean demand
        `[days][nodes]`. names: of the nodes.
    """
    figure, axes = subplots(
        1,
        len(maps),
        figsize=(5.4 * len(maps), 3.8),
        squeeze=False,
        sharey=True,
    )
    tables = {label: np.asarray(table).T for label, table in maps.items()}
    most = max(np.quantile(table, 0.98) for table in tables.values())
    for panel, (label, table) in zip(axes[0], tables.items()):
        drawn = panel.imshow(
            table, aspect="auto", cmap="viridis", vmin=0.0, vmax=most, interpolation="nearest"
        )
        panel.set_title(label, fontsize=11)
        panel.set_xlabel("day")
        panel.set_yticks(range(len(names)), names)
    figure.colorbar(drawn, ax=axes[0].tolist(), label="stock in days of mean demand")
    save_figure(figure, path)


@in_our_style
def save_curves(
    path: Path, curves: Mapping[str, Sequence[float]], least: float, across: str, up: str
) -> None:
    """Draws curves by name, smoothed over a fiftieth of their length, above a line at the least
    that is possible.
    """
    figure, axes = subplots(figsize=(6.4, 4.2))
    for name, values in curves.items():
        width = max(len(values) // 50, 1)
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        axes.plot(np.arange(width - 1, len(values)), smooth, label=name)
    axes.axhline(least, color="black", linewidth=0.8, linestyle="--", label="optimum")
    axes.margins(y=0.05)
    axes.set_ylim(bottom=least - 0.05 * (axes.get_ylim()[1] - least))
    axes.set(xlabel=across, ylabel=up)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_figure(figure, path)
