"""Where arrays are: environments side by side, shared out over devices.

`use_devices` says for the whole process how many there are. `place` then cuts the axis of the
environments into equal parts, one a device, where episodes begin and instances are taken. XLA's
partitioner carries that through every program that starts from them, and adds gradients up over
the devices. Random numbers are those of the whole batch whatever the devices, so results depend on
the batch alone, up to the order in which numbers are added.
"""

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from jaxinv.errors import UserError

_AXIS = "environments"
_count = 1


def use_devices(count: int) -> None:
    """Shares the environments of all programs from now on out over the first `count` devices.

    Raises:
      UserError: where there are not so many.
    """
    global _count
    found = jax.devices()
    if not 1 <= count <= len(found):
        there = f"there {'is' if len(found) == 1 else 'are'} {len(found)} ({found[0].platform})"
        more = "; JAX_NUM_CPU_DEVICES makes more of a CPU" if found[0].platform == "cpu" else ""
        raise UserError(f"--devices {count}: {there}{more}; give 1 .. {len(found)}")
    if count != _count:
        jax.clear_caches()  # what was traced before says nothing of these devices
    _count = count


def check_divides(batch: int, option: str) -> None:
    """Refuses a batch that cannot be cut into equal parts, one a device.

    Raises:
      UserError: it names the option that says how large the batch is.
    """
    if batch % _count:
        raise UserError(
            f"{option}={batch} cannot be shared out over {_count} devices; give a multiple of"
            f" {_count}"
        )


def place(tree: Any, axis: int = -1) -> Any:
    """The arrays of a tree, inside of a program, with that axis cut over the devices.

    Arrays without the axis, or with a length that devices do not divide, stay as they are.
    """
    if _count == 1:
        return tree

    def put(leaf):
        cut = _cut(leaf, axis)
        return leaf if cut is None else jax.lax.with_sharding_constraint(leaf, cut)

    return jax.tree.map(put, tree)


def shardings(state: Any) -> Any:
    """How the arrays of a training's state lie over devices between two programs: its episodes
    shared out, all else on every device. None where there is one device.

    Args:
      state: arrays, or their shapes.
    """
    if _count == 1:
        return None

    def of_one(path, leaf):
        shared = any(getattr(part, "name", None) in _BY_ENVIRONMENT for part in path)
        return (_cut(leaf, -1) if shared else None) or everywhere()

    return jax.tree_util.tree_map_with_path(of_one, state)


_BY_ENVIRONMENT = {"episodes", "index", "strayed"}
"""Fields of a learner's state whose last axis is that of the environments."""


def everywhere() -> Sharding:
    """The whole of an array on every device."""
    if _count == 1:
        return SingleDeviceSharding(jax.devices()[0])
    return NamedSharding(_mesh(), PartitionSpec())


def _mesh() -> Mesh:
    return Mesh(jax.devices()[:_count], (_AXIS,))


def _cut(leaf, axis) -> NamedSharding | None:
    if not leaf.ndim or leaf.shape[axis] % _count:
        return None
    axes = [None] * leaf.ndim
    axes[axis] = _AXIS
    return NamedSharding(_mesh(), PartitionSpec(*axes))
