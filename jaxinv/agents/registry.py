"""The learners by name; what each of them needs is on its class."""

from jaxinv.agents.actor_q import DDPG, SAC
from jaxinv.agents.diffsim import DiffSim
from jaxinv.agents.dqn import DQN
from jaxinv.agents.learner import Learner
from jaxinv.agents.ppo import PPO
from jaxinv.outside import address, named

AGENTS: dict[str, type[Learner]] = {"ppo": PPO, "diffsim": DiffSim, "dqn": DQN, "ddpg": DDPG, "sac": SAC}


def learner(name: str) -> type[Learner]:
    """The class of a learner, by its name in `AGENTS` or by its address `module:Class`.

    Raises:
      UserError: where there is none.
    """
    return named("agent", name, AGENTS, Learner)


def learner_address(name: str) -> str:
    """The name that finds the learner again in another process: a run keeps this one."""
    return address(name, learner(name), AGENTS)
