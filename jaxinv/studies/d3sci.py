"""Tables 2 to 6 of seed 000: D3S-CI beside its rivals and beside whom the paper left out, and
without its modules.

    python -m jaxinv.reproduce d3sci-table2 [METHOD ...] DATA [DATA ...]

DATA are files or folders of sales that the package reads. Table 2 is of all of them; tables 3 and 5
are of Retailrocket, tables 4 and 6 of Retail Store Inventory. Every number in print stands beside
ours. Its units are not told, so what can hold or fail is the direction and the order: how much more
of a measure D3S-CI has than a rival. All such intervals of a table hold at once with 95%.

What a method did is kept as it finishes (`jaxinv.studies.cells`): a study that was interrupted, or
that gets one more method, goes on. `--quick` has two seeds, twelve series and short trainings.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.errors import UserError
from jaxinv.evaluation.five_metrics import normalised_score
from jaxinv.evaluation.statistics import each_of
from jaxinv.exact.clairvoyant import lot_sizing
from jaxinv.report.drawing import LEARNED, in_our_style, subplots
from jaxinv.report.drawing import RULE as GREY
from jaxinv.studies import d3sci_methods as methods
from jaxinv.studies.ablation import PUBLISHED as ABLATIONS
from jaxinv.studies.cells import Arrays, Cells
from jaxinv.studies.d3sci_ablation import VARIANTS, ablated, setting
from jaxinv.studies.d3sci_measures import MEASURES, UNITS, Ground, change, in_all_units, measured
from jaxinv.studies.d3sci_play import LEVEL, Stage, truth, watch
from jaxinv.studies.d3sci_worlds import FULL, QUICK, UNIT_COST, DataSet, Size, data_set
from jaxinv.studies.rows import row

resumes = True
"""`run` takes the folder that its cells are kept in."""

PUBLISHED = {
    # total cost, MAE, inventory turnover, F1, cumulative reward: table 2
    "Retailrocket": {
        "d3sci": (3500, 0.15, 1.75, 92, 1950),
        "gmrl": (4100, 0.17, 1.50, 88, 1700),
        "decision_transformer": (3800, 0.16, 1.60, 90, 1800),
        "cql": (4200, 0.18, 1.40, 86, 1650),
        "fdim": (3600, 0.14, 1.70, 91, 1900),
        "srdqn": (4000, 0.17, 1.55, 89, 1750),
    },
    "Retail Store Inventory": {
        "d3sci": (3000, 0.13, 2.10, 94, 2200),
        "gmrl": (3500, 0.16, 1.90, 89, 1900),
        "decision_transformer": (3200, 0.15, 2.00, 92, 2000),
        "cql": (3700, 0.17, 1.80, 87, 1850),
        "fdim": (3100, 0.14, 2.05, 93, 2100),
        "srdqn": (3300, 0.15, 1.95, 90, 1950),
    },
}

SINGLE = ("w/o state", "w/o core", "w/o adaptive")
SEVERAL = tuple(name for name in VARIANTS if name not in ("D3S-CI", *SINGLE))
TABLES = {
    "table3": ("Retailrocket", SINGLE),
    "table4": ("Retail Store Inventory", SINGLE),
    "table5": ("Retailrocket", SEVERAL),
    "table6": ("Retail Store Inventory", SEVERAL),
}
"""The data set and the variants of each table of ablations."""


def run(
    quick: bool = False, parts: Sequence[str] = (), folder: Path = Path("runs/d3sci")
) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`): every measure of every method, then D3S-CI against each.

    Args:
      parts: the table, such as "table2"; then methods, and files or folders of sales.
      folder: where cells are kept.
    """
    table, *others = parts
    size, files = QUICK if quick else FULL, [one for one in others if Path(one).exists()]
    names = [one for one in others if one not in files]
    if not files:
        raise UserError(
            f"name the sales that {table} is of: files or folders, such as events.csv,"
            " retail_store_inventory.csv"
        )
    cells = Cells(folder)
    if table == "table2":
        methods.check_methods(names)
        for file in files:
            yield from comparison(data_set(file, size), names or methods.DEFAULT, size, cells)
        return
    if names:
        raise UserError(f"{table} is of the modules of D3S-CI; leave out {names[0]!r}")
    wanted, variants = TABLES[table]
    for file in files:
        found = data_set(file, size)
        if found.title != wanted:
            raise UserError(f"{table} is of {wanted}, and {file} is {found.title}; give that")
        yield from ablation(found, variants, size, cells)


def comparison(
    data: DataSet, names: Sequence[str], size: Size, cells: Cells
) -> Iterator[dict[str, Any]]:
    """Table 2 on one data set."""
    reference, found = Stage(data.problem).reference(), {}
    ground = Ground(data.problem, truth(data.problem, reference))
    printed = PUBLISHED.get(data.title, {})
    for name in names:

        def made(name=name) -> Arrays:
            who = methods.ordering(data.problem, name, size)
            kept = watch(data.problem, who.policies, reference)
            return {**kept, "seconds": np.array(who.seconds), "note": np.array(who.note)}

        about = _about(data, size, methods.setting(data.problem, name, size))
        cell = cells.cell(f"{data.title} {name}", about, made)
        found[name] = {key: cell[key] for key in cell if key not in ("seconds", "note")}
        note = f"{cell['note']}; {float(cell['seconds']):.0f} s".removeprefix("; ")
        yield from _values(ground, data.title, name, found[name], printed.get(name), note)
    least = clairvoyant(ground)
    note = "from knowing demand: every unit is bought just in time; a lower bound"
    yield row(_claim(data.title, methods.CLAIRVOYANT, "total cost"), least, note=note)
    if methods.RULE in found:
        costs = {name: float(ground.costs(one).mean()) for name, one in found.items()}
        for name in names:
            score = normalised_score(costs[name], costs[methods.RULE], least)
            note = "0 for the best tuned rule, 1 for the clairvoyant"
            yield row(_claim(data.title, name, "normalised score"), score, note=note)
    if methods.D3SCI in found:
        rivals = [name for name in names if name != methods.D3SCI]
        yield from _claims(ground, data.title, methods.D3SCI, rivals, found, printed)


