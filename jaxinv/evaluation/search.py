"""The program of a tuning: search, gradient and final comparison of a rule's parameters on shared
noise.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.evaluation.budget import ELITE, FINALISTS, SPREAD_AGAIN, TuningBudget
from jaxinv.evaluation.ranges import first_ranges
from jaxinv.evaluation.rollout import BATCH, play_world
from jaxinv.evaluation.simulate import simulate_in
from jaxinv.policies.rule import Rule


def spend(
    env: InventoryNetwork,
    rule: Rule,
    budget: TuningBudget,
    instance: InstanceParams,
    key: jax.Array,
):
    """Tunes in worlds of its own.

    Returns:
      The best parameters, their costs `[C, B]` on worlds that played no part in the choice, the
      histories of search `[G]` and gradient `[steps]`, and which entries of each parameter lie at
      an end of what was searched, like the parameters.
    """
    search_key, gradient_key, final_key = jax.random.split(key, 3)
    spread_key, anywhere_key, noise_key, draw_key = jax.random.split(search_key, 4)
    search = _play(env, budget, instance, noise_key, budget.search_episodes, _one_by_one)
    final = _play(env, budget, instance, final_key, budget.final_episodes, _one_by_one)
    if not budget.steps:  # these worlds are all: one program serves recorded demand of any length
        instance = instance.replace(demand=None)
    return _run(
        env,
        rule,
        budget,
        instance,
        ((spread_key, anywhere_key, draw_key), gradient_key),
        search,
        final,
    )


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(env, rule, budget, instance, keys, search_worlds, final_worlds):
    """Search, gradient and final comparison; see `spend`."""
    search_keys, gradient_key = keys
    ranges = first_ranges(
        env, rule, instance, budget.axis, budget.shared, _demand_of(budget, search_worlds)
    )
    elite, first, ranges, searched = _search(
        env, rule, budget, instance, search_keys, search_worlds, ranges
    )
    points = jnp.concatenate(
        [ranges.inside(elite[:1]), elite[: FINALISTS - 1], elite.mean(0, keepdims=True)]
    )
    descended = jnp.zeros((0,))
    if budget.steps:
        # the elite of a finished search lies close together; its first leader may stand in another
        # valley
        starts = elite[: budget.starts]
        if budget.generations > SPREAD_AGAIN:
            starts = starts.at[-1].set(first)
        starts = ranges.inside(starts)
        ends, descended = _descend(env, rule, budget, instance, gradient_key, starts, ranges)
        points = jnp.concatenate([ends, points])
    finalists = jax.vmap(partial(_unpack, rule, budget))(points)
    if budget.snap:
        whole = jax.vmap(lambda params: _snap(env, rule, budget, instance, params))(finalists)
        finalists = jax.tree.map(lambda *both: jnp.concatenate(both), whole, finalists)
    costs = _costs(env, rule, budget, instance, finalists, final_worlds)
    choosing, reporting = jnp.split(costs, 2, axis=1)
    best = jnp.nanargmin(_by_column(budget, choosing), 0)  # [columns]; the first of equals

    def pick(leaf):
        if budget.shared:
            return leaf[best[0]]
        return jnp.take_along_axis(leaf, best.reshape((1,) * (leaf.ndim - 1) + (-1,)), 0)[0]

    chosen = jnp.take_along_axis(points, (best % len(points))[None, None], 0)[
        0
    ]  # what it was before it was made whole
    at_end = _unpack(rule, budget, jnp.logical_or(*ranges.at_ends(chosen)))
    return jax.tree.map(pick, finalists), pick(reporting), (searched, descended), at_end


def _search(env, rule, budget, instance, keys, worlds, ranges):
    """Cross-entropy search within ranges that move on where the best lies at an end.

    Returns:
      The elite `[elites, d, columns]`, best first; the best point of the spread it began with
      `[d, columns]`; the ranges of the last generation; the best cost so far after each generation
      `[G]`, a mean over columns.

    All generations run on the same noise, so the elite of past generations stays comparable. A
    floor under the spread, which shrinks with the generations, and a quarter of the points drawn
    anywhere keep the search from settling before it has looked around.
    """
    spread_key, anywhere_key, draw_key = keys
    spread = _spread(rule, budget, spread_key)  # [P, d, 1]

    def generation(carry, number):
        points, scores, ranges = carry
        ranges = jax.tree.map(partial(jnp.where, number > 0), ranges.widened(points[0]), ranges)
        shares = ranges.shares(points)
        floor = 0.1 * (1.0 - number / budget.generations)
        noise = jax.random.normal(
            jax.random.fold_in(draw_key, number), (*spread.shape[:2], budget.columns)
        )
        drawn = shares.mean(0) + jnp.maximum(shares.std(0), floor) * noise
        anywhere = jax.random.uniform(jax.random.fold_in(anywhere_key, number), drawn.shape)
        drawn = jnp.where(jnp.arange(budget.population)[:, None, None] % 4 == 3, anywhere, drawn)
        candidates = ranges.values(jnp.clip(jnp.where(number == 0, spread, drawn), 0.0, 1.0))
        params = jax.vmap(partial(_unpack, rule, budget))(candidates)
        costs = _costs(env, rule, budget, instance, params, worlds)
        points = jnp.concatenate([points, candidates])
        scores = jnp.concatenate([scores, _by_column(budget, costs)])
        order = jnp.argsort(scores, 0)[:ELITE]
        scores = jnp.take_along_axis(scores, order, 0)
        points = jnp.take_along_axis(points, order[:, None], 0)
        return (points, scores, ranges), (points[0], scores[0].mean())

    points = jnp.broadcast_to(ranges.low, (ELITE, *ranges.low.shape))
    nothing = points, jnp.full((ELITE, budget.columns), jnp.inf), ranges
    (elite, _, ranges), (leaders, best) = jax.lax.scan(
        generation, nothing, jnp.arange(budget.generations)
    )
    return elite, leaders[0], ranges, best


def _spread(rule, budget, key):
    """A Latin hypercube `[P, d, 1]`; in every other point all entries of a parameter are equal.

    The diagonal is where to look first in a network of many edges: levels are multiples of each
    edge's own demand.
    """
    sizes = [math.prod(shape) for shape in rule.shapes().values()]

    def hypercube(key, dimensions):
        order_key, offset_key = jax.random.split(key)
        strata = jnp.broadcast_to(
            jnp.arange(budget.population)[:, None], (budget.population, dimensions)
        )
        strata = jax.random.permutation(order_key, strata, axis=0, independent=True)
        return (strata + jax.random.uniform(offset_key, strata.shape)) / budget.population

    free_key, tied_key = jax.random.split(key)
    free = hypercube(free_key, sum(sizes))
    tied = jnp.repeat(hypercube(tied_key, len(sizes)), np.asarray(sizes), axis=1)
    return jnp.where(jnp.arange(budget.population)[:, None] % 2 == 0, free, tied)[..., None]


def _descend(env, rule, budget, instance, key, starts, ranges):
    """Adam from `starts` `[S, d, columns]`. Returns the ends, and the cost of the best start at
    each step.
    """
    relaxed = env.relaxed()
    optimiser = optax.adam(optax.cosine_decay_schedule(0.03, budget.steps))  # of a unit cube

    def cost(shares, key):
        params = jax.vmap(partial(_unpack, rule, budget))(ranges.values(shares))
        worlds = _play(env, budget, instance, key, budget.gradient_episodes)
        costs = _by_column(budget, _costs(relaxed, rule, budget, instance, params, worlds))
        return costs.sum(), costs

    def step(carry, number):
        shares, moments = carry
        gradient, costs = jax.grad(cost, has_aux=True)(shares, jax.random.fold_in(key, number))
        change, moments = optimiser.update(gradient, moments)
        return (jnp.clip(shares + change, 0.0, 1.0), moments), costs.min(0).mean()

    shares = ranges.shares(starts)
    (shares, _), costs = jax.lax.scan(
        step, (shares, optimiser.init(shares)), jnp.arange(budget.steps)
    )
    return ranges.values(shares), costs


def _play(env, budget, instance, key, episodes, each=jax.vmap):
    """Worlds to simulate in (`play_world`) and their keys, with a leading axis C; `each` maps a
    function over keys.

    With several instances the batch is all of them, in order, and again for so many episodes as are
    played at once; a single instance plays half of its episodes in each of C = 2, so that choosing
    and reporting can be split along C.
    """
    if budget.several:
        again = budget.at_once(episodes)
        copies, batch = episodes // again, budget.instances * again
    else:
        copies, batch, again = 2, episodes // 2, 1

    instance = _repeated(instance, again)

    def single(key):
        return *play_world(
            env, key, instance, batch, budget.warm_up + budget.periods, budget.axis
        ), key

    return each(single)(jax.random.split(key, copies))


def _one_by_one(function):
    """`vmap` by calling a compiled function again and again: the number of calls is no part of the
    program.
    """

    def mapped(keys):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(function, keys))

    return mapped


def _repeated(tree, again):
    """A batch again and again along its axis."""
    return jax.tree.map(lambda leaf: jnp.tile(leaf, again), tree) if again > 1 else tree


def _apart(budget, leaf):
    """`[..., C, A * B]` with the A episodes that were played at once beside the C others:
    `[..., C * A, B]`.
    """
    return leaf.reshape(*leaf.shape[:-2], -1, budget.instances) if budget.several else leaf


def _demand_of(budget, worlds):
    """Demand `[C, T, D, K, B]` of worlds, B instances or paths of the only one."""
    demand = worlds[1].exogenous.demand
    return jnp.moveaxis(_apart(budget, jnp.moveaxis(demand, 0, -2)), -2, 0)


def _costs(env, rule, budget, instance, candidates, worlds):
    """Mean weighted cost a period of each candidate, copy and path `[P, C, B]`, all candidates in
    the same worlds.
    """
    again = worlds[1].exogenous.demand.shape[BATCH] // budget.instances if budget.several else 1

    def run(params, world):
        params = params if budget.shared else _repeated(params, again)
        totals = simulate_in(
            env, _repeated(instance, again), rule, params, *world, warm_up=budget.warm_up,
            axis=budget.axis,
            policy_axis=budget.policy_axis,
        )  # fmt: skip
        return -totals.reward / budget.periods

    return _apart(budget, jax.vmap(jax.vmap(run, (None, 0)), (0, None))(candidates, worlds))


def _by_column(budget, costs):
    """Costs `[P, C, B]` averaged for each set of parameters `[P, columns]`."""
    return costs.mean((1, 2))[:, None] if budget.shared else costs.mean(1)


def _unpack(rule, budget, point):
    """Parameters `[..., columns]`, or `[...]` where they are shared, from their entries in a row
    `[d, columns]`.
    """
    params, start = {}, 0
    for name, shape in rule.shapes().items():
        size = math.prod(shape)
        columns = () if budget.shared else (budget.columns,)
        params[name] = point[start : start + size].reshape(*shape, *columns)
        start += size
    return params


def _snap(env, rule, budget, instance, params):
    """The same parameters with levels and quantities rounded to whole units; sizes to at least
    one.
    """

    def single(params, instance):
        unit = rule.natural(jax.tree.map(jnp.ones_like, params), env.facts(instance))

        def whole(name, value):
            units = jnp.round(value * unit[name])
            return (jnp.maximum(units, 1.0) if rule.ranges[name][0] > 0 else units) / unit[name]

        snapped = rule.levels | rule.quantities
        return {
            name: whole(name, value) if name in snapped else value for name, value in params.items()
        }

    if budget.shared:
        return single(params, instance)
    return jax.vmap(single, in_axes=BATCH, out_axes=BATCH)(params, instance)
