"""What numbers an option can hold, and how much memory there is: checked before anything is
computed.

jax computes in 32 bits: a larger number would become infinite, or be another one, without a word.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from jaxinv.errors import UserError

LARGEST_SEED = 2**32 - 1
"""Random keys take 32 bits of a seed; of a larger one they would drop the rest."""
LARGEST_WHOLE = 2**31 - 1
SMALLEST, LARGEST = 1e-12, 1e12
"""Sizes of numbers other than zero: a product of three, or a square, is then a float32."""
MOST_MONEY = 1e15
"""Money of a period: its square, summed over all periods of an update, is then a float32."""


def check_numbers(config: Any) -> None:
    """Refuses numbers of a dataclass that 32 bits cannot hold: infinite, overflowing or vanishing
    ones.

    Fields whose name ends in "seed" are 0 .. `LARGEST_SEED`.

    Raises:
      UserError: it names `field=value` and the range.
    """
    for field in dataclasses.fields(config):
        _check(field.name, getattr(config, field.name))


def _check(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(name, item)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return
    elif name.endswith("seed"):
        if not 0 <= value <= LARGEST_SEED:
            raise UserError(f"{name}={_short(value)} must be a whole number of 0 .. {LARGEST_SEED}")
    elif isinstance(value, int):
        if abs(value) > LARGEST_WHOLE:
            raise UserError(f"{name}={_short(value)} must be at most {LARGEST_WHOLE}")
    elif not math.isfinite(value) or abs(value) > LARGEST:
        raise UserError(f"{name}={value} must be a number of at most {LARGEST:g}")
    elif value and abs(value) < SMALLEST:
        raise UserError(f"{name}={value} must be 0, or a number of at least {SMALLEST:g}")


def _short(value: int) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:6]}... ({len(text)} digits)"


def check_seed(seed: int) -> None:
    """Refuses what no random key can be made of."""
    if not isinstance(seed, Integral) or not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"seed={seed} must be a whole number of 0 .. {LARGEST_SEED}")


def check_memory(needed: float, what: str, lower: str) -> None:
    """Refuses what cannot fit into memory.

    Args:
      needed: bytes. what: it is for. lower: options that make it smaller.
    """
    free = free_memory()
    if free is not None and needed > free:
        raise UserError(
            f"{what} would take {_size(needed)} of memory and {_size(free)} are free; lower {lower}"
        )


def free_memory() -> int | None:
    """Bytes that a process can still take, under the limit of its control group; None where nothing
    says so.
    """
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
        if all(name in os.sysconf_names for name in names):
            found += [math.prod(os.sysconf(name) for name in names)]
    group = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            found += [int((group / limit).read_text()) - int((group / used).read_text())]
        except (OSError, ValueError):  # ValueError: the limit is "max"
            continue
    return min(found, default=None)


def _size(count: float) -> str:
    """Bytes for people, such as "1.2 GB"."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:,.3g} {unit}" if count < 1e15 else f"{count / size:,.0f} {unit}"
    return f"{count / 1e3:.3g} kB"
