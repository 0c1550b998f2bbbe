"""The five measures of a method, and how far two methods are apart in each, from what
`jaxinv.studies.d3sci_play` kept of them."""

from typing import Any, NamedTuple

import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.evaluation import five_metrics as five
from jaxinv.evaluation.statistics import Estimate, Over, blocks, mean_of, ratio_of_sums
from jaxinv.evaluation.statistics import relative_difference as apart
from jaxinv.studies.cells import Arrays
from jaxinv.studies.d3sci_methods import ahead
from jaxinv.studies.d3sci_worlds import UNIT_COST

MEASURES = {
    "total cost": -1,
    "MAE": -1,
    "turnover": 1,
    "F1": 1,
    "cumulative reward": 1,
}
"""In the order of `jaxinv.studies.ablation.PUBLISHED`; 1 where more is better."""

UNITS = {
    "total cost": "eq 13, in mean demand held for a period, a period",
    "MAE": "eq 12, z-units",
    "turnover": "eq 14, times a year",
    "F1": "eqs 15 to 17, %, own trajectories",
    "cumulative reward": "eq 11, sum over the test, a series",
}


class Ground(NamedTuple):
    """What all methods of a data set share: the problem, and `d3sci_play.truth` of it."""

    problem: Problem
    truth: Arrays

    @property
    def over(self) -> Over:
        """Factors of values `[S, T, B]`."""
        shared, longest = self.problem.shared, self.problem.env.topology.max_lead_time
        name = f"{shared.period}s" if shared else "periods"
        return ("seeds", blocks(len(self.truth["demand"]), longest, name), "series")

    def costs(self, found: Arrays) -> np.ndarray:
        """Equation 13 in every period `[S, T, B]`."""
        holding = self.truth["holding"]
        unit = UNIT_COST * holding
        played = (found[name] for name in ("on_hand", "short", "ordered"))
        shortage = self.truth["shortage"] + unit
        return five.period_costs(*played, holding=holding, shortage=shortage, unit_cost=unit)

    def errors(self, found: Arrays) -> np.ndarray:
        """Absolute errors of the forecast in z-units `[S, T, B]`."""
        spread = self.truth["training"].std(0)
        error = np.abs(found["forecast"] - self.truth["demand"])
        return error / np.where(spread > 0, spread, 1.0)

    def f1(self, found: Arrays, where: str = "own") -> list[five.Detection]:
        """How stock-outs were foretold by each seed, where that is known."""
        own = where == "own"
        short = found["short"] if own else [self.truth["reference_short"]] * len(found["short"])
        told = []
        for score, out in zip(found[f"{where}_score"], short):
            label, known = five.stockout_ahead(out, ahead(self.problem))
            told.append(five.detection(score[known], label[known], 0.0))
        return told


def measured(ground: Ground, found: Arrays) -> dict[str, Estimate]:
    """The five measures as the tables have them (`UNITS`)."""
    demand, periods = ground.truth["demand"], len(ground.truth["demand"])
    on_hand, year = found["on_hand"], ground.problem.periods_per_year
    turns = ratio_of_sums(np.broadcast_to(demand, on_hand.shape), on_hand, ground.over)
    f1 = [told.f1 for told in ground.f1(found)]
    return {
        "total cost": mean_of(ground.costs(found), ground.over),
        "MAE": mean_of(ground.errors(found), ground.over),
        "turnover": turns.times(year),
        "F1": mean_of(f1, ("seeds",)).times(100),
        "cumulative reward": mean_of(found["reward"], ground.over).times(periods),
    }


def in_all_units(ground: Ground, found: Arrays) -> dict[str, Any]:
    """The same and their kin, as means over the seeds, for the table of a study; None for what is
    no number, such as the area under a curve of what never happened.
    """
    truth, problem = ground.truth, ground.problem
    rows = []
    for seed in range(len(found["reward"])):
        one = {name: values[seed] for name, values in found.items()}
        errors = five.forecast_errors(one["forecast"], truth["demand"], truth["training"])
        turns = five.turnover(
            truth["demand"], one["short"], one["on_hand"], problem.periods_per_year
        )
        charged = truth["holding"] * one["on_hand"] + truth["shortage"] * one["short"]
        total = five.total_cost(ground.costs(one))
        extended = five.extended_cost(total, one["reward"], charged)
        row = {
            "reward": float(five.cumulative_reward(one["reward"]).mean()),
            "total_cost": float(total.mean() / len(truth["demand"])),
            "extended_cost": float(extended.mean() / len(truth["demand"])),
            **errors._asdict(),
            **{f"turnover_{name}": value for name, value in turns._asdict().items()},
            "fill_rate": 1 - float(one["short"].sum() / max(truth["demand"].sum(), 1e-9)),
        }
        rows.append(row)
    for where in ("own", "reference"):
        if f"{where}_score" in found:
            for row, told in zip(rows, ground.f1(found, where)):
                row |= {f"{where}_{name}": value for name, value in told._asdict().items()}
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {name: value if np.isfinite(value) else None for name, value in mean.items()}


def change(ground: Ground, measure: str, ours: Arrays, theirs: Arrays, level: float) -> Estimate:
    """How much more of a measure one method has than another, in per cent, paired.

    Turnover is demand over stock, and demand is the same: so much less is the stock of one than
    that of the other. F1 is a number of a seed as a whole.
    """
    over = ground.over
    if measure == "total cost":
        found = apart(ground.costs(ours), ground.costs(theirs), over, level)
    elif measure == "MAE":
        found = apart(ground.errors(ours), ground.errors(theirs), over, level)
    elif measure == "turnover":
        stock = [ground.truth["holding"] * one["on_hand"] for one in (theirs, ours)]
        found = apart(*stock, over, level)
    elif measure == "cumulative reward":
        found = apart(-ours["reward"], -theirs["reward"], over, level).times(-1)
    else:
        f1 = [np.array([[told.f1] for told in ground.f1(one)]) for one in (ours, theirs)]
        found = apart(*f1, ("seeds", "all"), level)
    return found.times(100)
