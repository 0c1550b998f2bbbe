"""The long clock measured where the truth is known: counterfactuals, effects from logs, equation 10
part 1, and drift.

The seed prints no numbers for its causal module; the claims are those of methods.md D.4. Everything
runs on worlds that are open to change: `causal_store`, whose demand is a structural causal model,
and for drift also a shop of `cross_border`.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.counterfactual import (
    HORIZON,
    OUTCOMES,
    branch_futures,
    counterfactual,
    effects,
    log,
    order_instead,
    outcomes,
)  # fmt: skip
from jaxinv.adapt.effects import ESTIMATORS, effect_at, over_logs, pehe, t_learner
from jaxinv.adapt.response import fit_from_log, fit_response, pairs, quadratic, respond, trajectory
from jaxinv.demand.interventions import Intervention
from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import preset
from jaxinv.envs.scenarios import open_to_change
from jaxinv.errors import unknown
from jaxinv.evaluation.rollout import Episodes
from jaxinv.evaluation.statistics import Estimate, mean_of
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.rules import make_rule
from jaxinv.studies import causal_drift
from jaxinv.studies.rows import row

LEVEL = 1.3
"""Base-stock level of the policy that is logged, in typical demand over the coverage of an
order.
"""

WARM_UP = 60

PROMOTED, PLAIN = Intervention(promotion=1.0, stop=1.0), Intervention(promotion=0.0, stop=1.0)
"""The treatment and what it is compared with, on the present day."""

LEAST_COVERAGE = 0.9


@dataclasses.dataclass(frozen=True)
class CausalSize:
    """How much is simulated.

    Attributes:
      logs, days: simulated logs, and the days of each.
      paths: for a true average effect. states, copies: for true effects given the state: states,
        and futures of each.
      drift: see `causal_drift.DriftSize`.
    """

    logs: int = 1000
    days: int = 730
    paths: int = 1 << 16
    states: int = 256
    copies: int = 512
    drift: causal_drift.DriftSize = causal_drift.DriftSize()

    @classmethod
    def quick(cls) -> "CausalSize":
        return cls(300, 371, 1 << 15, 128, 256, causal_drift.DriftSize.quick())


class CausalStoreLogs:
    """The causal store, the policy that runs it, and its logs, each worked out once."""

    def __init__(self, size: CausalSize, seed: int = 0):
        self.size = size
        self.problem: Problem = open_to_change(preset("causal_store")().build())
        self.env, self.params = self.problem.env, self.problem.first
        self.policy = make_rule("base_stock", self.env.topology)
        self.numbers = {"level": jnp.full((1, 1), LEVEL)}
        self.keys = (key_of(root(seed), Role.STUDY, number) for number in itertools.count())
        self._logs = None

    def record(self, batch: int, periods: int) -> Trajectories:
        return log(
            self.env,
            self.params,
            self.policy,
            self.numbers,
            next(self.keys),
            batch=batch,
            periods=periods,
            warm_up=WARM_UP,
        )

    @property
    def logs(self) -> Trajectories:
        if self._logs is None:
            self._logs = self.record(self.size.logs, self.size.days)
        return self._logs

    def effects(
        self, episodes: Episodes, treated: Intervention, control: Intervention = Intervention()
    ) -> jax.Array:
        return effects(self.env, self.params, self.policy, self.numbers, episodes, treated, control)

    def decisions(self, played: Trajectories) -> tuple[jax.Array, jax.Array]:
        """`states` of every decision of a log `[T, R, ...]`."""
        on_hand, signals = played.on_hand.sum((1, 2)), played.latest
        return self.states(
            jnp.moveaxis(signals, 1, -1), on_hand, on_hand + played.in_transit.sum((1, 2))
        )

    def states(
        self, signals: jax.Array, on_hand: jax.Array, position: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """What is known before a decision and moves what follows `[..., 5]`, and whether a
        promotion runs `[...]`.

        Args:
          signals: `[..., S]`; on_hand, position: `[...]` units.
        """
        unit = self.params.scale[0, 0] * self.params.lead_time[0]
        sine, cosine, promotion, price = (
            signals[..., self.env.columns(name)[0]]
            for name in ("season sine", "season cosine", "promotion", "price")
        )
        stock = [on_hand / unit, position / unit]
        return jnp.stack([sine, cosine, 10 * price, *stock], -1), promotion

    def present(self, episodes: Episodes) -> jax.Array:
        """`states` of running episodes `[B, 5]`."""
        network = episodes.network
        on_hand = network.on_hand.sum((0, 1))
        return self.states(
            episodes.signals[-1].T, on_hand, on_hand + network.pipeline.sum((0, 1, 2))
        )[0]


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), one by one.

    Args:
      quick: fewer and shorter logs.
      parts: names of `PARTS`; all of them where not given.
    """
    for part in parts:
        if part not in PARTS:
            raise unknown("part of the causal study", part, PARTS)
    bench = CausalStoreLogs(CausalSize.quick() if quick else CausalSize())
    for part in parts or PARTS:
        for claim, ours, interval, holds, note in PARTS[part](bench):
            yield row(
                f"{part}: {claim}",
                Estimate(ours, *(interval or (math.nan, math.nan))),
                holds=holds,
                note=note,
            )


