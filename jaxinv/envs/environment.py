"""`InventoryNetwork`: the transition, its world and an instance as one gymnax environment."""

import copy
import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from jaxinv.demand.exogenous import Exogenous, Shapes, World, draw_uniforms
from jaxinv.envs import network
from jaxinv.envs.network import InstanceParams, NetworkState, Outcome
from jaxinv.envs.topology import RELAXABLE, Topology

SIGNAL_BOUND = 1e7
"""Bound of the observation space on demand and covariates."""


@struct.dataclass
class Observation:
    """What a policy may know when it decides: stock, what is on its way, history, and the facts of its instance."""

    time: jax.Array  # [] int32, periods since reset
    on_hand: jax.Array  # [N, K] or [N, K, A]
    pipeline: jax.Array  # [E, K, L - 1] outstanding orders by age
    backorder: jax.Array | None  # [N, K]
    instance: "Facts"
    signals: jax.Array | None = None  # [W, S] demand and covariates, latest last; None inside an encoded rollout
    owed: jax.Array | None = None  # [E, K] what the source of an edge owes, with internal backlog
    orders: jax.Array | None = None  # [E, K, M] orders placed 1 .. M periods ago, where orders travel or are remembered


@struct.dataclass
class Facts:
    """What a planner knows of the instance itself; it does not change with time."""

    lead_time: jax.Array  # [E] quoted, from order to arrival
    review_period: jax.Array  # [E]
    scale: jax.Array  # [N, K] typical demand a period
    critical_ratio: jax.Array  # [N, K] underage / (underage + holding): what a unit short costs, a lost sale's price included
    preference: jax.Array | None = None  # [len(COSTS)] factors on the weights of the costs; None: 1 each


@struct.dataclass
class EnvState:
    """State of the gymnax environment."""

    network: NetworkState
    world: Any
    signals: jax.Array  # [W, S]

    @property
    def time(self) -> jax.Array:
        return self.network.time


