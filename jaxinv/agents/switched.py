"""PPO whose modules are switched by numbers: every ablation of D3S-CI is a run of one program (seed
000, section 4.5).
"""

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
      core: 1 for the actor, 0 for base-stock on the forecast head, its levels tuned by the pathwise
        gradient; losses of the actor and critic are then none (`policy_weight` and `value_weight`
        are multiplied by it).
    """

    state: float = traced(1.0)
    core: float = traced(1.0)

    shares: ClassVar = (*PPOConfig.shares, "state", "core")

    def __post_init__(self):
        super().__post_init__()
        if self.encoder == "none" or not self.forecast or self.form != "base":
            raise UserError(
                "an ablation switches the encoder, the forecast head and form=base off and on; it"
                " needs all three"
            )


@struct.dataclass
class SwitchedPPO(PPO):
    """PPO as an `Agent`, with both switches on exactly that of its network."""

    network: ClassVar[type[nn.Module]] = SwitchedActorCritic

    @classmethod
    def make_policy(cls, env, config):
        plain = super().make_policy(env, config)
        encoder = SwitchedEncoder(plain.network.encoder, LastEncoder(config.features))
        network = plain.network.clone(encoder=encoder)
        return SwitchedPolicy(
            plain.topology, network, plain.decode, plain.history, plain.window_by_window
        )

    def init(self, key: jax.Array):
        state = super().init(key)
        switches = {"encoder": {"state": self.numbers["state"]}, "core": self.numbers["core"]}
        return state.replace(params={**state.params, SWITCHES: switches})

    def loss(self, params, batch, replay, reward_scale, update=0):
        """That of PPO; where the network's "core" is off, those of actor and critic are none."""
        core = jax.lax.stop_gradient(params[SWITCHES]["core"])
        losses = {name: self.numbers[name] * core for name in ("policy_weight", "value_weight")}
        return PPO.loss(
            self.replace(numbers=self.numbers | losses), params, batch, replay, reward_scale, update
        )
