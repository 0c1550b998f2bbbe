"""Environment steps per second of the network beside bare loops, in one run.

    python bench/world.py [--rounds 7] [--envs 1,256,4096,65536] [--seconds 0.4] [--only NAME]
    [--out bench/results/world.json]

Contenders on one store play the same thing: lost sales with lead time 4, Poisson(5) demand, a
capped base-stock policy, demand sampling included, all costs summed. `loop [B, L]` and
`loop [L, B]` are the twenty lines that one would write by hand; they know one store, one cost of
each kind and nothing else. The contenders take turns, round after round, so that a machine that
slows down slows down all of them. One thread, because small scans run faster on one (DESIGN section
8).
"""

import os

os.environ.setdefault("NPROC", "1")

import argparse
import json
import time
from functools import partial
from pathlib import Path

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from about import about, heading
from scipy import stats

import jaxinv
from jaxinv.envs.registry import preset
from jaxinv.evaluation.rollout import begin, rollout, unroll_world
from jaxinv.policies.rules import make_rule

LEAD_TIME, MEAN, HOLDING, SHORTAGE, LEVEL, CAP = 4, 5.0, 1.0, 4.0, 26.0, 5.0
CDF = stats.poisson(MEAN).cdf(np.arange(25)).astype(np.float32)


# By hand


def hand_batch_first(batch, periods, integer):
    """State `[B, L]`: on hand and L - 1 outstanding orders; one key a step; one store and nothing
    else.
    """
    cdf = jnp.asarray(CDF)

    def step(carry, key):
        stock, cost = carry
        order = jnp.minimum(jnp.maximum(LEVEL - stock.sum(1), 0.0), CAP)
        order = jnp.round(order) if integer else order
        demand = jnp.sum(jax.random.uniform(key, (batch, 1)) >= cdf, 1).astype(jnp.float32)
        left = jnp.maximum(stock[:, 0] - demand, 0.0)
        lost = jnp.maximum(demand - stock[:, 0], 0.0)
        stock = jnp.concatenate([(left + stock[:, 1])[:, None], stock[:, 2:], order[:, None]], 1)
        return (stock, cost + HOLDING * left + SHORTAGE * lost), None

    @jax.jit
    def run(key, stock):
        keys = jax.random.split(key, periods)
        (stock, cost), _ = jax.lax.scan(step, (stock, jnp.zeros(batch)), keys)
        return stock, cost.mean() / periods

    return run, jnp.full((batch, LEAD_TIME), MEAN)


def hand_batch_last(batch, periods, integer):
    """The same with the batch as the last axis."""
    cdf = jnp.asarray(CDF)[:, None]

    def step(carry, key):
        stock, cost = carry
        order = jnp.minimum(jnp.maximum(LEVEL - stock.sum(0), 0.0), CAP)
        order = jnp.round(order) if integer else order
        demand = jnp.sum(jax.random.uniform(key, (batch,)) >= cdf, 0).astype(jnp.float32)
        left = jnp.maximum(stock[0] - demand, 0.0)
        lost = jnp.maximum(demand - stock[0], 0.0)
        stock = jnp.concatenate([(left + stock[1])[None], stock[2:], order[None]])
        return (stock, cost + HOLDING * left + SHORTAGE * lost), None

    @jax.jit
    def run(key, stock):
        keys = jax.random.split(key, periods)
        (stock, cost), _ = jax.lax.scan(step, (stock, jnp.zeros(batch)), keys)
        return stock, cost.mean() / periods

    return run, jnp.full((LEAD_TIME, batch), MEAN)


def numpy_loop(batch, periods, integer):
    """The same again, in NumPy."""

    def run(seed, stock):
        generator = np.random.default_rng(seed)
        cost = np.zeros(batch, np.float32)
        for _ in range(periods):
            order = np.minimum(np.maximum(LEVEL - stock.sum(0), 0.0), CAP)
            order = np.round(order) if integer else order
            demand = np.searchsorted(CDF, generator.random(batch, np.float32), "right").astype(
                np.float32
            )
            left = np.maximum(stock[0] - demand, 0.0)
            lost = np.maximum(demand - stock[0], 0.0)
            stock = np.concatenate([(left + stock[1])[None], stock[2:], order[None]])
            cost += HOLDING * left + SHORTAGE * lost
        return stock, cost.mean() / periods

    return run, np.full((LEAD_TIME, batch), MEAN, np.float32)


# The package


