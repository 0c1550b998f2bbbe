"""A network divided among agents: who sees which entries of its observation, and how their actions
are put together as one.

Everything that moves stock is still the one transition. Here one observation is dealt out, and many
actions become one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import flat
from jaxinv.envs.autoreset import fresh_where
from jaxinv.envs.environment import EnvState, InventoryNetwork
from jaxinv.envs.network import Action, InstanceParams
from jaxinv.envs.roles import AgentRole, Roles
from jaxinv.envs.shipping import least_order
from jaxinv.errors import UserError, unknown

MOST_COMBINATIONS = 1024
"""Up to so many combinations of its levels are the actions of an agent with several orders; beyond,
it chooses each level.
"""

FATES = ("restock", "forward", "liquidate")
"""What may become of what comes back, in the order of `Action.dispositions`."""

ByAgent = dict[str, jax.Array]


@dataclass(frozen=True)
class Division:
    """One network as its agents play it: pure functions of state, actions and parameters.

    An agent's action is a vector: the quantity of each order of each product `[edges * K]`, then,
    where it decides on returns, the three shares of each node and product `[nodes * K * 3]`. With
    `levels`, each order is a choice among so many quantities, and what comes back of a product has
    one of three fates; see `choices`. Where it is `scaled`, every number of an action is one of
    -1..1, which stands for the lowest to the highest.

    Attributes:
      env: the network, which is passed its parameters (`InventoryNetwork.within`).
      roles: its agents.
      share: of the team's reward in that of each agent, see `Roles.rewards`.
      levels: what an order may be, in multiples of the typical demand between two reviews at the
        end of its edge; empty: any quantity.
      pad: observations and actions of all agents are as long as the longest.
      scaled: the largest order of scaled actions, in such multiples. Observations are scaled too
        (`flat.units`), without what never changes. 0: neither is.
      seen: entries of the flat observation that each agent sees.
      shown: those that anybody may see.
    """

    env: InventoryNetwork
    roles: Roles
    share: float = 1.0
    levels: tuple[float, ...] = ()
    pad: bool = False
    scaled: float = 0.0
    # What follows from the rest:
    seen: tuple[tuple[int, ...], ...] = field(default=(), compare=False, repr=False)
    shown: tuple[int, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(
        cls,
        env: InventoryNetwork,
        params: InstanceParams,
        roles: Roles,
        scaled: float = 0.0,
        **options: Any,
    ) -> "Division":
        """The division of an environment: what each role sees is read off the names of the
        observation's entries.
        """
        everything = tuple(range(len(flat.names(env, params))))
        shown = flat.changing(env, params) if scaled else everything
        seen = tuple(
            tuple(sorted(set(shown).intersection(flat.known_entries(env, params, role.sees))))
            for role in roles.agents
        )
        return cls(env.within(env.ends), roles, scaled=scaled, seen=seen, shown=shown, **options)

    # Playing

    @partial(jax.jit, static_argnames="self")
    def reset(self, key: jax.Array, params: InstanceParams) -> tuple[ByAgent, EnvState]:
        """A fresh episode: what each agent sees, and the state."""
        vector, state = self.env.reset_env(key, params)
        return self.deal(vector, params), state

    @partial(jax.jit, static_argnames="self")
    def observe(self, state: EnvState, params: InstanceParams) -> ByAgent:
        """What each agent sees of a state."""
        return self.deal(self.env.observe(None, state, None, params), params)

    @partial(jax.jit, static_argnames="self")
    def world(self, state: EnvState, params: InstanceParams) -> jax.Array:
        """The flat observation of the whole network, of all that is `shown`."""
        vector = self._in_units(self.env.observe(None, state, None, params), params)
        return vector[np.asarray(self.shown, int)]

    @partial(jax.jit, static_argnames="self")
    def play(self, key, state, actions, params):
        """One period without a reset at the end: observations, state, rewards, dones and infos."""
        state, *rest = self._play(key, state, actions, params)
        return self.observe(state, params), state, *rest

    @partial(jax.jit, static_argnames="self")
    def step(self, key, state, actions, params, begin=None):
        """One period, and a fresh episode where one ends (from the state `begin`, where given), as
        the gymnax form has it from the same key."""
        key, reset_key = jax.random.split(key)
        state, *rest = self._play(key, state, actions, params)
        over = rest[1]["__all__"]
        if begin is None:
            begin = fresh_where(
                over, lambda key, params: self.env.reset_env(key, params)[1], reset_key, params
            )
        state = jax.tree.map(lambda new, old: jax.lax.select(over, new, old), begin, state)
        return self.observe(state, params), state, *rest

    def _play(self, key, state, actions, params):
        _, state, outcome = self.env.play(key, state, self.join(actions, params), params)
        paid = self.roles.rewards(self.env.topology, params.weights, outcome.places, self.share)
        rewards = {name: paid[agent] for agent, name in enumerate(self.roles.names)}
        terminated, truncated = (
            self.env.is_terminated(state, params),
            self.env.is_truncated(state, params),
        )
        dones = dict.fromkeys((*self.roles.names, "__all__"), terminated | truncated)
        infos = {"terminated": terminated, "truncated": truncated}
        return (
            state,
            rewards,
            dones,
            {name: jnp.broadcast_to(of, len(self.roles)) for name, of in infos.items()},
        )

    # Observations

    def deal(self, vector: jax.Array, params: InstanceParams) -> ByAgent:
        """The entries of the flat observation `[F]` that each agent sees, with zeros behind them
        where they are padded.
        """
        longest = max(map(len, self.seen)) if self.pad else 0
        vector, found = self._in_units(vector, params), {}
        for name, entries in zip(self.roles.names, self.seen):
            own = vector[np.asarray(entries, int)]
            found[name] = jnp.pad(own, (0, max(longest - len(entries), 0)))
        return found

    def _in_units(self, vector: jax.Array, params: InstanceParams) -> jax.Array:
        return vector / flat.units(self.env, params) if self.scaled else vector

    # Actions

    def join(self, actions: Mapping[str, Any], params: InstanceParams) -> jax.Array | Action:
        """The action of the network from one for each agent.

        Raises:
          UserError: for an agent without an action, or one that is none, or an action of another
            shape.
        """
        if not isinstance(actions, Mapping):
            raise UserError(
                "actions are a mapping from each agent's name to its action, not"
                f" {type(actions).__name__}"
            )
        for name in actions:
            if name not in self.roles.names:
                raise unknown("agent among the actions", name, self.roles.names)
        if missing := [name for name in self.roles.names if name not in actions]:
            raise UserError(
                f"no action for {', '.join(missing)}; give one for each of"
                f" {', '.join(self.roles.names)}"
            )
        orders, fates = [], []
        for agent, role in enumerate(self.roles.agents):
            ordered, returned = self._read(agent, role, jnp.asarray(actions[role.name]), params)
            orders.append(ordered)
            fates.append(returned)
        orders = _in_order(orders, [role.decides for role in self.roles.agents])
        if not self.env.topology.has("dispositions"):
            return orders
        return Action(orders, _in_order(fates, [role.returns for role in self.roles.agents]))

    def _read(
        self, agent: int, role: AgentRole, action: jax.Array, params
    ) -> tuple[jax.Array, jax.Array]:
        """What an agent's action orders `[edges, K]`, and what it does with returns
        `[nodes, K, 3]`.
        """
        products, counts = self.env.topology.products, self.counts[agent]
        wanted = self.shapes[agent]
        others = {(), (1,)} if wanted in ((), (1,)) else {wanted}
        if not self.levels and not role.returns and not self.pad:
            others.add((len(role.decides), products))
        if action.shape not in others:
            raise UserError(
                f"the action of {role.name} is an array of shape {wanted}, not {action.shape}; "
                "map a batch of environments with jax.vmap"
            )
        if self.levels and not jnp.issubdtype(action.dtype, jnp.integer):
            raise UserError(
                f"the action of {role.name} must be whole numbers, one of its levels each, not"
                f" {action.dtype}"
            )
        if not self.levels:
            orders, fates = jnp.split(
                action.reshape(-1)[: len(self.action_names[agent])], [len(role.decides) * products]
            )
            orders, fates = orders.reshape(-1, products), fates.reshape(-1, products, len(FATES))
            if not self.scaled:
                return orders, fates
            most = self.scaled * self._typical(params)[np.asarray(role.decides, int)]
            return _share(orders) * most, _share(fates)
        orders, fates = jnp.split(
            self._digits(agent, action, counts), [len(role.decides) * products]
        )
        orders = jnp.asarray(self.levels, jnp.float32)[orders].reshape(-1, products)
        typical = self._typical(params)[np.asarray(role.decides, int)]
        return orders * typical, jax.nn.one_hot(fates, len(FATES)).reshape(-1, products, len(FATES))

    def _digits(self, agent: int, action: jax.Array, counts: tuple[int, ...]) -> jax.Array:
        """The choice in each of an agent's decisions `[len(counts)]`, of its action; what is beyond
        the last is the last.
        """
        if self.combined:
            index = jnp.clip(action.reshape(()).astype(int), 0, math.prod(counts) - 1)
            return jnp.stack(jnp.unravel_index(index, counts))
        return jnp.clip(action.reshape(-1)[: len(counts)].astype(int), 0, np.asarray(counts) - 1)

    def _typical(self, params: InstanceParams) -> jax.Array:
        """Typical demand between two reviews at the end of each edge `[E, K]`; as much more as it
        takes for the largest order to be one that can be placed at all.
        """
        topology, facts = self.env.topology, self.env.facts(params)
        typical = topology.at_destination(facts.scale) * facts.review_period[:, None]
        largest = self.levels[-1] if self.levels else self.scaled
        return jnp.maximum(typical, least_order(topology, params) / largest)

    @cached_property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """How many choices each decision of each agent has, with `levels`."""
        products = self.env.topology.products
        return tuple(
            (len(self.levels),) * len(role.decides) * products
            + (len(FATES),) * len(role.returns) * products
            for role in self.roles.agents
        )

    @cached_property
    def combined(self) -> bool:
        """Whether an action is one number, a combination of all levels of its agent."""
        return bool(self.levels) and max(map(math.prod, self.counts)) <= MOST_COMBINATIONS

    @cached_property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """With `levels`, how many values each number of an agent's action has: those of its
        decisions one by one, or one for all, the last decision counting fastest, where no agent has
        more than `MOST_COMBINATIONS`.
        """
        found = [(math.prod(own),) if self.combined else own for own in self.counts]
        if not self.pad:
            return tuple(found)
        longest = max(map(len, found))
        filled = [own + (1,) * (longest - len(own)) for own in found]
        return (tuple(map(max, zip(*filled))),) * len(found)

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each agent's action."""
        if self.levels:
            return tuple(() if self.combined else (len(own),) for own in self.choices)
        lengths = [len(own) for own in self.action_names]
        return tuple((max(lengths) if self.pad else length,) for length in lengths)

    @cached_property
    def action_names(self) -> tuple[tuple[str, ...], ...]:
        """What each agent decides, in its order: such as `order[supplier-store]`, and shares such
        as `restock[store]`.
        """
        topology = self.env.topology
        nodes, edges, products = (
            flat.labels(topology, axis) for axis in ("node", "edge", "product")
        )

        def label(what, place, product):
            return f"{what}[{', '.join(filter(None, (place, product)))}]"

        return tuple(
            tuple(
                label("order", edges[edge], product)
                for edge in role.decides
                for product in products
            )
            + tuple(
                label(fate, nodes[node], product)
                for node in role.returns
                for product in products
                for fate in FATES
            )
            for role in self.roles.agents
        )

    def bounds(self, params: InstanceParams) -> list[tuple[np.ndarray, np.ndarray]]:
        """Without levels, the lowest and the highest action of each agent; what fills it up is
        0.
        """
        if self.scaled:
            shapes = zip(self.action_names, self.shapes)
            high = [np.float32(np.arange(shape[0]) < len(names)) for names, shape in shapes]
            return [(-own, own) for own in high]
        found, most = [], np.asarray(params.max_order)
        for role, names, shape in zip(self.roles.agents, self.action_names, self.shapes):
            orders = most[np.asarray(role.decides, int)].reshape(-1)
            high = np.concatenate(
                [orders, np.ones(len(names) - len(orders)), np.zeros(shape[0] - len(names))]
            )
            found.append((np.zeros(shape, np.float32), high.astype(np.float32)))
        return found

    def available(self, agent: int) -> np.ndarray:
        """Which actions an agent really has: `[n]` of one choice, `[length, most]` of several,
        `[length]` of quantities.
        """
        if not self.levels:
            return np.arange(self.shapes[agent][0]) < len(self.action_names[agent])
        own = (math.prod(self.counts[agent]),) if self.combined else self.counts[agent]
        filled = own + (1,) * (len(self.choices[agent]) - len(own))
        mask = np.arange(max(self.choices[agent])) < np.asarray(filled)[:, None]
        return mask[0] if self.combined else mask


def _share(action: jax.Array) -> jax.Array:
    """Numbers of -1..1 as shares of 0..1; what is beyond is cut, and what is no number is 0."""
    return jnp.nan_to_num(jnp.clip((action.astype(jnp.float32) + 1.0) / 2.0, 0.0, 1.0))


def _in_order(rows: list[jax.Array], places: list[tuple[int, ...]]) -> jax.Array:
    """The rows of all agents in the order of the places that they are for."""
    order = np.argsort(np.concatenate([np.asarray(own, int) for own in places]))
    rows = jnp.concatenate(rows)
    return rows if np.array_equal(order, np.arange(len(order))) else rows[order]
