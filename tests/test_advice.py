"""Advice of a classical rule: the teacher's levels by their formulas, what each penalty does to an
optimum, and mistakes.
"""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, poisson

from jaxinv.agents.advice import Advised, advise, on_reward, squared_distance, teacher_in
from jaxinv.agents.loop import Trainer, check_finite, select_run, stack_agents
from jaxinv.agents.registry import AGENTS
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.one_network import on_one_network
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, LostSales, Serial
from jaxinv.envs.problem import first_of
from jaxinv.errors import UserError
from jaxinv.experiment import Experiment
from jaxinv.policies.decode import RATES, Decode
from jaxinv.policies.rules import ReorderUpTo

SIZES = dict(updates=10, envs=4, rollout=3, encoder="none", hidden=(8,))
OWN = {"ppo": dict(minibatches=2, epochs=1), "diffsim": {}} | dict.fromkeys(
    ("dqn", "ddpg", "sac"), dict(capacity=48, batch=16, steps=2)
)
PLAIN = LostSales(lead_time=2, horizon=6)


def agent_of(name, problem=None, **options):
    agent = AGENTS[name]
    return agent.create(problem or PLAIN.build(), agent.Config(**{**SIZES, **OWN[name], **options}))


def levels_of(preset):
    """The teacher's numbers of a preset in units, and its worlds."""
    worlds = agent_of("diffsim", preset.build(), penalty="actor").worlds
    instance = first_of(worlds.params)
    facts = worlds.env.facts(instance)
    return (
        ReorderUpTo(worlds.env.topology).natural(teacher_in(worlds, instance, None), facts),
        worlds,
    )


# --- the teacher ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fixed_cost", [0.0, 30.0])
def test_the_levels_of_a_single_store(fixed_cost):
    """Methods A.4: s = mu + z sigma over L + P, S = s + sqrt(2 K mu / h); without fixed cost S =
    s.
    """
    levels, _ = levels_of(
        LostSales(lead_time=2, holding_cost=2.0, shortage_cost=9.0, fixed_cost=fixed_cost)
    )
    reorder = 3 * 5.0 + norm.ppf(9 / 11) * np.sqrt(3 * 5.0)
    np.testing.assert_allclose(levels["reorder"], [[reorder]], rtol=0.01)
    np.testing.assert_allclose(levels["gap"], [[np.sqrt(2 * fixed_cost * 5.0 / 2.0)]], rtol=0.01)


def test_weights_of_costs_count():
    weighted, _ = levels_of(
        Backlog(
            lead_time=2, shortage_cost=9.0, fixed_cost=30.0, weights=dict(holding=2.0, ordering=3.0)
        )
    )
    plain, _ = levels_of(Backlog(lead_time=2, shortage_cost=9.0, holding_cost=2.0, fixed_cost=90.0))
    for name, level in plain.items():
        np.testing.assert_allclose(weighted[name], level, rtol=1e-5)


def test_random_lead_times_add_their_variance():
    levels, _ = levels_of(Backlog(lead_time_pmf=(0.0, 0.5, 0.0, 0.5), shortage_cost=9.0))
    reorder = 3 * 5.0 + norm.ppf(0.9) * np.sqrt(3 * 5.0 + 5.0**2 * 1.0)
    np.testing.assert_allclose(levels["reorder"], [[reorder]], rtol=0.01)


def test_a_stage_counts_its_whole_echelon():
    """Stage 2 supplies stage 1: demand is that of the customers, over both lead times and one
    review, at their ratio.
    """
    preset = Serial(lead_times=(1, 2), holding_costs=(0.5, 1.0))
    levels, worlds = levels_of(preset)
    instance = first_of(worlds.params)
    ratio = np.max(instance.shortage / (instance.shortage + instance.holding))
    edges = zip(worlds.env.topology.destinations, np.asarray(levels["reorder"])[:, 0])
    customer = worlds.env.topology.demand_nodes[0]
    mean, deviation = (
        np.asarray(worlds.moments.mean)[0, customer, 0],
        np.sqrt(np.asarray(worlds.moments.variance)[0, customer, 0]),
    )
    lead = np.asarray(instance.lead_time)
    for edge, (node, reorder) in enumerate(edges):
        cover = lead[edge] + 1 if node == customer else lead.sum() + 1
        assert reorder == pytest.approx(
            cover * mean + norm.ppf(ratio) * np.sqrt(cover) * deviation, rel=1e-4
        )


