"""The multilayer perceptron behind every actor, critic and forecast head."""

import flax.linen as nn
import jax

from jaxinv.errors import unknown

ACTIVATIONS = {"elu": nn.elu, "gelu": nn.gelu, "relu": nn.relu, "tanh": nn.tanh}


class MLP(nn.Module):
    """Hidden layers with an activation, then a linear layer: `[..., C]` to `[..., out]`.

    Hidden kernels are orthogonal with gain sqrt(2), as is usual in actor-critic training. The last
    kernel is small by default, so that an untrained actor starts in the middle of its range and a
    critic near 0, on any input.

    Attributes:
      hidden: widths of the hidden layers; empty gives a linear map.
      out: width of the output.
      activation: a name in `ACTIVATIONS`.
      out_scale: standard deviation of the last kernel.

    Raises:
      jaxinv.errors.UserError: an unknown activation.
    """

    hidden: tuple[int, ...]
    out: int
    activation: str = "elu"
    out_scale: float = 0.01

    def __post_init__(self):
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in self.hidden:
            x = nn.Dense(width, kernel_init=nn.initializers.orthogonal(2**0.5))(x)
            x = ACTIVATIONS[self.activation](x)
        return nn.Dense(self.out, kernel_init=nn.initializers.normal(self.out_scale))(x)