class InventoryNetwork(environment.Environment[EnvState, InstanceParams]):
    """A supply network as a gymnax environment.

    - action: float32 `[E, K]`, requested order quantities.
    - observation: float32 `[F]`: on hand, pipeline, what is owed and ordered, then the last W signal vectors (`flatten`).
    - reward: minus the weighted costs of the period.
    - termination: never; an episode is cut off (truncated) after `params.max_steps_in_episode` periods.

    Two environments are equal when their static parts are, whatever their default parameters, so an equal environment
    never recompiles. Training loops use `transition` and replay noise of their own (`jaxinv.evaluation.rollout`).

    Attributes:
      topology: the static network.
      world: the exogenous process.
      history: W, how many past periods of signals an observation holds.
    """

    _supports_transition_gradients = True

    def __init__(self, topology: Topology, world: World, params: InstanceParams, history: int = 1, name: str = ""):
        self.topology = topology
        self.world = world
        self.history = history
        self._params = params
        self._name = name

    def _identity(self):
        return self.topology, self.world, self.history, self._transition_gradients_enabled

    def __eq__(self, other):
        return isinstance(other, InventoryNetwork) and self._identity() == other._identity()

    def __hash__(self):
        return hash(self._identity())

    @property
    def name(self) -> str:
        return self._name or type(self).__name__

    @property
    def default_params(self) -> InstanceParams:
        return self._params

    def relaxed(self) -> "InventoryNetwork":
        """The same network with divisible orders: no packs, no minimum order. Gradients and PPO train on this one."""
        topology = dataclasses.replace(self.topology, mechanisms=self.topology.mechanisms - RELAXABLE)
        relaxed = copy.copy(self)
        relaxed.topology = topology
        return relaxed

    # The world and the transition

    @property
    def start_noise(self) -> Shapes:
        return {**self.world.start_noise, "stock": (self.topology.nodes, self.topology.products)}

    def start(self, uniforms: dict[str, jax.Array], params: InstanceParams) -> NetworkState:
        """Stock at reset, from the uniforms of mechanism "stock" `[N, K]`, what is below zero being owed; open pipeline slots
        hold a given quantity, which is also what was ordered before."""
        topology = self.topology
        on_hand = params.initial_low + (params.initial_high - params.initial_low) * uniforms["stock"]
        lead_time = jnp.round(params.lead_time)  # a random one is quoted by its mean
        open_slots = jnp.arange(1, topology.slots + 1) < lead_time[:, None]
        pipeline = jnp.where(open_slots[:, None, :], params.initial_pipeline[..., None], 0.0)
        if topology.has("packs"):  # goods that come in packs are there in whole units
            on_hand, pipeline = jnp.round(on_hand), jnp.round(pipeline)
        backorder = None
        if topology.backlog:
            on_hand, backorder = jnp.maximum(on_hand, 0.0), jnp.maximum(-on_hand, 0.0)
        if topology.ages > 1:
            on_hand = jnp.zeros((*on_hand.shape, topology.ages)).at[..., -1].set(on_hand)
        return NetworkState(
            time=jnp.int32(0),
            on_hand=on_hand,
            pipeline=pipeline,
            due=jnp.broadcast_to(lead_time[:, None], (topology.edges, topology.slots))
            if topology.random_lead_time
            else None,
            backorder=backorder,
            owed=jnp.zeros((topology.edges, topology.products)) if topology.internal_backlog else None,
            orders=jnp.repeat(params.initial_pipeline[..., None], topology.order_memory, -1)
            if topology.order_memory
            else None,
            sales=jnp.zeros((topology.nodes, topology.products, topology.return_lags))
            if topology.return_lags
            else None,
        )

    def transition(
        self, state: NetworkState, action: jax.Array, exogenous: Exogenous, params: InstanceParams
    ) -> tuple[NetworkState, Outcome]:
        """One period, deterministic and differentiable: see `jaxinv.envs.network.transition`."""
        return network.transition(self.topology, state, action, exogenous, params)

    def view(self, state: NetworkState, params: InstanceParams, signals: jax.Array | None = None) -> Observation:
        """What a policy sees of a state."""
        return Observation(
            time=state.time,
            on_hand=state.on_hand,
            pipeline=state.pipeline,
            backorder=state.backorder,
            instance=self.facts(params),
            signals=signals,
            owed=state.owed,
            orders=state.orders,
        )

    def facts(self, params: InstanceParams) -> Facts:
        underage = params.shortage
        if self.topology.has("revenue") and not self.topology.backlog:
            underage = underage + params.price
        at_stake = underage + params.holding
        delays = self.topology.order_delays
        return Facts(
            lead_time=params.lead_time + jnp.asarray(delays, jnp.float32) if delays else params.lead_time,
            review_period=params.review_period if self.topology.has("review") else jnp.ones_like(params.lead_time),
            scale=params.scale,
            critical_ratio=underage / jnp.where(at_stake > 0, at_stake, 1.0),
            preference=params.preference,
        )

    def flatten(self, observation: Observation) -> jax.Array:
        """An observation as one vector `[F]`: on hand, pipeline, backorders, what nodes owe, past orders, signals."""
        parts = [
            observation.on_hand, observation.pipeline, observation.backorder, observation.owed, observation.orders,
            observation.signals,
        ]  # fmt: skip
        return jnp.concatenate([part.reshape(-1) for part in parts if part is not None])

    # The gymnax contract

    def step(self, key, state, action, params=None):
        """See gymnax. Parameters are filled in before compilation, so equal environments can differ in theirs."""
        return super().step(key, state, action, self.default_params if params is None else params)

    def reset(self, key, params=None):
        return super().reset(key, self.default_params if params is None else params)

    def step_env(self, key, state, action, params):
        uniforms = draw_uniforms(key, 0, self.world.noise)
        world, exogenous = self.world.step(state.world, uniforms, params)
        stock, outcome = self.transition(state.network, action, exogenous, params)
        signals = jnp.concatenate(
            [state.signals[1:], self.world.observe(world, exogenous.demand, params)[None]]
        )
        state = EnvState(network=stock, world=world, signals=signals)
        observation = self.observe(key, state, action, params)
        observation, state = self._apply_transition_gradient_policy(observation, state)
        info = {"costs": outcome.costs, "ordered": outcome.ordered, "sold": outcome.sold, "short": outcome.short}
        return observation, state, outcome.reward, jnp.bool_(False), info

    def reset_env(self, key, params):
        uniforms = draw_uniforms(key, 0, self.start_noise)

        def warm_up(carry, period):
            world, _ = carry
            world, exogenous = self.world.step(world, draw_uniforms(key, period, self.world.noise), params)
            return (world, exogenous.demand), self.world.observe(world, exogenous.demand, params)

        no_demand = jnp.zeros((self.world.demand.locations, self.world.demand.products))
        start = (self.world.init(uniforms, params), no_demand)
        (world, _), signals = jax.lax.scan(warm_up, start, jnp.arange(self.history))
        state = EnvState(network=self.start(uniforms, params), world=world, signals=signals)
        return self.observe(key, state, None, params), state

    def observe(self, key, state, action, params):
        return self.flatten(self.view(state.network, params, state.signals))

    def is_terminated(self, state, params):
        return jnp.bool_(False)

    @property
    def num_actions(self) -> int:
        return self.topology.edges * self.topology.products

    def action_space(self, params=None):
        params = self.default_params if params is None else params
        return spaces.Box(0.0, params.max_order, (self.topology.edges, self.topology.products))

    def observation_space(self, params=None):
        """Stock can grow by at most what every edge may carry in every period, and backorders by all demand."""
        params = self.default_params if params is None else params
        most = jnp.max(params.initial_high) + jnp.sum(params.initial_pipeline) * self.topology.max_lead_time
        stock_bound = most + jnp.sum(params.max_order) * params.max_steps_in_episode
        if self.topology.return_lags or self.topology.backlog:
            stock_bound = stock_bound + SIGNAL_BOUND
        topology = self.topology
        stock = topology.nodes * topology.products * topology.ages + topology.edges * topology.products * topology.slots
        stock += topology.nodes * topology.products * topology.backlog
        stock += topology.edges * topology.products * (topology.internal_backlog + topology.order_memory)
        signals = self.history * self.world.signals
        low = jnp.concatenate([jnp.zeros(stock), jnp.full(signals, -SIGNAL_BOUND)])
        high = jnp.concatenate([jnp.full(stock, stock_bound), jnp.full(signals, SIGNAL_BOUND)])
        return spaces.Box(low, high, (stock + signals,))

    def memory(self, batch: int, periods: int) -> int:
        """Bytes that `batch` environments need for their state and for `periods` periods of replayable world."""
        shapes = jax.eval_shape(lambda key: self.reset_env(key, self.default_params)[1], jax.random.key(0))
        state = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
        world = self.world.signals + self.world.demand.locations * self.world.demand.products
        return 4 * batch * (state + periods * (world + self.topology.edges * self.topology.random_lead_time))
