"""PPO whose modules are switched by numbers: every ablation of D3S-CI is a run of one program (seed 000, section 4.5)."""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.errors import UserError
from jaxinv.nets.encoder import LastEncoder
from jaxinv.nets.switched import SWITCHES, SwitchedActorCritic, SwitchedEncoder
from jaxinv.policies.switched import SwitchedPolicy


@dataclass(frozen=True)
class SwitchedConfig(PPOConfig):
    """Hyper-parameters beside those of PPO (`PPOConfig`).

    Attributes:
      state: 1 for the encoder, 0 for a perceptron of the last observation.
      core: 1 for the actor, 0 for base-stock on the forecast head, its levels tuned by the pathwise gradient; losses of the
        actor and critic are then none (`policy_weight` and `value_weight` are multiplied by it).
    """

    state: float = traced(1.0)
    core: float = traced(1.0)

    shares: ClassVar = (*PPOConfig.shares, "state", "core")

    def __post_init__(self):
        super().__post_init__()
        if self.encoder == "none" or not self.forecast or self.form != "base":
            raise UserError("an ablation switches the encoder, the forecast head and form=base off and on; it needs all three")


@struct.dataclass
class SwitchedPPO(PPO):
    """PPO as an `Agent`, with both switches on exactly that of its network."""

    network: ClassVar[type[nn.Module]] = SwitchedActorCritic

    @classmethod
    def make_policy(cls, env, config):
        plain = super().make_policy(env, config)
        encoder = SwitchedEncoder(plain.network.encoder, LastEncoder(config.features))
        network = plain.network.clone(encoder=encoder)
        return SwitchedPolicy(plain.topology, network, plain.decode, plain.history, plain.window_by_window)

    @classmethod
    def create(cls, problem, config):
        agent = super().create(problem, config)
        return agent.replace(numbers=without_core(agent.numbers))

    def init(self, key: jax.Array):
        state = super().init(key)
        switches = {"encoder": {"state": self.numbers["state"]}, "core": self.numbers["core"]}
        return state.replace(params={**state.params, SWITCHES: switches})


def without_core(numbers: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Traced numbers whose losses of actor and critic are none where "core" is 0."""
    return numbers | {name: numbers[name] * numbers["core"] for name in ("policy_weight", "value_weight")}
