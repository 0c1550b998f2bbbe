"""Tunes classical rules by cross-entropy search, by pathwise gradient, or both, in one compiled program a rule.

Candidates are evaluated side by side on the same noise, so what is compared is the rules and not their luck.
What a tuning may simulate is a budget of periods, so that a rule and a learner can be given the same.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxinv.demand.processes import Replay
from jaxinv.envs import views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import BATCH, batch_last, play_world, take_instances
from jaxinv.evaluation.simulate import simulate_in
from jaxinv.evaluation.statistics import mean_of
from jaxinv.keys import Role, key_of
from jaxinv.policies.rules import Rule, applicable_rules, rule_for

METHODS = {
    # share of the budget for search, gradient; the rest re-evaluates the finalists
    "search": (0.7, 0.0),
    "gradient": (0.1, 0.6),
    "both": (0.35, 0.35),
}
ELITE = 6
"""Best points ever seen that the search draws around."""

FINALISTS = 4
"""How many of the elite are compared at the end, besides their mean and what the gradient found."""

FEW = 8
"""Parameters that a search alone settles; it compiles in half the time of a gradient."""

SHARED_EPISODES = 600
"""Episodes of each instance that tuning a shared rule should be able to play."""

INSTANCES = 1024
"""Most instances in one program: a shared rule is tuned on as many, rules of their own in groups as large."""


@dataclass(frozen=True)
class Tuned:
    """A tuned rule.

    Attributes:
      rule: the policy.
      params: its parameters, pure numbers; with `policy_axis` set, the instances are the last axis of every
        array.
      policy_axis: `BATCH` where every instance has its own parameters, else None.
      cost: mean weighted cost a period on training noise that played no part in the choice.
      cost_interval: 95% interval over paths, or over instances where there are several.
      simulated_periods: periods of one environment simulated in all; forward passes, a gradient counted as
        one.
      history: one row a generation of the search or step of the gradient: `{stage, simulated_periods, cost}`.
        In a search `cost` is the best so far, in a gradient that of the best start; each on that stage's own
        noise.
    """

    rule: Rule
    params: dict[str, jax.Array]
    policy_axis: int | None
    cost: float
    cost_interval: tuple[float, float]
    simulated_periods: int
    history: list[dict[str, Any]]

    def natural(self, problem: Problem) -> dict[str, jax.Array]:
        """The parameters in product units, `[E, K]` each; with several instances these are the last axis."""
        if problem.instances is None:
            return self.rule.natural(self.params, problem.env.facts(problem.train))
        facts = jax.vmap(problem.env.facts)(problem.train)
        natural = jax.vmap(self.rule.natural, in_axes=(self.policy_axis, 0), out_axes=BATCH)
        return natural(self.params, facts)


def tune(
    problem: Problem,
    rule: Rule,
    key: jax.Array,
    budget_periods: int = 4_000_000,
    method: str | None = None,
    per_instance: bool = False,
) -> Tuned:
    """Tunes a rule on the training instances of a problem.

    - search: the cross-entropy method (Rubinstein 1999) over `rule.ranges`. It starts from a Latin hypercube,
      half of whose points give all edges the same value, and keeps the best points ever seen as its elite.
    - gradient: Adam on the derivative of the simulated cost with respect to the parameters (methods.md B.1),
      with divisible orders and noise that is fresh at every step, from the best points of a Latin hypercube.
      It can end on a flat: a cap too high to bind has no derivative.
    - both: the gradient goes on from the best points of the search. Best with many parameters, where a search
      alone stays a per cent behind. Rules without a useful derivative (`Rule.jumps`) are searched with the whole
      budget.

    The finalists of all stages are then compared on fresh noise in the true environment (whole packs) and the
    best is taken; where orders are whole packs every finalist also runs with its levels rounded to whole
    units, which wins a tie. Its cost is estimated on yet other noise, so it is free of the winner's curse.

    Args:
      key: of all the noise; the same key gives the same result.
      method: one of the above; None searches up to `FEW` parameters and does both beyond, where it pays.
      budget_periods: at most as many periods of one environment are simulated, warm-up included.
      per_instance: every instance gets parameters of its own (all tuned side by side) instead of one set for
        all.

    Raises:
      UserError: for an unknown method, a budget too small to tell candidates apart, or a horizon that leaves
        no training period to count.
    """
    if method is None:
        method = "both" if sum(math.prod(shape) for shape in rule.shapes().values()) > FEW else "search"
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if rule.jumps:
        if method == "gradient":
            raise UserError(f"{rule.name} jumps in its parameters and has no gradient; use method=search")
        method = "search"
    if per_instance and problem.instances is None:
        raise UserError("per_instance tuning needs a problem with several instances")
    groups = _groups(problem, key_of(key, Role.SERIES), per_instance, budget_periods)
    size = 1 if groups[0] is None else len(groups[0])
    plan = _plan(problem, rule, budget_periods // len(groups), method, size, not per_instance)
    results = []
    for number, index in enumerate(groups):
        instance = as_recorded(problem)
        if index is not None:
            instance = batch_last(take_instances(instance, index))
        own = key_of(key, Role.TUNING, number)
        results.append(jax.device_get(_spend(problem.env, rule, plan, instance, own)))

    def join(*parts):  # groups lie along the last axis; the last group was filled up
        return parts[0] if len(parts) == 1 else np.concatenate(parts, BATCH)[..., : problem.instances]

    params, costs = jax.tree.map(join, *[result[:2] for result in results])
    costs = costs.mean(0) if plan.several else costs.reshape(-1)
    return Tuned(
        rule=rule,
        params=params,
        policy_axis=plan.policy_axis,
        cost=float(costs.mean()),
        cost_interval=mean_of(costs).interval,
        simulated_periods=plan.simulated_periods * len(groups),
        history=_history(plan, [result[2] for result in results]),
    )


def tune_many(
    problem: Problem,
    key: jax.Array,
    names: list[str] | None = None,
    budget_periods: int = 4_000_000,
    method: str | None = None,
    per_instance: bool = False,
) -> dict[str, Tuned]:
    """Tunes several rules, by default all that apply, each with the whole budget and on the same noise."""
    names = applicable_rules(problem) if names is None else names

    def single(name):
        return tune(problem, rule_for(problem, name), key, budget_periods, method, per_instance)

    # most of the time is compilation, which threads share out among the cores
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        return dict(zip(names, pool.map(single, names)))


def instance_groups(count: int, most: int) -> list[np.ndarray]:
    """The numbers 0 .. count-1 in groups of one equal size, at most `most`, the last filled up with its end.

    Equal sizes let all groups share one compiled program.
    """
    groups = math.ceil(count / most)
    size = math.ceil(count / groups)
    return [np.minimum(np.arange(start, start + size), count - 1) for start in range(0, groups * size, size)]


# --- the plan ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """How a budget is spent. An episode is a path of `warm_up + periods`; they are counted by instance."""

    warm_up: int
    periods: int
    instances: int  # 1 where there is one
    shared: bool  # one set of parameters for all instances
    several: bool  # parameters of the instances are a batch
    population: int
    generations: int
    search_episodes: int  # of each candidate
    starts: int
    steps: int
    gradient_episodes: int  # of each start and step
    finalists: int
    final_episodes: int  # of each finalist
    snap: bool

    @property
    def axis(self) -> int | None:
        return BATCH if self.several else None

    @property
    def policy_axis(self) -> int | None:
        return None if self.shared else BATCH

    @property
    def columns(self) -> int:
        """Sets of parameters that are tuned side by side."""
        return 1 if self.shared else self.instances

    @property
    def episode(self) -> int:
        """Simulated periods of one episode of every instance."""
        return self.instances * (self.warm_up + self.periods)

    @property
    def generation_periods(self) -> int:
        return self.population * self.search_episodes * self.episode

    @property
    def step_periods(self) -> int:
        return self.starts * self.gradient_episodes * self.episode

    @property
    def simulated_periods(self) -> int:
        final = self.finalists * self.final_episodes * self.episode
        return self.generations * self.generation_periods + self.steps * self.step_periods + final


def _plan(problem: Problem, rule: Rule, budget: int, method: str, instances: int, shared: bool) -> Plan:
    """Spends a budget: enough candidates for the number of parameters first, then more noise for each."""
    warm_up, periods = problem.warm_up, counted_periods(problem)
    several = problem.instances is not None
    snap = problem.env.topology.has("packs") and not (several and shared)
    least = 1 if several else 2  # episodes; a single instance runs an even number, see `_costs`
    available = budget / (instances * (warm_up + periods))
    search_share, gradient_share = METHODS[method]

    dimensions = sum(math.prod(shape) for shape in rule.shapes().values())
    generations = 1 if method == "gradient" else min(4 + 4 * dimensions, 12)
    population = min(16 + 12 * dimensions, 112)
    affordable = int(search_share * available / least)
    if affordable < population * generations:
        generations = min(generations, max(affordable // 12, 1))
        population = affordable // generations
    search_episodes = _even(search_share * available / max(population * generations, 1), several)

    starts, steps = {"search": (0, 0), "gradient": (4, 150), "both": (3, 150)}[method]
    if steps:
        steps = min(steps, int(gradient_share * available / (starts * least)))
    gradient_episodes = _even(gradient_share * available / max(starts * steps, 1), several)

    finalists = (FINALISTS + 1 + starts) * (2 if snap else 1)
    spent = population * generations * search_episodes + starts * steps * gradient_episodes
    final_episodes = 2 * int((available - spent) / finalists / 2)
    plan = Plan(
        warm_up, periods, instances, shared, several, population, generations, search_episodes, starts, steps,
        gradient_episodes, finalists, final_episodes, snap,
    )  # fmt: skip
    if population < ELITE or final_episodes < 2 or (gradient_share and steps < 10):
        raise UserError(
            f"a budget of {budget:,} simulated periods is too small to tune {rule.name} by {method}: one "
            f"episode of every instance takes {plan.episode:,}; allow {200 if plan.starts else 60} times that"
        )
    return plan


def counted_periods(problem: Problem) -> int:
    """Periods of a training episode that costs are counted for.

    A replayed trace lasts for the training horizon and no longer; other worlds go on for as long as one
    likes, here for long enough that the warm-up is a small part.
    """
    if not isinstance(problem.env.world.demand, Replay):
        return problem.warm_up * max(3, math.ceil(128 / problem.warm_up)) if problem.warm_up else 128
    horizon = int(np.min(problem.train.max_steps_in_episode))
    if horizon <= problem.warm_up:
        raise UserError(f"horizon={horizon} leaves no period to count after a warm-up of {problem.warm_up}")
    return horizon - problem.warm_up


def _even(episodes: float, several: bool) -> int:
    """Whole episodes; an even number of them where one instance runs them in two halves."""
    return int(episodes) if several else 2 * int(episodes / 2)


def _groups(
    problem: Problem, key: jax.Array, per_instance: bool, budget: int
) -> list[np.ndarray | None]:
    """The instances `[I]` of each program to run; None where there is but one.

    A shared rule is tuned on as many instances, drawn at random, as the budget can afford `SHARED_EPISODES` of each.
    """
    if problem.instances is None:
        return [None]
    if per_instance:
        return instance_groups(problem.instances, INSTANCES)
    affordable = budget // (SHARED_EPISODES * (problem.warm_up + counted_periods(problem)))
    return [np.sort(jax.random.permutation(key, problem.instances)[: int(np.clip(affordable, 16, INSTANCES))])]


def as_recorded(problem: Problem) -> InstanceParams:
    """The training instances without augmentation, which is for learners: rules are tuned on what was."""
    train = problem.train
    if not isinstance(problem.env.world.demand, Replay):
        return train
    return train.replace(demand=train.demand.replace(level_spread=jnp.zeros_like(train.demand.level_spread)))


def _history(plan: Plan, groups: list) -> list[dict[str, Any]]:
    search, descent = (np.mean(stage, 0) for stage in zip(*groups))
    rows = [("search", plan.generation_periods, cost) for cost in search]
    rows += [("gradient", plan.step_periods, cost) for cost in descent]
    used = len(groups) * np.cumsum([periods for _, periods, _ in rows])
    return [
        {"stage": stage, "simulated_periods": int(total), "cost": float(cost)}
        for (stage, _, cost), total in zip(rows, used)
    ]


# --- the program of a rule --------------------------------------------------------------------------


def _spend(env: InventoryNetwork, rule: Rule, plan: Plan, instance: InstanceParams, key: jax.Array):
    """Plays the worlds of search and final comparison, and tunes in them; see `_run`."""
    search_key, gradient_key, final_key = jax.random.split(key, 3)
    spread_key, anywhere_key, noise_key, draw_key = jax.random.split(search_key, 4)
    search = _play(env, plan, instance, noise_key, plan.search_episodes, _one_by_one)
    final = _play(env, plan, instance, final_key, plan.final_episodes, _one_by_one)
    return _run(env, rule, plan, instance, ((spread_key, anywhere_key, draw_key), gradient_key), search, final)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(env, rule, plan, instance, keys, search_worlds, final_worlds):
    """Search, gradient and final comparison.

    Returns:
      The best parameters, their costs `[C, B]`, and the histories of search `[G]` and gradient `[steps]`.
    """
    search_keys, gradient_key = keys
    elite, first, searched = _search(env, rule, plan, instance, search_keys, search_worlds)
    points = jnp.concatenate([elite[:FINALISTS], elite.mean(0, keepdims=True)])
    descended = jnp.zeros((0,))
    if plan.steps:
        # the elite of a finished search lies close together; its first leader may stand in another valley
        starts = elite[: plan.starts]
        if plan.generations > 1:
            starts = starts.at[-1].set(first)
        ends, descended = _descend(env, rule, plan, instance, gradient_key, starts)
        points = jnp.concatenate([ends, points])
    finalists = jax.vmap(partial(_unpack, rule, plan))(points)
    if plan.snap:
        whole = jax.vmap(lambda params: _snap(env, rule, plan, instance, params))(finalists)
        finalists = jax.tree.map(lambda *both: jnp.concatenate(both), whole, finalists)
    costs = _costs(env, rule, plan, instance, finalists, final_worlds)
    choosing, reporting = jnp.split(costs, 2, axis=1)
    best = jnp.argmin(_by_column(plan, choosing), 0)  # [columns]; the first of equals
    if plan.shared:
        best = best[0]
        return jax.tree.map(lambda leaf: leaf[best], finalists), reporting[best], (searched, descended)

    def pick(leaf):
        return jnp.take_along_axis(leaf, best.reshape((1,) * (leaf.ndim - 1) + (-1,)), 0)[0]

    return jax.tree.map(pick, finalists), pick(reporting), (searched, descended)


def _search(env, rule, plan, instance, keys, worlds):
    """Cross-entropy search in the unit cube.

    Returns:
      The elite `[elites, d, columns]`, best first; the best point of the spread it began with `[d, columns]`;
      the best cost so far after each generation `[G]`, a mean over columns.

    All generations run on the same noise, so the elite of past generations stays comparable. A floor under
    the spread, which shrinks with the generations, and a quarter of the points drawn anywhere keep the search
    from settling before it has looked around.
    """
    spread_key, anywhere_key, draw_key = keys
    spread = _spread(rule, plan, spread_key)  # [P, d, 1]

    def generation(elite, number):
        points, scores = elite
        floor = 0.1 * (1.0 - number / plan.generations)
        noise = jax.random.normal(jax.random.fold_in(draw_key, number), (*spread.shape[:2], plan.columns))
        drawn = points.mean(0) + jnp.maximum(points.std(0), floor) * noise
        anywhere = jax.random.uniform(jax.random.fold_in(anywhere_key, number), drawn.shape)
        drawn = jnp.where(jnp.arange(plan.population)[:, None, None] % 4 == 3, anywhere, drawn)
        candidates = jnp.clip(jnp.where(number == 0, spread, drawn), 0.0, 1.0)
        params = jax.vmap(partial(_unpack, rule, plan))(candidates)
        costs = _costs(env, rule, plan, instance, params, worlds)
        points = jnp.concatenate([points, candidates])
        scores = jnp.concatenate([scores, _by_column(plan, costs)])
        order = jnp.argsort(scores, 0)[:ELITE]
        scores = jnp.take_along_axis(scores, order, 0)
        points = jnp.take_along_axis(points, order[:, None], 0)
        return (points, scores), (points[0], scores[0].mean())

    dimensions = spread.shape[1]
    nothing = (
        jnp.zeros((ELITE, dimensions, plan.columns)),
        jnp.full((ELITE, plan.columns), jnp.inf),
    )
    (elite, _), (leaders, best) = jax.lax.scan(generation, nothing, jnp.arange(plan.generations))
    return elite, leaders[0], best


def _spread(rule, plan, key):
    """A Latin hypercube `[P, d, 1]`; in every other point all entries of a parameter are equal.

    The diagonal is where to look first in a network of many edges: levels are multiples of each edge's own
    demand.
    """
    sizes = [math.prod(shape) for shape in rule.shapes().values()]

    def hypercube(key, dimensions):
        order_key, offset_key = jax.random.split(key)
        strata = jnp.broadcast_to(jnp.arange(plan.population)[:, None], (plan.population, dimensions))
        strata = jax.random.permutation(order_key, strata, axis=0, independent=True)
        return (strata + jax.random.uniform(offset_key, strata.shape)) / plan.population

    free_key, tied_key = jax.random.split(key)
    free = hypercube(free_key, sum(sizes))
    tied = jnp.repeat(hypercube(tied_key, len(sizes)), np.asarray(sizes), axis=1)
    return jnp.where(jnp.arange(plan.population)[:, None] % 2 == 0, free, tied)[..., None]


def _descend(env, rule, plan, instance, key, starts):
    """Adam from `starts` `[S, d, columns]`. Returns the ends, and the cost of the best start at each step."""
    relaxed = env.relaxed()
    optimiser = optax.adam(optax.cosine_decay_schedule(0.03, plan.steps))  # of a unit cube

    def cost(points, key):
        params = jax.vmap(partial(_unpack, rule, plan))(points)
        worlds = _play(env, plan, instance, key, plan.gradient_episodes)
        costs = _by_column(plan, _costs(relaxed, rule, plan, instance, params, worlds))
        return costs.sum(), costs

    def step(carry, number):
        points, moments = carry
        gradient, costs = jax.grad(cost, has_aux=True)(points, jax.random.fold_in(key, number))
        change, moments = optimiser.update(gradient, moments)
        return (jnp.clip(points + change, 0.0, 1.0), moments), costs.min(0).mean()

    (points, _), costs = jax.lax.scan(step, (starts, optimiser.init(starts)), jnp.arange(plan.steps))
    return points, costs


def _play(env, plan, instance, key, episodes, each=jax.vmap):
    """Worlds to simulate in, with a leading axis C (`play_world`); `each` maps a function over keys.

    With several instances the batch is all of them, in order, and C the episodes of each; a single instance plays half
    of its episodes in each of C = 2, so that choosing and reporting can always be split along C.
    """
    copies, batch = (episodes, plan.instances) if plan.several else (2, episodes // 2)

    def single(key):
        return play_world(env, key, instance, batch, plan.warm_up + plan.periods, plan.axis)

    return each(single)(jax.random.split(key, copies))


def _one_by_one(function):
    """`vmap` by calling a compiled function again and again: the number of calls is no part of the program."""

    def mapped(keys):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(function, keys))

    return mapped


def _costs(env, rule, plan, instance, candidates, worlds):
    """Mean weighted cost a period of each candidate, copy and path `[P, C, B]`, all candidates in the same worlds."""

    def run(params, world):
        totals = simulate_in(
            env, instance, rule, params, *world, warm_up=plan.warm_up, axis=plan.axis, policy_axis=plan.policy_axis
        )
        return -totals.reward / plan.periods

    return jax.vmap(jax.vmap(run, (None, 0)), (0, None))(candidates, worlds)


def _by_column(plan, costs):
    """Costs `[P, C, B]` averaged for each set of parameters `[P, columns]`."""
    return costs.mean((1, 2))[:, None] if plan.shared else costs.mean(1)


def _unpack(rule, plan, point):
    """Parameters `[..., columns]`, or `[...]` where they are shared, from a point of the cube `[d, columns]`.

    The cube has one side for each entry of each parameter, in the order of `rule.shapes()`. A range that
    begins above zero is one of sizes (a cap, a lot, a smoothing) and is read on a logarithmic scale: half of
    the caps are then below 1.3 periods of demand, which is where a cap changes anything.
    """
    params, start = {}, 0
    for name, shape in rule.shapes().items():
        size = math.prod(shape)
        low, high = rule.ranges[name]
        columns = () if plan.shared else (plan.columns,)
        share = point[start : start + size].reshape(*shape, *columns)
        params[name] = low * (high / low) ** share if low > 0 else low + (high - low) * share
        start += size
    return params


def _snap(env, rule, plan, instance, params):
    """The same parameters with levels and quantities rounded to whole units."""

    def single(params, instance):
        unit = rule.natural(jax.tree.map(jnp.ones_like, params), env.facts(instance))
        return {
            name: jnp.round(value * unit[name]) / unit[name] if name in rule.levels | rule.quantities else value
            for name, value in params.items()
        }

    if plan.shared:
        return single(params, instance)
    return jax.vmap(single, in_axes=BATCH, out_axes=BATCH)(params, instance)
