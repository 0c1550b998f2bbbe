"""A policy with its numbers in the network it orders for: what to order now, from one's own stock
and sales."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import flat, shipping
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import Action, InstanceParams, NetworkState
from jaxinv.envs.observation import Observation
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, unknown
from jaxinv.policies.policy import Policy


@dataclass(frozen=True, eq=False)
class Decider:
    """A policy that has been trained or tuned.

    Attributes:
      name: what it is called in tables.
      problem: the instances that it orders for.
      policy, params: what decides; with `policy_axis` the last axis of `params` is the instances.
    """

    name: str
    problem: Problem
    policy: Policy
    params: Any
    policy_axis: int | None = None

    def __repr__(self) -> str:
        return f"Decider({self.name!r} on {self.problem.env.name})"

    @property
    def edges(self) -> tuple[str, ...]:
        """Names of the edges that orders go along, in the order of the rows of `order`."""
        return tuple(flat.labels(self.problem.env.topology, "edge"))

    def order(
        self,
        observation: Observation | Any | None = None,
        *,
        stock: Any = None,
        pipeline: Any = None,
        history: Any = None,
        known: Any = None,
        period: int = 0,
        series: str | int | None = None,
    ) -> np.ndarray:
        """Units to order now on each edge `[E, K]`: whole packs, minimum orders, limits and the
        stock of sources are seen to, as the simulator sees to them. What becomes of returns, where
        that is decided too, is no part of it.

        Axes of one entry may be left away, such as that of the product in a network of one.

        Args:
          observation: the vector `[F]` that the environment shows, or an `Observation`, instead of
            the numbers that follow.
          stock: units on hand `[N, K]` (`[N, K, A]` by age where goods age) after what arrives in
            this period has arrived; below zero it is backorders.
          pipeline: units on their way `[E, K, L - 1]`: entry i was ordered i + 1 periods ago and is
            not here yet. What is left away at the end is 0.
          history: units of demand of the last W periods or more `[W, D, K]` at the places that
            sell, the latest last. Only policies that read it need it.
          known: what is known ahead of each period that follows a row of `history` `[W, C]`, where
            the problem has such covariates (`env.observation_names()`), as the problem holds them.
          period: counts on from one in which every edge can order, where orders have a review
            period.
          series: name or number of the series, where there are several.

        Raises:
          UserError: it names what is missing or does not fit.
        """
        env, number = self.problem.env, self._number(series)
        instance = jax.tree.map(lambda leaf: jnp.asarray(leaf[number]), self.problem.test)
        params = self.params
        if self.policy_axis is not None:
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., number], params)
        own = dict(stock=stock, pipeline=pipeline, history=history, known=known)
        if observation is None:
            state, signals = _own_numbers(env, self.policy, instance, period, **own)
        elif any(value is not None for value in own.values()):
            raise UserError("order takes an observation or numbers of your own, not both")
        else:
            if not isinstance(observation, Observation):
                observation = flat.unflatten(env, observation, instance)
            state, signals = _state_of(env, observation), observation.signals
        returns = None if observation is None else observation.returns
        return np.asarray(_decide(env, self.policy, params, instance, state, signals, returns))

    def _number(self, series: str | int | None) -> int:
        labels, count = self.problem.labels, self.problem.tested
        if series is None:
            if count == 1:
                return 0
            some = ", ".join(labels[:5]) or "0, 1, 2"
            raise UserError(f"series is missing: name one of {count}, such as {some}")
        if isinstance(series, str):
            if series not in labels:
                raise unknown("series", series, labels)
            return labels.index(series)
        if not 0 <= series < count:
            raise UserError(f"series={series}: there are {count}, from 0 to {count - 1}")
        return int(series)


@partial(jax.jit, static_argnums=(0, 1))
def _decide(
    env: InventoryNetwork, policy: Policy, params, instance, state, signals, returns
) -> jax.Array:
    orders = Action.of(
        policy(params, replace(env.view(state, instance, signals), returns=returns))
    ).orders
    if (
        env.topology.order_memory or env.topology.internal_backlog
    ):  # what is asked for is shipped later
        return jnp.maximum(orders, 0.0)
    return shipping.ship(env.topology, state, orders, instance)[0]


def _state_of(env: InventoryNetwork, observation: Observation) -> NetworkState:
    """The state that an observation shows; of past sales it only shows what comes back now."""
    shared = ("time", "on_hand", "pipeline", "backorder", "owed", "orders", "goodwill", "booked")
    topology, sales = env.topology, None
    if topology.has("dispositions") and topology.returns_of == "sales":
        sales = jnp.zeros((topology.nodes, topology.products, topology.return_lags))
    return NetworkState(**{name: getattr(observation, name) for name in shared}, sales=sales)


def _own_numbers(
    env: InventoryNetwork,
    policy: Policy,
    instance: InstanceParams,
    period: int,
    *,
    stock,
    pipeline,
    history,
    known,
) -> tuple[NetworkState, jax.Array]:
    """The state and the signals `[W, S]` that a user's numbers make."""
    topology, demand = env.topology, env.world.demand
    more = topology.order_memory or topology.internal_backlog or topology.advance_nodes
    if more or topology.has("dispositions") or topology.has("goodwill"):
        raise UserError(
            f"{env.name} has more to its state than stock and pipeline; give the whole observation"
        )
    products = topology.products
    shape = (topology.nodes, products) + ((topology.ages,) if topology.ages > 1 else ())
    stock = _shaped("stock", stock, shape, f"units on hand of {topology.nodes} nodes")
    if not topology.backlog and np.any(stock < 0):
        raise UserError(
            f"stock={stock.min():g}: stock cannot be below 0 with lost sales, where there are no"
            " backorders"
        )
    slots = (topology.edges, products, topology.slots)
    pipeline = _padded("pipeline", pipeline, slots)
    if np.any(pipeline < 0):
        raise UserError(f"pipeline has an entry of {pipeline.min():g}; it cannot be below 0")
    reads = policy.wants_window or type(policy).encode is not Policy.encode
    places = (env.history, demand.locations, products)
    rows = np.zeros((env.history, env.world.signals), np.float32)
    if reads:
        sold = _latest(
            "history", history, places, "units of demand of each period, the latest last"
        )
        if np.any(sold < 0):
            raise UserError(f"history has a demand of {sold.min():g}; it cannot be below 0")
        rows[:, : math.prod(places[1:])] = sold.reshape(env.history, -1)
        if told := env.world.covariates:
            what = (
                "what is known ahead of each period,"
                f" {', '.join(signal.name for signal in env.signals[-told:])}"
            )
            rows[:, -told:] = _latest("known", known, (env.history, told), what)
    state = NetworkState(
        time=jnp.int32(period),
        on_hand=jnp.maximum(stock, 0.0) if topology.backlog else jnp.asarray(stock),
        pipeline=jnp.asarray(pipeline),
        backorder=jnp.maximum(-stock, 0.0) if topology.backlog else None,
    )
    return state, jnp.asarray(rows)


