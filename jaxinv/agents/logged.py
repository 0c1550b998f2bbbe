"""A log as a learner's own play: what its network would have seen, and what it would have had to
decide.

Of a log only what a planner knows is read: signals, stock, facts, orders and rewards. Where a
learner's steps have the reward of the window that an order decides (`jaxinv.agents.alignment`), the
last orders of a log, whose window it does not hold, are left out.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxinv.agents.agent import Worlds
from jaxinv.agents.alignment import Window
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.logs import read_log
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.policies.learned import LearnedPolicy


def log_of(problem: Problem, path: str) -> Trajectories | None:
    """The log of a file for a problem; None for no file.

    Raises:
      UserError: for a log that does not fit the problem, or cannot be read.
    """
    return read_log(path, problem.learned_on).trajectories if path else None


def as_decided(
    policy: LearnedPolicy, worlds: Worlds, chosen: Callable, log: Trajectories
) -> Trajectories:
    """The log in T' steps of a learner, with stock features `[T' + 1, F, B]` and decisions
    `[T', ..., B]`.

    Args:
      chosen: raw outputs of the decode to what the learner keeps of a decision.

    Raises:
      UserError: for a log of another network, or one that such a learner cannot learn from.
    """
    window = worlds.window or Window(0, 1)
    steps = (log.reward.shape[0] - window.lead) // window.review
    _check(policy, worlds, window, steps, log)
    topology, review = worlds.env.topology, window.review
    # The shipment is learned from as the order, unless the rest of the order is shipped later.
    at_once = not topology.internal_backlog and not topology.order_delays
    orders = log.executed if at_once and log.executed is not None else log.orders

    def of_one(observation, signals, facts, orders):
        contexts = jax.tree.map(
            lambda rows: rows[worlds.env.history - 1 :], policy.read_rates(signals, facts)
        )

        def decision(observation, context, order):
            observation = observation.replace(instance=facts)
            raw = policy.decode.raw_for(order, observation, context.rates)
            return policy.stock_features(observation, context), chosen(raw)

        orders = jnp.concatenate(
            [orders, orders[-1:]]
        )  # of the decision after the last only the features are wanted
        return jax.vmap(decision)(observation, contexts, orders)

    stock, kept = jax.vmap(of_one, BATCH, BATCH)(log.observation, log.signals, log.facts, orders)
    ends = window.lead + review * (1 + jnp.arange(steps)) - 1
    reward = log.reward[: window.lead + review * steps]
    return log.replace(
        reward=window.mean(reward) if worlds.window else reward,
        follows=jnp.ones((steps, reward.shape[1])) if log.follows is None else log.follows[ends],
        stock=stock[::review][: steps + 1],
        kept=jax.tree.map(lambda leaf: leaf[::review][:steps], kept),
    )


def _check(policy, worlds, window, steps, log):
    env, topology = worlds.env, worlds.env.topology
    for name in ("signals", "observation", "facts", "orders"):
        if getattr(log, name) is None:
            raise UserError(
                f"the log has no {name}, which a policy decides by; "
                "make it with record of jaxinv.evaluation.trajectories"
            )
    periods, batch = log.reward.shape
    if steps < 1:
        raise UserError(
            f"a log of {periods} periods is too short: orders take {window.lead}; give a longer one"
        )
    if worlds.moments is not None or policy.preferences:
        option = "preferences=true" if policy.preferences else "a penalty"
        raise UserError(f"{option} needs worlds to play in, and a log has none; leave it out")
    if topology.has("dispositions"):
        raise UserError(
            "here dispositions are decided too, and learners do not read them from a log; play"
            " instead"
        )
    if policy.decode.allocation != "rationing":
        raise UserError(
            "allocation=softmax shares stock out by outputs that orders do not tell; "
            "learn from a log without it"
        )
    first = log.observation.time[0]
    if worlds.window and bool(jnp.any(first % window.review)):
        raise UserError(
            f"the log must begin in a review period, one of every {window.review}; "
            "record it from a reset on"
        )
    stock = {
        "on_hand": (topology.nodes, topology.products),
        "pipeline": (topology.edges, topology.products, topology.slots),
    }
    if topology.ages > 1:
        stock["on_hand"] += (topology.ages,)
    wanted = {name: (periods + 1, *shape, batch) for name, shape in stock.items()} | {
        "signals": (env.history + periods, env.world.signals, batch),
        "orders": (periods, topology.edges, topology.products, batch),
    }
    for name, shape in wanted.items():
        found = getattr(log.observation if name in stock else log, name).shape
        if found != shape:
            raise UserError(
                f"the log is of another network or history: its {name} has shape {found}, "
                f"and {env.name} has {shape}; make the problem as it was recorded"
            )