def network(batch, periods, name, rule, numbers, chunk, roles=None, **options):
    """`unroll_world` and `rollout` in chunks, costs summed; with `roles`, those of each agent, for
    whom half of the reward is the team's."""
    env, params = jaxinv.make(name, **options)
    policy = make_rule(rule, env.topology, env.history)
    agents = roles and preset(name)(**options).build().roles[roles].checked(env.topology)

    def cost(observation, outcome):
        if not agents:
            return -outcome.reward
        return -agents.rewards(env.topology, params.weights, outcome.places, 0.5)

    def act(numbers, observation, _):
        return policy.act(numbers, observation, None), None

    @jax.jit
    def run(key, episodes):
        episodes = episodes.replace(key=key)

        def play(episodes, _):
            after, world = unroll_world(env, episodes, params, chunk)
            stock, _, costs = rollout(
                env, params, act, numbers, episodes.network, world.exogenous,
                record=lambda *_: None, total=cost,
            )  # fmt: skip
            return after.replace(network=stock), costs

        episodes, costs = jax.lax.scan(play, episodes, length=periods // chunk)
        return episodes, costs.sum() / (batch * (periods // chunk * chunk))

    return run, jax.jit(partial(begin, env, batch=batch))(jax.random.key(0), params)


def gymnax_steps(batch, periods, name, rule, numbers, **options):
    """What an outside user runs: `scan(vmap(env.step))` with a key for each environment and
    automatic resets.
    """
    env, params = gymnax.make(f"jaxinv/{name}", **options)
    policy = make_rule(rule, env.topology, env.history)

    @jax.jit
    def run(key, state):
        def step(carry, key):
            state, cost = carry
            act = jax.vmap(lambda state: policy.act(numbers, env.view(state.network, params), None))
            keys = jax.random.split(key, batch)
            _, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(
                keys, state, act(state), params
            )
            return (state, cost - reward), None

        (state, cost), _ = jax.lax.scan(
            step, (state, jnp.zeros(batch)), jax.random.split(key, periods)
        )
        return state, cost.mean() / periods

    return (
        run,
        jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), batch), params)[1],
    )


def contenders(batch, chunk):
    """Name -> (maker, where it belongs); a maker takes (batch, periods)."""
    store = dict(
        name="lost_sales", rule="capped_base_stock", lead_time=LEAD_TIME, shortage_cost=SHORTAGE
    )
    store["numbers"] = {"level": jnp.full((1, 1), LEVEL / 25), "cap": jnp.full((1, 1), CAP / 5)}
    stores = dict(name="one_warehouse_many_stores", rule="echelon_base_stock", stores=10)
    stores["numbers"] = {"level": jnp.full((11, 1), 1.1)}
    made = {}
    for integer in (False, True):
        orders = "integer" if integer else "any"
        made |= {
            f"lost_sales, {orders} orders | network": partial(
                network, chunk=chunk or chunk_of(batch), integer_orders=integer, **store
            ),
            f"lost_sales, {orders} orders | loop [B, L]": partial(
                hand_batch_first, integer=integer
            ),
            f"lost_sales, {orders} orders | loop [L, B]": partial(hand_batch_last, integer=integer),
            f"lost_sales, {orders} orders | NumPy": partial(numpy_loop, integer=integer),
            f"lost_sales, {orders} orders | gymnax step": partial(
                gymnax_steps, integer_orders=integer, **store
            ),
        }
    made["one_warehouse_many_stores | network"] = partial(
        network, chunk=chunk or chunk_of(11 * batch), **stores
    )
    made["one_warehouse_many_stores | gymnax step"] = partial(gymnax_steps, **stores)
    for size, world in SHARED_WORLDS:
        name, roles = world["name"], world["roles"]
        alone = {key: value for key, value in world.items() if key != "roles"}
        periods = chunk or chunk_of(size * batch)
        made[f"{name} | network"] = partial(network, chunk=periods, **alone)
        made[f"{name} | network, roles {roles}"] = partial(network, chunk=periods, **world)
        made[f"{name} | gymnax step"] = partial(gymnax_steps, **alone)
    return made


SHARED_WORLDS = (
    (4, dict(name="two_warehouses", rule="transshipment", roles="warehouses",
             numbers={"level": jnp.full((4, 1), 1.1), "hold": jnp.full((4, 1), 1.1)})),
    (36, dict(name="omnichannel", rule="base_stock", roles="functions",
              numbers={"level": jnp.full((22, 3), 1.1), "hold_back": jnp.float32(1.0)})),
)  # fmt: skip
"""Worlds that agents share: node-products of each, and how it is played."""


