"""What every command shares: arguments, how mistakes and interruptions end, what goes to which
stream.

Standard output carries the result alone: a table for people, or with `--json` one JSON document.
Progress and notes go to standard error. A command is

    def main(argv):
        made = parser("train", "Trains a policy.", arguments="[CONFIG] [key=value ...]")
        args = made.parse_args(argv)
        positional, overrides = split_arguments(args.arguments)
        ...
        emit(document, args.json, lambda: table(rows, columns))

    if __name__ == "__main__":
        run_command(main)

jax, rich and numpy are imported where they are used: `--help` and a mistyped name are answered at
once.
"""

import argparse
import contextlib
import errno
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jaxinv.errors import UserError, called, unknown
from jaxinv.limits import LARGEST_SEED
from jaxinv.packages import check_jax

_ABSENT = "–"


class Interrupted(KeyboardInterrupt):
    """The user stopped the command and its work is saved; the text says how to go on."""


def run_command(main: Callable[[list[str]], None], argv: Sequence[str] | None = None) -> NoReturn:
    """Runs `main` and ends the process: code 0, 2 after a user's mistake, 130 after Ctrl-C or a
    SIGTERM.

    A mistake, an interruption, or a disk that is full or cannot be written is one line on standard
    error. Any other exception is a fault of ours and keeps its traceback.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(handlers=[_Notes()])
    # XLA logs pages about its own speed; what goes wrong in it is raised. Whoever wants to read on
    # sets the level.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        try:
            check_jax()
            main(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is quiet
    except UserError as error:
        note(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt as error:
        note(f"interrupted{': ' if str(error) else ''}{error}")
        sys.exit(130)
    except BrokenPipeError:
        # The reader, such as `head`, has what it wanted; the interpreter's own last flush would
        # complain.
        _drop_output()
        sys.exit(141)  # as a program that SIGPIPE ended
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        note(f"error: {error.filename or 'the result'}: cannot be written: {error.strerror}")
        _drop_output()
        sys.exit(2)
    sys.exit(0)


_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES}


def _drop_output() -> None:
    """Lets nothing more be written to standard output, which the interpreter flushes at its end."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: it is no file, as in a test
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Notes(logging.Handler):
    """Warnings as notes."""

    def emit(self, record):
        note(record.getMessage())


# --- arguments ------------------------------------------------------------------------------------


def parser(
    command: str, description: str, *, arguments: str, examples: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """The parser of `jaxinv COMMAND`, to which a command adds its own flags.

    It has `--json`, `--seed` and, as the list `arguments`, everything that is no flag; flags and
    arguments may be mixed in any order. A mistake raises UserError; a mistyped flag is told with
    the nearest one.

    Args:
      arguments: how the arguments are written, such as "[CONFIG] [key=value ...]".
      examples: what follows the command in examples at the end of the help.
    """
    program = called(command)
    lines = [f"  {program} {example}".rstrip() for example in examples]
    made = _Parser(
        prog=program,
        usage=f"{program} {arguments} [options]",
        description=description,
        epilog="\n".join(["examples:", *lines]) if lines else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("arguments", nargs="*", metavar=arguments, help=argparse.SUPPRESS)
    made.add_argument("--seed", type=_seed, default=0, help="seed of every random draw (default 0)")
    made.add_argument(
        "--json", action="store_true", help="print one JSON document and nothing else"
    )
    return made


def add_devices(made: argparse.ArgumentParser) -> None:
    """Gives a command the flag `--devices`, for `placement.use_devices`."""
    made.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="share the environments out over this many devices (default 1)",
    )


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text} must be a whole number of 0 .. {LARGEST_SEED}")
    return number


