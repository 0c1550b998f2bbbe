"""`jaxinv COMMAND`, and `python -m jaxinv COMMAND`: all commands under one name.

Only the command that is asked for is imported, so that help and a mistyped name are answered at
once. Each is a module with a `main`, and what its help says here is the first sentence of it.
"""

import importlib
import textwrap
from typing import NoReturn

from jaxinv import __version__
from jaxinv.cli import run_command
from jaxinv.errors import UserError, unknown

COMMANDS = {
    "inspect": "jaxinv.inspect",
    "train": "jaxinv.train",
    "evaluate": "jaxinv.evaluate",
    "recommend": "jaxinv.recommend",
    "report": "jaxinv.report.__main__",
    "solve": "jaxinv.solve",
    "tune": "jaxinv.tune",
    "log": "jaxinv.log",
    "reproduce": "jaxinv.reproduce",
    "ablate": "jaxinv.ablate",
}
"""The module of each command, in the order of their use."""


def script() -> NoReturn:
    """The console script."""
    run_command(main)


def main(argv: list[str]) -> None:
    """Runs the command that is named first, with the arguments that follow.

    Raises:
      UserError: for a command or an option that there is not.
    """
    first, *rest = argv or ["--help"]
    if first in ("-h", "--help"):
        print(usage())
    elif first == "--version":
        print(f"jaxinv {__version__}")
    elif first in COMMANDS:
        importlib.import_module(COMMANDS[first]).main(rest)
    elif first.startswith("-"):
        raise UserError(
            f"{unknown('option', first, ['--help', '--version'])}; a command goes first"
        )
    else:
        raise unknown("command", first, COMMANDS)


def usage() -> str:
    """What `jaxinv --help` prints."""
    lines = ["usage: jaxinv COMMAND [arguments]", "", "commands:"]
    for name, module in COMMANDS.items():
        about = importlib.import_module(module).__doc__.partition(": ")[2]
        lines += textwrap.wrap(
            " ".join(about.split()), 96,
            initial_indent=f"  {name:11}", subsequent_indent=" " * 13, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join(
        [*lines, "", "options of a command: jaxinv COMMAND --help", "version: jaxinv --version"]
    )


if __name__ == "__main__":
    script()
