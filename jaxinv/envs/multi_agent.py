"""A network as a multi-agent environment, in the form of JaxMARL; `jaxinv.make_multi_agent` gives
it, or PettingZoo's.

    env = jaxinv.make_multi_agent("serial", levels=11)
    observations, state = env.reset(key)
    actions = {agent: ... for agent in env.agents}
    observations, state, rewards, dones, infos = env.step(key, state, actions)

It needs neither package: where jaxmarl is installed, the same environment is one of its
`MultiAgentEnv` with spaces of its own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from jaxinv.envs.division import ByAgent, Division
from jaxinv.envs.environment import EnvState
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.registry import alone, problem
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError, unknown
from jaxinv.packages import extra

APIS = ("jaxmarl", "pettingzoo")

LARGEST = 3.0
"""Multiple of typical demand that the largest order is, of a number of levels or of those that are
scaled.
"""


def make_multi_agent(
    name: str,
    roles: str | Roles | Mapping[str, Mapping[str, Sequence[str]]] = "nodes",
    api: str = "jaxmarl",
    *,
    share: float = 1.0,
    levels: int | Sequence[float] | None = None,
    scaled: bool = False,
    largest: float | None = None,
    pad: bool = False,
    **options: Any,
) -> Any:
    """A preset's network as a multi-agent environment.

    Each agent sees the entries of the flat observation that its role sees, decides its orders, and
    is rewarded with minus its costs. All agents' rewards together are the reward of the network,
    whatever the share, where the roles share out its costs.

    Args:
      name: a preset, such as "serial".
      roles: "nodes", an agent a node, which decides what comes in; "one"; a name that the preset
        knows; roles in words, see `Roles.told`; or `Roles`.
      api: "jaxmarl", for `MultiAgentNetwork`, or "pettingzoo", for a `ParallelEnv`.
      share: of the team's reward in that of each agent: 1, the mean over all agents, to 0, its own.
      levels: so many choices for each order, from nothing to `largest` times the typical demand
        between two reviews; or these multiples, rising. Left out, orders are quantities.
      scaled: observations are of about unit size (`jaxinv.envs.flat.units`) and without what never
        changes, and orders that are quantities are numbers of -1..1, from nothing to `largest`
        times the typical demand between two reviews.
      largest: `LARGEST` where not given.
      pad: observations and actions of all agents are as long as the longest, for learners that
        share their parameters: the rest of an observation is 0, and of an action it is ignored.
      **options: the preset's own.

    Raises:
      UserError: for a name, roles, an API or an option that do not exist, or a value that cannot
        be.
    """
    if api not in APIS:
        raise unknown("api", api, APIS)
    if not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise UserError(
            f"share={share} must lie in 0..1: 0 is each agent's own reward, 1 the mean of all"
        )
    forms = action_forms(levels, scaled, largest)
    built = problem(name, **options)
    env, params = alone(name, built)
    if isinstance(roles, Roles):
        roles = roles.checked(env.topology)
    elif isinstance(roles, Mapping):
        roles = Roles.told(env.topology, roles).checked(env.topology)
    elif isinstance(roles, str):
        roles = Roles.named(roles, env.topology, built.roles)
    else:
        raise UserError(f"roles={roles!r}: give a name such as 'nodes', roles in words, or Roles")
    division = Division.of(env, params, roles, share=float(share), pad=bool(pad), **forms)
    return _form(api)(division, params)


def action_forms(
    levels: int | Sequence[float] | None, scaled: bool, largest: float | None
) -> dict[str, Any]:
    """The fields `levels` and `scaled` of a `Division`.

    Raises:
      UserError: for a value that cannot be, or that nothing would come of.
    """
    counted = isinstance(levels, (int, np.integer)) and not isinstance(levels, bool)
    if not isinstance(scaled, (bool, np.bool_)):
        raise UserError(f"scaled={scaled} must be True or False")
    if largest is not None and not (counted or scaled and levels is None):
        raise UserError(
            f"largest={largest} is the largest order of scaled=True, or of a number of levels; give"
            " one of them"
        )
    largest = LARGEST if largest is None else largest
    known = isinstance(largest, (int, float)) and not isinstance(largest, bool)
    if not known or not 0 < largest < np.inf:
        raise UserError(f"largest={largest} must be a multiple of typical demand above 0")
    return dict(
        levels=_multiples(levels, counted, largest), scaled=float(largest) if scaled else 0.0
    )


def _multiples(
    levels: int | Sequence[float] | None, counted: bool, largest: float
) -> tuple[float, ...]:
    if levels is None:
        return ()
    try:
        found = (
            np.linspace(0.0, largest, max(int(np.asarray(levels)), 0))
            if counted
            else np.asarray(levels, float)
        )
    except (TypeError, ValueError):
        found = np.zeros(0)
    if (
        found.ndim != 1
        or len(found) < 2
        or not np.all(np.isfinite(found))
        or found[0] < 0
        or np.any(np.diff(found) <= 0)
    ):
        raise UserError(
            f"levels={levels}: give how many, at least 2, or as many multiples of typical demand,"
            " rising from 0 or more"
        )
    return tuple(map(float, found))


def _form(api: str) -> Any:
    """What an environment of an API is made with."""
    if api == "pettingzoo":
        with extra("marl", "api=pettingzoo"):
            from jaxinv.envs.parallel import ParallelNetwork
        return ParallelNetwork
    try:
        from jaxinv.envs.jaxmarl import JaxMARLNetwork
    except ModuleNotFoundError:
        return MultiAgentNetwork
    return JaxMARLNetwork


class MultiAgentNetwork:
    """A network and its agents, with the methods of JaxMARL's `MultiAgentEnv`.

    - observation of an agent: float32 vector, its entries named by `observation_names`; the whole
      network's is `get_world_state`.
    - action of an agent: float32 vector of quantities, named by `action_names`; with levels an
      int32 index of one, or of a combination of them where it has several orders (a vector of
      indices where those would be too many). Quantities are cut to what can be, and indices to the
      last, as everywhere.
    - infos: `terminated` and `truncated` `[num_agents]`. Both end an episode (`dones`); after a
      truncated one, a value would follow. `step` then starts the next one; `step_env` gives the
      last observation.

    Attributes:
      agents: their names.
      num_agents: how many.
      observation_spaces, action_spaces: by name.
    """

    spaces: Any = spaces
    """The module that spaces are taken from."""

    def __init__(self, division: Division, params: InstanceParams):
        self.division, self.params = division, params
        self.agents = list(division.roles.names)
        self.num_agents = len(self.agents)
        self.observation_spaces = self._observation_spaces()
        self.action_spaces = self._action_spaces()

    def reset(self, key: jax.Array) -> tuple[ByAgent, EnvState]:
        """A fresh episode: observations by agent, and the state."""
        return self.division.reset(key, self.params)

    def step(
        self,
        key: jax.Array,
        state: EnvState,
        actions: Mapping[str, jax.Array],
        reset_state: EnvState | None = None,
    ) -> tuple[ByAgent, EnvState, ByAgent, ByAgent, ByAgent]:
        """One period, then a fresh episode where one ends, which begins in `reset_state` where that
        is given.

        Returns:
          Observations, the state, rewards, dones (`__all__` too) and infos.

        Raises:
          UserError: for actions that are not one for each agent, or of another shape.
        """
        return self.division.step(key, state, actions, self.params, reset_state)

    def step_env(
        self, key: jax.Array, state: EnvState, actions: Mapping[str, jax.Array]
    ) -> tuple[ByAgent, EnvState, ByAgent, ByAgent, ByAgent]:
        """One period without a reset; else as `step`."""
        return self.division.play(key, state, actions, self.params)

    def get_obs(self, state: EnvState) -> ByAgent:
        """What each agent sees of a state."""
        return self.division.observe(state, self.params)

    def get_world_state(self, state: EnvState) -> jax.Array:
        """The observation of the whole network `[F]`, for a critic that sees everything."""
        return self.division.world(state, self.params)

    def get_avail_actions(self, state: EnvState) -> ByAgent:
        """Which actions each agent has, always the same: all but those that only fill up to the
        longest.
        """
        return {
            name: jnp.asarray(self.division.available(agent))
            for agent, name in enumerate(self.agents)
        }

    def observation_space(self, agent: str) -> Any:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        return self.action_spaces[agent]

    def observation_names(self, agent: str) -> tuple[str, ...]:
        """What each entry of an agent's observation is, such as `on_hand[store]`; zeros that fill
        it up have none.
        """
        names = self.division.env.observation_names(self.params)
        return tuple(names[entry] for entry in self.division.seen[self._number(agent)])

    def action_names(self, agent: str) -> tuple[str, ...]:
        """What an agent decides, in its order, such as `order[supplier-store]`."""
        return self.division.action_names[self._number(agent)]

    @property
    def name(self) -> str:
        return self.division.env.name

    @property
    def world_state_size(self) -> int:
        """Entries of `get_world_state`."""
        return len(self.division.shown)

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """The agents that may share a policy: whose observations and actions are the same things at
        other places. A class is called after its first agent."""
        kinds: dict[Any, list[str]] = {}
        for agent in self.agents:
            seen = [name.partition("[")[0] for name in self.observation_names(agent)]
            done = [name.partition("[")[0] for name in self.action_names(agent)]
            kinds.setdefault((tuple(seen), tuple(done)), []).append(agent)
        return {agents[0]: agents for agents in kinds.values()}

    def _number(self, agent: str) -> int:
        if agent not in self.agents:
            raise unknown("agent", agent, self.agents)
        return self.agents.index(agent)

    def _observation_spaces(self) -> dict[str, Any]:
        whole = self.division.env.observation_space(self.params)
        low, high = (self.division.deal(bound, self.params) for bound in (whole.low, whole.high))
        return {
            name: self.spaces.Box(low[name], high[name], low[name].shape) for name in self.agents
        }

    def _action_spaces(self) -> dict[str, Any]:
        division = self.division
        if not division.levels:
            bounds = division.bounds(self.params)
            return {
                name: self.spaces.Box(*map(jnp.asarray, own), own[0].shape)
                for name, own in zip(self.agents, bounds)
            }
        discrete, several = (
            self.spaces.Discrete,
            getattr(self.spaces, "MultiDiscrete", MultiDiscrete),
        )
        return {
            name: discrete(math.prod(own)) if division.combined else several(own)
            for name, own in zip(self.agents, division.choices)
        }


class MultiDiscrete(spaces.Space):
    """Several choices at once, which gymnax has no space for; as JaxMARL has it."""

    def __init__(self, num_categories: Sequence[int]):
        self.num_categories = jnp.asarray(num_categories)
        self.shape = (len(num_categories),)
        self.dtype = jnp.int32

    def sample(self, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, self.shape, 0, self.num_categories, self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        return jnp.all((x >= 0) & (x < self.num_categories))