def unchanged_replay(bench: CausalStoreLogs) -> Iterator[tuple]:
    """Counterfactuals that change nothing are the log itself."""
    logged = bench.record(256, 120)
    policy, env = bench.policy, bench.env
    cases = {
        "do(nothing)": counterfactual(env, logged, policy),
        "do(an intervention without effect)": counterfactual(env, logged, policy, Intervention()),
        "do(the orders that were placed)": counterfactual(
            env, logged, policy, orders=logged.orders
        ),
    }
    for name, played in cases.items():
        same = jax.tree.map(
            lambda new, old: np.mean(np.asarray(new == old)), played, logged.replace(origin=None)
        )
        share = min(float(leaf) for leaf in jax.tree.leaves(same))
        yield f"{name} is the factual bit for bit (share of numbers)", share, None, share == 1.0, ""


def truth(bench: CausalStoreLogs) -> Iterator[tuple]:
    """True effects of one day's interventions on the week that begins with it."""
    logged = bench.record(bench.size.paths // 4, HORIZON)
    now = {
        "do(promotion=1) rather than 0": (PROMOTED, PLAIN),
        "do(price=0.9)": (Intervention(price=0.9, stop=1.0), Intervention()),
        "do(shock=0.3)": (Intervention(shock=0.3, stop=1.0), Intervention()),
        "do(lead time + 4)": (Intervention(lead_time=4.0, stop=1.0), Intervention()),
    }
    found = {name: bench.effects(logged.origin.start, *change) for name, change in now.items()}
    without = counterfactual(bench.env, logged, bench.policy, orders=order_instead(logged, 0, 0.0))
    found["do(order=0)"] = outcomes(without) - outcomes(logged)
    for name, effect in found.items():
        for outcome, values in zip(OUTCOMES, np.asarray(effect)):
            if values.any():
                estimate = mean_of(values)
                yield f"{name} on 7-day {outcome}", estimate.value, estimate.interval, None, ""


def logs(bench: CausalStoreLogs) -> Iterator[tuple]:
    """The effect of a promotion from logs alone, by each estimator, against the truth."""
    exact = np.asarray(
        bench.effects(bench.record(bench.size.paths, 1).origin.start, PROMOTED, PLAIN)
    ).mean(1)
    covariates, treatment, following = _observed(bench)
    size = bench.size
    note = f"{size.logs} logs of {size.days} days"
    for name, estimator in ESTIMATORS.items():
        found = jax.device_get(over_logs(estimator, treatment, following, covariates))
        for number, outcome in enumerate(OUTCOMES):
            value, true = found.value[:, number], exact[number]
            covered = np.asarray(found.covers(exact))[:, number].astype(float)
            of = f"{name}, promotion on 7-day {outcome}"
            coverage = mean_of(covered)
            judged = None if name == "regression" else coverage.value >= LEAST_COVERAGE
            if name == "naive difference":
                claim, judged = (
                    "does not cover the truth in 90% of logs",
                    coverage.value < LEAST_COVERAGE,
                )
            else:
                claim = "95% interval covers the truth in at least 90% of logs"
            yield f"{of}: {claim} (share)", coverage.value, coverage.interval, judged, note
            bias = mean_of(value - true)
            yield f"{of}: bias (truth {true:.4g})", bias.value, bias.interval, None, note
            yield f"{of}: RMSE", np.sqrt(np.mean((value - true) ** 2)), None, None, note
            yield (
                f"{of}: right sign (share of logs)",
                np.mean(np.sign(value) == np.sign(true)),
                None,
                None,
                note,
            )
    yield from _heterogeneity(bench, covariates, treatment, following[..., 0], note)


def _heterogeneity(bench, covariates, treatment, demand, note):
    """PEHE of a T-learner of 7-day demand from a log, beside one number for all states."""
    states, effect = _true_effects_of_states(bench)
    learned = jax.vmap(t_learner)(treatment, demand, covariates)
    given_state = pehe(jax.vmap(effect_at, (0, None))(learned, bent(states)), effect)
    constant = over_logs(ESTIMATORS["AIPW"], treatment, demand[..., None], covariates).value
    one_number = pehe(jnp.broadcast_to(constant, (len(learned), len(effect))), effect)
    for name, error in (
        ("T-learner", given_state),
        ("AIPW, one number for all states", one_number),
    ):
        estimate = mean_of(np.asarray(error))
        spread = (
            f"true effects differ by {float(effect.std()):.3g} (standard deviation) between states;"
            f" {note}"
        )
        yield (
            f"{name}, promotion on 7-day demand: PEHE",
            estimate.value,
            estimate.interval,
            None,
            spread,
        )


def _true_effects_of_states(bench):
    start = bench.record(bench.size.states, 1).origin.start
    copies = branch_futures(start, next(bench.keys), bench.size.copies)
    effect = bench.effects(copies, PROMOTED, PLAIN)[0].reshape(bench.size.states, -1).mean(1)
    return bench.present(start), effect


def _observed(bench):
    """Covariates `[R, n, C]`, promotion `[R, n]` and the three outcomes of the week `[R, n, 3]` of
    the logs.
    """
    played = bench.logs
    covariates, promotion = bench.decisions(played)  # [T, R, ...]
    daily = jnp.stack(
        [played.demand.sum((1, 2)), (played.short > 0).sum((1, 2)), -played.reward], -1
    )
    days = daily.shape[0] - HORIZON + 1
    week = sum(daily[ahead : ahead + days] for ahead in range(HORIZON))
    return jax.tree.map(
        lambda leaf: jnp.swapaxes(leaf[:days], 0, 1), (bent(covariates), promotion, week)
    )


def bent(states):
    """States `[..., 5]` and the square of the season `[..., 6]`: what is linear in the logarithm of
    demand bends.
    """
    return jnp.concatenate([states, states[..., :1] ** 2], -1)


def response(bench: CausalStoreLogs) -> Iterator[tuple]:
    """Equation 10, part 1, from pairs of worlds and from logs alone, on states it has not seen."""
    env, params, policy, numbers = bench.env, bench.params, bench.policy, bench.numbers

    def changes(episodes, done):
        """Delta s of interventions `[B, 3]` on promotion, log level of demand and lead time."""
        promotion, level, later = done.T
        treated = Intervention(
            promotion=promotion, demand=jnp.exp(level), lead_time=later, stop=1.0
        )
        return pairs(env, params, policy, numbers, episodes, treated, PLAIN)

    def as_numbers(done):  # the squares let a response bend
        return jnp.concatenate([done, done[:, 1:] ** 2, done[:, :1] * done[:, 1:]], 1)

    def draw(count):
        promotion, level, later = jax.random.uniform(next(bench.keys), (3, count))
        return jnp.stack([jnp.round(promotion), level - 0.5, jnp.floor(5 * later)], 1)

    seen = bench.record(bench.size.paths // 4, 1).origin.start
    done = draw(bench.size.paths // 4)
    oracle = fit_response(bench.present(seen), as_numbers(done), changes(seen, done))

    unseen = bench.record(bench.size.states, 1).origin.start
    states = bench.present(unseen)
    copies = branch_futures(unseen, next(bench.keys), bench.size.copies)

    def expected(done):
        change = changes(copies, jnp.repeat(done, bench.size.copies, 0))
        return change.reshape(len(done), bench.size.copies, -1).mean(1)

    mixed = draw(len(states))
    promoted = jnp.tile(jnp.asarray([[1.0, 0.0, 0.0]]), (len(states), 1))
    true_mixed, true_promoted = expected(mixed), expected(promoted)
    note = (
        f"{len(states)} states with {bench.size.copies} futures each; M = {true_mixed.shape[1]}"
        " numbers of stock and demand"
    )
    fit = respond(oracle, states, as_numbers(mixed))
    yield (
        "oracle, mixed interventions: R^2 of E[Delta s | s, x]",
        r_squared(fit, true_mixed),
        None,
        None,
        note,
    )
    fits = {
        "oracle": respond(oracle, states, as_numbers(promoted)),
        "logs": _from_logs(bench, states),
    }
    for name, fit in fits.items():
        yield (
            f"{name}, do(promotion): R^2 of E[Delta s | s, x]",
            r_squared(fit, true_promoted),
            None,
            None,
            note,
        )
        demand = slice(HORIZON, None)
        error = pehe(fit[:, demand].sum(1), true_promoted[:, demand].sum(1))
        yield f"{name}, do(promotion): PEHE of 7-day demand", error, None, None, note


def _from_logs(bench, states):
    """Delta s of a promotion at states `[B, F]`, learned from all logs together."""
    played = bench.logs
    features, promotion = bench.decisions(played)
    following = trajectory(played)
    days = following.shape[0]
    rows = [leaf[:days].reshape(-1, *leaf.shape[2:]) for leaf in (features, promotion, following)]
    return quadratic(states) @ fit_from_log(*rows)


def r_squared(fit: jax.Array, target: jax.Array) -> float:
    """Share of the variation of targets `[n, M]` about their one mean that a fit explains."""
    return float(1.0 - jnp.sum((target - fit) ** 2) / jnp.sum((target - target.mean()) ** 2))


def drift(bench: CausalStoreLogs) -> Iterator[tuple]:
    """Detection delays and false alarms; see `causal_drift`."""
    yield from causal_drift.rows(bench.size.drift)


PARTS = {
    "replay": unchanged_replay,
    "truth": truth,
    "logs": logs,
    "response": response,
    "drift": drift,
}
