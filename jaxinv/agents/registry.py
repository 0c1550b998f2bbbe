"""The learners by name, and the hyper-parameters of each that suit a preset."""

from typing import Any

from jaxinv.agents.actor_q import DDPG, SAC, DDPGConfig, SACConfig
from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.dqn import DQN, DQNConfig
from jaxinv.agents.learner import LearnerConfig
from jaxinv.agents.ppo import PPO, PPOConfig

AGENTS = {
    "ppo": (PPOConfig, PPO),
    "diffsim": (DiffSimConfig, DiffSim),
    "dqn": (DQNConfig, DQN),
    "ddpg": (DDPGConfig, DDPG),
    "sac": (SACConfig, SAC),
}

FROM_A_BUFFER = dict(updates=1250, envs=32, rollout=8, encoder="none", hidden=(32, 32), batch=128, discount=0.95)

STOCK_ONLY = {
    "ppo": dict(
        updates=200, envs=1024, rollout=32, epochs=1, minibatches=16, clip=1.0, discount=0.95, gae_lambda=0.8,
        learning_rate=2e-3, final_learning_rate=0.0, aligned_rewards=None, encoder="none", hidden=(32, 32), forecast=0,
        pathwise=False,
    ),
    "diffsim": dict(updates=2000, envs=128, rollout=50, encoder="none", hidden=(32, 32, 32), learning_rate=5e-3),
    "dqn": {**FROM_A_BUFFER, "updates": 2500},
    "ddpg": FROM_A_BUFFER,
    "sac": FROM_A_BUFFER,
}
"""Hyper-parameters of agents for presets whose demand has no history worth reading: a small MLP on stock alone.

PPO goes once over each rollout and hardly clips: a clipped step takes the rare, very bad outcome for one vote among many, which
holds orders to the median (on geometric demand with p = 39, L = 1, 17% above the optimum with clip=0.2, 0.15% so).
"""

_EPISODES = dict(updates=300, envs=10, rollout=28, capacity=28000, steps=10, encoder="known", aligned_rewards=True)

SUITED = {
    "cross_border": {
        "diffsim": dict(updates=1280, envs=32, rollout=90, activation="tanh", learning_rate=1e-3),
    },
    "retail": {
        "diffsim": dict(updates=1200, envs=128, rollout=40, activation="tanh", learning_rate=2e-3),
    },
    "deepstock": {
        "ppo": dict(
            updates=150, envs=64, rollout=28, epochs=5, encoder="known", hidden=(32, 32), activation="elu", forecast=0,
            pathwise=False, aligned_rewards=True,
        ),
        "diffsim": dict(updates=1000, envs=10, rollout=29, encoder="known", hidden=(32, 32), learning_rate=1e-2),
        "dqn": _EPISODES,
        "ddpg": _EPISODES,
        "sac": _EPISODES,
    }
}  # fmt: skip
"""Hyper-parameters of agents that suit one preset. On `cross_border` and `retail` as many steps as PPO takes, in small batches: 400
larger ones end 8% and 3% dearer. On `deepstock` whole episodes of its 29 days, and the one feature that it shows."""


def suited(agent: str, env: str, history: int) -> LearnerConfig:
    """The configuration of an agent that suits a preset.

    Args:
      agent: in `AGENTS`; env: name of the preset; history: periods of demand that its policies see unless told otherwise.
    """
    options: dict[str, Any] = SUITED.get(env, {}).get(agent) or (STOCK_ONLY[agent] if history == 1 else {})
    return AGENTS[agent][0](**options)
