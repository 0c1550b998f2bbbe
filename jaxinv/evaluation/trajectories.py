"""The one record of what happened: what was seen, decided and paid, period by period.

Whatever plays a policy and keeps what it did keeps `Trajectories`: a learner's own play, the steps
that its replay holds, a log that is learned from alone, and the counterfactuals of one. `record`
makes those of any policy, `save` and `load` keep them in a file of plain arrays.
"""

import zipfile
import zlib
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs.costs import Places
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.observation import Facts, Observation
from jaxinv.errors import UserError
from jaxinv.evaluation.playing import first_memory, play
from jaxinv.evaluation.rollout import BATCH, Episodes, unroll_world
from jaxinv.policies.policy import Policy
from jaxinv.whole import writing

SCHEMA = 1
"""Version of the file. Another meaning or another shape of a part is another version."""


@struct.dataclass
class Origin:
    """What it takes to play the very same episodes again."""

    params: InstanceParams  # the world as it was, its intervention included
    start: Episodes  # before the first decision; holds the key of all noise
    policy_params: Any
    memory: Any = None  # [..., B] what the policy remembered then


@struct.dataclass
class Trajectories:
    """T periods of B episodes; a part that nobody asked for is None.

    Arrays are `[T, ..., B]` as they were played. In a replay or a batch of it they are n steps of
    one decision each, `[n, ...]`. A learner that decides once a review has T' steps instead of T
    periods.
    """

    reward: jax.Array  # [T, B], or by agent [T, G, B] as agents with roles learn from it
    follows: jax.Array | None = (
        None  # [T, B] 0 where the episode is over for good after the period, else 1
    )

    # what was known and what came of it
    signals: jax.Array | None = (
        None  # [W + T, S, B]; row W - 1 + t is the latest that decision t saw
    )
    observation: Observation | None = (
        None  # [T + 1, ..., B] stock at each decision and after the last; facts and signals apart
    )
    facts: Facts | None = None  # [..., B]
    orders: jax.Array | None = None  # [T, E, K, B] as asked for
    dispositions: jax.Array | None = None  # [T, N, K, 3, B] of returns, where they are decided
    executed: jax.Array | None = None  # [T, E, K, B] as shipped
    log_prob: jax.Array | None = None  # [T, B] of what was decided, where the policy draws
    costs: Places | None = (
        None  # [T, N, len(COSTS), B] and [T, E, len(COSTS), B] before their weights
    )
    demand: jax.Array | None = None  # [T, N, K, B]
    short: jax.Array | None = None  # [T, N, K, B] demand that was not served at once
    baseline: jax.Array | None = (
        None  # [T, B] reward of a tuned rule in the very same worlds, in a log
    )

    # what a network made of it
    team: jax.Array | None = None  # [T, B] reward of the whole network, where `reward` is by agent
    stock: jax.Array | None = (
        None  # [T' + 1, F, B] features of stock at each decision and after the last
    )
    kept: Any = None  # [T', ..., B] what a learner keeps of its decisions, such as raw outputs
    contexts: Any = None  # [T, ..., B]
    last: Any = None  # [..., B] context of the decision after the last
    advice: Any = None  # [T, ..., B] what a penalty wants to know

    network: NetworkState | None = None  # [..., B] stock after the last period
    memory: Any = None  # [..., B] what the policy remembers then
    origin: Origin | None = None

    @property
    def cost(self) -> jax.Array:
        """Mean cost a period of the whole network `[]`."""
        return -(self.reward if self.team is None else self.team).mean()

    @property
    def latest(self) -> jax.Array:
        """The latest signals that each decision saw `[T, S, B]`."""
        return self.signals[-1 - self.reward.shape[0] : -1]

    @property
    def on_hand(self) -> jax.Array:
        """Stock at each decision `[T, N, K, B]`, all ages together."""
        stock = self.observation.on_hand[:-1]
        return stock.sum(3) if stock.ndim == 5 else stock

    @property
    def in_transit(self) -> jax.Array:
        """Units on their way at each decision `[T, E, K, B]`."""
        return self.observation.pipeline[:-1].sum(3)

    def save(self, path: str | Path) -> None:
        """Writes what was known and what came of it, whole or not at all, as NumPy's `.npz`. What a
        network made of it, and what it takes to play it again, belong to what the file does not
        hold.

        Raises:
          UserError: for a file that cannot be written.
        """
        write_arrays(Path(path), self.arrays())

    @classmethod
    def load(cls, path: str | Path) -> "Trajectories":
        """Trajectories that `save` wrote, or those of a log (`jaxinv.evaluation.logs`).

        Raises:
          UserError: no such file, another schema, or parts that do not belong together.
        """
        arrays = read_arrays(path)
        return cls.of_arrays(
            path, {name: arrays[name] for name in arrays if name not in ("about", "checksum")}
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What `save` writes, by name."""
        parts = {}
        for name in SAVED:
            part = getattr(self, name)
            if name in NESTED and part is not None:
                parts |= {f"{name}.{key}": value for key, value in vars(part).items()}
            else:
                parts[name] = part
        found = {name: np.asarray(part) for name, part in parts.items() if part is not None}
        return {"schema": np.asarray(SCHEMA), **found}

    @classmethod
    def of_arrays(cls, path: str | Path, arrays: dict[str, np.ndarray]) -> "Trajectories":
        """The inverse of `arrays`; `path` is what a mistake is named with."""
        schema = arrays.get("schema", np.array("none")).item()
        if schema != SCHEMA:
            raise UserError(
                f"{path}: trajectories of schema {schema}, and this version reads schema {SCHEMA}; "
                "record them again"
            )
        found = {
            name: array for name, array in arrays.items() if "." not in name and name != "schema"
        }
        for name, kind in NESTED.items():
            own = {
                key.partition(".")[2]: array
                for key, array in arrays.items()
                if key.startswith(f"{name}.")
            }
            if own:
                _check_names(path, f"{name}.", own, kind)
                found[name] = kind(**{field.name: own.get(field.name) for field in fields(kind)})
        _check_names(path, "", found, cls)
        loaded = cls(**found)
        _check_sizes(path, loaded)
        return jax.tree.map(jnp.asarray, loaded)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a `.npz`, whole or not at all.

    Raises:
      UserError: for a file that cannot be written.
    """
    try:
        with writing(path) as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); give a file in a folder that is there"
        ) from None


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a `.npz`, none of which is an object.

    Raises:
      UserError: no such file, or one that is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path}: no trajectories can be read from it ({error}); give a file that save wrote"
        ) from None


