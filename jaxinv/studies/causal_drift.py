"""How soon each scenario is noticed, with detectors that alarm for nothing at most once in two years."""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.drift import (
    DAYS, DETECTORS, alarms, arrival_residuals, calibrate, delay, expectation, expected_from, false_alarms,
    forecast_residuals, hazards,
)  # fmt: skip
from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import preset
from jaxinv.envs.scenarios import SCENARIOS, open_to_change, scenario
from jaxinv.evaluation.rollout import BATCH, batch_last, play_world, take_instances
from jaxinv.evaluation.statistics import mean_of

START = 200
"""Day of a change."""

FOLLOWED = 180
"""Days after it in which an alarm counts."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Attributes: shops: simulated for a calibration, and for each scenario; skus: of a cross-border shop."""

    shops: int = 160
    skus: int = 32

    @classmethod
    def quick(cls) -> "Size":
        return cls(48, 32)


@dataclasses.dataclass(frozen=True)
class Watch:
    """A shop: n SKUs whose forecast errors are pooled, and one stream of shipments."""

    name: str
    problem: Problem
    skus: int
    shops: int

    def play(self, problem: Problem, seed: int, periods: int):
        """Demand `[T, D, n, shops]`, what is known of each day `[T, C, n, shops]`, lead times `[T, E, shops]`."""
        env, params, axis = problem.env, problem.test, None
        batch = self.shops * self.skus
        if problem.instances:
            params, axis = batch_last(take_instances(params, jnp.tile(jnp.arange(self.skus), self.shops))), BATCH
        world = play_world(env, jax.random.key(seed), params, batch, periods, axis)[1]
        places = env.world.demand.locations
        demand = world.exogenous.demand[:, :, 0]
        known = world.signals[env.history - 1 :, places:]

        def by_shop(leaf):
            return jnp.swapaxes(leaf.reshape(*leaf.shape[:2], self.shops, self.skus), 2, 3)

        return by_shop(demand), by_shop(known), world.exogenous.lead_time[:, :, :: self.skus]

    def placed(self, periods: int) -> jax.Array:
        """Orders a day on each edge `[T, E]`, one on every day on which it accepts any."""
        review = self.problem.test.review_period
        if review is None:
            return jnp.ones((periods, self.problem.env.topology.edges))
        return (jnp.arange(periods)[:, None] % np.asarray(review)[0] == 0).astype(jnp.float32)


def rows(size: Size) -> Iterator[tuple]:
    """Claims with their numbers, of a single store and of a shop."""
    store = open_to_change(preset("causal_store")().build())
    shop = open_to_change(preset("cross_border")(skus=size.skus).build())
    yield from _rows(Watch("causal_store", store, 1, size.shops))
    yield from _rows(Watch(f"cross_border, {size.skus} SKUs", shop, size.skus, size.shops))


def _rows(watch: Watch) -> Iterator[tuple]:
    demand, known, lead_time = watch.play(watch.problem, 1, DAYS)
    coefficients = expectation(*(leaf.reshape(*leaf.shape[:2], -1) for leaf in (demand, known)))
    hazard = hazards(jnp.swapaxes(lead_time, 1, 2), watch.problem.env.topology.max_lead_time)
    outside = np.asarray(watch.problem.env.world.suppliers)
    edges = {"arrivals from suppliers": outside, "arrivals between nodes": ~outside}
    edges = {name: np.flatnonzero(of) for name, of in edges.items() if of.any()}
    streams = ("forecasts", *edges)

    def residuals(played) -> np.ndarray:
        """`[streams, shops, T]`."""
        demand, known, lead_time = played
        flat = expected_from(coefficients, known.reshape(*known.shape[:2], -1)).reshape(demand.shape)
        placed = watch.placed(len(demand))
        forecast = jnp.stack([
            forecast_residuals(*(leaf[..., shop].reshape(len(demand), -1) for leaf in (demand, flat)))
            for shop in range(watch.shops)
        ])  # fmt: skip
        arrivals = [
            jax.vmap(arrival_residuals, (2, None, None))(lead_time[:, of], placed[:, of], hazard[:, of]) for of in edges.values()
        ]
        return np.stack([np.asarray(series) for series in (forecast, *arrivals)])

    control = residuals((demand, known, lead_time))
    mean, deviation = control.mean((1, 2)), control.std((1, 2))

    def standardised(played):
        return (residuals(played) - mean[:, None, None]) / deviation[:, None, None]

    control = standardised((demand, known, lead_time))
    fresh = standardised(watch.play(watch.problem, 2, DAYS))
    changed = {
        name: standardised(watch.play(scenario(watch.problem, name, START), 3, START + FOLLOWED)) for name in SCENARIOS
    }
    for name, detector in DETECTORS.items():
        # each stream may give its part of the one false alarm
        thresholds = [calibrate(detector, series, 1 / len(streams)) for series in control]
        note = f"thresholds {', '.join(f'{level:.3g} on {name}' for name, level in zip(streams, thresholds))}; {watch.shops} shops"
        of = f"{watch.name}, {name}"
        counts = sum(false_alarms(detector, series, level) for series, level in zip(fresh, thresholds))
        rate = mean_of(counts)
        yield f"{of}: false alarms in {DAYS} days on fresh noise, at most 1", rate.value, rate.interval, rate.value <= 1, note
        for scene, series in changed.items():
            found = [np.asarray(jax.vmap(alarms, (None, 0, None))(detector, *each)) for each in zip(series, thresholds)]
            days = delay(np.any(found, 0), START)
            by = [f"{100 * np.isfinite(delay(stream, START)).mean():.0f}% in {name}" for name, stream in zip(streams, found)]
            late = np.where(np.isnan(days), np.inf, days)
            share = float(np.isfinite(late).mean())
            told = f"noticed by {100 * share:.0f}% within {FOLLOWED} days ({', '.join(by)}); {note}"
            if scene == "none":
                yield f"{of}: no change: share of shops that alarm within {FOLLOWED} days", share, None, None, told
                continue
            middle, low, high = (float(np.quantile(late, q, method="lower")) for q in (0.5, 0.1, 0.9))
            yield f"{of}: {scene}: median delay in days (10 to 90% of shops)", middle, (low, high), None, told
