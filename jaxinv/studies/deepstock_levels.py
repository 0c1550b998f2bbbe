"""The best known policies of DeepStock's settings: base-stock levels that are worked out from the
law of demand.

With backlog and nothing to pay for an order, a review decides the stock of its own window alone as
long as the level of the next one can be reached, so the best level S minimises E[c(S - X_1)] +
E[c(S - X_2)], X_j being demand from the order up to the end of the window's day j: the mean of the
two distribution functions at S is b / (b + h), and S is that quantile of the two laws pooled. Where
the next level is never out of reach this is the optimum; in any case no policy that knows the same
expects less, for the sum of the least costs of all windows is a lower bound.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from jaxinv.demand import deepstock_paths as published
from jaxinv.demand.deepstock_paths import LEAD_TIME, REVIEW, SPREAD
from jaxinv.envs import views
from jaxinv.envs.deepstock import DeepStock
from jaxinv.keys import Role, generator
from jaxinv.policies.policy import Policy, fill_to

SAMPLES = 4000
"""Demand paths that the law of a window is drawn with, each trajectory and day."""

LAWS, BINS = 20_000, 60
"""Trajectories that the law of demand after a given demand is drawn with, and the groups of days
they fall in.
"""


@dataclass(frozen=True)
class LevelsByDay(Policy):
    """Orders up to a level of its own in every period; parameters: levels `[T, E, K]`."""

    def act(self, params, observation, context):
        position = views.edge_position(self.topology, observation)
        return fill_to(self.topology, observation, params[observation.time], position)


def levels(preset: DeepStock, knowing_law: bool = False) -> np.ndarray:
    """The best known level of each test trajectory and day `[T, 1, 1, S]`, for `LevelsByDay`.

    - setting 1: the optimum; setting 4: the newsvendor, which is the optimum.
    - settings 2 and 3: the best level as a function of the demand of the day before, over all
      trajectories that the law may draw; it has the same one feature as the learned policies,
      which, however, also see the stock, and may so remember a little more of the past.

    Args:
      knowing_law: in settings 2 and 3, the best level for the numbers (phi, base, sigma) of the
        trajectory itself. No policy of the study knows them.
    """
    test, days = preset.trajectories()[2], preset.horizon
    ratio = preset.shortage_cost / (preset.shortage_cost + preset.holding_cost)
    feature = test.feature[:, REVIEW:]
    if preset.setting == 1:
        found = np.broadcast_to(independent_levels(days, ratio)[0], feature.shape)
    elif preset.setting == 4:
        found = published.MEAN + normal_quantile(ratio) * feature
    elif knowing_law:
        found = autoregressive_levels(test.law, feature, ratio)
    else:
        found = after_demand(feature, days, ratio)
    return np.ascontiguousarray(found.T)[:, None, None, :].astype(np.float32)


def independent_levels(days: int, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Setting 1, exactly: levels `[days]`, and their expected cost a day of the window `[days]` in
    units of h + b.
    """
    lowest = published.lowest_demand(days + REVIEW)[REVIEW:]
    one = np.full(SPREAD, 1 / SPREAD)
    found, costs = np.zeros(days), np.zeros(days)
    for day in range(0, days - LEAD_TIME - REVIEW + 1, REVIEW):
        laws = []
        for end in range(LEAD_TIME, LEAD_TIME + REVIEW):
            law, start = np.ones(1), lowest[day : day + end + 1].sum()
            for _ in range(end + 1):
                law = np.convolve(law, one)
            laws.append((start + np.arange(len(law)), law))
        values, mass = (np.concatenate(parts) for parts in zip(*laws))
        order = np.argsort(values, kind="stable")
        below = np.cumsum(mass[order]) / REVIEW
        level = values[order][np.searchsorted(below, ratio - 1e-9)]
        found[day] = level
        over = level - values
        costs[day] = (
            mass @ ((1 - ratio) * np.maximum(over, 0) + ratio * np.maximum(-over, 0)) / REVIEW
        )
    return found, costs


def autoregressive_levels(
    law: np.ndarray, before: np.ndarray, ratio: float, seed: int = 0
) -> np.ndarray:
    """Levels `[S, T]` for laws `[S, 3]` and the demand of the day before `[S, T]`, by
    simulation.
    """
    draw, found = generator(Role.STUDY, seed), np.zeros(before.shape)
    noise = draw.standard_normal((LEAD_TIME + REVIEW, SAMPLES, 1))
    for path, (phi, base, sigma) in enumerate(law):
        last, total, windows = before[path, ::REVIEW], 0.0, []
        for step, shock in enumerate(noise):
            last = np.maximum(phi * last + (1 - phi) * base + sigma * shock, 0.0)
            total = total + last
            if step >= LEAD_TIME:
                windows.append(total)
        found[path, ::REVIEW] = np.quantile(np.concatenate(windows), ratio, axis=0)
    return found


def after_demand(before: np.ndarray, days: int, ratio: float, seed: int = 0) -> np.ndarray:
    """Levels `[S, T]` for the demand of the day before `[S, T]`, over the law's own trajectories.

    Days are grouped by the demand before them; between the groups' means the level is linear.
    """
    drawn = published.autoregressive_paths(LAWS, days + REVIEW, seed)
    demand, feature = drawn.demand[:, REVIEW:], drawn.feature[:, REVIEW:]
    reviews = np.arange(0, days - LEAD_TIME - REVIEW + 1, REVIEW)
    given = feature[:, reviews].ravel()
    total = np.cumsum(np.pad(demand, [(0, 0), (1, 0)]), 1)
    windows = [
        (total[:, reviews + end + 1] - total[:, reviews]).ravel()
        for end in range(LEAD_TIME, LEAD_TIME + REVIEW)
    ]
    order = np.argsort(given, kind="stable")
    groups = np.array_split(order, BINS)
    centres = np.array([given[group].mean() for group in groups])
    best = np.array(
        [
            np.quantile(np.concatenate([window[group] for window in windows]), ratio)
            for group in groups
        ]
    )
    centres, first = np.unique(centres, return_index=True)  # many days follow a day without demand
    return np.interp(before, centres, best[first])


def normal_quantile(share: float) -> float:
    """The quantile of a standard normal."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


def policy_and_params(preset: DeepStock, topology, knowing_law: bool = False):
    """The best known policy and its parameters; every test trajectory has its own."""
    return LevelsByDay(topology), jnp.asarray(levels(preset, knowing_law))
