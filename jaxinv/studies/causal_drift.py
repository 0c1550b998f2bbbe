"""How soon each scenario is noticed, with detectors that give a false alarm at most once in two
years.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.drift import DAYS, DETECTORS, delay
from jaxinv.adapt.watch import KINDS, WARM_UP, Watch
from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import preset
from jaxinv.envs.scenarios import SCENARIOS, open_to_change, scenario
from jaxinv.evaluation.rollout import WorldTrace, batch_last, instances_at, play_world
from jaxinv.evaluation.statistics import mean_of
from jaxinv.keys import Role, key_of, root

START = 200
"""Day of a change."""

FOLLOWED = 180
"""Days after it in which an alarm counts."""


@dataclass(frozen=True)
class DriftSize:
    """Attributes: shops: simulated for a calibration, and for each scenario; skus: of a
    cross-border shop.
    """

    shops: int = 160
    skus: int = 32

    @classmethod
    def quick(cls) -> "DriftSize":
        return cls(48, 32)


@dataclass(frozen=True)
class Shops:
    """Many shops of the same SKUs; each orders every SKU whenever it can."""

    name: str
    problem: Problem
    skus: int
    count: int

    @property
    def instance(self):
        """Of one shop `[..., B]`."""
        return batch_last(self.problem.test)

    def play(self, problem: Problem, role: Role, periods: int) -> list[WorldTrace]:
        """The world of each shop `[T, ..., B]`."""
        params, axis = instances_at(problem.test, jnp.tile(jnp.arange(self.skus), self.count))
        world = play_world(
            problem.env, key_of(root(0), role), params, self.count * self.skus, periods, axis
        )[1]
        starts = range(0, self.count * self.skus, self.skus)
        return [
            jax.tree.map(lambda leaf: leaf[..., start : start + self.skus], world)
            for start in starts
        ]


def rows(size: DriftSize) -> Iterator[tuple]:
    """Claims with their numbers, of a single store and of a shop."""
    store = open_to_change(preset("causal_store")().build())
    shop = open_to_change(preset("cross_border")(skus=size.skus).build())
    yield from _rows(Shops("causal_store", store, 1, size.shops))
    yield from _rows(Shops(f"cross_border, {size.skus} SKUs", shop, size.skus, size.shops))


def _rows(shops: Shops) -> Iterator[tuple]:
    env, instance = shops.problem.env, shops.instance
    control, fresh = (
        shops.play(shops.problem, role, WARM_UP + DAYS)
        for role in (Role.CALIBRATION, Role.FALSE_ALARMS)
    )
    changed = {
        name: shops.play(scenario(shops.problem, name, START), Role.STREAM, START + FOLLOWED)
        for name in SCENARIOS
    }
    follow = jax.jit(lambda watch, world: watch.follow(instance, world)[1])
    for name, detector in DETECTORS.items():
        watch = Watch.calibrated(env, instance, control, detector)
        levels = ", ".join(
            f"{level:.3g} on {kind}" for level, kind in zip(np.asarray(watch.threshold), KINDS)
        )
        note = f"thresholds {levels}; {shops.count} shops"

        def alarms(worlds):
            """`[shops, T, kinds]`."""
            return np.stack([np.asarray(follow(watch, world)) for world in worlds])

        of = f"{shops.name}, {name}"
        rate = mean_of(alarms(fresh).sum((1, 2)))
        yield (
            f"{of}: false alarms in {DAYS} days on fresh noise, at most 1",
            rate.value,
            rate.interval,
            rate.value <= 1,
            note,
        )
        for scene, worlds in changed.items():
            found = alarms(worlds)
            late = delay(found.any(-1), START)
            by = [
                f"{100 * np.isfinite(delay(found[..., kind], START)).mean():.0f}% in {own}"
                for kind, own in enumerate(KINDS)
            ]
            share = float(np.isfinite(late).mean())
            told = f"noticed by {100 * share:.0f}% within {FOLLOWED} days ({', '.join(by)}); {note}"
            if scene == "none":
                yield (
                    f"{of}: no change: share of shops that alarm within {FOLLOWED} days",
                    share,
                    None,
                    None,
                    told,
                )
                continue
            late = np.where(np.isnan(late), np.inf, late)
            middle, low, high = (
                float(np.quantile(late, q, method="lower")) for q in (0.5, 0.1, 0.9)
            )
            yield (
                f"{of}: {scene}: median delay in days (10 to 90% of shops)",
                middle,
                (low, high),
                None,
                told,
            )
