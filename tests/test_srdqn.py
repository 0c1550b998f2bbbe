"""SRDQN: orders that answer to orders, what agents hear of the others, and layers taken over."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import train
from jaxinv.agents.dqn import DQN
from jaxinv.agents.loop import Trainer, check_finite
from jaxinv.agents.srdqn import SRDQN, SRDQNConfig, told_of_others
from jaxinv.agents.transfer import taken_over, with_layers
from jaxinv.envs.presets import BEER_GAME, DualSourcing, LostSales, Serial
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.experiment import Experiment
from jaxinv.runs import Run

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = dict(
    updates=4, envs=4, rollout=6, hidden=(8, 8), encoder="none", capacity=48, batch=16, steps=2
)
GAME = Serial(
    **{
        **BEER_GAME,
        "demand_path": (),
        "initial_stock": (),
        "demand": "poisson",
        "horizon": 12,
        "history": 2,
    }
)
PARTNERS = "base_stock(level=[8, 8, 8, 8])"


def agent_of(kind=GAME, **options):
    return SRDQN.create(kind.build(), SRDQNConfig(**{**SIZES, **options}))


def seen(agent, key=3):
    env = agent.worlds.env
    params = jax.tree.map(lambda leaf: leaf[0], agent.worlds.params)
    _, state = env.reset_env(jax.random.key(key), params)
    return env.view(state.network, params, state.signals), state.signals


# --- d + x ----------------------------------------------------------------------------------------


def order(agent, observation, signals, index):
    context = jax.tree.map(
        lambda leaf: leaf[-1], agent.policy.read_rates(signals, observation.instance)
    )
    raw = agent.policy.decode.one_hot(jnp.asarray(index))
    return agent.policy.decode(raw, observation, context.rates), context


def test_stages_answer_to_the_orders_that_reached_them():
    """Orders travel a week, those of the factory none: what a stage ordered two weeks ago is the
    last that reached the stage before it; the retailer answers to its customers.
    """
    agent = agent_of(actions=5, largest=1.0)  # steps of 2 where 4 is typical
    observation, signals = seen(agent)
    orders = jnp.arange(12.0).reshape(4, 1, 3)  # by edge, then by age
    observation = observation.replace(orders=orders)
    signals = signals.at[-1, 0].set(7.0)
    asked = np.array([orders[1, 0, 1], orders[2, 0, 1], orders[3, 0, 1], 7.0])
    for index, step in enumerate((-4.0, -2.0, 0.0, 2.0, 4.0)):
        made, context = order(agent, observation, signals, [index] * 4)
        expected = np.maximum(asked + step, 0.0)
        np.testing.assert_allclose(made[:, 0], expected, atol=1e-5)
        raw = agent.policy.decode.raw_for(made, observation, context.rates)
        chosen = np.asarray(agent.chosen(raw))
        np.testing.assert_array_equal(chosen[expected > 0], index)


def test_one_place_answers_to_its_demand_and_two_suppliers_share_it():
    agent = agent_of(LostSales(lead_time=2, history=8), actions=11, largest=1.0)
    observation, signals = seen(agent)
    signals = signals.at[-1, 0].set(9.0)  # the last period alone, whatever was before
    made, _ = order(agent, observation, signals, [7])
    np.testing.assert_allclose(made, [[9.0 + 2 * 0.2 * 5.0]], rtol=1e-5)
    agent = agent_of(DualSourcing())
    observation, signals = seen(agent)
    made, _ = order(agent, observation, signals.at[-1, 0].set(3.0), [5, 5])
    np.testing.assert_allclose(made[:, 0], [1.5, 1.5], rtol=1e-5)


# --- feedback -------------------------------------------------------------------------------------


def test_feedback_sums_to_the_identity():
    """With feedback = N - 1 each return is that of all; and what is added to all agents together
    is the feedback times the return of all, as each of them is heard of N - 1 times.
    """
    reward = np.random.default_rng(0).normal(size=(7, 3, 2))
    team = reward.sum(1)
    whole = told_of_others(reward, team, 1.0)
    np.testing.assert_allclose(whole.sum(0), np.broadcast_to(team.sum(0), (3, 2)), rtol=1e-9)
    added = (told_of_others(reward, team, 5.0 / 2) - reward).sum((0, 1))
    np.testing.assert_allclose(added, 5.0 * team.sum(0), rtol=1e-9)
    np.testing.assert_allclose(np.ptp(whole - reward, 0), 0, atol=1e-12)


def played(agent, state):
    return agent._play(state, jax.random.key(1))[0][2]


def test_one_who_learns_hears_of_partners_too():
    agent = agent_of(learns=("stage 2",), partners=PARTNERS, feedback=3.0)
    assert agent.everyone == 4 and len(agent.roles) == 1
    found = jax.jit(played)(agent, jax.jit(agent.init)(jax.random.key(0)))
    assert found.reward.shape == (6, 1, 4)
    np.testing.assert_allclose(found.reward.sum(0)[0], found.team.sum(0), rtol=1e-4)


def test_a_single_agent_has_nobody_to_hear_from():
    agent = agent_of(LostSales(lead_time=2), aligned_rewards=False)
    state = jax.jit(agent.init)(jax.random.key(0))
    assert agent.everyone == 1 and agent.roles is None
    plain = DQN(
        **{name: getattr(agent, name) for name in ("config", "policy", "worlds", "numbers")}
    )
    ours, theirs = jax.jit(played)(agent, state), jax.jit(played)(plain, state)
    np.testing.assert_array_equal(ours.reward, theirs.reward)


# --- layers taken over ----------------------------------------------------------------------------


def test_first_layers_are_copied_and_no_others():
    agent = agent_of(LostSales(lead_time=2, history=3), encoder="last", features=4)
    trainer = Trainer(agent)
    state = trainer.init(jax.random.key(0))
    donor = trainer.init(jax.random.key(1)).params
    begun = taken_over(state, donor, 1)
    assert begun.learner.target is begun.learner.params
    copied = []

    def check(path, ours, own, theirs):
        name = jax.tree_util.keystr(path)
        first = "encoder" in name or "Dense_0" in name
        np.testing.assert_array_equal(ours, theirs if first else own)
        if np.any(own != theirs):
            copied.append(first)

    jax.tree_util.tree_map_with_path(check, begun.params, state.params, donor)
    assert set(copied) == {True, False}
    everything = taken_over(state, donor, None).params
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a == b).all(), everything, donor)))
    runs = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state.params)  # of two seeds
    both = jax.tree.map(lambda leaf: leaf[1], with_layers(runs, donor, 1))
    jax.tree.map(np.testing.assert_array_equal, both, begun.params)


def test_layers_of_another_network_are_refused():
    ours, theirs = agent_of(LostSales(lead_time=2)), agent_of(LostSales(lead_time=3))
    state = Trainer(ours).init(jax.random.key(0))
    donor = jax.jit(theirs.init)(jax.random.key(0)).params
    with pytest.raises(UserError, match=r"init: the run has \[\d+, 8\] where this network has"):
        taken_over(state, donor, 1)


TINY = (
    "--env lost_sales lead_time=1 agent=srdqn updates=2 envs=4 rollout=6 capacity=48 batch=8 steps=1"
    " hidden=8 evaluation.rules=base_stock evaluation.tune_periods=60000 evaluation.paths=8"
).split()


def test_a_training_takes_over_a_run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxinv.evidence.HOPELESS", 1e9)  # two updates teach nothing
    train.main([*TINY, "--name", "first", "--json"])
    assert json.loads(capsys.readouterr().out)["agent"] == "srdqn"
    overrides = ["env=lost_sales", *TINY[2:]]
    donor = Experiment.of_run(Run.open("first")).restored(Run.open("first"))[1].params
    begun = Experiment.load(None, [*overrides, "init=first", "init_layers=1", "seed=5"])
    params = begun.begin("runs").params["params"]
    for part, name in (("value", "Dense_0"), ("weights", "Dense_0")):
        jax.tree.map(np.testing.assert_array_equal, params[part][name], donor["params"][part][name])
    assert np.any(
        params["value"]["Dense_1"]["kernel"] != donor["params"]["value"]["Dense_1"]["kernel"]
    )
    for override, message in (
        ("init=frist", "unknown run in runs 'frist'; did you mean 'first'"),
        ("init_layers=1", "init_layers=1 are first layers"),
        ("form=base", "form=base says what an output multiplies"),
    ):
        with pytest.raises(UserError, match=message):
            train.main([*TINY, override])


def test_four_learn_at_once():
    trainer = Trainer(agent_of(encoder="stack"))
    after, metrics = trainer.advance(trainer.init(jax.random.key(0)), 2)
    check_finite(metrics, 0)


@pytest.mark.parametrize("name", ["one_warehouse_many_stores", "two_warehouses", "omnichannel"])
def test_it_is_made_for_every_network(name):
    options = dict(stores=2) if name != "two_warehouses" else {}
    agent = agent_of(preset(name)(**options))
    state = jax.eval_shape(agent.init, jax.random.key(0))
    _, metrics = jax.eval_shape(agent.update, state)
    assert metrics["cost"].shape == ()
