"""Stock, orders and demand, period by period, of the few SKUs that a policy does worst on."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxinv.envs.network import Outcome
from jaxinv.envs.topology import Topology
from jaxinv.evaluation.compare import Evaluation
from jaxinv.evaluation.held_out import (
    Contestant,
    SimulationSize,
    costs_of,
    held_out_groups,
    own_params,
)
from jaxinv.evaluation.monitor import predicted
from jaxinv.evaluation.rollout import BATCH, instances_at
from jaxinv.evaluation.simulate import simulate_in
from jaxinv.report.by_sku import sku_columns

FILE = "worst.csv"
TEXT = ("problem", "sku", "place", "policy", "period")
WORST = 10
"""SKUs that are played again."""

BAND = 0.1, 0.9
"""Shares of demand below the ends of a forecast's band."""


def worst(judged: Evaluation, acts: str) -> pd.DataFrame:
    """What a policy, and the best tuned rule, did in each period for the SKUs that it does worst
    on; empty without names.

    The worst are those that it costs most more for than the best rule or, if it is that rule
    itself, that cost most. They are played again, alone, on the noise that they were judged on.

    Args:
      acts: the policy, as its row is called.

    Returns:
      A row for each SKU (`sku`, `place`), `policy` and `period` (its first day, or its number):
      units of `stock` at its end, `ordered` from outside, of `demand`, `short`; and where the
      policy forecasts, `forecast`, and `forecast_low` and `forecast_high`, between which 80% of
      demand should lie: as its own errors did in the periods before.
    """
    names = sku_columns(judged.problem)
    if not names:
        return pd.DataFrame()
    best = judged.rows[0]["best_rule"]
    ranked = _ranked(judged, acts, best)[:WORST]
    frames = []
    for name in dict.fromkeys([acts, *([best] if best else [])]):
        one = next(
            one for one, row in zip(judged.contestants, judged.rows) if row["policy"] == name
        )
        periods = _played(judged, one, ranked)
        frames += [
            pd.DataFrame(
                {
                    **{key: column[series] for key, column in names.items()},
                    "policy": name,
                    "period": _dates(judged),
                    **{key: amounts[:, place] for key, amounts in periods.items()},
                }
            )
            for place, series in enumerate(ranked)
        ]
    return pd.concat(frames, ignore_index=True)


def _ranked(judged: Evaluation, acts: str, best: str | None) -> np.ndarray:
    """Numbers of the series, the worst first."""
    totals = {
        row["policy"]: judged.totals[one.name] for one, row in zip(judged.contestants, judged.rows)
    }
    cost = costs_of(judged.problem, totals[acts])
    if best not in (None, acts):
        cost = cost - costs_of(judged.problem, totals[best])
    return np.argsort(-(cost if cost.ndim == 1 else cost.mean(0)), kind="stable")


def _dates(judged: Evaluation) -> Sequence[str]:
    shop, periods = judged.problem.shop, judged.problem.test_periods - judged.problem.warm_up
    if shop is None or shop.dates is None or len(shop.dates) != periods:
        return [str(number) for number in range(1, periods + 1)]
    return [str(date) for date in shop.dates]


def _played(judged: Evaluation, one: Contestant, series: np.ndarray) -> Mapping[str, np.ndarray]:
    """Amounts of each counted period `[T, B]` of some series, in their order."""
    problem, parts, found = judged.problem, [], []
    number = 0
    for index, _, world in held_out_groups(problem, judged.key, problem.tested):
        here = [
            place
            for place, at in enumerate(index)
            if at in set(series.tolist()) and number + place < problem.tested
        ]
        number += len(index)
        if here:
            parts.append(jax.tree.map(lambda leaf: leaf[..., jnp.asarray(here)], world[:2]))
            found += index[here].tolist()
        key = world[2]
    state, trace = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, BATCH), *parts)
    instance, axis = instances_at(problem.test, np.asarray(found))
    params = one.params if one.policy_axis is None else own_params(one.params, np.asarray(found))
    size = SimulationSize.of(problem)._replace(axis=axis)
    kept = jax.device_get(
        _periods(
            problem.env, one.policy, size, one.policy_axis, instance, params, state, trace, key
        )
    )
    order = [found.index(place) for place in series.tolist()]
    return {name: np.asarray(amounts, float)[:, order] for name, amounts in kept.items()}


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _periods(
    env, policy, size: SimulationSize, policy_axis, instance, params, state, trace, key
) -> dict[str, jax.Array]:
    bought = env.topology.from_supplier.astype(np.float32)
    played = simulate_in(
        env, instance, policy, params, state, trace, key, warm_up=size.warm_up, axis=size.axis,
        policy_axis=policy_axis,
        keep=partial(_amounts, env.topology, bought),
    ).by_period  # fmt: skip
    if not policy.forecasts:
        return played
    forecast = predicted(env, policy, size, policy_axis, instance, params, trace)
    demand = trace.exogenous.demand
    low, high = _band(
        *(
            values.reshape(len(values), -1, values.shape[-1]).sum(1)
            for values in (forecast, demand)
        ),
        size.warm_up,
    )
    forecast = forecast[size.warm_up :].sum((1, 2))
    return played | {
        "forecast": forecast,
        "forecast_low": forecast * low,
        "forecast_high": forecast * high,
    }


def _amounts(topology: Topology, bought: np.ndarray, outcome: Outcome) -> dict[str, Any]:
    return {
        "stock": outcome.on_hand.sum(), "ordered": outcome.ordered.sum(-1) @ bought,
        "demand": outcome.demand.sum(),
        "short": outcome.short.sum(),
    }  # fmt: skip


def _band(forecast, demand, periods: int):
    """What a forecast is multiplied by at the ends of its band, from how demand lay to it in the
    periods before, of all SKUs.
    """
    forecast, demand = forecast[:periods], demand[:periods]
    ratio = demand / jnp.maximum(forecast, 1e-6)
    return jnp.quantile(ratio, jnp.asarray(BAND))