SAVED = (
    "reward", "follows", "signals", "observation", "facts", "orders", "dispositions", "executed",
    "log_prob",
    "costs", "demand", "short", "baseline",
)  # fmt: skip
NESTED = {"observation": Observation, "facts": Facts, "costs": Places}
"""Parts of a file that are structs of their own."""


def _check_names(path, within, found, kind):
    """Refuses a part that is no field, and the lack of one that there is no such struct without."""
    known = (
        SAVED
        if kind is Trajectories
        else [field.name for field in fields(kind) if field.name not in _APART]
    )
    needed = [
        field.name
        for field in fields(kind)
        if field.name in known and NoneType not in get_args(field.type)
    ]
    wrong = [f"a part {within}{name}" for name in sorted(set(found) - set(known))]
    wrong += [f"no {within}{name}" for name in needed if name not in found]
    if wrong:
        raise UserError(
            f"{path}: this file has {wrong[0]}, unlike trajectories of schema {SCHEMA}; "
            "record them again"
        )


_APART = ("instance", "signals")
"""Fields of an observation that trajectories keep apart."""


def _check_sizes(path, found: Trajectories):
    """Refuses parts of different lengths or numbers of episodes, and what is not a number."""
    if found.reward.ndim != 2:
        raise UserError(
            f"{path}: reward has shape {found.reward.shape} and must be [T, B]; record them again"
        )
    periods, batch = found.reward.shape
    for name in SAVED:
        longer = {"observation": periods + 1, "facts": None, "signals": None}
        for leaf in jax.tree.leaves(getattr(found, name)):
            length = longer.get(name, periods)
            if leaf.shape[-1:] != (batch,) or (length and leaf.shape[0] != length):
                raise UserError(
                    f"{path}: {name} has shape {leaf.shape}, which does not go with {periods}"
                    f" periods of {batch} episodes; record them again"
                )
            if name == "log_prob" and np.any(leaf == -np.inf):
                raise UserError(
                    f"{path}: log_prob holds a behaviour probability of 0, and what has that is"
                    " never decided; record them again"
                )
            if leaf.dtype.kind not in "biuf" or not np.all(np.isfinite(leaf)):
                raise UserError(
                    f"{path}: {name} holds a value that is not a number; record them again"
                )


