"""Draws the picture at the head of the README: python docs/draw_overview.py

A supply network, a policy that reads its demand, and the evidence: costs with their 95% intervals
on held-out demand, read from bench/results.
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).parent
INK, TEAL, ORANGE, GREY = "#22313f", "#00897b", "#e4572e", "#9aa5b1"
SHOWN = {
    "cb": "learned (PPO)",
    "r_nQ_regression": "lots on a regression",
    "newsvendor_regression": "newsvendor on a regression",
    "r_nQ": "lots (r, nQ)",
    "capped_base_stock": "capped base-stock",
    "s_S": "(s, S)",
    "base_stock": "base-stock",
}


def main():
    figure, (world, policy, evidence) = plt.subplots(
        1,
        3,
        figsize=(12.5, 3.4),
        gridspec_kw={"width_ratios": [1.2, 1.1, 1.0]},
        layout="constrained",
    )
    draw_network(world)
    draw_policy(policy)
    draw_evidence(evidence)
    figure.savefig(HERE / "overview.png", dpi=150, facecolor="white")


def draw_network(axes):
    """Suppliers, a warehouse and stores, with what a period moves."""
    axes.set_title("one network, thousands at once", color=INK, fontsize=11)
    places = {
        "supplier\nby sea": (0.1, 0.8),
        "supplier\nby air": (0.1, 0.2),
        "warehouse": (0.5, 0.5),
        "store 1": (0.9, 0.85),
        "store 2": (0.9, 0.5),
        "store 3": (0.9, 0.15),
    }
    for name, (x, y) in places.items():
        colour = GREY if name.startswith("supplier") else TEAL
        box = FancyBboxPatch(
            (x - 0.125, y - 0.085), 0.25, 0.17, boxstyle="round,pad=0.012", color=colour, lw=0
        )
        axes.add_patch(box)
        axes.text(x, y, name, ha="center", va="center", color="white", fontsize=8)
    ways = [
        ("supplier\nby sea", "warehouse", "30 days"),
        ("supplier\nby air", "warehouse", "5 days"),
        *(("warehouse", f"store {number}", "") for number in (1, 2, 3)),
    ]
    for start, end, label in ways:
        (x0, y0), (x1, y1) = places[start], places[end]
        arrow = FancyArrowPatch(
            (x0 + 0.14, y0), (x1 - 0.14, y1), arrowstyle="-|>", mutation_scale=12, color=INK, lw=1.2
        )
        axes.add_patch(arrow)
        above = 0.09 if y0 > y1 else -0.13
        axes.text((x0 + x1) / 2, (y0 + y1) / 2 + above, label, ha="left", fontsize=8, color=INK)
    axes.set_xlim(-0.05, 1.05), axes.set_ylim(0, 1)
    axes.axis("off")


def draw_policy(axes):
    """Demand as it came, and orders up to a level that follows it."""
    draw = np.random.default_rng(4)
    days = np.arange(42)
    mean = 10 + 4 * np.sin(2 * np.pi * days / 21) + 8 * (days > 28)
    demand = draw.poisson(mean)
    level = 1.55 * np.convolve(np.r_[[10] * 4, demand], np.ones(5) / 5, "valid") + 6
    axes.set_title("a policy reads demand and orders", color=INK, fontsize=11)
    axes.bar(days, demand, color=GREY, width=0.8, label="demand a day")
    axes.step(days, level, color=ORANGE, where="mid", lw=1.8, label="order-up-to level")
    axes.set_ylim(0, 48)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.set_xlabel("day", fontsize=8.5, color=INK)
    axes.set_ylabel("units", fontsize=8.5, color=INK)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_evidence(axes):
    """Costs on held-out demand, cheapest first."""
    rows = {row["policy"]: row for row in json.loads(_results().read_text())}
    found = [(label, rows[name]) for name, label in SHOWN.items() if name in rows]
    found.sort(key=lambda one: -one[1]["cost"])
    for place, (label, row) in enumerate(found):
        colour = ORANGE if label.startswith("learned") else TEAL
        axes.plot(row["cost_interval"], [place, place], color=colour, lw=3, alpha=0.5)
        axes.plot(row["cost"], place, "o", color=colour, markersize=8)
    axes.set_yticks(range(len(found)), [label for label, _ in found], fontsize=8.5)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.grid(axis="x", color=GREY, alpha=0.3)
    axes.set_xlabel("cost a day and SKU, held-out demand, 95%", fontsize=8.5, color=INK)
    axes.set_title("evidence: beside tuned rules", color=INK, fontsize=11)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _results() -> Path:
    return HERE.parent / "bench" / "results" / "decisions" / "cross_border.json"


if __name__ == "__main__":
    main()
