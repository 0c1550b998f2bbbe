"""What a training or an evaluation leaves in its folder for people: results by SKU, the worst of
them, and the report.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.evaluation.compare import Evaluation
from jaxinv.report import by_sku, worst
from jaxinv.report.page import write_report
from jaxinv.sheets import write_table


def acts(rows: Sequence[dict[str, Any]]) -> str:
    """The policy that a report is about: what was chosen, or else the first one that was judged, or
    of rules alone the best.
    """
    chosen = next((row for row in rows if row.get("chosen")), None)
    first = chosen or rows[0]
    return (
        first["policy"]
        if first["kind"] == "policy" or chosen or not first["best_rule"]
        else first["best_rule"]
    )


def about(judged: Sequence[Evaluation]) -> dict[str, Any]:
    """What people have to know of the periods and series of an evaluation, for its document.

    `acts` is the policy that the report is about; `period` what a period is called, `periods` how
    many of them were judged on, `first` and `last` the days that the first and the last of them
    begin; `series` is the number of series, `skus` and `places` that of each; `money` says whether
    costs are money, `currency` of what, `valued_at` what stock is valued at.
    """
    first = judged[0]
    problem, shop = first.problem, first.problem.shop
    dates = None if shop is None or shop.dates is None or not len(shop.dates) else shop.dates
    return {
        "acts": acts(first.rows),
        "period": problem.shared.period if problem.shared else "period",
        "periods": problem.test_periods - problem.warm_up,
        "warm_up": problem.warm_up,
        "first": None if dates is None else str(np.min(dates)),
        "last": None if dates is None else str(np.max(dates)),
        "periods_per_year": problem.periods_per_year,
        "series": problem.tested if problem.labels or not problem.single else 0,
        "skus": len(set(shop.skus)) if shop else None,
        "places": len(set(shop.places)) if shop and shop.places else None,
        "money": shop.money if shop else True,
        "currency": shop.currency if shop else "",
        "valued_at": shop.valued_at if shop and shop.unit_value is not None else None,
    }


def write_results(folder: Path, judged: Sequence[Evaluation], agent: str = "") -> None:
    """Writes `by_sku.csv` and `worst.csv`, where series have names, and `report.html`, whose
    document is in the folder already.

    Raises:
      OSError: the folder cannot be written.
    """
    table = by_sku.sku_table(judged, agent)
    if len(table):
        write_table(folder / by_sku.FILE, table)
        periods = worst.worst(judged[0], acts(judged[0].rows))
        write_table(folder / worst.FILE, periods)
    write_report(folder)
