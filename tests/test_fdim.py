"""Forecasting by parties that keep their columns apart: FDIM."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.fdim import FDIM, FDIMConfig
from jaxinv.agents.federated import central_loss, federated_gradient
from jaxinv.envs.presets import LostSales
from jaxinv.errors import UserError
from jaxinv.nets.federated import HOLDER

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROBLEM = LostSales(demand="seasonal", lead_time=2, history=4, shortage_cost=9.0).build()
TWO = ("shop:demand", "town:season sine+season cosine")


def agent(**options):
    small = dict(
        encoder="last", features=3, hidden=(4,), envs=4, rollout=6, forecast=3, parties=TWO
    )
    return FDIM.create(PROBLEM, FDIMConfig(**{**small, **options}))


@pytest.fixture(scope="module")
def begun():
    """An agent, its first state, and a lesson of its worlds."""
    made = agent()

    @jax.jit
    def begin(key):
        state = made.init(key)
        instance = made.worlds.instance_params(state.index, state.episodes.key)
        _, trace, signals = made.worlds.play_ahead(state.episodes, instance)
        return state, made.lesson(signals, trace, instance)

    return made, *begin(jax.random.key(0))


def test_federated_gradients_are_the_centralised_ones_without_noise(begun):
    made, state, lesson = begun
    key = jax.random.key(1)
    federated = jax.jit(partial(federated_gradient, made.federation))
    loss, ours = federated(state.params, lesson, key, 0.0)
    whole = jax.jit(jax.value_and_grad(partial(central_loss, made.federation)))
    central, theirs = whole(state.params, lesson)
    assert loss == pytest.approx(float(central), rel=1e-6)
    assert set(ours["params"]) == {"shop", "town", HOLDER}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours, theirs)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(ours["params"]["town"]))
    _, other = federated(state.params, lesson, key, 0.5)
    assert not np.allclose(other["params"][HOLDER]["MLP_0"]["Dense_0"]["kernel"],
                           ours["params"][HOLDER]["MLP_0"]["Dense_0"]["kernel"])  # fmt: skip


def test_a_party_sees_its_own_columns_alone(begun):
    made, state, lesson = begun
    (_, own), (_, others) = made.federation.parties
    changed = lesson.tokens.at[..., np.asarray(others)].add(1.0)
    weights = state.params["params"]["shop"]
    before, after = (
        made.federation.send(weights, tokens[..., np.asarray(own)])
        for tokens in (lesson.tokens, changed)
    )
    np.testing.assert_array_equal(before, after)
    assert np.abs(before).max() <= 1.0
    whole = [made.federation.apply(state.params, tokens)[1] for tokens in (lesson.tokens, changed)]
    assert not np.allclose(*whole)


def test_fedavg_of_one_client_is_plain_training(begun):
    plain, state, _ = begun
    ends = []
    for one in (plain, agent(clients=1)):
        update, now = jax.jit(one.update), state
        for _ in range(2):
            now, _ = update(now)
        ends.append(now.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *ends)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), ends[0], state.params)
    assert max(map(float, jax.tree.leaves(moved))) > 1e-4


def test_fedavg_weighs_clients_by_what_they_have(begun):
    made, state, lesson = begun
    with pytest.raises(UserError, match="clients=2 are more than the 1 series"):
        agent(clients=2)
    both = made.replace(config=replace(made.config, clients=2))
    index = jnp.array([0, 1, 0, 0])  # three environments of the first client, one of the second
    (params, _), _, _ = jax.jit(both._round)(
        state.params, state.optimiser, lesson, index, jnp.int32(0)
    )

    @jax.jit
    def arrived(share):
        own = lesson.replace(share=share)
        grads = jax.grad(partial(central_loss, made.federation))(state.params, own)
        return both.descend(state.params, state.optimiser, grads, jnp.int32(0))[0]

    ends = [arrived((index == client) / jnp.sum(index == client)) for client in (0, 1)]
    wanted = jax.tree.map(lambda a, b: 0.75 * a + 0.25 * b, *ends)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
                 params, wanted)  # fmt: skip


def test_orders_go_up_to_the_newsvendors_level(begun):
    made, state, _ = begun
    policy = made.policy
    instance = PROBLEM.first
    network = jax.tree.map(lambda leaf: leaf[..., 0], state.episodes.network)
    window = state.episodes.signals[..., 0]
    seen = PROBLEM.env.view(network, instance, window)
    context = policy.context(state.params, seen, None)
    quantiles = np.asarray(context.forecast[:, 0]) * float(context.recent[0, 0])  # [J, Q]
    # b / (b + h) = 9 / 10, so z is that of the upper quantile itself
    level = quantiles[:3, 1].sum() + np.sqrt(((quantiles[:3, 2] - quantiles[:3, 1]) ** 2).sum())
    assert float(policy.levels(seen, context)[0, 0]) == pytest.approx(level, rel=1e-5)
    position = float(network.on_hand.sum() + network.pipeline.sum())
    order = float(policy(state.params, seen)[0, 0])
    assert order == pytest.approx(max(level - position, 0.0), rel=1e-5, abs=1e-4)
    shorter = agent(forecast=2).policy  # the last period that is foreseen is taken again
    cut = replace_forecast(context, 2)
    twice = quantiles[[0, 1, 1]]
    level = twice[:, 1].sum() + np.sqrt(((twice[:, 2] - twice[:, 1]) ** 2).sum())
    assert float(shorter.levels(seen, cut)[0, 0]) == pytest.approx(level, rel=1e-5)


def replace_forecast(context, periods):
    return context.replace(forecast=context.forecast[:periods])


@pytest.mark.parametrize(
    ("parties", "says"),
    [
        (("shop:demand", "town:"), "'town' owns no column"),
        (("shop:demand", "town"), "'town' owns no column"),
        (("shop:demand", "town:seasons"), "did you mean"),
        (("shop:demand", "town:demand"), r"shop and town both own demand\[store\]"),
        (("town:season sine",), "nobody owns demand"),
        (("shop:demand", "shop:season sine"), "'shop' is taken"),
    ],
)
def test_parties_that_cannot_be_are_refused_by_name(parties, says):
    with pytest.raises(UserError, match=says):
        agent(parties=parties)


def test_options_that_would_do_nothing_are_refused():
    for option, says in (
        (dict(form="both"), "form is of learners"),
        (dict(signals=("demand",)), "signals is of learners"),
        (dict(encoder="none"), "encoder=none"),
        (dict(local_steps=3), "are of clients"),
    ):
        with pytest.raises(UserError, match=says):
            FDIMConfig(**option)


def test_without_parties_named_each_owner_has_its_own():
    made = FDIM.create(PROBLEM, replace(FDIMConfig(), envs=2, rollout=4))
    assert made.federation.parties == (("retailer", (0,)), ("public", (1, 2)))
