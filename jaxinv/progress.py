"""How far a long piece of work is, shown on standard error. rich is imported where it is used."""

import contextlib
import sys
import time
from collections.abc import Callable, Generator

from jaxinv.cli import note, printable

_SPARSE_SECONDS = 10.0  # between progress lines where no bar can be drawn


class Progress:
    """What has been done of a total, told through `show`; made by `progress`."""

    def __init__(
        self, total: int, done: int, show: Callable[["Progress"], None], clock: Callable[[], float]
    ):
        self.total, self.done, self.text = total, done, ""
        self._show, self._clock = show, clock
        self._started: tuple[int, float] | None = None

    def advance(self, steps: int, text: str = "") -> None:
        """Counts `steps` more as done; `text` says how the work stands, such as its cost."""
        self.done += steps
        self.text = text
        # The rate counts from the end of the first chunk, which also compiled.
        self._started = self._started or (self.done, self._clock())
        self._show(self)

    @property
    def rate(self) -> float | None:
        """Steps per second, without the first chunk; None before the second."""
        if self._started is None or self.done == self._started[0]:
            return None
        done, then = self._started
        return (self.done - done) / max(self._clock() - then, 1e-9)

    def pace(self) -> str:
        """Throughput and time left, such as "152 k steps/s, 1:05 left"."""
        if self.rate is None:
            return ""
        left = round((self.total - self.done) / self.rate)
        hours, minutes = divmod(left // 60, 60)
        clock = f"{hours}:{minutes:02d}:{left % 60:02d}" if hours else f"{minutes}:{left % 60:02d}"
        return f"{_count(self.rate)} steps/s, {clock} left"


@contextlib.contextmanager
def progress(
    total: int,
    label: str,
    *,
    done: int = 0,
    quiet: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Progress]:
    """Shows how far a long piece of work is: call `advance(steps)` on what this gives, after each
    chunk.

    On a terminal it is a bar; elsewhere a line on standard error every ten seconds; nothing if
    `quiet`, which a command sets from `--json`.

    Args:
      total: environment steps of the whole work.
      label: what is going on, such as "training".
      done: steps already done, in a resumed run.
    """
    if quiet:
        yield Progress(total, done, lambda _: None, clock)
    elif sys.stderr.isatty():
        with _bar(total, label, done) as show:
            yield Progress(total, done, show, clock)
    else:
        yield Progress(total, done, _sparse_lines(label, clock), clock)


@contextlib.contextmanager
def _bar(total: int, label: str, done: int) -> Generator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars

    texts = [
        TextColumn("{task.fields[pace]}", markup=False),
        TextColumn("{task.fields[text]}", markup=False),
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), *texts)
    with Bars(*columns, console=Console(file=sys.stderr), redirect_stdout=False) as bars:
        task = bars.add_task(label, total=total, completed=done, pace="compiling", text="")

        def show(state: Progress) -> None:
            bars.update(task, completed=state.done, pace=state.pace(), text=printable(state.text))

        yield show


def _sparse_lines(label: str, clock: Callable[[], float]) -> Callable[[Progress], None]:
    last = clock()

    def show(state: Progress) -> None:
        nonlocal last
        if clock() - last < _SPARSE_SECONDS and state.done < state.total:
            return
        last = clock()
        parts = [f"{label} {100 * state.done / state.total:.0f}%", state.pace(), state.text]
        note(", ".join(part for part in parts if part))

    return show


def _count(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"
