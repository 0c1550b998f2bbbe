"""How a policy does period by period on held-out demand: costs, service, turnover, transfers and
forecasts (seed 001, 3.2.5).
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.forecasted import forecast_name
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.held_out import (
    Contestant,
    SimulationSize,
    held_out_groups,
    own_params,
    path_count,
)
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.simulate import chunks_of, lengthen, stretch
from jaxinv.policies.policy import Policy
from jaxinv.whole import write_text

COLUMNS = {
    "policy": "policy",
    "cost": "cost",
    "fill_rate": "fill rate",
    "turnover": "turns a year",
    "on_hand": "on hand",
    "transfers": "sent sideways",
    "forecast_error": "WAPE",
    "forecast_bias": "forecast bias",
}
"""Headings of the table for people; the file has the parts of the costs besides."""


@dataclass(frozen=True)
class Monitored:
    """What a policy did in each counted period, a mean over paths or series.

    Attributes:
      policy: its name.
      first: number of the first counted period, from 1 on.
      periods_per_year: for turnover.
      sums: `[T]` each, over all nodes and products: the weighted `cost` and its parts as
        `parts.NAME`; units of `demand`, `short` (not served at once), `sold`, `on_hand`;
        `transfers`, units sent on lateral edges, where there are any; and where demand of the
        coming period is forecast, by the policy or else by the world, what forecasts were `off` by
        and `over` by.
    """

    policy: str
    first: int
    periods_per_year: float
    sums: dict[str, np.ndarray]

    @property
    def periods(self) -> int:
        return len(self.sums["cost"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each period."""
        return [
            {"policy": self.policy, "period": self.first + period, **self.over(period, period + 1)}
            for period in range(self.periods)
        ]

    @property
    def row(self) -> dict[str, Any]:
        """All periods in one."""
        return {"policy": self.policy, **self.over(0, self.periods)}

    def over(self, start: int, stop: int) -> dict[str, float | None]:
        """Key figures of the periods from `start` on and before `stop`: money and units a period;
        `fill_rate`, the share of demand that is served at once; `turnover`, units sold a year over
        those on hand; `forecast_error`, what forecasts are off by as a share of demand (WAPE), and
        `forecast_bias`, what they are too high by. What does not apply is None.
        """
        mean = {name: float(amount[start:stop].mean()) for name, amount in self.sums.items()}
        demand, off = mean["demand"], "off" in mean

        def share(amount, of):
            return amount / of if of > 0 else None

        return {
            **{name: mean[name] for name in mean if name == "cost" or name.startswith("parts.")},
            "fill_rate": share(demand - mean["short"], demand),
            "turnover": share(self.periods_per_year * mean["sold"], mean["on_hand"]),
            "on_hand": mean["on_hand"],
            "transfers": mean.get("transfers"),
            "forecast_error": share(mean["off"], demand) if off else None,
            "forecast_bias": share(mean["over"], demand) if off else None,
        }

    def smoothed(self, name: str, season: int) -> np.ndarray:
        """A key figure `[T]` over the `season` periods up to each, fewer at the beginning; NaN
        where there is none.
        """
        return np.asarray(
            [self.over(max(0, end - season), end)[name] for end in range(1, self.periods + 1)],
            float,
        )


def monitor(
    problem: Problem, contestants: Sequence[Contestant], key: jax.Array, paths: int = 512
) -> list[Monitored]:
    """What policies do in each counted period of the held-out noise, the same that
    `compare.evaluate` judges them on.
    """
    topology = problem.env.topology
    found = []
    for name, policy, params, policy_axis in contestants:
        total: dict[str, np.ndarray] = {}
        left = path_count(problem, paths)
        for index, instance, world in held_out_groups(problem, key, paths):
            own = params if policy_axis is None else own_params(params, index)
            counted = (np.arange(len(index)) < left).astype(
                np.float32
            )  # the last group is filled up
            left -= len(index)
            sums = jax.device_get(
                _sums(
                    problem.env,
                    policy,
                    SimulationSize.of(problem),
                    policy_axis,
                    instance,
                    own,
                    world,
                    counted,
                )
            )
            total = {
                part: total.get(part, 0.0) + np.asarray(amount, float)
                for part, amount in sums.items()
            }
        mean = {part: amount / path_count(problem, paths) for part, amount in total.items()}
        parts = mean.pop("parts")
        mean |= {
            f"parts.{part}": parts[:, column]
            for column, part in enumerate(COSTS)
            if parts[:, column].any()
        }
        if not topology.transfers:
            del mean["transfers"]
        found.append(Monitored(name, problem.warm_up + 1, problem.periods_per_year, mean))
    return found


def save_table(path: Path, monitored: Sequence[Monitored]) -> None:
    """Writes all rows as CSV, with the columns that any of them has."""
    rows = [row for one in monitored for row in one.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sums(
    env: InventoryNetwork,
    policy: Policy,
    size: SimulationSize,
    policy_axis,
    instance,
    params,
    world,
    counted,
) -> dict[str, jax.Array]:
    """Sums over the paths that count, of each counted period `[T, ...]`."""
    lateral = np.isin(np.arange(env.topology.edges), env.topology.transfers)

    def keep(outcome):
        return {
            "cost": -outcome.reward, "parts": outcome.costs, "demand": outcome.demand.sum(),
            "short": outcome.short.sum(),
            "sold": outcome.sold.sum(), "on_hand": outcome.on_hand.sum(),
            "transfers": outcome.ordered.sum(-1) @ lateral,
        }  # fmt: skip

    kept = size.simulate(env, policy, policy_axis, instance, params, world, keep).by_period
    weights = instance.weights[:, None] if size.axis is None else instance.weights
    kept["parts"] = kept["parts"] * weights
    errors = _forecast_errors(env, policy, size, policy_axis, instance, params, world[1])
    if errors is not None:
        kept |= {"off": jnp.abs(errors).sum((1, 2)), "over": errors.sum((1, 2))}
    return {
        name: jnp.sum(jnp.where(counted > 0, amount, 0.0), BATCH) for name, amount in kept.items()
    }


def _forecast_errors(env, policy, size, policy_axis, instance, params, trace) -> jax.Array | None:
    """By how much the forecast of each counted period was above its demand `[T, D, K, B]`; None
    where there is none.
    """
    demand = trace.exogenous.demand
    if policy.forecasts:
        forecast = predicted(env, policy, size, policy_axis, instance, params, trace)
    elif any(signal.name.startswith(forecast_name(1)) for signal in env.signals):
        told = trace.signals[env.history - 1 :, list(env.columns(forecast_name(1)))]
        forecast = told.reshape(demand.shape)
    else:
        return None
    return (forecast - demand)[size.warm_up :]


def predicted(env, policy, size, policy_axis, instance, params, trace) -> jax.Array:
    """What the policy expects of each period `[T, D, K, B]`, encoded as many periods at a time as
    in a simulation.
    """
    periods = trace.exogenous.demand.shape[0]
    chunks, chunk = chunks_of(periods)
    signals = lengthen(trace.signals, chunks * chunk - periods)

    def single(params, signals, instance):
        return jax.vmap(policy.predict)(policy.encode(params, signals, env.facts(instance)))[
            env.history - 1 :
        ]

    single = jax.vmap(single, (policy_axis, BATCH, size.axis), BATCH)

    def of_chunk(number):
        return single(params, stretch(signals, number * chunk, chunk + env.history - 1), instance)

    predicted = jax.lax.map(of_chunk, jnp.arange(chunks))
    return predicted.reshape(-1, *predicted.shape[2:])[:periods]
