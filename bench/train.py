"""PPO steps per second: the MLP, and the Transformer with the trace encoded once beside window by
window.

    python bench/train.py [--updates N] [--rounds N]

Everything runs in one process, in rounds that interleave the variants, so that a drifting machine
treats all alike. A step is one simulated period of one environment, its share of every epoch
included. Compilation is timed apart. The same network on the same rollouts is trained by
`encode once` and `window by window`; they take the same decisions (tests/test_ppo.py).
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np
from about import about

from jaxinv.agents.loop import Trainer
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs.registry import preset

TRANSFORMER = dict(
    envs=64, rollout=128, epochs=2, minibatches=4, features=64, heads=4, layers=2, forecast=7
)
VARIANTS = {
    "MLP on lost_sales": (
        "lost_sales",
        {},
        dict(
            envs=1024,
            rollout=32,
            epochs=4,
            minibatches=4,
            encoder="none",
            forecast=0,
            hidden=(32, 32),
            pathwise=False,
        ),
    ),
    "Transformer, encode once": (
        "backlog",
        dict(demand="seasonal", history=28),
        dict(TRANSFORMER, pathwise=False),
    ),
    "Transformer, window by window": (
        "backlog",
        dict(demand="seasonal", history=28),
        dict(TRANSFORMER, pathwise=False, window_by_window=True),
    ),
    "Transformer, encode once, with pathwise loss": (
        "backlog",
        dict(demand="seasonal", history=28),
        TRANSFORMER,
    ),
}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--updates", type=int, default=2, help="updates in a measurement")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "train.json"
    )
    args = arguments.parse_args()
    prepared = {name: prepare(*variant, args.updates) for name, variant in VARIANTS.items()}
    seconds = {name: [] for name in VARIANTS}
    for _ in range(args.rounds):
        for name, (trainer, state, _) in prepared.items():
            started = time.perf_counter()
            trainer.advance(state, args.updates)
            seconds[name].append(time.perf_counter() - started)
    rows = []
    for name, (trainer, _, compiled) in prepared.items():
        steps = trainer.agent.periods_per_update * args.updates
        rows.append({
            "variant": name,
            "steps_per_second_best": steps / min(seconds[name]),
            "steps_per_second_median": steps / float(np.median(seconds[name])),
            "compile_seconds": compiled,
        })  # fmt: skip
    rates = {row["variant"]: row["steps_per_second_median"] for row in rows}
    ratio = rates["Transformer, encode once"] / rates["Transformer, window by window"]
    print(f"{'variant':48}{'best':>12}{'median':>12}  steps/s   compile")
    for row in rows:
        print(
            f"{row['variant']:48}{row['steps_per_second_best']:12,.0f}{row['steps_per_second_median']:12,.0f}"
            f"           {row['compile_seconds']:6.1f} s"
        )
    print(f"encode once is {ratio:.1f} times as fast as window by window")
    args.out.write_text(
        json.dumps({**about(), "rows": rows, "encode_once_ratio": ratio}, indent=1) + "\n"
    )


def prepare(name, options, config, updates):
    """A compiled trainer, its state after one update stretch, and the seconds of compilation."""
    problem = preset(name)(**options).build()
    trainer = Trainer(PPO.create(problem, PPOConfig(**config)))
    state = trainer.init(jax.random.key(0))
    started = time.perf_counter()
    trainer.compile(state, updates)
    compiled = time.perf_counter() - started
    return trainer, trainer.advance(state, updates)[0], compiled


if __name__ == "__main__":
    main()
