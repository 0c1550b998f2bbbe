"""A pytree on disk: its arrays as orbax writes them, and a list of all files with sizes and
checksums, written last.

jax and orbax are imported where they are used, so that a mistyped run name is answered at once.
"""

import contextlib
import json
import logging
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxinv.errors import UserError
from jaxinv.whole import flush


def write_tree(folder: Path, tree: Any) -> None:
    import jax
    import orbax.checkpoint as ocp

    leaves = _leaves(tree)
    arrays = {
        name: jax.random.key_data(leaf) if _is_key(leaf) else leaf for name, leaf in leaves.items()
    }
    stored = {
        name: array for name, array in arrays.items() if array.size
    }  # orbax refuses empty arrays
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer, _disk_errors():
        # orbax also refuses a tree without arrays, hence the marker
        checkpointer.save(
            folder.absolute() / "arrays",
            args=ocp.args.StandardSave({"leaves": stored, "marker": 0}),
        )
    listing = {
        "leaves": {name: _kind(leaf) for name, leaf in leaves.items()},
        "keys": {
            name: str(jax.random.key_impl(leaf)) for name, leaf in leaves.items() if _is_key(leaf)
        },
        "files": {
            str(path.relative_to(folder)): _fingerprint(path)
            for path in folder.rglob("*")
            if path.is_file()
        },
    }
    listing["checksum"] = _checksum(listing)
    (folder / "listing.json").write_text(json.dumps(listing, indent=1), encoding="utf-8")
    for path in [*folder.rglob("*"), folder]:
        flush(path)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """Turns orbax's pages of tracebacks about a full disk into the OSError that it is."""
    log = logging.getLogger("absl")
    log.disabled, before = True, log.disabled
    try:
        yield
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if not code:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from None
    finally:
        log.disabled = before


def read_tree(folder: Path, template: Any) -> Any:
    import jax
    import jax.numpy as jnp
    import numpy as np
    import orbax.checkpoint as ocp

    from jaxinv.placement import everywhere

    listing = json.loads((folder / "listing.json").read_text(encoding="utf-8"))
    wanted = _leaves(template)
    _check_fit(folder, listing["leaves"], {name: _kind(leaf) for name, leaf in wanted.items()})

    def target(leaf):
        if isinstance(leaf, np.ndarray | np.generic):
            return np.zeros(leaf.shape, leaf.dtype)  # comes back as numpy, 64 bits wide where it is
        if _is_key(leaf):
            concrete = isinstance(leaf, jax.Array)
            leaf = (
                jax.random.key_data(leaf) if concrete else jax.eval_shape(jax.random.key_data, leaf)
            )
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding or everywhere())

    targets = {name: target(leaf) for name, leaf in wanted.items()}
    stored = {name: array for name, array in targets.items() if math.prod(array.shape)}
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        args = ocp.args.StandardRestore({"leaves": stored, "marker": 0})
        found = checkpointer.restore(folder.absolute() / "arrays", args=args)["leaves"]

    def leaf(name):
        empty = targets[name]
        array = found[name] if name in found else jnp.zeros(empty.shape, empty.dtype)
        implementation = listing["keys"].get(name)
        return jax.random.wrap_key_data(array, impl=implementation) if implementation else array

    return jax.tree.unflatten(jax.tree.structure(template), [leaf(name) for name in wanted])


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves by readable names, in the tree's order."""
    import jax

    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    # A number in front keeps names apart that read alike, such as those of {1: x} and {"1": x}.
    return {
        f"{index} {name}": leaf
        for index, (name, (_, leaf)) in enumerate(zip(names, paths, strict=True))
    }


def _is_key(leaf: Any) -> bool:
    import jax

    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _kind(leaf: Any) -> str:
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"


def _check_fit(folder: Path, stored: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    for (has, has_kind), (name, kind) in zip(stored.items(), wanted.items(), strict=False):
        if (has, has_kind) != (name, kind):
            raise _misfit(folder, f"{has} is {has_kind} there, {name} is {kind} here")
    if len(stored) != len(wanted):
        raise _misfit(folder, f"it has {len(stored)} arrays, {len(wanted)} are wanted")


def _misfit(folder: Path, what: str) -> UserError:
    return UserError(
        f"{folder}: the checkpoint does not fit this configuration: {what}; resume with the"
        " run's own"
    )


def damage_of(folder: Path) -> str:
    """What is wrong with the files of a checkpoint; empty if nothing is."""
    try:
        listing = json.loads((folder / "listing.json").read_text(encoding="utf-8"))
        if listing.get("checksum") != _checksum(listing):
            return "listing.json has changed"
        for name, fingerprint in listing["files"].items():
            size, _ = found = _fingerprint(folder / name)
            if size != fingerprint[0]:
                return f"{name} has {size} of {fingerprint[0]} bytes"
            if found != fingerprint:
                return f"{name} has changed"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "listing.json is cut short or has changed"
    return ""


def _checksum(listing: Mapping[str, Any]) -> int:
    """Of a listing without its own checksum."""
    rest = {key: value for key, value in listing.items() if key != "checksum"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _fingerprint(path: Path) -> list[int]:
    data = path.read_bytes()
    return [len(data), zlib.crc32(data)]