def test_every_instance_has_a_teacher_of_its_own():
    problems = on_one_network(
        [LostSales(lead_time=2, mean=mean, shortage_cost=9.0).build() for mean in (3.0, 6.0)]
    )
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[problem.first for problem in problems])
    agent = agent_of(
        "ddpg", replace(problems[0], train=both, test=both, instances=2), penalty="reward"
    )
    index = jnp.array([1, 0, 1, 1])
    instance = agent.worlds.instance_params(index, jax.random.key(0))
    pure = agent.teacher(instance, index)["reorder"][0, 0] * 3 * instance.scale[0, 0]
    wanted = [3 * mean + norm.ppf(0.9) * np.sqrt(3 * mean) for mean in (6.0, 3.0, 6.0, 6.0)]
    np.testing.assert_allclose(pure, wanted, rtol=0.02)


@pytest.mark.parametrize(
    "preset, name, penalty",
    [
        (OneWarehouseManyStores(stores=2, horizon=6), "ppo", "level"),
        (OneWarehouseManyStores(stores=2, horizon=6), "diffsim", "actor"),
        (CrossBorder(horizon=6, history=4), "sac", "potential"),
        (CrossBorder(horizon=6, history=4), "ddpg", "actor"),
    ],
)
def test_every_penalty_fits_a_network(quick_compilation, preset, name, penalty):
    agent = agent_of(name, preset.build(), penalty=penalty)

    def shapes(key):
        state = agent.init(key)
        return state, agent.update(state)[0]

    before, after = jax.eval_shape(shapes, jax.random.key(0))
    assert before == after


# --- what a penalty does to an optimum, on a problem small enough to solve ------------------------

STOCK, ORDERS, DEMAND, DISCOUNT = np.arange(11.0), np.arange(11.0), np.arange(7.0), 0.9
MASS = poisson.pmf(DEMAND, 2.0) / poisson.pmf(DEMAND, 2.0).sum()
TEACHER = {"reorder": jnp.full((1, 1), 1.4), "gap": jnp.full((1, 1), 0.6)}
"""Far from the optimum on purpose."""


@cache
def store():
    """Rewards and distances from the teacher `[S, A]`, and next states `[S, A, D]`, of a store with
    lead time 1.
    """
    problem = LostSales(lead_time=1, mean=2.0, shortage_cost=9.0).build()
    env, params = problem.env, problem.first
    start = env.start({"stock": jnp.zeros((1, 1))}, params)

    def one(stock, order, demand):
        state, order = start.replace(on_hand=stock.reshape(1, 1)), order.reshape(1, 1)
        observation = env.view(state, params)
        distance = advise(
            "reward",
            Decode(env.topology),
            TEACHER,
            observation,
            jnp.ones((1, 1, RATES)),
            jnp.zeros(1),
            order,
        )
        after, outcome = env.transition(state, order, Exogenous(demand.reshape(1, 1)), params)
        return outcome.reward, after.on_hand[0, 0], distance

    grid = jnp.meshgrid(STOCK, ORDERS, DEMAND, indexing="ij")
    reward, after, distance = (
        np.asarray(leaf, float) for leaf in jax.vmap(jax.vmap(jax.vmap(one)))(*grid)
    )
    fits = STOCK[:, None] + ORDERS <= STOCK[-1]
    return (
        np.where(fits, reward @ MASS, -np.inf),
        distance[..., 0],
        np.minimum(after, STOCK[-1]).astype(int),
    )


def values(reward, after, policy=None):
    """Discounted values `[S, A]` of the best policy, or of one `[S]`, by value iteration."""
    q = np.zeros_like(reward)
    for _ in range(300):
        value = q.max(-1) if policy is None else q[np.arange(len(q)), policy]
        q = reward + DISCOUNT * value[after] @ MASS
    return q


