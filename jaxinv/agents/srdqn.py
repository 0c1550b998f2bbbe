"""SRDQN: DQN that answers to the orders that came in, and is told at the end of an episode what it
cost the others (Oroojlooyjadid et al. 2022, Manufacturing & Service Operations Management 24(1):
285-304; DQN-Inv of seed 000; methods C.5).

An agent orders d + x, d being what it was asked for last and x of a small grid
(`jaxinv.policies.answer`). Its reward is minus its own cost, and after each episode of T periods
its rewards are corrected by what all others paid, R_j being the sum of the rewards of agent j:

    r_i += feedback / (N - 1) * (sum_j R_j - R_i) / T

With feedback = N - 1 every agent then has the return of the whole network. A single agent has
nobody to hear from. The value of an action, exploration and the loss are those of
`jaxinv.agents.dqn`.

The last m periods are history=m of the environment: with encoder=stack a network reads what
customers asked for in each of them, and where orders travel it sees the orders that came in. What
was on hand and on order then follows from these, from the stock of now, and from the pipeline.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import numpy as np
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.dqn import DQN, DQNConfig
from jaxinv.agents.networks import make_policy
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError
from jaxinv.nets.critics import GridQ
from jaxinv.policies.answer import AnswerDecode


@dataclass(frozen=True)
class SRDQNConfig(DQNConfig):
    """Hyper-parameters beside those of DQN (`DQNConfig`).

    Attributes:
      rollout: periods T of an episode as its costs are told to the others.
      actions: steps x of the grid.
      largest: the largest x, in the typical demand of a period; the smallest is minus that.
      feedback: beta above.
    """

    encoder: str = "stack"
    form: str = "none"
    roles: str = "nodes"
    actions: int = 11
    largest: float = 1.0
    knots: int = 8
    team_share: float = traced(0.0)
    feedback: float = traced(1.0)

    def __post_init__(self):
        super().__post_init__()
        if self.form != "none":
            raise UserError(
                f"form={self.form} says what an output multiplies, and here it is a step from what"
                " was asked for last; leave it out, or give agent=dqn"
            )


@struct.dataclass
class SRDQN(DQN):
    """SRDQN as an `Agent`.

    Attributes:
      everyone: N, the agents of the network, those among them that do not learn included.
    """

    Config: ClassVar = SRDQNConfig

    everyone: int = struct.field(pytree_node=False, default=1)

    @classmethod
    def create(cls, problem, config, log=None):
        agent, topology = super().create(problem, config, log), problem.env.topology
        return agent.replace(everyone=len(Roles.named(config.roles, topology, problem.roles)))

    @classmethod
    def make_policy(cls, env, config):
        levels = tuple(np.linspace(0.0, 2 * config.largest, config.actions).tolist())
        decode = AnswerDecode(env.topology, config.form, config.allocation, levels)
        policy = make_policy(env, config, GridQ, decode, levels=config.actions, knots=config.knots)
        return replace(policy, answers=True)

    def explore(self, *world, **options):
        played = super().explore(*world, **options)
        if self.roles is None:
            return played
        share = self.numbers["feedback"] / max(self.everyone - 1, 1)
        return played.replace(reward=told_of_others(played.reward, played.team, share))


def told_of_others(reward: jax.Array, team: jax.Array, share: jax.Array | float) -> jax.Array:
    """Rewards of agents `[T, G, B]` with a share of what all others had in the episode, spread over
    its periods.

    Args:
      team: `[T', B]` rewards of all together, those who do not learn included.
    """
    others = team.mean(0) - reward.mean(0)  # [G, B]
    return reward + share * others