def chunk_of(batch):
    """Periods played ahead at a time: enough to amortise a scan, few enough that the world stays in
    the cache.
    """
    return int(np.clip(2**18 // batch, 8, 64))


# Measuring


def measure(batch, rounds, seconds, chunk, only=""):
    """Steps per second of every contender, best and median over interleaved rounds, and its average
    cost.
    """
    running = {}
    for name, make in contenders(batch, chunk).items():
        if not name.startswith(only):
            continue
        periods = 64
        run, state = make(batch, periods)
        started = time.perf_counter()
        state, _ = wait(run(seed_for(name, 0), state))
        compiling = time.perf_counter() - started
        state, _ = wait(
            run(seed_for(name, 1), state)
        )  # the first state may be of another type and compile again
        elapsed = timed(run, seed_for(name, 1), state)[0]
        more = (
            max(1, int(seconds / elapsed)) * periods
        )  # long enough that the clock and the dispatch do not matter
        if more > periods:
            run, state = make(batch, more)
            for turn in (1, 2):
                state, _ = wait(run(seed_for(name, turn), state))
        running[name] = dict(
            run=run, state=state, periods=max(more, periods), compile=compiling, rates=[], costs=[]
        )
    for turn in range(rounds):
        for name, entry in running.items():
            elapsed, (entry["state"], cost) = timed(
                entry["run"], seed_for(name, 3 + turn), entry["state"]
            )
            entry["rates"].append(batch * entry["periods"] / elapsed)
            entry["costs"].append(float(cost))
    return [
        dict(
            contender=name, environments=batch, periods=entry["periods"], best=max(entry["rates"]),
            median=float(np.median(entry["rates"])), rates=entry["rates"],
            compile_seconds=round(entry["compile"], 2),
            cost=float(np.mean(entry["costs"][1:] or entry["costs"])),
        )
        for name, entry in running.items()
    ]  # fmt: skip


def seed_for(name, turn):
    return turn if name.endswith("NumPy") else jax.random.key(turn)


def wait(result):
    return jax.block_until_ready(result)


def timed(run, key, state):
    started = time.perf_counter()
    result = wait(run(key, state))
    return time.perf_counter() - started, result


def ratios(rows):
    """Time of the network over that of the faster hand-written loop, in the median of rounds taken
    side by side.
    """
    rates = {(row["contender"], row["environments"]): np.array(row["rates"]) for row in rows}
    found = []
    for (name, batch), ours in rates.items():
        instance, _, kind = name.partition(" | ")
        if kind != "network" or not instance.startswith("lost_sales"):
            continue
        row = {"instance": instance, "environments": batch}
        for layout in ("[B, L]", "[L, B]"):
            theirs = rates[f"{instance} | loop {layout}", batch]
            row[f"loop {layout}"] = dict(
                best=theirs.max() / ours.max(), median=float(np.median(theirs / ours))
            )
        found.append(row)
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--envs", default="1,256,4096,65536", help="numbers of environments")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4, help="least time of one measurement")
    parser.add_argument(
        "--chunk", type=int, default=0, help="periods played ahead at a time; 0: by batch size"
    )
    parser.add_argument(
        "--only", default="", help="contenders whose names begin so, such as omnichannel"
    )
    parser.add_argument("--out", default=str(Path(__file__).parent / "results" / "world.json"))
    options = parser.parse_args()

    facts = about()
    print(heading(facts))
    print(
        f"{'million environment steps a second':44}{'environments':>13}"
        f"{'best':>9}{'median':>9}{'cost':>9}"
    )
    rows = []
    for batch in map(int, options.envs.split(",")):
        for row in measure(batch, options.rounds, options.seconds, options.chunk, options.only):
            rows.append(row)
            best, median = row["best"] / 1e6, row["median"] / 1e6
            print(
                f"{row['contender']:44}{batch:13}{best:9.3f}{median:9.3f}{row['cost']:9.3f}",
                flush=True,
            )
    compared = ratios(rows)
    if compared:
        print("\ntime of the network / time of the hand-written loop      best  median")
    for row in compared:
        for layout in ("loop [B, L]", "loop [L, B]"):
            where = f"{row['instance']}, {row['environments']} environments, {layout}"
            print(f"{where:56}{row[layout]['best']:6.2f}{row[layout]['median']:8.2f}")
    document = dict(
        **facts,
        target="at most 1.25 on lost_sales at 4096 environments and up",
        rows=rows,
        ratios=compared,
    )
    Path(options.out).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
