"""The optimum of a serial system with backlog: echelon base-stock levels and their cost (Clark &
Scarf 1960).

Echelon i is the stock at stage i and all that is on its way to, or at, the stages it supplies, less
backorders. Charged stage by stage, h_i on echelon i (what holding costs more at stage i than at the
stage before it), the cost separates: a stage is a newsvendor whose shortage is what it costs the
stages below to be held back (Chen & Zheng 1994; Snyder & Shen, Fundamentals of Supply Chain Theory,
section 6.2). With stage 1 at the customer, C_0(x) = (b + h_1 + … + h_I) x^- and

    C_i(y) = E[ h_i (y - D_i) + C_(i-1)(min(y - U_i, S_(i-1))) ],   S_i = argmin C_i,
    optimal cost = C_I(S_I),

where U_i is the demand until what stage i ordered can be sent on, and D_i the demand until it is
charged for. In periods, with orders before demand and costs at the end of a period, U_i covers L_i
periods (1 where L_i = 0: what arrives within a period is sent on in the next) and D_i covers L_i +
1, as does what meets C_0. In continuous review both cover L_i.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import SUPPLIER
from jaxinv.errors import UserError
from jaxinv.exact.lattice import (
    DemandLaw,
    cover,
    demand_law,
    expected,
    newsvendor_costs,
    normal_mass,
)
from jaxinv.exact.scope import require, weighted


@dataclass(frozen=True)
class SerialOptimum:
    """What Clark and Scarf's recursion finds.

    Attributes:
      average_cost: money a period (or a unit of time).
      levels: echelon base-stock levels in units, one a stage, in the order that the stages were
        given in.
      error: what rounding demand to points may have moved the cost by, estimated from twice the
        step (Richardson); 0 where demand is on whole numbers.
    """

    average_cost: float
    levels: np.ndarray
    error: float


@dataclass(frozen=True)
class Stage:
    """One stage of the recursion, on a lattice.

    Attributes:
      echelon_holding: h_i, money per point of echelon stock and period; it may be negative.
      charged: mass function of D_i in points.
      passed: mass function of U_i.
    """

    echelon_holding: float
    charged: np.ndarray
    passed: np.ndarray


def solve_serial(env: InventoryNetwork, params: InstanceParams, points: int = 100) -> SerialOptimum:
    """The optimum of the `serial` preset, stage 0 (at the supplier) first, as its nodes and edges
    are.

    Goods in transit must cost what they cost at the stage they left, as they do there. Any policy
    is beaten or met; a normal demand is taken as the simulator draws it, cut at zero.

    Args:
      params: of one instance.
      points: a standard deviation, where demand is normal and has to be rounded.

    Raises:
      UserError: for another network, or for costs that have no optimum.
    """
    require(env, "Clark-Scarf", {"packs", "unit_cost", "transit_holding"}, backlog=True)
    topology = env.topology
    stages = topology.nodes
    chain = (SUPPLIER, *range(stages - 1)), tuple(range(stages)), (stages - 1,)
    if (topology.sources, topology.destinations, topology.demand_nodes) != chain:
        raise UserError(f"Clark-Scarf is for stages in a row, and {env.name} is another network")
    holding = weighted(params, "holding", "holding")
    has_transit = topology.has("transit_holding")
    transit = weighted(params, "holding", "transit_holding") if has_transit else np.zeros(stages)
    before = np.concatenate([[0.0], holding[:-1]])
    lead_times = np.asarray(topology.lead_times)
    shortage = weighted(params, "shortage", "shortage")[-1]
    if not shortage > 0 or not holding[-1] > 0:
        raise UserError(
            "Clark-Scarf needs a shortage cost, and a holding cost at the last stage, above 0"
        )

    def solve(law: DemandLaw) -> tuple[float, np.ndarray]:
        mass, step = law.total, law.step
        chain = [
            Stage(step * (here - there), cover(mass, lead + 1), cover(mass, max(lead, 1)))
            for here, there, lead in zip(holding, before, lead_times)
        ]
        cost, levels = recursion(chain[::-1], step * shortage)
        # every unit spends its lead time in transit, whatever the policy
        cost += float((transit - before) @ lead_times) * law.mean(mass)
        if topology.has("unit_cost"):
            cost += weighted(params, "ordering", "unit_cost").sum() * law.mean(mass)
        return cost, step * levels[::-1]

    law = demand_law(env, params, points)
    cost, levels = solve(law)
    coarse = demand_law(env, params, points / 2)
    error = abs(solve(coarse)[0] - cost) / 3 if coarse.step != law.step else 0.0
    return SerialOptimum(cost, levels, error)


def solve_serial_normal(
    mean: float,
    deviation: float,
    lead_times: Sequence[float],
    echelon_holding: Sequence[float],
    shortage: float,
    points: int = 200,
) -> SerialOptimum:
    """The optimum in continuous review with normal demand: the model of Snyder & Shen, section 6.2.

    Costs are rates. Demand over a time t has mean t mean and standard deviation sqrt(t) deviation,
    cut at zero. Goods in transit cost what they cost at the stage they left.

    Args:
      mean, deviation: of demand in a unit of time.
      lead_times, echelon_holding: of each stage, the one at the customer first. Lead times are
        above 0.
      shortage: money per unit owed and unit of time.
      points: in a standard deviation of a unit of time.
    """

    def solve(step: float) -> tuple[float, np.ndarray]:
        laws = [normal_mass(mean * time, deviation * time**0.5, step) for time in lead_times]
        cost, levels = recursion(
            [Stage(step * holding, law, law) for holding, law in zip(echelon_holding, laws)],
            step * shortage,
        )
        return cost, step * levels

    cost, levels = solve(deviation / points)
    return SerialOptimum(cost, levels, abs(solve(2 * deviation / points)[0] - cost) / 3)


def recursion(stages: Sequence[Stage], shortage: float) -> tuple[float, np.ndarray]:
    """Clark and Scarf's recursion in points, from the customer up.

    Below zero every C_i is linear, demand being at least 0, so nothing is cut off there.

    Returns:
      The optimal average cost, and the echelon base-stock levels in points.
    """
    charged = shortage + sum(stage.echelon_holding for stage in stages)
    levels = []
    size = 1 + sum(len(stage.charged) for stage in stages)
    points = np.arange(size)
    held_back, slope = (
        None,
        -charged,
    )  # C_(i-1)(min(x, S_(i-1))) at the points, and its slope below zero
    for stage in stages:
        holding = stage.echelon_holding
        if held_back is None:
            costs = newsvendor_costs(stage.charged, size, holding, charged - holding)
        else:
            costs = newsvendor_costs(stage.charged, size, holding, -holding)
            costs += expected(stage.passed, held_back, slope)
        slope += holding
        level = int(np.argmin(costs))
        if level == size - 1:
            raise UserError(
                "an echelon holding cost is so low that a stage would hold without limit"
            )
        levels.append(level)
        held_back = costs[np.minimum(points, level)]
    return float(costs[level]), np.asarray(levels)
