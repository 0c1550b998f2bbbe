"""The ready policy: a network that was trained on invented sales alone (`jaxinv.envs.unseen`) and
ships with the package, so that any shop's sales are ordered for without a training.

`ready.npz` beside this module holds its parameters, how it was trained, and a checksum of both.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.observation import Facts
from jaxinv.errors import UserError
from jaxinv.policies.relative import WINDOW, RelativePolicy, refusal, relative_policy

READY = "ready"
"""What its rows are called."""

WEIGHTS = Path(__file__).with_name("ready.npz")

_ABOUT, _CHECKSUM = "about", "checksum"


class Ready(NamedTuple):
    """The policy on a network, and its parameters."""

    policy: RelativePolicy
    params: Any


def ready_policy(env: InventoryNetwork, weights: str | Path = WEIGHTS) -> Ready:
    """The ready policy for a network: stores with one supplier each.

    Raises:
      UserError: for another network, or weights that are damaged.
    """
    why = refusal(env.topology)
    if why:
        raise UserError(f"the ready policy orders for stores with one supplier each, and {why}")
    about, params = load(weights)
    policy = relative_policy(env, about["hidden"], about["activation"])
    return Ready(policy, params)


def as_ready(params: Any) -> Any:
    """The parameters that ship, for a network that is to go on from them.

    Args:
      params: of that network, fresh.

    Raises:
      UserError: for a network of another shape.
    """
    about, ours = load()
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, ours):
        raise UserError(
            f"init=ready needs the network that ships: hidden={','.join(map(str, about['hidden']))}"
        )
    return ours


def outside(env: InventoryNetwork, instances: InstanceParams) -> str | None:
    """What of the facts of instances lies outside of what the ready policy was trained on, in
    words; None where nothing does.

    Args:
      instances: with a leading axis.
    """
    about, _ = load()
    facts: Facts = jax.vmap(env.facts)(instances)
    stores = np.asarray(env.topology.demand_nodes)
    longest = facts.lead_time.max() if facts.lead_times is None else facts.lead_times.shape[-1] - 1
    checks = (
        ("lead times of up to {:g} periods", longest, 0, about["longest_lead_time"]),
        ("critical ratios of {:.6g}", facts.critical_ratio[:, stores], *about["ratios"]),
        ("review periods of {:g}", facts.review_period, 1, about["longest_review"]),
    )
    for text, values, low, high in checks:
        for value in (np.min(values), np.max(values)):
            if not low - 1e-6 <= value <= high + 1e-6:
                said = text.format(float(value))
                return f"{said}, where the ready policy was trained on {low:g} to {high:g}"
    return None


def save(path: str | Path, params: Any, about: dict[str, Any]) -> None:
    """Writes parameters and what there is to know of them."""
    arrays = {
        name: np.asarray(leaf, np.float32)
        for name, leaf in flax.traverse_util.flatten_dict(params, sep="/").items()
    }
    text = json.dumps(about, sort_keys=True)
    with open(path, "wb") as file:
        np.savez_compressed(
            file, **arrays, **{_ABOUT: np.array(text), _CHECKSUM: np.array(_sum(text, arrays))}
        )


@cache
def load(path: str | Path = WEIGHTS) -> tuple[dict[str, Any], Any]:
    """What is known of weights, and the parameters: arrays of the host, for they are kept, and may
    be first asked for in a trace.

    Raises:
      UserError: a file that is none, that is damaged, or that is of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        text, checksum = str(arrays.pop(_ABOUT)), str(arrays.pop(_CHECKSUM))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} holds no weights of a ready policy ({error})") from None
    if _sum(text, arrays) != checksum:
        raise UserError(f"{path} is damaged: its checksum does not fit; install the package again")
    about = json.loads(text)
    if about.get("window") != WINDOW:
        raise UserError(
            f"{path} was trained to read {about.get('window')} periods, and this version reads"
            f" {WINDOW}; install the package again"
        )
    return about, flax.traverse_util.unflatten_dict(arrays, sep="/")


def _sum(text: str, arrays: dict[str, np.ndarray]) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].shape}".encode())
        found.update(np.ascontiguousarray(arrays[name], np.float32).tobytes())
    return found.hexdigest()
