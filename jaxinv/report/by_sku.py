"""What every policy and rule did for every SKU, as a table: from what an evaluation has measured
already.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from jaxinv.envs.costs import COSTS
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.compare import Evaluation, units_of
from jaxinv.evaluation.held_out import costs_of
from jaxinv.evaluation.simulate import Totals
from jaxinv.evaluation.statistics import Factor, means_of_columns
from jaxinv.report.words import cost_part, full_name

FILE = "by_sku.csv"
TEXT = ("problem", "sku", "place", "policy", "name")
"""Columns that are text, whatever is in them."""


def sku_table(judged: Sequence[Evaluation], agent: str = "") -> pd.DataFrame:
    """A row a series and policy or rule, of problems whose series have names; an empty table
    without any.

    Columns, amounts being a period's mean over the periods that were judged on:
      problem: where several were judged. sku, place: the series (`place` where it is one of
        several).
      policy: as in the rows of the evaluation. name: in words.
      cost; difference: from the best tuned rule, below zero is cheaper, with the ends of its 95%
      interval over blocks of
        periods in difference_low and difference_high (not there where series do not share their
        periods).
      fill_rate: share of units served at once. stock: units at the end of a period. stock_value:
        their worth, where known.
      turnover: units sold a year over units in stock. demand, ordered: units. orders: orders
        placed.
      "cost of …": the weighted parts of the cost, in words; they add up to it.
    """
    named = [one for one in judged if sku_columns(one.problem)]
    rows = [rows for one in named for rows in _rows(one, agent)]
    return pd.concat(rows, ignore_index=True).dropna(axis=1, how="all") if rows else pd.DataFrame()


def sku_columns(problem: Problem) -> dict[str, list[str]]:
    """The columns that say which series an instance is; nothing where instances have no names, or
    are not those of a test, or where there is but one, whose noise is drawn."""
    if not problem.labels or problem.test_instances or problem.single:
        return {}
    shop = problem.shop
    if shop is None:
        return {"sku": list(problem.labels)}
    return {"sku": list(shop.skus), **({"place": list(shop.places)} if shop.places else {})}


def _rows(judged: Evaluation, agent: str) -> Iterator[pd.DataFrame]:
    problem, names = judged.problem, sku_columns(judged.problem)
    if judged.label:
        names = {"problem": [judged.label] * problem.tested, **names}
    costs = {
        row["policy"]: costs_of(problem, judged.totals[one.name])
        for one, row in zip(judged.contestants, judged.rows)
    }
    best = judged.rows[0]["best_rule"]
    over = next(
        (one for one in units_of(problem) if isinstance(one, Factor) and one.axis == -2), None
    )
    charged = np.any([np.any(total.costs, 1) for total in judged.totals.values()], 0)
    for one, row in zip(judged.contestants, judged.rows):
        frame = pd.DataFrame(
            {**names, "policy": row["policy"], "name": full_name(row["policy"], row["kind"], agent)}
        )
        differences = _differences(
            costs[row["policy"]], None if best is None else costs[best], over
        )
        yield frame.assign(**differences, **_amounts(problem, judged.totals[one.name], charged))


def _differences(
    cost: np.ndarray, against: np.ndarray | None, over: Factor | None
) -> dict[str, np.ndarray]:
    """Cost and difference of each series; `[B]` or, where series share their periods, `[T, B]` is
    given.
    """
    if over is None:
        return {"cost": cost, **({} if against is None else {"difference": cost - against})}
    found = {"cost": cost.mean(0, dtype=float)}
    if against is None:
        return found
    mean, low, high = means_of_columns(np.asarray(cost, float) - against, over)
    return found | {"difference": mean, "difference_low": low, "difference_high": high}


def _amounts(problem: Problem, total: Totals, charged: np.ndarray) -> dict[str, np.ndarray]:
    periods = problem.test_periods - problem.warm_up
    worth = problem.shop.unit_value if problem.shop else None
    stock = total.on_hand / periods

    def share(amount, of):
        return np.divide(amount, of, out=np.full(len(of), np.nan), where=of > 0)

    parts = np.asarray(problem.test.weights).T * total.costs / periods  # [len(COSTS), B]
    return {
        "fill_rate": share(total.demand - total.short, total.demand),
        "stock": stock,
        **({} if worth is None else {"stock_value": stock * worth}),
        "turnover": share(problem.periods_per_year * total.sold, total.on_hand),
        "demand": total.demand / periods,
        "ordered": total.ordered / periods,
        "orders": total.orders / periods,
        **{
            f"cost of {cost_part(name)}": parts[number]
            for number, name in enumerate(COSTS)
            if charged[number]
        },
    }
