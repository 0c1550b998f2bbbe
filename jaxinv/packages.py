"""Packages that jaxinv needs: what is said where one is too old, or where an extra is missing."""

import contextlib
import re
from collections.abc import Generator
from importlib import metadata

from jaxinv.errors import UserError

OLDEST_JAX = "0.10"
"""As in the dependencies of the package."""


@contextlib.contextmanager
def extra(name: str, what: str, otherwise: str = "") -> Generator[None]:
    """Around an import that an extra of the package brings.

        with extra("excel", f"{path}: Excel", "save the sheet as CSV"):
            import openpyxl

    Args:
      name: of the extra.
      what: needs it, the begin of the message.
      otherwise: what can be done instead.

    Raises:
      UserError: it cannot be imported; with what installs it.
    """
    try:
        yield
    except ImportError as error:
        hint = f", or {otherwise}" if otherwise else ""
        raise UserError(f"{what} needs {error.name}; pip install 'jaxinv[{name}]'{hint}") from error


def check_jax() -> None:
    """Refuses a jax that is missing or too old, without importing it.

    Raises:
      UserError: with what installs another.
    """
    try:
        found = metadata.version("jax")
    except metadata.PackageNotFoundError:
        found = ""
    if _numbers(found) < _numbers(OLDEST_JAX):
        what = f"jax {found} is too old" if found else "jax is not installed"
        raise UserError(
            f"{what}: jaxinv needs {OLDEST_JAX} or later; pip install -U 'jax>={OLDEST_JAX}'"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version; none of an empty one."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
