"""The run folder: what one training run leaves on disk, and how it is taken up again.

    runs/<name>/
      config.yaml       the resolved configuration
      data.csv          the file of sales and the fingerprint of what was read from it
      dropped.csv       series of the data that were left out, and why
      preparation.json  what was fitted to the sales, for those to come
      metrics.csv       one row a chunk of updates
      checkpoints/      the last two states of training
      ending.json       the policy or rule that the run ends with, where one is chosen
      by_sku.csv        policies and rules by series of sales (`jaxinv.report.by_sku`)
      worst.csv         the worst series of the policy, by period (`jaxinv.report.worst`)
      report.html       all of it for people
      summary.json      what the command printed at its end

A checkpoint is whole or it does not exist, at whatever moment the process is killed or the power
fails. It is written under a hidden name; a list of its files with their sizes and checksums is
written last; all is flushed to disk; then one rename gives it its name. Older checkpoints are
removed after that. Reading begins by comparing every file with the list, since orbax itself notices
neither a flipped byte nor, quietly, a missing file; a damaged checkpoint is passed over for the one
before it. What a killed process left under a hidden name is ignored and is removed by the next
writer.

Who writes in a run holds a lock that the operating system drops when the process ends, however it
ends. A run without a checkpoint that no process holds counts as not begun: it can be resumed from
its first update, and a new run of its name replaces it.

jax and orbax are imported where they are used, so that a mistyped run name is answered at once.
"""

import contextlib
import json
import logging
import math
import os
import random
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxinv.checkpoint import damage_of, read_tree, write_tree
from jaxinv.errors import UserError, unknown
from jaxinv.metrics_file import append_row, csv_line, drop_rows_after
from jaxinv.sheets import guarded
from jaxinv.whole import flush, write_text

_KEPT = 2  # the newest, and one to fall back on
_LOCK = ".lock"

log = logging.getLogger(__name__)


