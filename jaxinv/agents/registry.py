"""The learners by name; what each of them needs is on its class."""

from typing import TYPE_CHECKING

from jaxinv.outside import Known, address, named

if TYPE_CHECKING:
    from jaxinv.agents.learner import Learner

AGENTS: Known = Known(
    ppo="jaxinv.agents.ppo:PPO",
    diffsim="jaxinv.agents.diffsim:DiffSim",
    dqn="jaxinv.agents.dqn:DQN",
    ddpg="jaxinv.agents.actor_q:DDPG",
    sac="jaxinv.agents.actor_q:SAC",
    tabular_q="jaxinv.agents.tabular:TabularQ",
    fdim="jaxinv.agents.fdim:FDIM",
    gmrl="jaxinv.agents.gmrl:GMRL",
    srdqn="jaxinv.agents.srdqn:SRDQN",
    bc="jaxinv.agents.cloning:BC",
    cql="jaxinv.agents.cql:CQL",
    mcq="jaxinv.agents.mcq:MCQ",
    decision_transformer="jaxinv.agents.decision_transformer:DecisionTransformer",
)

OFFLINE = ("bc", "cql", "mcq", "decision_transformer")
"""Those that learn from a log alone and never play."""


def learner(name: str) -> "type[Learner]":
    """The class of a learner, by its name in `AGENTS` or by its address `module:Class`.

    Raises:
      UserError: where there is none.
    """
    return named("agent", name, AGENTS, "jaxinv.agents.learner:Learner")


def learner_address(name: str) -> str:
    """The name that finds the learner again in another process: a run keeps this one."""
    return address(name, learner(name), AGENTS)