def _numbers(name: str, values: Any, what: str) -> np.ndarray:
    if values is None:
        raise UserError(f"{name} is missing: give {what}")
    try:
        found = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{name} must be numbers: {what}") from None
    if not np.all(np.isfinite(found)):
        raise UserError(f"{name} has an entry that is not a finite number")
    return found


def _shaped(name: str, values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Values `[...]` as an array of that shape, whose axes of one entry may be missing."""
    found = _numbers(name, values, f"{what} {list(shape)}")
    if [size for size in found.shape if size > 1] != [size for size in shape if size > 1]:
        raise UserError(
            f"{name} has the shape {list(found.shape)}, and this network wants {list(shape)}:"
            f" {what}"
        )
    return found.reshape(shape)


def _padded(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Values whose last axis may be shorter, filled up with zeros."""
    what = f"units ordered 1 to {shape[-1]} periods ago on {shape[0]} edges that are not here yet"
    if not shape[-1]:
        if values is not None and np.any(_numbers(name, values, what)):
            raise UserError(
                f"{name}: every order of this network arrives in the next period, so the pipeline"
                " is empty"
            )
        return np.zeros(shape, np.float32)
    found = np.atleast_1d(_numbers(name, values, f"{what} {list(shape)}, zeros where nothing is"))
    if found.shape[-1] > shape[-1]:
        raise UserError(
            f"{name} has {found.shape[-1]} periods, and an order is at most {shape[-1]} on its way:"
            f" {what}"
        )
    missing = [(0, 0)] * (found.ndim - 1) + [(0, shape[-1] - found.shape[-1])]
    return _shaped(name, np.pad(found, missing), shape, what)


def _latest(name: str, values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """The last rows of values that may have more."""
    found = np.atleast_1d(_numbers(name, values, f"{what} {list(shape)}"))
    if len(found) < shape[0]:
        raise UserError(
            f"{name} has {len(found)} periods, and this policy reads {shape[0]}: {what}"
        )
    return _shaped(name, found[-shape[0] :], shape, what)
