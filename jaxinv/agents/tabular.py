"""Tabular Q-learning: a table of values for each agent of a small network, learned from its
transition (seed 001, section 4.4).

    Q(s, a) <- Q(s, a) + alpha (r + discount * max_b Q(s', b) - Q(s, a)),
    a = argmax_b Q(s, b), or by chance any other

(Watkins & Dayan 1992.) `learners=joint` is one table over the orders of all edges. With
`independent` every role of the network (`jaxinv.envs.roles`) has a table over its own orders, and
treats the others as a part of its environment: it sees its own nodes or all of them, and its reward
is its own costs, the team's, or a mix. A request that is cut, by stock or capacity, is learned from
as it was requested; the cut is a part of the transition.

All values share a level, the average cost, which does not matter for decisions; while it is still
being learned, orders that were tried less look better than they are. So an estimate of the average
reward is subtracted from every reward and follows the errors of the table (reward centring,
Naik, Wan, Tomar & Sutton 2024; with discount=1 differential Q-learning for the average cost, Wan,
Naik & Sutton 2021). With `centring=0`, and where episodes end, Q-learning is what is written above.

The rate alpha falls with the visits n of a state and order, as learning_rate / n^power: the mean of
all targets so far at power 1, which forgets its wrong first guesses slowly; between 1/2 and 1 it
learns fastest (Even-Dar & Mansour 2003).
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.agents.agent import Worlds, longest_rollout, split_config, traced
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Problem
from jaxinv.envs.roles import INFORMATION, Roles
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import Episodes
from jaxinv.exact.extent import first_grid
from jaxinv.exact.mdp import covered
from jaxinv.exact.state_space import StateSpace, network_state
from jaxinv.limits import check_memory, check_numbers
from jaxinv.policies.tabular import Index, TabularPolicy

LEARNERS = ("joint", "independent")
SCHEDULES = ("visits", "constant")

MOST_ENTRIES = 1 << 30
"""Entries of a table that 32 bits can number, and that anyone would wait for."""


@dataclass(frozen=True)
class TabularConfig:
    """Hyper-parameters. Numbers marked `traced` can be swept in one compiled program.

    Attributes:
      updates, rollout: length of training: so many stretches of so many periods.
      learners: "joint", one table over the orders of all edges, or "independent", one for each
        role.
      roles: of independent learners: "nodes", or a name that the preset knows.
      information: what independent learners see: "own", as their roles say, or "shared", all of it.
      largest_stock, largest_order, largest_transfer: bounds in units of what a node may hold and
        have under way, and of what is ordered on an edge from a supplier or a node, and on a
        lateral one; what demand asks for where not given.
      step: units in which stock is told apart and orders are given.
      initial: every entry before the first visit. Rewards are costs below 0, so 0 promises much and
        has all be tried.
      exploring_starts: episodes begin anywhere in the grid.
      schedule: "visits", the learning rate falls with those of each entry, or "constant".
      learning_rate, power: of the rate, see above.
      discount: gamma.
      exploration: share of decisions by chance at the end of training.
      exploring: share of training over which decisions by chance become that few, from all.
      team_share: of the team's mean reward in that of each learner: 1, all for one, to 0, each for
        the costs of its own.
      centring: how fast the reward that is usual follows the errors, as a share of the learning
        rate; 0: it stays 0.
    """

    updates: int = 1000
    rollout: int = 100
    learners: str = "joint"
    roles: str = "nodes"
    information: str = "own"
    largest_stock: int | None = None
    largest_order: int | None = None
    largest_transfer: int | None = None
    step: int = 1
    exploring_starts: bool = False
    schedule: str = "visits"
    initial: float = traced(0.0)
    learning_rate: float = traced(1.0)
    power: float = traced(0.7)
    discount: float = traced(0.95)
    exploration: float = traced(0.05)
    exploring: float = traced(0.8)
    team_share: float = traced(1.0)
    centring: float = traced(0.1)

    envs: ClassVar[int] = 1
    """A table learns from one environment, period by period."""
    preferences: ClassVar[bool] = False
    takes_over: ClassVar[bool] = False

    @classmethod
    def suited(cls, env: str, history: int) -> Self:
        """The configuration that suits a preset: the same for all."""
        return cls()

    def __post_init__(self):
        check_numbers(self)
        for name, known in (
            ("learners", LEARNERS),
            ("information", INFORMATION),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name in ("updates", "rollout", "step"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")
        for name in (
            "discount",
            "exploration",
            "exploring",
            "team_share",
            "learning_rate",
            "centring",
        ):
            if not 0 <= (getattr(self, name) or 0) <= 1:
                raise UserError(f"{name}={getattr(self, name)} must lie in 0..1")
        for name in ("largest_stock", "largest_order", "largest_transfer", "power"):
            if (getattr(self, name) or 0) < 0:
                raise UserError(f"{name}={getattr(self, name)} must be at least 0")


@struct.dataclass
class TabularState:
    """What training carries on: saved whole in a checkpoint."""

    tables: tuple[jax.Array, ...]  # [states, orders] of each agent
    visits: tuple[jax.Array, ...] | None  # likewise, where rates fall with them
    centre: jax.Array  # [G] reward that each agent takes for the usual
    episodes: Episodes
    index: jax.Array  # [1] instance of the environment
    key: jax.Array
    update: jax.Array  # [] int32

    @property
    def params(self) -> tuple[jax.Array, ...]:
        """Of the policy."""
        return self.tables


@struct.dataclass
class TabularQ:
    """Tabular Q-learning as an `Agent`."""

    Config: ClassVar = TabularConfig
    settles: ClassVar[bool] = True

    config: TabularConfig = struct.field(pytree_node=False)
    policy: TabularPolicy = struct.field(pytree_node=False)
    worlds: Worlds
    numbers: dict[str, jax.Array]

    @classmethod
    def create(cls, problem: Problem, config: TabularConfig) -> Self:
        """An agent for a problem with one instance.

        Raises:
          UserError: for a network that tables cannot hold, or tables that memory cannot.
        """
        problem = problem.learned_on
        covered(problem.env, "a table of values")
        if problem.instances > 1:
            raise UserError(
                f"a table of values is learned for one instance, and {problem.env.name} has"
                f" {problem.instances} here"
            )
        if config.discount == 1 and not config.centring and not problem.ends:
            raise UserError(
                "discount=1 adds up costs without end; give centring above 0, a discount below 1,"
                " or episodes that end"
            )
        ends = (
            dict(centring=0.0) if problem.ends else {}
        )  # what is usual counts once a period, and so the more the longer
        config = replace(config, rollout=int(min(config.rollout, longest_rollout(problem))), **ends)
        worlds = Worlds.of(problem, 1, config.rollout, problem.horizon).replace(env=problem.env)
        policy, updates = cls.make_policy(problem, config), config.updates
        config, numbers = split_config(config)
        return cls(config, policy, worlds, numbers | {"updates": jnp.float32(updates)})

    @classmethod
    def make_policy(cls, problem: Problem, config: TabularConfig) -> TabularPolicy:
        """The policy that reads the tables."""
        topology = problem.env.topology
        grid = _bounds(problem.env, problem.first, config)
        periods = problem.horizon if problem.ends else None
        indices = tuple(
            Index(grid, role, config.step, periods) for role in _roles(problem, config).agents
        )
        for index in indices:
            entries = index.states.size * index.most_orders
            what = f"a table of {index.states.size:,} states x {index.most_orders:,} orders"
            lower = "largest_stock, largest_order, largest_transfer or lead times, or raise step"
            if entries > MOST_ENTRIES:
                raise UserError(f"{what} would take {4 * entries / 1e9:,.0f} GB; lower {lower}")
            check_memory((8 if config.schedule == "visits" else 4) * entries, what, lower)
        return TabularPolicy(topology, indices)

    @property
    def roles(self) -> Roles:
        """The agents, in the order of their tables."""
        return Roles(tuple(index.role for index in self.policy.indices))

    @property
    def periods_per_update(self) -> int:
        """Periods that one update plays."""
        return self.config.rollout

    @property
    def simulated_periods(self) -> int:
        """Periods that the whole training simulates."""
        return self.config.updates * self.periods_per_update

    def init(self, key: jax.Array) -> TabularState:
        """The state before the first update."""
        world_key, key = jax.random.split(key)
        episodes, number = self.worlds.begin(world_key)
        shapes = [index.shape for index in self.policy.indices]
        tables = tuple(jnp.full(shape, self.numbers["initial"]) for shape in shapes)
        visits = tuple(map(jnp.zeros, shapes)) if self.config.schedule == "visits" else None
        return TabularState(
            tables, visits, jnp.zeros(len(tables)), episodes, number, key, jnp.int32(0)
        )

    def update(self, state: TabularState) -> tuple[TabularState, dict[str, jax.Array]]:
        """One stretch of periods, each of which every table learns from."""
        key, begin_key, start_key, noise_key = jax.random.split(state.key, 4)
        worlds = self.worlds
        episodes, index = worlds.proceed(begin_key, state.episodes, state.index)
        params = worlds.instance_params(index, episodes.key)
        after, trace, _ = worlds.play_ahead(episodes, params)
        network, exogenous = jax.tree.map(
            lambda leaf: leaf[..., 0], (episodes.network, trace.exogenous)
        )
        if self.config.exploring_starts:
            fresh = episodes.period == worlds.env.history
            anywhere = self._anywhere(start_key)
            network = jax.tree.map(lambda new, old: jnp.where(fresh, new, old), anywhere, network)
        follows = jnp.ones(worlds.periods).at[-1].set(worlds.follows(after))
        noise = jax.random.uniform(noise_key, (worlds.periods, len(self.policy.indices), 2))

        def period(carry, given):
            return self.learn(params, state.update, *carry, *given)

        carry = network, state.tables, state.visits, state.centre
        (network, tables, visits, centre), (cost, error) = jax.lax.scan(
            period, carry, (exogenous, noise, follows)
        )
        metrics = {
            "cost": cost.mean(),
            "gradient_norm": jnp.sqrt(jnp.mean(error**2)),
            "exploration": self.chance(state.update),
        }
        after = after.replace(network=jax.tree.map(lambda leaf: leaf[..., None], network))
        return TabularState(tables, visits, centre, after, index, key, state.update + 1), metrics

    def learn(self, params, update, network, tables, visits, centre, exogenous, noise, follows):
        """One period: decisions, what comes of them, and what each table learns.

        Returns:
          Stock, tables and visits afterwards; the cost, and how far each table was off `[G]`.
        """
        env, policy, numbers = self.worlds.env, self.policy, self.numbers
        observation = env.view(network, params)
        states = [index.state(observation) for index in policy.indices]
        values = [table[state] for table, state in zip(tables, states)]
        chosen = []
        for value, (coin, other) in zip(values, noise):
            by_chance = jnp.minimum((other * value.size).astype(jnp.int32), value.size - 1)
            chosen.append(jnp.where(coin < self.chance(update), by_chance, jnp.argmax(value)))
        network, outcome = env.transition(
            network, policy.orders(chosen, observation), exogenous, params
        )
        rewards = self.roles.rewards(
            env.topology, params.weights, outcome.places, numbers["team_share"]
        )
        after = env.view(network, params)
        learned, seen, errors, rates = [], [], [], []
        for g, (table, index, state, order) in enumerate(
            zip(tables, policy.indices, states, chosen)
        ):
            target = (
                rewards[g]
                - centre[g]
                + numbers["discount"] * follows * table[index.state(after)].max()
            )
            error = target - values[g][order]
            rate = numbers["learning_rate"]
            if visits is not None:
                seen.append(visits[g].at[state, order].add(1.0))
                rate = rate / (visits[g][state, order] + 1.0) ** numbers["power"]
            learned.append(table.at[state, order].add(rate * error))
            errors.append(error)
            rates.append(rate)
        visits = None if visits is None else tuple(seen)
        errors = jnp.stack(errors)
        centre = centre + numbers["centring"] * jnp.stack(rates) * errors
        return (network, tuple(learned), visits, centre), (-outcome.reward, errors)

    def chance(self, update: jax.Array) -> jax.Array:
        """Share of decisions by chance after so many updates."""
        progress = update / (self.numbers["updates"] * jnp.maximum(self.numbers["exploring"], 1e-6))
        return jnp.maximum(self.numbers["exploration"], 1.0 - progress)

    def _anywhere(self, key: jax.Array):
        """A state of the network, anywhere in the grid."""
        grid, topology = self.policy.indices[0].grid, self.worlds.env.topology
        stock_key, pipeline_key = jax.random.split(key)

        def point(key, box):
            steps = (np.asarray(box.high, int) - np.asarray(box.low, int)) // self.config.step + 1
            drawn = jnp.floor(jax.random.uniform(key, steps.shape) * steps).astype(jnp.int32)
            return np.asarray(box.low, int) + self.config.step * jnp.minimum(drawn, steps - 1)

        return network_state(
            topology, point(stock_key, grid.stock), point(pipeline_key, grid.pipeline)
        )


def _roles(problem: Problem, config: TabularConfig) -> Roles:
    topology = problem.env.topology
    if config.learners == "joint":
        return Roles.one(topology)
    return Roles.named(config.roles, topology, problem.roles, config.information)


def _bounds(env: InventoryNetwork, params: InstanceParams, config: TabularConfig) -> StateSpace:
    """The grid of what is asked for, and else that of the demand."""
    topology = env.topology
    given = [config.largest_stock, config.largest_order] + (
        [config.largest_transfer] if topology.lateral else []
    )
    if None in given:
        try:
            grid = first_grid(env, params)
        except UserError as error:
            raise UserError(
                f"{error}; a table of values needs largest_stock, largest_order and"
                " largest_transfer here"
            ) from None
        low, high, orders = grid.stock.low, grid.stock.high, grid.orders.high
    else:
        cells = topology.nodes * topology.products * topology.ages
        low, high = (0,) * cells, (config.largest_stock,) * cells
        orders = (0,) * (topology.edges * topology.products)
    if config.largest_stock is not None:
        high = (config.largest_stock,) * len(high)
        low = (
            tuple(-config.largest_stock if topology.backlog else 0 for _ in low)
            if None not in given
            else low
        )
    most = []
    for place, order in enumerate(orders):
        bound = (
            config.largest_transfer
            if place // topology.products in topology.lateral
            else config.largest_order
        )
        most.append(order if bound is None else bound)
    return StateSpace.of(topology, low, high, most)
