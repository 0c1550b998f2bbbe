"""Plays the networks of gym-invmgmt and or-gym, and writes down what happened, for
`tests/test_outside_networks.py`.

    python tests/recorded/record_invmgmt.py invmgmt > tests/recorded/invmgmt.json      # pip install gym-invmgmt
    python tests/recorded/record_invmgmt.py or_gym > tests/recorded/or_gym.json        # pip install or-gym, numpy below 2

The test plays the same orders and the same base demand in ours.
"""

import json
import sys

import numpy as np

PERIODS = 30

# network, backlog, goodwill, yield of the factories
INVMGMT = [
    (network, backlog, goodwill, 1.0)
    for network in ("base", "serial")
    for backlog in (True, False)
    for goodwill in (False, True)
]
INVMGMT += [("base", True, True, 0.8), ("serial", False, True, 0.9)]


def orders_and_demand(edges, seed, whole=False, most=45.0):
    """Orders `[T, E]` and the base demand `[T]` of a seed: quiet weeks and busy ones, so that some
    ask for too much.
    """
    draw = np.random.default_rng(seed)
    busy = 1.0 + 1.5 * (np.arange(PERIODS)[:, None] // 6 % 2)
    orders = (
        draw.uniform(0.0, most, (PERIODS, edges)) * busy * (draw.random((PERIODS, edges)) < 0.7)
    )
    demand = draw.poisson(30.0, PERIODS).astype(float)
    return (np.round(orders) if whole else np.round(orders, 2)), demand


def invmgmt(network, backlog, goodwill, share):
    """One episode of gym-invmgmt."""
    from gym_invmgmt.core_env import CoreEnv

    orders, demand = orders_and_demand({"base": 11, "serial": 3}[network], 7)
    env = CoreEnv(
        scenario=network, num_periods=PERIODS, backlog=backlog, user_D={(1, 0): demand},
        demand_config={"type": "stationary", "base_mu": 20, "use_goodwill": goodwill},
    )  # fmt: skip
    for node in env.network.factory:
        env.network.graph.nodes[node]["v"] = share
    env.reset()
    rewards = [env.step(order)[1] for order in orders]
    nodes = [env.network.node_map[node] for node in env.network.main_nodes]
    return env.X[1:, nodes], env.U[:, 0], env.D[:, 0], env.R, rewards


def or_gym(backlog):
    """One episode of or-gym's network, where neither capacity nor stock is shared; orders that no
    stock is too small for.
    """
    from or_gym.envs.supply_chain.network_management import NetInvMgmtMasterEnv

    orders, demand = orders_and_demand(11, 11, whole=True, most=8.0)
    orders[::10, 3:7] = 300.0 * (np.arange(4) == 2)  # more than a factory can make
    env = NetInvMgmtMasterEnv(
        backlog=backlog, user_D={(1, 0): demand}, sample_path={(1, 0): False}, num_periods=PERIODS
    )
    rewards = [env.step(order)[1] for order in orders]
    leaving = np.stack(
        [
            env.R.values[:, [n for n, edge in enumerate(env.reorder_links) if edge[0] == node]].sum(
                1
            )
            for node in env.main_nodes
        ],
        1,
    )
    assert (leaving <= env.X.values[:-1]).all()  # where stock is not shared, it could be sold twice
    return env.X.values[1:], env.U.values[:, 0], env.D.values[:, 0], env.R.values, rewards


def main():
    cases = INVMGMT if sys.argv[1] == "invmgmt" else [(backlog,) for backlog in (True, False)]
    play = {"invmgmt": invmgmt, "or_gym": or_gym}[sys.argv[1]]
    found = []
    for case in cases:
        names = ("on_hand", "unserved", "demand", "shipped", "profit")
        found.append(
            {
                "case": case,
                **{name: np.round(value, 5).tolist() for name, value in zip(names, play(*case))},
            }
        )
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