class Run:
    """One run folder. Make it with `Run.create` or `Run.open`."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.name
        self.config_path = path / "config.yaml"
        self.data_path = path / "data.csv"
        self.dropped_path = path / "dropped.csv"
        self.preparation_path = path / "preparation.json"
        self.metrics_path = path / "metrics.csv"
        self.ending_path = path / "ending.json"
        self.summary_path = path / "summary.json"
        self.checkpoints_path = path / "checkpoints"
        self._held = None

    @classmethod
    def create(cls, root: str | Path, name: str | None = None, *, config_text: str) -> "Run":
        """A new run folder under `root`, with its configuration in it, held by this process
        (`hold`).

        It takes the place of a run of that name that nobody holds and that never came to a
        checkpoint.

        Args:
          root: the folder of runs; made if absent.
          name: the run's name; by default the time and three letters, such as
            `2025-01-31-164502-kqz`.
          config_text: the resolved configuration as YAML.

        Raises:
          UserError: the name is taken or cannot be a folder's, or the folder cannot be written.
        """
        root = Path(root)
        if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(
                f"run name {name!r}: must be letters, digits, '_', '-' and '.', beginning with none"
                " of '-.'"
            )
        try:
            root.mkdir(parents=True, exist_ok=True)
            run = cls(root / (name or _new_name(root)))
            run.path.mkdir(exist_ok=True)
        except FileExistsError:
            if not root.is_dir():
                raise UserError(f"{root}: is a file; runs need a folder") from None
            raise UserError(f"{root / str(name)}: is a file; choose another name") from None
        except OSError as error:
            raise UserError(f"{root}: no run folder can be made here: {error.strerror}") from None
        try:
            run.hold()
            if not run._never_began():
                raise UserError(
                    f"run {run.name!r} exists already in {root}; "
                    f"resume it with --resume {run.name} or choose another name"
                )
            for path in run.path.iterdir():
                if path.name != _LOCK:
                    _remove(path)
            write_text(run.config_path, config_text)
        except OSError as error:
            run.discard()
            raise UserError(f"{run.path}: cannot be written: {error.strerror}") from None
        except UserError:
            run.release()
            raise
        return run

    @classmethod
    def open(cls, path_or_name: str | Path, root: str | Path = "runs") -> "Run":
        """An existing run, by its path or by its name under `root`. Changes nothing on disk.

        Raises:
          UserError: there is no such run (the message names the nearest), or the folder is not a
            run.
        """
        path = cls.place(path_or_name, root)
        if path is None:
            names = cls.names(root)
            if not names:
                raise UserError(f"no run {str(path_or_name)!r}: {root} has no runs yet")
            raise unknown(f"run in {root}", str(path_or_name), names)
        if not (path / "config.yaml").is_file():
            what = "it has no config.yaml" if path.is_dir() else "it is a file"
            raise UserError(f"{path}: is not a run folder: {what}")
        return cls(path)

    @staticmethod
    def names(root: str | Path = "runs") -> list[str]:
        """The names of all runs in a folder."""
        return sorted(config.parent.name for config in Path(root).glob("*/config.yaml"))

    @staticmethod
    def place(path_or_name: str | Path, root: str | Path = "runs") -> Path | None:
        """Where there is something of that name in the folder, or else of that path; None where
        there is nothing.
        """
        places = Path(root) / path_or_name, Path(path_or_name)
        return next((path for path in places if path.exists()), None)

    def hold(self) -> None:
        """Keeps other processes from writing in this run, until `release` or the end of this
        process.

        Raises:
          UserError: another process holds it.
        """
        try:
            import fcntl
        except ImportError:  # no locks on this system
            return
        try:
            file = (self.path / _LOCK).open("a+", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise UserError(
                f"run {self.name!r} is being written by process {holder or 'unknown'}; wait for it"
                " or stop it first"
            ) from None
        except OSError:  # a file system without locks
            file.close()
            return
        self._held = file
        with contextlib.suppress(
            OSError
        ):  # the number is for people; a full disk is told where it matters
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()

    def release(self) -> None:
        """Lets others write again."""
        if self._held is not None:
            with contextlib.suppress(OSError):
                self._held.close()
            self._held = None

    def discard(self) -> None:
        """Removes a run that never got going, and lets go of one that has a checkpoint."""
        if not self.updates():
            shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def _never_began(self) -> bool:
        """Whether the folder holds nothing but what a run leaves that was killed before its first
        checkpoint.
        """
        early = (
            self.config_path,
            self.data_path,
            self.dropped_path,
            self.metrics_path,
            self.checkpoints_path,
        )
        ours = {_LOCK, *(path.name for path in early)}
        names = {path.name for path in self.path.iterdir()}
        return not self.updates() and all(
            name in ours or name.endswith(".partial") for name in names
        )

    def log(self, update: int, metrics: Mapping[str, Any]) -> None:
        """Appends one row to metrics.csv.

        The first row fixes the columns; later rows leave out what they do not have. A value is a
        number, an array of one, or a line of text, and is written with the digits of its own
        precision. Several rows may share an update, such as one for each seed. Log the rows of an
        update before saving its checkpoint.

        Raises:
          ValueError: a column that the first row did not have.
        """
        append_row(self.metrics_path, update, metrics)

    def save_checkpoint(self, update: int, tree: Any) -> None:
        """Saves a pytree of arrays and typed random keys as the state after `update`, whole or not
        at all.

        An update that is saved already stays as it is. Takes 0.2 s for 1 MB and 0.3 s for 12 MB on
        a plain disk, most of it waiting for the disk, so save every some seconds and not after
        every update.

        Raises:
          UserError: the disk is full or cannot be written. Earlier checkpoints are untouched.
        """
        final = self._checkpoint(update)
        if final.exists() and not damage_of(final):
            return
        partial = self.checkpoints_path / f".partial-{update}"
        try:
            self.checkpoints_path.mkdir(exist_ok=True)
            self._remove_leftovers()
            partial.mkdir()
            write_tree(partial, tree)
            _remove(final)  # only where it was damaged
            partial.rename(final)
            flush(self.checkpoints_path)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise UserError(
                f"{self.checkpoints_path}: the checkpoint cannot be written: {error.strerror}"
            ) from None
        for old in self.updates()[:-_KEPT]:
            shutil.rmtree(self._checkpoint(old), ignore_errors=True)

    def updates(self) -> list[int]:
        """The updates that have a checkpoint, in rising order, unchecked."""
        if not self.checkpoints_path.is_dir():
            return []
        names = [path.name for path in self.checkpoints_path.iterdir()]
        return sorted(int(name) for name in names if re.fullmatch(r"[0-9]{8,}", name))

    def restore(self, template: Any) -> tuple[int, Any]:
        """The newest whole checkpoint: its update, and its pytree bit for bit. Changes nothing on
        disk.

        A newer checkpoint that is damaged is passed over with a warning.

        Args:
          template: a pytree of the same structure, shapes and dtypes: arrays, or what
            `jax.eval_shape` gives. Where its arrays have a sharding, the restored ones get it;
            otherwise they go to the first device.

        Raises:
          UserError: no checkpoint is whole, or it belongs to another configuration.
        """
        updates = self.updates()
        if not updates:
            raise UserError(
                f"run {self.name!r} stopped before its first checkpoint; begin with --resume"
                f" {self.name}"
            )
        for update in reversed(updates):
            path = self._checkpoint(update)
            damage = damage_of(path)
            if not damage:
                return update, read_tree(path, template)
            log.warning("%s is damaged (%s); looking for an earlier one", path, damage)
        raise UserError(
            f"{self.checkpoints_path}: every checkpoint is damaged (the last: {damage}); train anew"
            " under another name, or remove this folder to train under this one"
        )

    def rewind(self, update: int) -> None:
        """Makes the folder what it was right after `update` was saved, for a run that goes on from
        there.

        Rows of metrics.csv after `update` go, so that a resumed run ends with the file of an
        uninterrupted one; so do later checkpoints and whatever a killed process left.
        """
        if not self.checkpoints_path.is_dir():
            _remove(self.checkpoints_path)
        self._remove_leftovers()
        for later in self.updates():
            if later > update:
                _remove(self._checkpoint(later))
        if self.metrics_path.is_file():
            drop_rows_after(self.metrics_path, update)
        else:
            _remove(self.metrics_path)

    def write_data(self, file: str, fingerprint: str) -> None:
        """Writes data.csv, whole or not at all: the file of sales, and the fingerprint of what was
        read.
        """
        self._write_rows(self.data_path, ("data", "fingerprint"), [(file, fingerprint)])

    def write_preparation(self, text: str) -> None:
        """Writes preparation.json, whole or not at all."""
        write_text(self.preparation_path, text)

    def write_dropped(self, dropped: Iterable[tuple[str, str]]) -> None:
        """Writes dropped.csv, whole or not at all: each series that was left out, and the
        reason.
        """
        self._write_rows(
            self.dropped_path,
            ("series", "reason"),
            ([guarded(series), reason] for series, reason in dropped),
        )

    def _write_rows(
        self, path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]
    ) -> None:
        write_text(path, "".join(csv_line(line) for line in (columns, *rows)))

    def write_ending(self, ending: Any) -> None:
        """Writes ending.json, whole or not at all: what was chosen to end the run with
        (`jaxinv.ending`).
        """
        write_text(self.ending_path, json_text(ending) + "\n")

    def ending(self) -> Any:
        """What the run ends with; None where nothing was chosen, or not yet.

        Raises:
          UserError: the file is damaged.
        """
        if not self.ending_path.exists():
            return None
        try:
            return json.loads(self.ending_path.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(
                f"{self.ending_path} is damaged; choose again with --resume {self.name}"
            ) from None

    def write_summary(self, summary: Any) -> None:
        """Writes summary.json, whole or not at all."""
        write_text(self.summary_path, json_text(summary) + "\n")

    def _checkpoint(self, update: int) -> Path:
        return self.checkpoints_path / f"{update:08d}"

    def _remove_leftovers(self) -> None:
        for path in self.checkpoints_path.glob(".partial-*"):
            _remove(path)


def json_text(document: Any) -> str:
    """The document as JSON that every reader takes: arrays as lists, NaN and infinity as null."""
    text = json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False)
    # Inside its strings alone can there be what acts on a terminal; JSON has it escaped as well.
    return re.sub(
        "[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]",
        lambda found: f"\\u{ord(found[0]):04x}",
        text,
    )


# --- small files ----------------------------------------------------------------------------------


def _remove(path: Path) -> None:
    """A file or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _new_name(root: Path) -> str:
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    while True:
        name = stamp + "-" + "".join(random.SystemRandom().choices("abcdefghjkmnpqrstuvwxyz", k=3))
        if not (root / name).exists():
            return name


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy and jax arrays and scalars
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
