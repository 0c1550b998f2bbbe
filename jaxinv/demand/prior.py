"""Invented demand: a prior over the series that a shop may have, for policies that must order for
sales they have never seen.

Every episode draws a series of its own from the uniforms of "start": a level that jumps once or
twice, drifts, wanders, swells for a while or grows; seasons, short and long; noise that is normal
or heavy-tailed, persistent or not, and changes in the middle; spikes; sales on some periods alone;
a launch, a ramp and an end. What the series does from period to period comes from the other
mechanisms, so the whole is replayed from its key as every world is. `PARTS` names what a series can
have, each with a probability that is a number of the instance: 0 leaves it out. How restless a
series is as a whole is drawn too, and moves all of these probabilities together: some series are
still, and some have most of the parts.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.exogenous import Shapes
from jaxinv.demand.processes import DemandProcess

PARTS = dict(
    jump=0.4, second_jump=0.2, swell=0.15, wandering=0.45, trend=0.3, season=0.3, short_season=0.1,
    change_of_spread=0.15, persistence=0.2, heavy_tail=0.2, spikes=0.08, intermittent=0.1,
    poisson=0.3, launch=0.5, ramp=0.08, decline=0.04,
)  # fmt: skip
"""What a series can have, and the mean probability of each."""

_DRAWS = (
    "restlessness", "jump_time", "jump_size", "second_jump_time", "second_jump_size",
    "swell_time", "swell_length", "swell_size", "wandering_step", "trend_growth", "season_size",
    "season_length", "season_turn", "short_season_size", "short_season_length",
    "short_season_turn", "spread", "spread_time", "spread_factor", "persistence_size",
    "spike_chance", "spike_size", "sale_chance", "launch_time", "ramp_length", "decline_time",
    "decline_length",
)  # fmt: skip
"""Numbers that a series draws beside whether it has each part."""

LARGEST_LEVEL = 2.0
"""Logarithm of how far a level moves from where it began, at most, either way."""


@struct.dataclass
class PriorParams:
    """Numbers of `Prior`."""

    level: jax.Array  # [] mean demand a period where the series begins
    chances: jax.Array  # [len(PARTS)] mean probability of each part
    history: jax.Array  # [] periods that are played before the first decision
    horizon: jax.Array  # [] periods of an episode after them


class _Series(NamedTuple):
    """The state: what was drawn for the whole series, and what moves."""

    drawn: dict[str, jax.Array]
    time: jax.Array
    walk: jax.Array  # logarithm of the level's random walk
    noise: jax.Array  # the last standard normal, of persistent noise


@dataclass(frozen=True)
class Prior(DemandProcess):
    """One series of one product; demand `[1, 1]` in whole units.

    Demand is monotone in "demand" (the noise of a period), "market" (the walk of its level),
    "promotion" (whether it is a spike) and "count" (whether it sells at all, and Poisson noise).
    """

    moves = frozenset()

    @property
    def start_noise(self) -> Shapes:
        return {"start": (len(PARTS) + len(_DRAWS),)}

    @property
    def noise(self) -> Shapes:
        return {"demand": (), "market": (), "promotion": (), "count": ()}

    def init(self, uniforms: dict[str, jax.Array], params: PriorParams) -> _Series:
        u = dict(zip(_DRAWS, uniforms["start"][len(PARTS) :]))
        chances = 2.0 * u["restlessness"] * params.chances
        has = dict(zip(PARTS, uniforms["start"][: len(PARTS)] < chances))
        end = params.history + params.horizon

        def between(name: str, low, high):
            return low + (high - low) * u[name]

        def spread_over(name: str, low, high):
            """Even in the logarithm."""
            return low * (high / low) ** u[name]

        def where(name: str, value, without=0.0):
            return jnp.where(has[name], value, without)

        known = u["launch_time"] ** 3  # short histories are where a policy has most to lose
        launch = where("launch", jnp.floor((1.0 - known) * (params.history + 1.0)))
        decline = where("decline", between("decline_time", params.history, end), jnp.inf)
        drawn = dict(
            launch=launch,
            ramp=where("ramp", between("ramp_length", 2.0, 20.0), 1e-3),
            decline=decline,
            decline_length=between("decline_length", 1.0, 15.0),
            jump_time=between("jump_time", launch + 2.0, end),
            jump=where("jump", between("jump_size", -1.0, 1.0)),
            second_jump_time=between("second_jump_time", launch + 2.0, end),
            second_jump=where("second_jump", between("second_jump_size", -1.0, 1.0)),
            swell_time=between("swell_time", launch + 2.0, end),
            swell_length=between("swell_length", 2.0, 12.0),
            swell=where("swell", between("swell_size", -1.0, 1.2)),
            wandering=where("wandering", spread_over("wandering_step", 0.005, 0.3)),
            growth=where("trend", between("trend_growth", -0.02, 0.08)),
            season=where("season", between("season_size", 0.0, 0.8)),
            season_length=spread_over("season_length", 4.0, 60.0),
            season_turn=u["season_turn"],
            short_season=where("short_season", between("short_season_size", 0.1, 0.9)),
            short_season_length=jnp.floor(between("short_season_length", 2.0, 13.0)),
            short_season_turn=u["short_season_turn"],
            spread=spread_over("spread", 0.05, 0.8),
            spread_time=between("spread_time", launch, end),
            spread_factor=where("change_of_spread", jnp.exp(between("spread_factor", -1, 1)), 1.0),
            persistence=where("persistence", between("persistence_size", -0.5, 0.9)),
            heavy=has["heavy_tail"],
            spikes=where("spikes", between("spike_chance", 0.01, 0.08)),
            spike=between("spike_size", 1.0, 5.0),
            sale=where("intermittent", between("sale_chance", 0.1, 0.9), 1.0),
            poisson=has["poisson"],
        )
        nothing = jnp.float32(0.0)
        return _Series(drawn, nothing, nothing, nothing)

    def step(self, state: _Series, uniforms: dict[str, jax.Array], params: PriorParams):
        drawn = state.drawn
        shock = quantiles.standard_normal(uniforms["market"])
        walk = jnp.clip(state.walk + drawn["wandering"] * shock, -LARGEST_LEVEL, LARGEST_LEVEL)
        phi, fresh = drawn["persistence"], quantiles.standard_normal(uniforms["demand"])
        noise = phi * state.noise + jnp.sqrt(1.0 - phi**2) * fresh
        mean = params.level * _relative_mean(drawn, state.time, walk, params)
        mean = mean * jnp.where(uniforms["promotion"] >= 1.0 - drawn["spikes"], drawn["spike"], 1.0)
        demand = self._count(drawn, mean * _factor(drawn, state.time, noise), uniforms["count"])
        return _Series(drawn, state.time + 1.0, walk, noise), demand.reshape(1, 1)

    def _count(self, drawn, mean, uniform):
        """Whole units about a mean; those of periods that sell are larger where not all do."""
        share = jnp.maximum((uniform - (1.0 - drawn["sale"])) / drawn["sale"], 0.0)
        size = mean / drawn["sale"]
        counted = jnp.where(drawn["poisson"], quantiles.poisson(share, size), jnp.round(size))
        return jnp.where(uniform >= 1.0 - drawn["sale"], counted, 0.0)


def _relative_mean(drawn: dict[str, Any], time, walk, params: PriorParams):
    """The mean of a period as a multiple of the series' level at its launch."""
    age = time - drawn["launch"]

    def since(name):
        return time >= drawn[f"{name}_time"]

    def turn(name):
        cycle = time / drawn[f"{name}_length"] + drawn[f"{name}_turn"]
        return jnp.maximum(1.0 + drawn[name] * jnp.sin(2 * jnp.pi * cycle), 0.02)

    swells = since("swell") & (time < drawn["swell_time"] + drawn["swell_length"])
    moved = (
        walk
        + drawn["jump"] * since("jump")
        + drawn["second_jump"] * since("second_jump")
        + drawn["swell"] * swells
    )
    level = jnp.exp(jnp.clip(moved, -LARGEST_LEVEL, LARGEST_LEVEL))
    grown = jnp.maximum(1.0 + drawn["growth"] * age, 0.05)
    begun = jnp.clip((age + 1.0) / jnp.maximum(drawn["ramp"], 1.0), 0.0, 1.0) * (age >= 0)
    over = (time - drawn["decline"]) / drawn["decline_length"]
    left = jnp.where(over > 0, jnp.clip(1.0 - over, 0.0, 1.0), 1.0)
    return level * grown * turn("season") * turn("short_season") * begun * left


def _factor(drawn, time, noise):
    """Noise of mean 1, or nearly where it is cut at zero."""
    changed = jnp.where(time >= drawn["spread_time"], drawn["spread_factor"], 1.0)
    spread = jnp.clip(drawn["spread"] * changed, 0.02, 1.2)
    heavy = jnp.exp(spread * noise - 0.5 * spread**2)
    return jnp.where(drawn["heavy"], heavy, jnp.maximum(1.0 + spread * noise, 0.0))
