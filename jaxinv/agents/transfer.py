"""What a training begins with of one that is over: the first layers of its perceptrons, the rest
fresh (the transfer learning of Oroojlooyjadid et al. 2022, section 4.3).
"""

import re
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.agents.loop import Training
from jaxinv.errors import UserError


def taken_over(state: Training, donor: Any, layers: int | None) -> Training:
    """The state before the first update with what it takes of a donor in its parameters, and in
    those of its targets and of the best policy so far, where there are any.

    Args:
      donor: parameters of a network whose parts are of the same shapes, as far as they are taken.
      layers: of each perceptron; None for everything.

    Raises:
      UserError: it names the first part that the donor has not, or in another shape.
    """
    learner, best = state.learner, state.best
    learner = learner.replace(params=with_layers(learner.params, donor, layers))
    if getattr(learner, "target", None) is not None:
        learner = learner.replace(target=learner.params)
    return Training(learner, best and best.replace(params=learner.params))


def with_layers(params: Any, donor: Any, layers: int | None) -> Any:
    """Parameters, with or without a leading axis of runs, with those of a donor in their first
    layers. An encoder comes before all layers, and is taken too.
    """
    found = {jax.tree_util.keystr(path): leaf for path, leaf in _leaves(donor)}

    def taken(path, leaf):
        name = jax.tree_util.keystr(path)
        if layers is not None and not _within(name, layers):
            return leaf
        theirs = found.get(name)
        if theirs is None or theirs.shape != leaf.shape[leaf.ndim - theirs.ndim :]:
            there = "nothing" if theirs is None else list(theirs.shape)
            raise UserError(
                f"init: the run has {there} where this network has {name} {list(leaf.shape)}; give"
                " the run of a network with the same inputs, hidden and encoder, or fewer"
                " init_layers"
            )
        return jnp.broadcast_to(jnp.asarray(theirs), leaf.shape)

    return jax.tree_util.tree_map_with_path(taken, params)


def _within(name: str, layers: int) -> bool:
    """Whether a part belongs to an encoder, or to the first layers of a perceptron."""
    layer = re.search(r"\['Dense_(\d+)'\]\['\w+'\]$", name)
    return "['encoder']" in name or (layer is not None and int(layer[1]) < layers)


def _leaves(tree: Any) -> list:
    return jax.tree_util.tree_flatten_with_path(tree)[0]
