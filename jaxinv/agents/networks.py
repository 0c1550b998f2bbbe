"""The policy that a configuration asks for: its network, its encoder and its decode."""

from typing import Any

import flax.linen as nn

from jaxinv.agents.configuration import LearnerConfig
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.errors import UserError
from jaxinv.nets.actor_critic import Actor
from jaxinv.nets.encoder import make_encoder
from jaxinv.policies.decode import Decode
from jaxinv.policies.learned import LearnedPolicy
from jaxinv.policies.relative import RelativePolicy, refusal, relative_policy


def make_policy(
    env: InventoryNetwork,
    config: LearnerConfig,
    network: type[nn.Module] = Actor,
    decode: Decode | None = None,
    **options: Any,
) -> LearnedPolicy:
    """A network and its decode for an environment.

    Args:
      network: an `Actor` or what extends it; options: its further attributes.
      decode: that of `config.form`, unless another is given.
    """
    decode = decode or Decode(env.topology, config.form, config.allocation)
    if config.form in ("coeff", "both") and env.history == 1:
        raise UserError(
            f"form={config.form} weighs rates of demand in the near and far past, and history=1"
            " shows one period; give history=8 or more, or form=none or form=base"
        )
    if config.encoder == "relative":
        return _relative(env, config)
    encoder, series = None, env.world.demand.locations * env.world.demand.products
    columns = env.columns(*config.signals) if config.signals else tuple(range(len(env.signals)))
    if config.encoder != "none":
        demand = sum(column < series for column in columns)
        if config.encoder == "known" and demand == len(columns):
            raise UserError(
                "encoder=known sees covariates alone and this demand has none; try encoder=last or"
                " none"
            )
        encoder = make_encoder(
            config.encoder, config.features, config.heads, config.layers, env.history, series=demand
        )
    elif config.signals:
        raise UserError(
            f"signals={','.join(config.signals)} are what an encoder reads, and encoder=none has"
            " none"
        )
    elif env.world.clock:
        raise UserError(
            "the time that tell= tells is read by an encoder, and encoder=none has none; give"
            " encoder=known or last"
        )
    module = network(
        outputs=decode.outputs,
        series=series,
        encoder=encoder,
        hidden=tuple(config.hidden),
        activation=config.activation,
        **options,
    )
    return LearnedPolicy(
        env.topology, module, decode, env.history, config.window_by_window, config.preferences,
        columns if config.signals else None,
    )  # fmt: skip


def _relative(env, config) -> RelativePolicy:
    """The policy that reads a series in units of itself."""
    why = refusal(env.topology)
    if why or config.signals:
        raise UserError(
            "encoder=relative reads all sales of stores with one supplier each, and"
            f" {why or 'signals= names some'}; give another encoder"
        )
    return relative_policy(env, config.hidden, config.activation)
