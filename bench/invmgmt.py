"""Steps per second of gym-invmgmt's networks, in its own simulator and in ours, in one run.

    pip install gym-invmgmt && python bench/invmgmt.py [--rounds 5] [--envs 1,1024]

Both play the same orders, drawn before, on a base demand of Poisson(20); in ours many environments
side by side.
"""

import os

os.environ.setdefault("NPROC", "1")

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from about import about, heading

from jaxinv.evaluation.rollout import play_world, rollout
from jaxinv.instances.invmgmt import invmgmt

PERIODS = 100


def theirs(network, orders):
    """A function that plays an episode of gym-invmgmt."""
    from gym_invmgmt.core_env import CoreEnv

    env = CoreEnv(scenario=network, num_periods=PERIODS, backlog=False)

    def play():
        env.reset()
        for order in orders:
            env.step(order)

    return play, 1


def ours(network, orders, batch):
    """A function that plays as many episodes side by side, their demand drawn anew."""
    problem = invmgmt(network, backlog=False).problem()
    env, params = problem.env, problem.first
    orders = jnp.broadcast_to(jnp.asarray(orders)[..., None, None], (*orders.shape, 1, batch))

    @jax.jit
    def run(key):
        start, world = play_world(env, key, params, batch, PERIODS)
        act = lambda _, observation, order: (order, None)  # noqa: E731
        return rollout(env, params, act, None, start, world.exogenous, orders)[1].mean()

    def play():
        return jax.block_until_ready(run(jax.random.key(0)))

    return play, batch


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--envs", default="1,1024", help="numbers of environments")
    options = parser.parse_args()
    print(heading(about()))
    contenders = {}
    for network, edges in (("base", 11), ("serial", 3)):
        orders = np.random.default_rng(0).uniform(0.0, 40.0, (PERIODS, edges))
        contenders[f"{network} | gym-invmgmt"] = theirs(network, orders)
        for batch in map(int, options.envs.split(",")):
            contenders[f"{network} | ours, {batch} at once"] = ours(network, orders, batch)
    rates = {name: [] for name in contenders}
    for turn in range(options.rounds + 1):
        for name, (play, batch) in contenders.items():
            began = time.perf_counter()
            play()
            if turn:  # the first compiles
                rates[name].append(batch * PERIODS / (time.perf_counter() - began))
    print(f"{'steps a second':32}{'best':>14}{'median':>14}")
    for name, found in rates.items():
        print(f"{name:32}{max(found):14,.0f}{np.median(found):14,.0f}")


if __name__ == "__main__":
    main()
