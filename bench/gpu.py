"""All speeds of one accelerator in one command, on a machine that has compiled nothing yet.

    python bench/gpu.py [--minutes 8] [--out bench/results/gpu.json]

Each part is a command of its own, which ends when its time is over: the copy bandwidth, the worlds
(bench/world.py), PPO (bench/train.py), the default training cold and again, and the 32 lost-sales
instances by five seeds. The file is written after each part, so what was measured before a machine
goes is kept; parts that failed, or for which no time was left, are said.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
RESERVE = 5.0
"""Seconds that a part needs at least; it is skipped where fewer are left."""

BANDWIDTH = """
import json, time, jax, jax.numpy as jnp
x = jnp.ones(2**28, jnp.float32)
copy = jax.jit(lambda x: x + 1.0)
x = jax.block_until_ready(copy(x))
began = time.perf_counter()
for _ in range(20):
    x = copy(x)
jax.block_until_ready(x)
print(json.dumps(dict(bytes_per_second=20 * 2 * x.nbytes / (time.perf_counter() - began))))
"""


def parts(folder: Path) -> list[tuple[str, float, list[str], Path | None]]:
    """Name, most seconds, command, and the file that it writes (None: it prints JSON)."""

    def world(name, environments):
        out = folder / f"{name.partition(',')[0]}_{environments}.json"
        command = ["bench/world.py", "--rounds", "3", "--seconds", "0.2", "--only", name]
        return [*command, "--envs", environments, "--out", str(out)], out

    train = ["-m", "jaxinv.train", "--json", "--runs", str(folder / "runs"), "--name"]
    ppo = folder / "train.json"
    return [
        ("copy", 30, ["-c", BANDWIDTH], None),
        ("default training, cold", 200, [*train, "cold"], None),
        ("default training, compiled before", 100, [*train, "warm"], None),
        ("one store, 4096 environments", 60, *world("lost_sales, integer", "4096")),
        ("one store, 65,536 environments", 60, *world("lost_sales, integer", "65536")),
        ("one store, 1,048,576 environments", 60, *world("lost_sales, integer", "1048576")),
        ("one warehouse with ten stores", 90, *world("one_warehouse_many_stores", "65536")),
        ("PPO", 120, ["bench/train.py", "--updates", "2", "--out", str(ppo)], ppo),
        ("32 lost-sales instances by 5 seeds", 120,
         ["-m", "jaxinv.reproduce", "learners", "diffsim", "base", "--json"], None),
    ]  # fmt: skip


def measured(command, limit, file, environment) -> dict:
    """What a part tells, with its seconds; or why it tells nothing."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=HERE.parent,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return dict(skipped=f"not done after {limit:.0f} s")
    seconds = round(time.monotonic() - began, 1)
    if done.returncode:
        return dict(skipped=(done.stderr.strip().splitlines() or ["no message"])[-1])
    told = json.loads(file.read_text() if file else done.stdout)
    return dict(seconds=seconds, told=told)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all parts")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gpu.json")
    options = parser.parse_args()
    over = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/cache",  # cold, whatever was compiled before
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }
        result = dict(rows={})
        for name, limit, command, file in parts(Path(folder)):
            limit = min(limit, over - time.monotonic())
            if limit < RESERVE:
                row = dict(skipped="no time was left")
            else:
                row = measured(command, limit, file, environment)
            result["rows"][name] = row
            print(f"{name}: {row.get('skipped') or str(row['seconds']) + ' s'}", flush=True)
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    from about import about  # only now: jax would hold a part of the device's memory

    options.out.write_text(json.dumps(about() | result, indent=1) + "\n")


if __name__ == "__main__":
    main()