def ablation(
    data: DataSet, variants: Sequence[str], size: Size, cells: Cells
) -> Iterator[dict[str, Any]]:
    """One of tables 3 to 6; all of them on a data set are one program, and share its cell."""
    reference = Stage(data.problem).reference()
    ground = Ground(data.problem, truth(data.problem, reference))
    cell = cells.cell(
        f"{data.title} ablation", _about(data, size, repr(setting(data.problem, size))),
        lambda: ablated(data.problem, size, reference),
    )  # fmt: skip
    found = {
        name: {key.partition("|")[2]: cell[key] for key in cell if key.startswith(f"{name}|")}
        for name in ("D3S-CI", *variants)
    }
    printed = ABLATIONS[data.title]
    for name in found:
        yield from _values(ground, data.title, name, found[name], printed[name], "")
    yield from _claims(ground, data.title, "D3S-CI", variants, found, printed)


def clairvoyant(ground: Ground) -> float:
    """Equation 13 a period and series of a planner who knows demand (Wagner & Whitin 1958)."""
    holding = ground.truth["holding"]
    unit = UNIT_COST * holding

    def least(demand, holding, shortage, unit):
        times = jnp.ones_like(demand)
        return lot_sizing(
            demand, 0.0 * times, unit * times, holding=holding, shortage=shortage, backlog=False
        )

    bound = jax.vmap(least, (1, 0, 0, 0))(
        ground.truth["demand"], holding, ground.truth["shortage"] + unit, unit
    )
    return float(bound.mean() / len(ground.truth["demand"]))


def _about(data: DataSet, size: Size, setting: str) -> dict[str, Any]:
    """All that a cell depends on."""
    options = {key: value for key, value in data.options.items() if key != "data"}
    return {
        "sales": data.problem.fingerprint,
        "options": options,
        "size": asdict(size),
        "setting": setting,
        "reference": LEVEL,
    }


def _claim(title: str, name: str, measure: str) -> str:
    return f"{title}, {name}: {measure}"


def _values(ground, title, name, found, printed, note):
    """A row for each measure; the first has all units with it (`save`)."""
    everything = {"data": title, "method": name, **in_all_units(ground, found)}
    for number, (measure, value) in enumerate(measured(ground, found).items()):
        yield {
            **row(
                _claim(title, name, measure), value,
                reference=None if printed is None else printed[number],
                note="; ".join(filter(None, (UNITS[measure], note))),
                source="seed 000" if printed is not None else "",
            ),
            **({"units": everything} if number == 0 else {}),
        }  # fmt: skip


def _claims(ground, title, ours, rivals, found, printed):
    """How much more D3S-CI has of each measure; holds where the direction is that in print, without
    zero."""
    level = each_of(max(len(rivals) * len(MEASURES), 1))
    for rival in rivals:
        for number, (measure, sign) in enumerate(MEASURES.items()):
            value = change(ground, measure, found[ours], found[rival], level)
            reference = None
            if rival in printed and ours in printed:
                reference = 100 * (printed[ours][number] / printed[rival][number] - 1)
            gain = value.times(sign)
            verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "no difference"
            holds = None
            if reference:
                holds = (value.low > 0) if reference > 0 else (value.high < 0)
            yield row(
                f"{title}: {ours} against {rival}, {measure}, %", value, holds=holds,
                reference=reference, verdict=verdict, source="seed 000" if reference else "",
            )  # fmt: skip


@in_our_style
def save(rows: list[dict[str, Any]], folder: Path) -> None:
    """Writes all measures in all units as `measures.csv`, and what each method costs as
    `costs.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = [found["units"] for found in rows if "units" in found]
    with (folder / "measures.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for one in tables for key in one)))
        writer.writeheader()
        writer.writerows(tables)
    costs = [found for found in rows if "units" in found]
    titles = list(dict.fromkeys(found["units"]["data"] for found in costs))
    figure, axes = subplots(1, len(titles), figsize=(3.4 * len(titles), 3.0), squeeze=False)
    for axis, title in zip(axes[0], titles):
        mine = [found for found in costs if found["units"]["data"] == title][::-1]
        for place, found in enumerate(mine):
            name = found["units"]["method"]
            low, high = found["interval"] or (found["ours"], found["ours"])
            colour = LEARNED if name in (methods.D3SCI, "D3S-CI") else GREY
            axis.plot([low, high], [place, place], color=colour, linewidth=2)
            axis.plot(found["ours"], place, "o", color=colour)
        axis.set_yticks(range(len(mine)), [found["units"]["method"] for found in mine])
        axis.set_title(title)
        axis.set_xlabel("total cost (eq 13), a period")
    figure.savefig(folder / "costs.png", dpi=150)