_seed.__name__ = "int"  # as argparse calls what is not a number


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The positional arguments and the `key=value` overrides. A path with '=' in it is written
    `./a=b`.
    """
    overrides = [text for text in arguments if re.match(r"[A-Za-z_][\w.]*=", text)]
    return [text for text in arguments if text not in overrides], overrides


class _Parser(argparse.ArgumentParser):
    def parse_args(self, args=None, namespace=None):
        # The plain parser takes arguments in one block only: it refuses
        # `CONFIG --env PRESET key=value`.
        parsed, rest = self.parse_known_intermixed_args(args, namespace)
        if rest:
            flag = rest[0].partition("=")[0]
            raise unknown("option", flag, set(self._option_string_actions) - {"-h"})
        return parsed

    def error(self, message):
        raise UserError(f"{message}; see {self.prog} --help")


# --- results and notes ----------------------------------------------------------------------------


def emit(document: Any, as_json: bool, render: Callable[[], Any]) -> None:
    """Prints the result: the document as JSON, or what `render` returns, text or a rich
    renderable.
    """
    if as_json:
        from jaxinv.runs import json_text

        print(json_text(document))
        return
    from rich.console import Console

    # Piped into a file a table is as wide as it needs to be.
    width = None if sys.stdout.isatty() else 500
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)
    console.print(_Printable(render()))


def note(text: str) -> None:
    """A line for people, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Text in which nothing moves a cursor, rings a bell or turns the reading direction.

    Names in a file can hold anything; what would act on a terminal is shown as U+FFFD instead.
    """
    return _ACTS.sub("\N{REPLACEMENT CHARACTER}", text)


_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those of text in two directions."""


class _Printable:
    """A renderable whose text is `printable`; colours are rich's own and stay."""

    def __init__(self, inner: Any):
        self.inner = inner

    def __rich_console__(self, console, options):
        from rich.segment import Segment

        for segment in console.render(self.inner, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    *,
    title: str | None = None,
    formats: Mapping[str, Callable[[Any], str]] | None = None,
) -> Any:
    """A rich table of the rows, for `emit`.

    Numbers are shown to four digits, `[low, high]` as an interval, and what is absent or None as a
    dash.

    Args:
      rows: one mapping a row; keys that are no column are left out.
      columns: the heading for each key, in order.
      formats: for a key, how its values are written instead.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for key, heading in columns.items():
        words = any(isinstance(row.get(key), str) for row in rows)
        made.add_column(Text(heading), justify="left" if words else "right", overflow="fold")
    for row in rows:
        present = {key: row[key] for key in columns if row.get(key) is not None}
        written = {key: (formats or {}).get(key, _cell)(value) for key, value in present.items()}
        made.add_row(*(Text(printable(written.get(key, _ABSENT))) for key in columns))
    return made


def _cell(value: Any) -> str:
    if hasattr(value, "tolist"):  # numpy and jax
        value = value.tolist()
    if value is None or value != value:
        return _ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_cell(item) for item in value)}]"
    return str(value)


# --- interruption ---------------------------------------------------------------------------------


class Interruption:
    """Whether the user has asked to stop; a loop polls it after each chunk."""

    requested = False

    def __bool__(self) -> bool:
        return self.requested


@contextlib.contextmanager
def interruptible() -> Generator[Interruption]:
    """Turns the first Ctrl-C, or a SIGTERM, into a flag that a loop polls; the second stops at
    once.

        with interruptible() as stop:
            for chunk in chunks:
                ...
                if stop:
                    run.save_checkpoint(update, state)
                    raise Interrupted(f"saved at update {update}; go on with --resume {run.name}")

    Outside the main thread, where Python delivers no signals, the flag stays unset.
    """
    stop = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number, frame):
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this chunk; Ctrl-C again stops at once\n")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- compilation ----------------------------------------------------------------------------------


def enable_compilation_cache() -> None:
    """Keeps compiled programs on disk, so that the second run of a command starts at once.

    The folder is JAX_COMPILATION_CACHE_DIR, or `jaxinv` in the user's cache folder; nothing is kept
    where that cannot be written. jax's key covers the program, its own version and the processor,
    and a damaged entry is compiled anew. Call it before anything is compiled.
    """
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxinv"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # RuntimeError: there is no home
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Programs that compile faster than this are not worth the disk.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def many_runs() -> None:
    """Lets XLA use one thread on a CPU, unless NPROC says otherwise; call it before anything is
    computed.

    On two cores, large programs that map many runs side by side can otherwise stand still for ever,
    every thread of XLA's pool waiting for another (seen with jaxlib 0.10.2, and also where
    `--xla_cpu_multi_thread_eigen=false` is set).
    """
    import jax
    from jax.extend.backend import clear_backends

    if "NPROC" in os.environ or jax.default_backend() != "cpu":
        return
    os.environ["NPROC"] = "1"
    clear_backends()  # gymnax makes an array while it is imported, and XLA its threads for it