def test_look_back_advice_moves_no_greedy_decision():
    """With the last distance as part of the state, every value changes by that distance / discount,
    whatever is decided.
    """
    reward, distance, after = store()
    plain, weight = values(reward, after), 5.0
    levels, place = np.unique(distance, return_inverse=True)
    place = place.reshape(distance.shape)
    advice = np.asarray(
        on_reward("potential", jnp.asarray(distance[None]), jnp.zeros(distance.shape), DISCOUNT)[0]
    )
    shaped = reward[:, None] + weight * (
        advice[:, None] + levels[:, None] / DISCOUNT
    )  # [S, last, A]
    q = np.zeros_like(shaped)
    for _ in range(300):
        best = q.max(-1)
        q = shaped + DISCOUNT * (best[after, place[..., None]] @ MASS)[:, None]
    fits = np.isfinite(reward)
    wanted = np.where(fits, plain, 0.0)[:, None] + weight * levels[:, None] / DISCOUNT
    np.testing.assert_allclose(q, np.where(fits[:, None], wanted, -np.inf), atol=1e-5)
    np.testing.assert_array_equal(
        q.argmax(-1), np.broadcast_to(plain.argmax(-1)[:, None], q.shape[:2])
    )


def test_a_penalty_on_rewards_moves_the_optimum_unless_it_is_small():
    reward, distance, after = store()
    advice = np.asarray(on_reward("reward", jnp.asarray(distance), None, DISCOUNT))
    best = values(reward, after)

    def cost_of(weight):
        """True values that are lost by the policy that is best under a penalty, and that policy's
        distance.
        """
        policy = values(reward + weight * advice, after).argmax(-1)
        true = values(reward, after, policy)[np.arange(len(policy)), policy]
        return (best.max(-1) - true).max(), distance[np.arange(len(policy)), policy].max()

    lost, astray = zip(*[cost_of(weight) for weight in (1e-4, 1.0, 100.0)])
    assert lost[0] == pytest.approx(0.0, abs=1e-6) and astray[0] > 0.1
    assert lost[1] > 0.1
    assert astray[2] == 0.0 and lost[2] > 1.0


def test_look_back_advice_cancels_within_every_episode():
    """Discounted advice of an episode adds up to its last potential alone; rollouts hand it on and
    episodes drop it.
    """
    agent = agent_of("ddpg", penalty="potential")  # episodes of two rollouts

    @jax.jit
    def play(state, key):
        (episodes, index, _, strayed), transitions = agent._play(state, key)
        state = state.replace(episodes=episodes, index=index, strayed=strayed)
        return state, transitions.advice.reshape(4, 3)

    state, told = jax.jit(agent.init)(jax.random.key(0)), []
    for key in jax.random.split(jax.random.key(1), 4):
        state, advice = play(state, key)
        told.append((np.asarray(advice), np.asarray(state.strayed)))
    power = float(agent.numbers["discount"]) ** np.arange(6)
    for first, second in [(0, 1), (2, 3)]:
        episode = np.concatenate([told[first][0], told[second][0]], 1)
        assert np.abs(episode).max() > 0.05
        np.testing.assert_allclose(episode @ power, -power[-1] * told[second][1], atol=1e-5)


# --- in training ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, penalty",
    [
        ("ppo", "potential"),
        ("dqn", "level"),
        ("diffsim", "actor"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("ppo", "actor"), ("sac", "actor"), ("ddpg", "reward"))
        ),
    ],
)
def test_the_weight_moves_what_is_learned_and_not_the_cost_that_is_told(
    quick_compilation, name, penalty
):
    agents = [agent_of(name, penalty=penalty, penalty_weight=weight) for weight in (0.0, 3.0)]
    trainer = Trainer(stack_agents(agents, seeds=1), runs=2)
    state, metrics = trainer.advance(trainer.init(jnp.tile(jax.random.key(0), 2)), 2)
    check_finite(metrics, 0)
    np.testing.assert_array_equal(
        metrics["cost"][0, 0], metrics["cost"][0, 1]
    )  # both played the same, unpenalised
    left, right = (jax.tree.leaves(select_run(state.learner.params, run)) for run in (0, 1))
    assert any(float(jnp.abs(a - b).max()) > 1e-5 for a, b in zip(left, right))


