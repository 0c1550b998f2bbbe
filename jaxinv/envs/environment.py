"""`InventoryNetwork`: the transition, its world and an instance as one gymnax environment."""

import copy
import dataclasses
import math
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from jaxinv.demand.exogenous import Exogenous, Shapes, World, draw_uniforms
from jaxinv.demand.signals import Signal, check_unique_names, columns_of
from jaxinv.envs import flat, network
from jaxinv.envs.autoreset import fresh_where
from jaxinv.envs.network import Action, InstanceParams, NetworkState, Outcome
from jaxinv.envs.observation import Facts, Observation, facts_of
from jaxinv.envs.stock import coming_back, receive
from jaxinv.envs.topology import RELAXABLE, Topology
from jaxinv.errors import UserError


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

    - action: float32 `[E, K]`, requested order quantities, or `[E]` where there is one product.
      What is no number or below 0 orders nothing, and what is above `params.max_order` is cut to
      it. Where dispositions are decided (topology mechanism of that name), an action is a mapping
      or an `Action` of `orders` and `dispositions` `[N, K, 3]`; orders alone will do.
    - observation: float32 `[F]`, whose entries `observation_names` names (`jaxinv.envs.flat`).
    - reward: minus the weighted costs of the period.
    - termination: after `params.max_steps_in_episode` periods where it `ends`; elsewhere never, an
      episode is cut off (truncated) after as many.

    Two environments are equal when their static parts and their default parameters are, so that a
    program which is compiled for one never serves another with other numbers. That of a problem
    (`within`) is compared by its static parts alone: loops that pass parameters share one program.
    `step` and `reset` are such loops. Training uses `transition` and replays noise of its own
    (`jaxinv.evaluation.rollout`).

    Attributes:
      topology: the static network.
      world: the exogenous process.
      history: W, how many past periods of signals an observation holds.
      ends: an episode is over for good after its last period: no value is to follow.
    """

    _supports_transition_gradients = True

    def __init__(
        self,
        topology: Topology,
        world: World,
        params: InstanceParams,
        history: int = 1,
        name: str = "",
        ends: bool = False,
    ):
        self.topology = topology
        self.world = world
        self.history = history
        self.ends = ends
        self._params = params
        self._name = name
        self._own_numbers = True
        check_unique_names(self.signals)

    def _identity(self):
        numbers = self._fingerprint if self._own_numbers else None
        return (
            type(self),
            self.topology,
            self.world,
            self.history,
            self.ends,
            self._transition_gradients_enabled,
            numbers,
        )

    @cached_property
    def _fingerprint(self):
        """The default parameters as something that can be compared."""
        leaves, tree = jax.tree.flatten(self._params)
        arrays = [np.asarray(leaf) for leaf in leaves]
        return tree, tuple((array.shape, array.dtype.str, array.tobytes()) for array in arrays)

    def __eq__(self, other):
        return isinstance(other, InventoryNetwork) and self._identity() == other._identity()

    def __hash__(self):
        return hash(self._identity())

    @property
    def name(self) -> str:
        return self._name or type(self).__name__

    @cached_property
    def default_params(self) -> InstanceParams:
        with jax.ensure_compile_time_eval():  # they are kept, and may be first asked for in a trace
            return jax.tree.map(
                lambda leaf: leaf if isinstance(leaf, int) else jax.device_put(leaf), self._params
            )

    def within(self, ends: bool) -> "InventoryNetwork":
        """The same network as part of a problem, which passes parameters itself: its own do not
        tell it apart.

        Args:
          ends: whether episodes are over for good after their last period.
        """
        return self._with(ends=ends, _own_numbers=False)

    def alone(self, params: InstanceParams | None = None) -> "InventoryNetwork":
        """The same network for callers that may leave parameters out: those it has, or is given
        here, tell it apart.
        """
        changed = self._with(_own_numbers=True, _params=self._params if params is None else params)
        for name in ("_fingerprint", "default_params"):  # kept of other numbers
            vars(changed).pop(name, None)
        return changed

    def _with(self, **attributes) -> "InventoryNetwork":
        changed = copy.copy(self)
        vars(changed).update(attributes)
        return changed

    def relaxed(self) -> "InventoryNetwork":
        """The same network with divisible orders: no packs, no minimum order. Gradients and PPO
        train on this one.
        """
        topology = dataclasses.replace(
            self.topology, mechanisms=self.topology.mechanisms - RELAXABLE
        )
        return self._with(topology=topology)

    # The world and the transition

    @property
    def start_noise(self) -> Shapes:
        return {**self.world.start_noise, "stock": (self.topology.nodes, self.topology.products)}

    def start(self, uniforms: dict[str, jax.Array], params: InstanceParams) -> NetworkState:
        """Stock at reset, from the uniforms of mechanism "stock" `[N, K]`, what is below zero being
        owed; open pipeline slots hold a given quantity, which is also what was ordered before. No
        customer has ordered ahead.
        """
        topology = self.topology
        on_hand = (
            params.initial_low + (params.initial_high - params.initial_low) * uniforms["stock"]
        )
        lead_time = jnp.round(params.lead_time)  # a random one is quoted by its mean
        arriving_first = (
            0 if topology.has("orders_first") else 1
        )  # whether what is due now has arrived already
        open_slots = jnp.arange(1, topology.slots + 1) + arriving_first <= lead_time[:, None]
        pipeline = jnp.where(open_slots[:, None, :], params.initial_pipeline[..., None], 0.0)
        if topology.has("packs"):  # goods that come in packs are there in whole units
            on_hand, pipeline = jnp.round(on_hand), jnp.round(pipeline)
        backorder = None
        if topology.backlog:
            on_hand, backorder = jnp.maximum(on_hand, 0.0), jnp.maximum(-on_hand, 0.0)
        if topology.ages > 1:
            on_hand = receive(topology, jnp.zeros((*on_hand.shape, topology.ages)), on_hand, params)
        return NetworkState(
            time=jnp.int32(0),
            on_hand=on_hand,
            pipeline=pipeline,
            due=(
                jnp.broadcast_to(lead_time[:, None], (topology.edges, topology.slots))
                if topology.random_lead_time
                else None
            ),
            arriving=(
                jnp.ones((topology.edges, topology.slots)) if topology.has("arrivals") else None
            ),
            backorder=backorder,
            owed=(
                jnp.zeros((topology.edges, topology.products))
                if topology.internal_backlog
                else None
            ),
            orders=(
                jnp.repeat(params.initial_pipeline[..., None], topology.order_memory, -1)
                if topology.order_memory
                else None
            ),
            sales=(
                jnp.zeros((topology.nodes, topology.products, topology.return_lags))
                if topology.return_lags and topology.returns_of == "sales"
                else None
            ),
            goodwill=(
                jnp.ones((topology.nodes, topology.products)) if topology.has("goodwill") else None
            ),
            booked=(
                jnp.zeros((topology.nodes, topology.products)) if topology.advance_nodes else None
            ),
        )

    def transition(
        self,
        state: NetworkState,
        action: jax.Array | Action,
        exogenous: Exogenous,
        params: InstanceParams,
    ) -> tuple[NetworkState, Outcome]:
        """One period, deterministic and differentiable: see `jaxinv.envs.network.transition`."""
        return network.transition(self.topology, state, action, exogenous, params)

    def view(
        self, state: NetworkState, params: InstanceParams, signals: jax.Array | None = None
    ) -> Observation:
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
            goodwill=state.goodwill,
            returns=(
                self._known_returns(state, params) if self.topology.has("dispositions") else None
            ),
            booked=state.booked,
        )

    def _known_returns(self, state, params):
        """Units that are known to come back in a period: all of them, but for those of demand that
        is not known yet.
        """
        known = (
            jnp.zeros((self.topology.nodes, self.topology.products))
            if state.booked is None
            else state.booked
        )
        return coming_back(self.topology, known, state.sales, params)

    def facts(self, params: InstanceParams) -> Facts:
        """What a planner knows of an instance."""
        return facts_of(self.topology, params)

    # The gymnax contract

    def step(self, key, state, action, params=None):
        """See gymnax; the reset is computed only where an episode ended (`jaxinv.envs.autoreset`).

        Parameters are filled in before compilation, so equal networks share one program whatever
        their defaults.
        """
        params = self.default_params if params is None else params
        return self.within(self.ends)._step(key, state, action, params)

    def reset(self, key, params=None):
        """See gymnax."""
        return self.within(self.ends)._reset(key, self.default_params if params is None else params)

    @partial(jax.jit, static_argnames=("self",))
    def _reset(self, key, params):
        return self.reset_env(key, params)

    @partial(jax.jit, static_argnames=("self",))
    def _step(self, key, state, action, params):
        key, reset_key = jax.random.split(key)
        last, state, reward, terminated, info = self.step_env(key, state, action, params)
        truncated = self.is_truncated(state, params)
        over = terminated | truncated
        fresh = fresh_where(over, self.reset_env, reset_key, params)
        observation, state = jax.tree.map(
            lambda new, old: jax.lax.select(over, new, old), fresh, (last, state)
        )
        info = {**info, "terminated": terminated, "truncated": truncated, "final_observation": last}
        return observation, state, reward, terminated, truncated, info

    def step_env(self, key, state, action, params):
        observation, state, outcome = self.play(key, state, action, params)
        info = {
            "costs": outcome.costs,
            "ordered": outcome.ordered,
            "sold": outcome.sold,
            "short": outcome.short,
        }
        return observation, state, outcome.reward, self.is_terminated(state, params), info

    def play(self, key, state, action, params) -> tuple[jax.Array, EnvState, Outcome]:
        """One period whose noise is drawn from the key: what is seen after it, the state, and all
        that happened.
        """
        uniforms = draw_uniforms(key, 0, self.world.noise)
        world, exogenous = self.world.step(state.world, uniforms, params)
        stock, outcome = self.transition(
            state.network, self._action(action, params), exogenous, params
        )
        signals = jnp.concatenate(
            [state.signals[1:], self.world.observe(world, exogenous.demand, params)[None]]
        )
        state = EnvState(network=stock, world=world, signals=signals)
        observation = self.observe(key, state, action, params)
        return *self._apply_transition_gradient_policy(observation, state), outcome

    def _action(self, action, params):
        """An action from outside as the transition takes it."""
        if self.topology.has("dispositions") and not isinstance(action, Action):
            action = Action(**action) if isinstance(action, Mapping) else Action(action)
        if not isinstance(action, Action):
            return self._orders(action, params)
        return action.replace(orders=self._orders(action.orders, params))

    def _orders(self, action, params):
        """What an action orders `[E, K]`: at least 0, at most what the action space has."""
        shape = (self.topology.edges, self.topology.products)
        action = jnp.asarray(action, jnp.float32)
        if action.shape == shape[:1] and shape[1] == 1:
            action = action[:, None]
        if action.shape != shape:
            edges, products = shape
            raise UserError(
                f"an action of {self.name} is an array {shape}, {edges} edges by {products}"
                f" products, not {action.shape}; map a batch with jax.vmap(env.step, in_axes=(0, 0,"
                " 0, None))"
            )
        return jnp.where(action > 0, jnp.minimum(action, params.max_order), 0.0)

    def reset_env(self, key, params):
        uniforms = draw_uniforms(key, 0, self.start_noise)

        def warm_up(carry, period):
            world, _ = carry
            world, exogenous = self.world.step(
                world, draw_uniforms(key, period, self.world.noise), params
            )
            return (world, exogenous.demand), self.world.observe(world, exogenous.demand, params)

        no_demand = jnp.zeros((self.world.demand.locations, self.world.demand.products))
        start = (self.world.init(uniforms, params), no_demand)
        (world, _), signals = jax.lax.scan(warm_up, start, jnp.arange(self.history))
        state = EnvState(network=self.start(uniforms, params), world=world, signals=signals)
        return self.observe(key, state, None, params), state

    def observe(self, key, state, action, params):
        return flat.flatten(self, self.view(state.network, params, state.signals), params)

    def is_terminated(self, state, params):
        return self._out_of_time(state, params) if self.ends else jnp.bool_(False)

    def is_truncated(self, state, params):
        return jnp.bool_(False) if self.ends else self._out_of_time(state, params)

    def _out_of_time(self, state, params):
        return state.time >= params.max_steps_in_episode

    @property
    def num_actions(self) -> int:
        return self.topology.edges * self.topology.products

    def action_space(self, params=None):
        params = self.default_params if params is None else params
        shape = (self.topology.edges, self.topology.products)
        # gymnax's wrappers for gymnasium want bounds of one number where there is one, and arrays
        # otherwise
        bounds = () if self.num_actions == 1 else shape
        orders = spaces.Box(jnp.zeros(bounds), jnp.reshape(params.max_order, bounds), shape)
        if not self.topology.has("dispositions"):
            return orders
        shares = spaces.Box(0.0, 1.0, (self.topology.nodes, self.topology.products, 3))
        return spaces.Dict({"orders": orders, "dispositions": shares})

    def observation_space(self, params=None):
        return flat.space(self, self.default_params if params is None else params)

    def observation_names(self, params=None) -> tuple[str, ...]:
        """What each entry of the observation is, such as `on_hand[store]` or
        `demand[store, 1 ago]`.
        """
        return flat.names(self, self.default_params if params is None else params)

    @cached_property
    def signals(self) -> tuple[Signal, ...]:
        """What each column of the signal vector is: demand of the last period, owned by its node,
        then what is told of the coming one."""
        nodes, products = flat.labels(self.topology, "node"), flat.labels(self.topology, "product")
        places = [nodes[node] for node in self.topology.demand_nodes]
        demand = [
            Signal(f"demand[{', '.join(filter(None, (place, product)))}]", "units", place)
            for place in places for product in products
        ]  # fmt: skip
        return (*demand, *(signal.at(places) for signal in self.world.told))

    def columns(self, *names: str) -> tuple[int, ...]:
        """Columns of the signal vector by the names of their signals, the beginnings of names, or
        "@" and their owner.

        Raises:
          UserError: for a name that no signal has.
        """
        return columns_of(self.signals, names)

    def memory(self, batch: int, periods: int) -> int:
        """Bytes that `batch` environments need for their state and for `periods` periods of
        replayable world.
        """
        shapes = jax.eval_shape(
            lambda key: self.reset_env(key, self.default_params)[1], jax.random.key(0)
        )
        state = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
        world = self.world.signals + self.world.demand.locations * self.world.demand.products
        drawn = self.topology.random_lead_time + self.topology.has("arrivals")
        return 4 * batch * (state + periods * (world + self.topology.edges * drawn))
