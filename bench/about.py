"""Where the numbers of a benchmark come from."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import jax

import jaxinv


def without_folder(argument: str) -> str:
    """An argument as it may be published: of a path of this machine the last part alone."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def about() -> dict:
    """Device, versions, commit, command and load."""
    here = Path(__file__).parent
    git = partial(subprocess.run, cwd=here, capture_output=True, text=True)
    device = jax.devices()[0]
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    processor = next(
        (line.split(":")[1].strip() for line in lines if "model name" in line), platform.machine()
    )
    return dict(
        command="python "
        + " ".join([f"bench/{Path(sys.argv[0]).name}", *map(without_folder, sys.argv[1:])]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=git(["git", "rev-parse", "HEAD"]).stdout.strip(),
        changed_files=git(["git", "status", "--porcelain", "-uno"]).stdout.split("\n")[:-1],
        device=(
            f"{device.platform}: {processor if device.platform == 'cpu' else device.device_kind}"
        ),
        cores=os.cpu_count(),
        NPROC=os.environ.get("NPROC", "all"),
        load=os.getloadavg(),
        versions={name: version(name) for name in ("jax", "flax", "numpy", "gymnax")}
        | {"jaxinv": jaxinv.__version__, "python": platform.python_version()},
    )


def heading(facts: dict) -> str:
    """The facts that a reader of a table needs first."""
    return (
        f"{facts['device']}, {facts['cores']} cores, NPROC={facts['NPROC']}, jax"
        f" {facts['versions']['jax']}, load {facts['load']}"
    )