def test_weight_zero_is_no_penalty(quick_compilation):
    ends = []
    for options in (dict(penalty="reward", penalty_weight=0.0), dict(aligned_rewards=False)):
        trainer = Trainer(agent_of("ddpg", **options))
        ends.append(trainer.advance(trainer.init(jax.random.key(0)), 3)[0].params)
    for left, right in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)


def test_an_actor_that_is_penalised_enough_orders_as_its_teacher_does():
    options = dict(
        updates=200,
        envs=32,
        rollout=20,
        hidden=(16,),
        learning_rate=1e-2,
        penalty="actor",
        penalty_decay=1.0,
    )
    agent = agent_of(
        "diffsim",
        LostSales(lead_time=2, shortage_cost=30.0).build(),
        penalty_weight=100.0,
        **options,
    )
    trainer = Trainer(agent)
    before = trainer.init(jax.random.key(0))
    after, _ = trainer.advance(before, 200)

    @jax.jit
    def strayed(params):
        state = before.learner
        instance = agent.worlds.instance_params(state.index, state.episodes.key)
        _, trace, _ = agent.worlds.play_ahead(state.episodes, instance)
        contexts = agent.encode(params, trace.signals, instance)
        teacher = agent.teacher(instance, state.index)
        return agent.play_mode(
            params, state.episodes.network, trace, contexts, instance, teacher=teacher
        )[2].mean()

    first, last = float(strayed(before.params)), float(strayed(after.params))
    assert last < 0.05 * first, (first, last)


def test_the_penalty_of_an_actor_fades_and_its_teacher_has_no_gradient():
    agent = agent_of("sac", penalty="actor", penalty_weight=2.0)
    assert float(agent.actor_penalty(jnp.ones(3), 10)) == pytest.approx(2.0 * 0.99**10)
    observation = agent.worlds.env.view(
        agent.worlds.env.start({"stock": jnp.zeros((1, 1))}, first_of(agent.worlds.params)),
        first_of(agent.worlds.params),
    )
    rates = 5.0 * jnp.ones((1, 1, RATES))

    def far(raw, order):
        return squared_distance(agent.policy.decode, raw, Advised(observation, rates, order))

    ours, theirs = jax.grad(far, (0, 1))(jnp.zeros(1), jnp.full((1, 1), 3.0))
    assert float(jnp.abs(ours).max()) > 0 and float(jnp.abs(theirs).max()) == 0


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["penalty=rewrd"], "unknown penalty 'rewrd'; did you mean 'reward'"),
        (
            ["agent=dqn", "penalty=actor"],
            "penalty=actor is added to the loss of an actor, and this agent has no actor; give",
        ),
        (
            ["agent=diffsim", "penalty=potential"],
            "penalty=potential is added to rewards, and this agent does not learn from rewards; give",
        ),
        (
            ["agent=sac", "penalty=level", "form=none"],
            "penalty=level compares order-up-to levels, and form=none has none",
        ),
        (["penalty=level", "form=coeff", "history=8"], "form=coeff has none"),
        (["agent=ddpg", "penalty=potential", "discount=0"], "divides by the discount"),
        (
            ["agent=sac", "penalty_weight=0.5"],
            "penalty_weight=0.5 does nothing with penalty=none; it goes with penalty=reward or",
        ),
        (
            ["penalty=reward", "penalty_decay=0.9"],
            "penalty_decay=0.9 does nothing with penalty=reward; it goes with penalty=actor",
        ),
        (["penalty=reward", "penalty_weight=-1"], "penalty_weight=-1.0 must be at least 0"),
        (["agent=sac", "penalty=actor", "penalty_decay=1.5"], "penalty_decay=1.5 must lie in 0..1"),
        (["penalty=reward", "holding_cost=0"], "a penalty needs a classical teacher"),
        (["penalty=reward", "shortage_cost=0"], "holding and shortage .* must be above 0"),
    ],
)
def test_penalties_that_make_no_sense_are_refused_by_name(arguments, message):
    with pytest.raises(UserError, match=message):
        _ = Experiment.load(None, ["env=lost_sales", *arguments]).agent
