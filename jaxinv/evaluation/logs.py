"""Logs: trajectories in a file that says who decided, in which problem, and that it is unchanged.

A log is the `.npz` of `Trajectories.save` with two texts more. `about` is a JSON object: the preset
and its options, the behaviour policy, the seed, and what a problem has to be like for the log to
fit it (`description`). `checksum` is the SHA-256 of all the rest.
"""

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxinv.envs import flat
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, called
from jaxinv.evaluation.trajectories import Trajectories, read_arrays, write_arrays

CLOSE = 1e-4
"""Relative difference up to which two numbers of an instance are the same on another machine."""


class Log(NamedTuple):
    """Trajectories and what is known of them.

    Attributes:
      about: see above.
      checksum: 64 hexadecimal digits.
    """

    trajectories: Trajectories
    about: dict[str, Any]
    checksum: str


def write_log(path: str | Path, trajectories: Trajectories, about: dict[str, Any]) -> Log:
    """Writes a log, whole or not at all.

    Raises:
      UserError: for a file that cannot be written.
    """
    arrays = {**trajectories.arrays(), "about": np.asarray(json.dumps(about))}
    checksum = _checksum(arrays)
    write_arrays(Path(path), {**arrays, "checksum": np.asarray(checksum)})
    return Log(trajectories, about, checksum)


def read_log(path: str | Path, problem: Problem | None = None) -> Log:
    """A log that `write_log` wrote.

    Args:
      problem: it has to fit; None for any.

    Raises:
      UserError: for a file that is damaged or changed, is no log, or does not fit.
    """
    arrays = read_arrays(path)
    checksum = str(arrays.pop("checksum", ""))
    if not checksum or "about" not in arrays:
        raise UserError(
            f"{path}: this file has no checksum or does not say what it is of; write a log with"
            f" {called('log')}"
        )
    if _checksum(arrays) != checksum:
        raise UserError(
            f"{path}: the checksum does not fit, so the log was damaged or changed; write it again"
        )
    about = json.loads(str(arrays.pop("about")))
    if problem is not None:
        check_fit(path, about["fits"], problem)
    return Log(Trajectories.of_arrays(path, arrays), about, checksum)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {array.shape}\0".encode())
        found.update(array.tobytes())
    return found.hexdigest()


# --- what a log fits ------------------------------------------------------------------------------


def description(problem: Problem) -> dict[str, Any]:
    """What a problem has to be like for a log of it to fit: names, shapes, what can be ordered, and
    the numbers of its instances.
    """
    env, topology = problem.env, problem.env.topology
    shape = {field.name: _plain(getattr(topology, field.name)) for field in fields(topology)}
    return {
        "world": env.name,
        "nodes": flat.labels(topology, "node"),
        "edges": flat.labels(topology, "edge"),
        "signals": [signal.name for signal in env.signals],
        "history": env.history,
        **{name: value for name, value in shape.items() if name not in ("node_names", "nodes")},
        "instances": problem.instances,
        "numbers": _numbers(problem.unaugmented),
    }


def check_fit(path: str | Path, told: dict[str, Any], problem: Problem) -> None:
    """Refuses a log of another problem.

    Raises:
      UserError: it names the first thing that differs, in the order of `description`.
    """
    wanted = description(problem)
    for name in (*wanted, *told):
        if name == "numbers":
            continue
        if told.get(name) != wanted.get(name):
            raise _unfit(path, name, told.get(name), wanted.get(name))
    for name in {**wanted["numbers"], **told["numbers"]}:
        one, other = told["numbers"].get(name), wanted["numbers"].get(name)
        if one is None or other is None or not np.allclose(one, other, CLOSE, CLOSE**2):
            raise _unfit(path, name, one and one[0], other and other[0])


def _unfit(path, name, told, wanted):
    return UserError(
        f"{path}: this log does not fit: its {name} is {_short(told)}, and here it is"
        f" {_short(wanted)}; give the options that it was written with"
    )


def _short(value):
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _numbers(params) -> dict[str, list[float]]:
    """Each array of the instances by its mean, its mean weighed by place, and its size: what equal
    ones have in common wherever they were computed. How long an episode lasts is left out.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(params.replace(max_steps_in_episode=0))
    found = {}
    for place, leaf in leaves:
        values = np.clip(np.nan_to_num(np.asarray(leaf, np.float64)), -1e30, 1e30).ravel()
        ramp = np.linspace(0.0, 1.0, values.size)
        name = jax.tree_util.keystr(place).strip(".")
        found[name] = [float(values.mean()), float((values * ramp).mean()), float(values.size)]
    return found


def _plain(value):
    """A field of a topology as JSON reads it back."""
    if isinstance(value, frozenset):
        return sorted(value)
    return json.loads(json.dumps(value))
