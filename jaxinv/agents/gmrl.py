"""Graph multi-agent PPO: an agent at each node of a network, and one critic of the whole graph
(Kotecha & del Rio Chanona 2024, arXiv 2410.18631; GMRL of seed 000; methods C.1).

Every node decides (s, S) of its inventory position by what it sees itself, all of them with the
same weights. While they train, a graph convolution over the links of the network judges what all of
them hold, and each is rewarded with what the whole network is (MAPPO, Yu et al. 2022):

    L = mean_i L_clip(theta; A_i) + c_V (V(graph) - target)^2 - c_H H

Noise on the values that advantages are taken from keeps the agents from following one estimate all
at once (Hu et al. 2021). Two defects of the authors' code are not repeated: orders count what is on
its way, and s is at most S (`jaxinv.policies.reorder`).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import numpy as np
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs.roles import Roles
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError
from jaxinv.nets.graph import GraphCritic, normalised
from jaxinv.policies.reorder import ReorderDecode


@dataclass(frozen=True)
class GMRLConfig(PPOConfig):
    """Hyper-parameters beside those of PPO (`PPOConfig`).

    Attributes:
      convolutions: widths of the graph convolutions of the critic.
      value_noise: standard deviation of the noise on values, in units of their own.
    """

    pathwise: bool = False
    roles: str = "nodes"
    parameters: str = "shared"
    convolutions: tuple[int, ...] = (64, 64, 10)
    value_noise: float = traced(0.2)

    def __post_init__(self):
        super().__post_init__()
        if not self.convolutions or min(self.convolutions) < 1:
            raise UserError(
                f"convolutions={self.convolutions}: give at least one width, each at least 1"
            )
        if self.pathwise:
            raise UserError(
                "pathwise=true follows the gradient of orders, and those of (s, S) jump at s; leave"
                " it out, or give agent=ppo"
            )
        if self.action_values:
            raise UserError(
                "action_values are of order-up-to levels alone, and here s is decided too; leave"
                " them out, or give agent=ppo"
            )


@struct.dataclass
class GMRL(PPO):
    """Graph multi-agent PPO as an `Agent`. On a network of one node it is PPO that decides
    (s, S).
    """

    Config: ClassVar = GMRLConfig
    team_only: ClassVar = True

    @classmethod
    def create(cls, problem, config):
        agent = super().create(problem, config)
        if agent.roles is None:
            return agent
        graph = normalised(adjacency(agent.worlds.env.topology, agent.roles))
        critic = GraphCritic(
            tuple(map(tuple, graph.tolist())), config.convolutions, config.hidden, config.activation
        )
        network = agent.policy.network.clone(team_critic=critic)
        return agent.replace(policy=replace(agent.policy, network=network))

    @classmethod
    def make_policy(cls, env, config):
        policy = super().make_policy(env, config)
        decode = ReorderDecode(env.topology, config.form, config.allocation)
        network = policy.network.clone(outputs=decode.outputs)
        return replace(policy, decode=decode, network=network)

    def play(self, params, key, *world):
        key, noise_key = jax.random.split(key)
        played, last = super().play(params, key, *world)
        raw, values, best = played.kept
        noise = jax.random.normal(noise_key, values.shape)
        values += self.numbers["value_noise"] * values.std() * noise
        return played.replace(kept=[raw, values, best]), last


def adjacency(topology: Topology, roles: Roles) -> np.ndarray:
    """Whether goods go from where one agent orders for to where another does, either way
    `[G, G]`.
    """
    stands = np.zeros((len(roles), topology.nodes), bool)
    for agent, role in enumerate(roles.agents):
        stands[agent, [*role.returns, *(topology.destinations[edge] for edge in role.decides)]] = (
            True
        )
    linked = np.zeros((topology.nodes, topology.nodes), bool)
    for source, end in zip(topology.sources, topology.destinations):
        if source != SUPPLIER:
            linked[source, end] = linked[end, source] = True
    return (stands @ linked @ stands.T) & ~np.eye(len(roles), dtype=bool)