def record(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any,
    episodes: Episodes,
    periods: int, *, orders: jax.Array | None = None, memory: Any = None, axis: int | None = None,
    policy_axis: int | None = None,
) -> tuple[Episodes, Trajectories]:  # fmt: skip
    """Plays a policy from given episodes on (`begin`), and keeps what happened.

    Args:
      orders: `[T, E, K, B]` what is ordered instead, NaN where the policy decides on what it then
        sees; None: it decides throughout.
      memory: what the policy remembers `[..., B]`; None: what it does before its first decision.
      axis: `BATCH` where `params` is a batch of instances, None where all episodes share one.
      policy_axis: likewise for the policy's parameters.

    Returns:
      The episodes after it, and all parts of what was known and what came of it.
    """
    return _record(
        env, params, policy, policy_params, episodes, orders, memory, periods, axis, policy_axis
    )


@partial(jax.jit, static_argnames=("env", "policy", "periods", "axis", "policy_axis"))
def _record(
    env, params, policy, policy_params, episodes, orders, memory, periods, axis, policy_axis
):
    after, trace = unroll_world(env, episodes, params, periods, axis)
    if memory is None:
        memory = first_memory(
            env, params, policy, policy_params, episodes.signals, axis, policy_axis
        )

    def keep(observation, outcome, note):
        asked, log_prob = note
        return Trajectories(
            reward=outcome.reward, observation=_stock_alone(observation), orders=asked.orders,
            dispositions=asked.dispositions, executed=outcome.ordered, log_prob=log_prob,
            costs=outcome.places, demand=outcome.demand, short=outcome.short,
        )  # fmt: skip

    network, memory, played, _ = play(
        env, params, policy, policy_params, episodes.network, memory, trace, episodes.key,
        episodes.period,
        record=keep, orders=orders, axis=axis, policy_axis=policy_axis,
    )  # fmt: skip

    def end(state, params):
        return _stock_alone(env.view(state, params)), env.facts(params)

    last, facts = jax.vmap(end, (BATCH, axis), BATCH)(network, params)
    follows = jax.vmap(partial(_follows, env), (BATCH, axis), BATCH)(
        played.observation.time, params
    )
    return after.replace(network=network), played.replace(
        follows=follows,
        signals=jnp.concatenate([trace.signals, after.signals[-1:]]),
        observation=jax.tree.map(
            lambda rows, row: jnp.concatenate([rows, row[None]]), played.observation, last
        ),
        facts=facts,
        memory=memory,
    )


def _stock_alone(observation):
    return observation.replace(signals=None, instance=None)


def _follows(env, time, params):
    """Whether anything follows periods `[T]`."""
    over = env.ends & (time + 1 >= params.max_steps_in_episode)
    return jnp.where(over, 0.0, 1.0)
