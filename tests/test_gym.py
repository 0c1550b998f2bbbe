"""gymnasium: its check of an environment on every preset, and the single and the vectorised form
beside the gymnax form and beside each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import case
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from marks import slow_but

import jaxinv
from jaxinv.errors import UserError
from jaxinv.keys import root

STORES = dict(
    links=("11",),
    lead_times=((1, 2),),
    warehouse_holding_costs=(0.3,),
    purchase_costs=(0.5,),
    warehouse_lead_time=2,
)
FROM_A_FILE = {"retail": {}, "retail_network": STORES, "network": {}}
LARGE = {"causal_store", "cross_border", "omnichannel", "one_warehouse_many_stores", "unseen"}
"""Presets whose programs take long to compile."""

FORMS = [{}, dict(scaled=True), dict(scaled=True, levels=(0.0, 1.0, 2.0))]
STORE = dict(lead_time=2, horizon=3)

pytestmark = pytest.mark.usefixtures("quick_compilation")


def options_of(name, folder):
    """Options of a preset; those of sales are on a small file of two stores."""
    if name not in FROM_A_FILE:
        return {}
    data = str(case("promotion_in_second_store", folder))
    return dict(data=data, history=8, **FROM_A_FILE[name])


@pytest.mark.filterwarnings("ignore")  # an action space of units is not -1..1, says the check
@pytest.mark.parametrize("form", FORMS[:2], ids=["in units", "scaled"])
@pytest.mark.parametrize("name", slow_but(set(jaxinv.PRESETS) - LARGE, jaxinv.PRESETS))
def test_gymnasium_takes_every_preset(name, form, tmp_path):
    options = options_of(name, tmp_path)
    env = jaxinv.make_gymnasium(name, **form, **options)
    check_env(env, skip_render_check=True)
    assert len(env.observation_names()) == len(env.reset(seed=1)[0])

    many = jaxinv.make_gymnasium(name, 2, **form, **options)
    observations, _ = many.reset(seed=1)
    assert observations in many.observation_space
    observations, rewards, *ends, _ = many.step(many.action_space.sample())
    assert observations in many.observation_space and np.all(np.isfinite(rewards))
    assert rewards.shape == ends[0].shape == ends[1].shape == (2,)
    if form:
        assert np.abs(many.action_space.sample()).max() <= 1
        names = env.observation_names()
        stock = [entry for entry, of in enumerate(names) if not of.startswith("known")]
        assert 0 < np.abs(observations[:, stock]).max() < 40


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("form", FORMS[1:], ids=["scaled", "levels"])
def test_gymnasium_does_not_even_warn(form):
    check_env(jaxinv.make_gymnasium("lost_sales", **form), skip_render_check=True)


@pytest.mark.parametrize("form", FORMS, ids=["in units", "scaled", "levels"])
def test_a_seed_plays_what_the_gymnax_form_plays_from_its_key(form):
    single = jaxinv.make_gymnasium("lost_sales", **form, **STORE)
    env, params = jaxinv.make_gymnax("lost_sales", **form, **STORE)
    observation, _ = single.reset(seed=7)
    key, reset_key = jax.random.split(root(7))
    expected, state = env.reset(reset_key, params)
    single.action_space.seed(0)
    for _ in range(7):  # two episodes, and into a third
        np.testing.assert_array_equal(observation, expected)
        action = single.action_space.sample()
        observation, reward, terminated, truncated, info = single.step(action)
        key, step_key = jax.random.split(key)
        expected, state, *outcome, told = env.step(step_key, state, action, params)
        assert (reward, terminated, truncated) == tuple(map(float, outcome))
        np.testing.assert_array_equal(observation, told["final_observation"])
        assert set(info) == {"costs", "ordered", "sold", "short"} and -reward == info["costs"].sum()
        if truncated:
            with pytest.raises(UserError, match="call reset first"):
                single.step(action)
            observation, _ = single.reset()


def assert_same(ours, theirs):
    """Two infos, whatever they hold."""
    assert set(ours) == set(theirs)
    for name, own in ours.items():
        if isinstance(own, dict):
            assert_same(own, theirs[name])
        elif own.dtype == object:
            for one, other in zip(own, theirs[name]):
                assert (one is None) == (other is None)
                if one is not None:
                    np.testing.assert_allclose(one, other, rtol=1e-6)
        else:
            np.testing.assert_allclose(own, theirs[name], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS, ids=["in units", "scaled", "levels"])
def test_the_vector_form_is_gymnasiums_sync_form(form):
    options = dict(form, **STORE)
    ours = jaxinv.make_gymnasium("lost_sales", 3, **options)
    theirs = SyncVectorEnv(
        [lambda: jaxinv.make_gymnasium("lost_sales", **options)] * 3,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    assert ours.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert ours.action_space == theirs.action_space
    assert ours.observation_space == theirs.observation_space
    for seed in (5, [3, 1, 2]):
        begun = [envs.reset(seed=seed)[0] for envs in (ours, theirs)]
        np.testing.assert_allclose(*begun, rtol=1e-6)
        ours.action_space.seed(0)
        for _ in range(7):
            actions = ours.action_space.sample()
            *outcome, infos = ours.step(actions)
            *expected, told = theirs.step(actions)
            for one, other in zip(outcome, expected):
                np.testing.assert_allclose(one, other, rtol=1e-6)
            assert_same(infos, told)
        assert len({tuple(row) for row in outcome[0]}) == 3  # seeds apart


def test_infos_where_some_environments_end():
    many = jaxinv.make_gymnasium("lost_sales", 2, **STORE)
    many.reset(seed=0)
    ahead = many._state.network.time.at[1].set(2)
    many._state = many._state.replace(network=many._state.network.replace(time=ahead))
    *_, truncated, infos = many.step(many.action_space.sample())
    assert list(truncated) == list(infos["_final_obs"]) == [False, True]
    assert list(infos["_costs"]) == [True, False]
    assert infos["final_obs"][0] is None and infos["final_obs"][1] in many.single_observation_space
    assert np.all(infos["costs"][1] == 0) and np.all(infos["final_info"]["costs"][0] == 0)
    assert infos["final_info"]["costs"][1].sum() > 0


def test_seeds():
    one, other = (jaxinv.make_gymnasium("lost_sales", **STORE) for _ in range(2))
    begins = [[env.reset()[0] for _ in range(20)] for env in (one, other)]
    assert not np.array_equal(*begins)  # drawn, as gymnasium asks; one alone may be equal by chance
    many = jaxinv.make_gymnasium("lost_sales", 20, **STORE)
    assert len({tuple(row) for row in many.reset()[0]}) > 1
    many = jaxinv.make_gymnasium("lost_sales", 2, **STORE)
    np.testing.assert_array_equal(many.reset(seed=4)[0][1], one.reset(seed=np.int64(5))[0])
    largest = 2**32 - 1
    np.testing.assert_array_equal(many.reset(seed=[0, largest])[0][1], one.reset(seed=largest)[0])
    with pytest.raises(UserError, match="seed=-1 must be"):
        one.reset(seed=-1)
    with pytest.raises(UserError, match="seed=4294967296 must be"):
        many.reset(seed=largest)
    with pytest.raises(UserError, match="3 seeds for 2 environments"):
        many.reset(seed=[1, 2, 3])


def test_an_episode_ends_with_its_last_observation():
    env, params = jaxinv.make("deepstock")
    wrapped = jaxinv.envs.gym.GymEnv(env, params.replace(max_steps_in_episode=2))
    wrapped.reset(seed=0)
    nothing = np.zeros((1, 1), np.float32)
    assert wrapped.step(nothing)[2:4] == (False, False)
    observation, _, terminated, truncated, _ = wrapped.step(nothing)
    assert terminated and not truncated
    # it has owed demand since it began
    assert observation[env.observation_names(params).index("backorder[store]")] > 0


# Scaled and discrete forms


def test_scaled_orders_are_the_plain_ones():
    plain, params = jaxinv.make("lost_sales", integer_orders=False, **STORE)
    scaled, _ = jaxinv.make_gymnax("lost_sales", integer_orders=False, scaled=True, **STORE)
    levels, _ = jaxinv.make_gymnax("lost_sales", integer_orders=False, levels=4, **STORE)
    key = jax.random.key(0)
    _, state = plain.reset(key, params)
    for action, index, order in (
        (-1.0, 0, 0.0),
        (-1 / 3, 1, 5.0),
        (1 / 3, 2, 10.0),
        (1.0, 3, 15.0),
    ):
        expected = plain.step(key, state, jnp.full((1, 1), order), params)
        by_number = scaled.step(key, state, jnp.asarray([action], jnp.float32), params)
        by_level = levels.step(key, state, jnp.int32(index), params)
        for own in (by_number, by_level):
            np.testing.assert_allclose(own[2], expected[2], rtol=1e-6)
            np.testing.assert_allclose(own[5]["ordered"], order, rtol=1e-6)
        np.testing.assert_allclose(by_level[0], expected[0], rtol=1e-6)
    beyond = scaled.step(key, state, jnp.asarray([7.0]), params)
    np.testing.assert_array_equal(beyond[5]["ordered"], by_number[5]["ordered"])
    assert float(scaled.step(key, state, jnp.asarray([jnp.nan]), params)[5]["ordered"][0, 0]) == 0


def test_scaled_observations_are_the_plain_ones_in_units_of_the_instance():
    """Stock in demand over lead time and review, orders on their way and demand in demand of a
    period; what never changes is left out.
    """
    plain, params = jaxinv.make("lost_sales", lead_time=3, mean=8.0)
    scaled, _ = jaxinv.make_gymnax("lost_sales", lead_time=3, mean=8.0, scaled=True)
    key = jax.random.key(1)
    whole, state = plain.reset(key, params)
    seen, _ = scaled.reset(key, params)
    names, entries = scaled.observation_names(), plain.observation_names(params)
    units = {"on_hand[store]": 4 * 8.0, "demand[store, 1 ago]": 8.0}
    assert set(entries) - set(names) == {
        *("lead_time[supplier-store]", "scale[store]", "pack_size[supplier-store]"),
        *("holding[store]", "shortage[store]"),
    }
    for name, value in zip(names, seen):
        np.testing.assert_allclose(value, whole[entries.index(name)] / units.get(name, 8.0))


def test_the_largest_order_is_one_that_can_be_placed():
    """A minimum order of 300 is more than three times what goes through a road in a period."""
    options = dict(history=2, horizon=4)
    env, params = jaxinv.make_gymnax("cross_border", scaled=True, **options)
    minimum = params.replace(minimum_order=jnp.full_like(params.minimum_order, 300.0))
    most = env.orders(jnp.ones(env.action_space().shape), minimum)
    assert float(most.min()) >= 300.0


def test_several_orders_and_dispositions():
    options = dict(stores=2, return_rates=(0.1, 0.2), history=2, horizon=4)
    env, params = jaxinv.make_gymnax("omnichannel", scaled=True, **options)
    assert env.action_names[0].startswith("order[") and env.action_names[-1].startswith(
        "liquidate["
    )
    action = env.orders(jnp.zeros(env.num_actions), params)
    np.testing.assert_allclose(action.dispositions, 0.5)
    many = jaxinv.make_gymnasium("omnichannel", levels=3, **options)
    assert list(many.action_space.nvec) == [3] * (12 + 8)  # orders and fates, too many to combine
    combined = jaxinv.make_gymnasium("dual_sourcing", levels=3)
    assert combined.action_space.n == 9


def test_parameters_may_be_left_out_in_a_program_of_the_callers():
    """Even where they have not been asked for before: they are kept, and are not of its trace."""
    env, params = jaxinv.make_gymnax("lost_sales", scaled=True, **STORE)
    _, inside = jax.jit(env.reset)(jax.random.key(0))
    _, outside = env.reset(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, inside, outside)
    jax.tree.map(np.testing.assert_array_equal, env.default_params, params)


def test_one_done_is_either_end():
    env, params = jaxinv.make_gymnax("lost_sales", one_done=True, **STORE)
    _, state = env.reset(jax.random.key(0), params)
    done = []
    for period in range(4):
        _, state, _, ended, _ = env.step(jax.random.key(period), state, jnp.zeros((1, 1)))
        done.append(bool(ended))
    assert done == [False, False, True, False]


def test_the_forms_are_told_apart():
    def form(**given):
        return jaxinv.make_gymnax("lost_sales", **given)[0]

    assert form(scaled=True) == form(scaled=True) and hash(form(levels=3)) == hash(form(levels=3))
    kinds = [form(), form(scaled=True), form(levels=3), form(levels=4), form(one_done=True)]
    kinds += [
        form(scaled=True, levels=3),
        form(scaled=True, largest=4),
        form(scaled=True, mean=6.0),
    ]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("lost_sale", {}, "unknown preset 'lost_sale'; did you mean 'lost_sales'"),
        ("lost_sales", dict(led_time=2), "unknown option of lost_sales 'led_time'; did you mean"),
        ("lost_sales", dict(scale=True), "'scale'; did you mean 'scaled'"),
        ("lost_sales", dict(num_env=3), "'num_env'; did you mean 'num_envs'"),
        ("lost_sales", dict(num_envs=0), "num_envs=0 must be a whole number above 0"),
        ("lost_sales", dict(num_envs=2.0), "num_envs=2.0 must be a whole number above 0"),
        ("lost_sales", dict(levels=1), "levels=1: give how many, at least 2"),
        ("lost_sales", dict(scaled="yes"), "scaled=yes must be True or False"),
        ("lost_sales", dict(largest=4), "largest=4 is the largest order of scaled=True"),
        ("lost_sales", dict(scaled=True, levels=(0, 1), largest=4), "largest=4 is the largest"),
        ("lost_sales", dict(scaled=True, largest=0), "largest=0 must be a multiple"),
        ("lost_sales", dict(one_done=True), "one_done is for jaxinv.make_gymnax"),
    ],
)
def test_mistakes_are_named(name, options, said):
    with pytest.raises(UserError, match=said):
        jaxinv.make_gymnasium(name, **options)


def test_actions_of_another_shape_are_named():
    single = jaxinv.make_gymnasium("lost_sales", scaled=True, **STORE)
    many = jaxinv.make_gymnasium("lost_sales", 3, scaled=True, **STORE)
    single.reset(seed=0), many.reset(seed=0)
    with pytest.raises(UserError, match=r"is an array of shape \(1,\), not \(2,\)"):
        single.step(np.zeros(2))
    with pytest.raises(UserError, match=r"of 3 environments are arrays \(3, ...\), not \(2, 1\)"):
        many.step([[0.0], [0.0]])
    assert many.step([[0.0], [0.5], [1.0]])[1].shape == (3,)


@pytest.mark.parametrize("num_envs", [None, 2])
def test_a_step_needs_a_reset(num_envs):
    env = jaxinv.make_gymnasium("lost_sales", num_envs, **STORE)
    with pytest.raises(UserError, match="call reset first"):
        env.step(env.action_space.sample())
