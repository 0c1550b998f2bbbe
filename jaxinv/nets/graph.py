"""Graph convolution (Kipf & Welling 2017): nodes that learn from their neighbours, by the same
weights everywhere.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.nets.mlp import MLP


def normalised(adjacency: np.ndarray) -> np.ndarray:
    """D^-1/2 (A + I) D^-1/2 of an undirected graph `[N, N]`, D being the degrees of A + I (Kipf &
    Welling 2017, equation 2).
    """
    linked = np.where(np.eye(len(adjacency), dtype=bool), 1.0, adjacency != 0)
    scale = 1.0 / np.sqrt(linked.sum(1))
    return (scale[:, None] * linked * scale).astype(np.float32)


class GCN(nn.Module):
    """Layers H' = relu(A^ H W), A^ being `normalised`: features `[..., N, F]` to `[..., N, width]`.

    Attributes:
      graph: A^ `[N, N]`, as rows.
      widths: of the layers.
    """

    graph: tuple[tuple[float, ...], ...]
    widths: tuple[int, ...] = (64, 64, 10)

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        for width in self.widths:
            spread = jnp.asarray(self.graph) @ features
            features = nn.relu(
                nn.Dense(width, kernel_init=nn.initializers.orthogonal(2**0.5))(spread)
            )
        return features


class GraphCritic(nn.Module):
    """The value `[...]` of what all nodes of a graph hold `[..., N, F]`: a perceptron of the mean
    of their embeddings (Kotecha & del Rio Chanona 2024).

    Attributes:
      graph, widths: of the `GCN`.
      hidden, activation: of the perceptron.
    """

    graph: tuple[tuple[float, ...], ...]
    widths: tuple[int, ...] = (64, 64, 10)
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"

    @nn.compact
    def __call__(self, features: jax.Array) -> jax.Array:
        whole = GCN(self.graph, self.widths)(features).mean(-2)
        return MLP(self.hidden, 1, self.activation)(whole)[..., 0]
