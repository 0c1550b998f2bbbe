"""The public scoreboard: gym-invmgmt's scenarios in our world and in theirs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.demand.announced import Announced, AnnouncedParams
from jaxinv.demand.exogenous import Exogenous
from jaxinv.errors import UserError
from jaxinv.exact.network_plan import best_plan
from jaxinv.studies import gym_invmgmt, invmgmt_release, invmgmt_training
from jaxinv.studies.cells import Cells
from jaxinv.studies.invmgmt_play import play_orders, profit_in_ours, translated
from jaxinv.studies.invmgmt_scenarios import PERIODS, SEEDS, Scenario, mean_of, scenarios
from jaxinv.studies.invmgmt_training import Cell

pytestmark = pytest.mark.usefixtures("quick_compilation")
WINDOW = tuple(np.linspace(0.0, 40.0, PERIODS))
SHORT = SEEDS[:2]

needs_theirs = pytest.importorskip(
    "gym_invmgmt", reason="gym-invmgmt is not installed: pip install 'jaxinv[bench]'"
)


def busy_orders(edges, seed=0):
    """Orders `[T, E]` that ask for too much in some weeks."""
    draw = np.random.default_rng(seed)
    return draw.uniform(0.0, 60.0, (PERIODS, edges)) * (draw.random((PERIODS, edges)) < 0.7)


def test_the_26_scenarios_have_their_published_names():
    every = scenarios(WINDOW)
    assert len(every) == 26 and len(scenarios()) == 24
    assert len({scenario.key for scenario in every}) == 26
    assert sum(scenario.goodwill for scenario in every) == 8
    assert len({scenario.alone for scenario in every}) == 22
    key = "A_Core|serial|trend+seasonal+shock|GW:True|BL:False|MARL:False"
    assert any(scenario.key == key for scenario in every)


@pytest.mark.parametrize("scenario", scenarios(WINDOW)[::5], ids=lambda scenario: scenario.name)
def test_the_mean_of_demand_is_theirs(scenario):
    engine = scenario.theirs().demand_engine
    theirs = [engine.get_current_mu(period) for period in range(PERIODS)]
    np.testing.assert_allclose(scenario.mean, theirs, rtol=1e-12)


@pytest.mark.parametrize("network", ["base", "serial"])
@pytest.mark.parametrize("goodwill, backlog", [(True, True), (True, False), (False, False)])
def test_what_they_tell_is_our_state_and_orders_earn_the_same(network, goodwill, backlog):
    scenario = Scenario("A_Core", network, "trend+seasonal", goodwill, backlog)
    ours = scenario.ours()
    topology, params = ours.env.topology, ours.first
    orders, told = busy_orders(topology.edges), []

    def act(period, seen):
        told.append(seen)
        return np.tile(orders[period], (len(seen), 1))

    played = play_orders(scenario, act, SHORT)
    assert (played.goodwill.min() < 1) == goodwill
    base = jnp.asarray(played.demand / played.goodwill, jnp.float32)  # [S, T]

    def period(state, x):
        order, asked = x
        after, _ = ours.env.transition(state, order[:, None], Exogenous(asked[None, None]), params)
        return after, state

    @jax.jit
    def states(base):
        start = ours.env.start({"stock": jnp.zeros((topology.nodes, 1))}, params)
        return jax.lax.scan(period, start, (jnp.asarray(orders, jnp.float32), base))[1]

    translate = jax.jit(lambda seen: translated(topology, params, seen))
    for number in range(len(SHORT)):
        mine = states(base[number])
        for time in range(PERIODS):
            state, demand = translate(jnp.asarray(told[time][number], jnp.float32))
            assert state.time == time
            same = jax.tree.map(lambda leaf: leaf[time], mine)  # noqa: B023
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), state, same)
            if time:
                assert demand[0, 0] == pytest.approx(played.demand[number, time - 1])
        earned = profit_in_ours(ours.env, params, jnp.asarray(orders, jnp.float32), base[number])
        assert float(earned) == pytest.approx(played.profit[number], abs=0.05)


@pytest.mark.parametrize("backlog", [True, False])
def test_the_best_plan_earns_in_theirs_what_it_says_and_nothing_earns_more(backlog):
    scenario = Scenario("A_Core", "serial", "trend+seasonal", backlog=backlog)
    ours = scenario.ours()
    topology = ours.env.topology
    silent = play_orders(scenario, lambda period, seen: np.zeros((2, topology.edges)), SHORT)
    plans = [best_plan(topology, ours.first, demand) for demand in silent.demand]
    orders = np.stack([plan.orders for plan in plans], 1)
    there = play_orders(scenario, lambda period, seen: orders[period], SHORT)
    np.testing.assert_allclose(there.profit, [plan.profit for plan in plans], atol=1e-4)
    draw = np.random.default_rng(1)
    for size in (0.0, 0.1, 1.0):  # small changes of the plan, and large ones
        other = np.maximum(orders + size * 20 * draw.standard_normal(orders.shape), 0.0)
        less = play_orders(scenario, lambda period, seen: other[period], SHORT)  # noqa: B023
        assert (less.profit <= there.profit + 1e-4).all()


def test_the_best_plan_refuses_what_it_does_not_know():
    scenario = Scenario("A_Core", "serial", "stationary")
    ours = scenario.ours()
    more = ours.env.topology.__class__(
        **vars(ours.env.topology) | {"mechanisms": ours.env.topology.mechanisms | {"duty"}}
    )
    with pytest.raises(UserError, match="leave out duty"):
        best_plan(more, ours.first, np.full(PERIODS, 20.0))


def test_announced_demand_tells_its_mean_and_no_more():
    mean = jnp.asarray(mean_of("trend", "shock"), jnp.float32)[:, None, None]
    process = Announced(1, 1, ahead=PERIODS, facts=("goodwill",))
    assert len(process.told) == PERIODS + 1

    def numbers(noise):
        one = jnp.float32(1.0)
        return AnnouncedParams(mean, jnp.float32(noise), jnp.float32(20.0), one, one[None])

    def demand(noise, uniform):
        def period(state, _):
            known = process.known(state, numbers(noise))
            state, asked = process.step(state, {"demand": uniform}, numbers(noise))
            return state, (asked[0, 0], known)

        return jax.lax.scan(period, process.init({}, numbers(noise)) + 1, None, PERIODS)[1]

    low, told = demand(1.0, jnp.full((1, 1), 0.1))
    high, told_too = demand(1.0, jnp.full((1, 1), 0.9))
    np.testing.assert_array_equal(told, told_too)  # whatever demand will be
    assert (low < mean[:, 0, 0]).all() and (mean[:, 0, 0] < high).all()
    np.testing.assert_allclose(told[3, : PERIODS - 3], mean[3:, 0, 0] / 20.0)
    np.testing.assert_array_equal(told[3, PERIODS - 3 : PERIODS], 0.0)  # the end
    assert told[3, -1] == 1.0  # the fact
    np.testing.assert_allclose(demand(0.0, jnp.full((1, 1), 0.1))[0], mean[:, 0, 0])


# --- the release, and cells -----------------------------------------------------------------------


@pytest.fixture
def results(tmp_path):
    """A folder like that of the release, in which agents earn round numbers."""
    cache = tmp_path / "results" / "cache_v2"
    cache.mkdir(parents=True)
    earned = {"Oracle": 1000, "MSSP-I": 950, "MSSP": 700, "PPO-MLP": 600, "s,S": 500}
    for agent, profit in earned.items():
        rows = [
            f"{scenario.key},{seed},{profit + seed % 7},0.5"
            for scenario in scenarios(WINDOW)
            for seed in SEEDS
        ]
        (cache / f"bench_{agent}.csv").write_text(
            "\n".join(["ScenarioKey,Seed,Profit,Latency", *rows])
        )
    window = json.dumps({"scaled_series": list(WINDOW)})
    (tmp_path / "results" / "m5_window_metadata.json").write_text(window)
    return tmp_path / "results"


def test_the_release_is_read_by_agent_scenario_and_seed(results):
    release = invmgmt_release.read(results)
    every = scenarios(release.window)
    assert release.of("MSSP-I", every).shape == (26, len(SEEDS))
    np.testing.assert_allclose(release.of("Oracle", every)[3], [1000 + seed % 7 for seed in SEEDS])
    assert release.whole(every) == ["MSSP", "MSSP-I", "Oracle", "PPO-MLP", "s,S"]


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("cache_v2/bench_Oracle.csv", None, "has no cache_v2/bench_Oracle.csv"),
        ("cache_v2/bench_Oracle.csv", "ScenarioKey,Seed\na,1\n", "has no column Profit"),
        ("cache_v2/bench_MSSP.csv", "", "cannot be read as CSV"),
        ("m5_window_metadata.json", "{", "has no window of M5"),
        ("m5_window_metadata.json", '{"scaled_series": [1, 2]}', "a window of 2 periods"),
    ],
)
def test_a_release_that_lacks_something_is_refused_in_one_line(results, file, text, message):
    if text is None:
        (results / file).unlink()
    else:
        (results / file).write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        invmgmt_release.read(results)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "parts, message",
    [((), "name the folder"), (("nowhere",), "has no cache_v2"), (None, "no scenario is called")],
)
def test_the_study_asks_for_the_release_and_for_scenarios_that_are_there(results, parts, message):
    parts = (str(results), "atlantis") if parts is None else parts
    with pytest.raises(UserError, match=message):
        list(gym_invmgmt.run(parts=parts))


def test_a_finished_cell_is_not_trained_again(tmp_path, monkeypatch):
    trained = []

    def training(trainer, config):
        trained.append(config)
        return len(trained), 1.0

    monkeypatch.setattr(invmgmt_training, "_trained", training)
    monkeypatch.setattr(
        invmgmt_training,
        "played",
        lambda scenario, agent, number, seconds: Cell(number * np.ones(10), -number, seconds, 0.1),
    )
    every = [Scenario("A_Core", "serial", "trend+seasonal"), Scenario("C_MARL", "serial", "trend+seasonal", marl=True)]  # fmt: skip

    def profits(**setting):
        found = invmgmt_training.specialists(every, Cells(tmp_path, setting))
        return [cell.profit.tolist() for _, cell in found]

    tries = len(invmgmt_training.TRIALS)
    for _ in range(2):  # the twin is the same, and the first try was rehearsed best
        assert profits(updates=3) == [[1.0] * 10] * 2 and len(trained) == tries
    profits(updates=4)
    assert len(trained) == 2 * tries  # another setting is another cell
    file = max((tmp_path / "cells").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    file.write_bytes(file.read_bytes()[:20])
    profits(updates=4)
    assert len(trained) == 2 * tries + 1  # as is one that was not written whole
    for _ in range(2):
        list(invmgmt_training.generalist("serial", every, Cells(tmp_path, {})))
    assert len(trained) == 2 * tries + 2  # one policy for all


def test_laws_are_drawn_around_the_published_ones():
    laws = invmgmt_training.drawn_laws(200)
    means = np.stack([law.mean for law in laws])
    assert (means >= 0).all() and 15 < means.mean() < 60
    for share in (
        np.mean([law.goodwill for law in laws]),
        np.mean([law.waits for law in laws]),
        3 * np.mean([law.noise == 0 for law in laws]),
    ):
        assert 0.35 < share < 0.65


@pytest.mark.slow
def test_the_quick_study_gives_rows_with_gaps(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = list(gym_invmgmt.run(quick=True, parts=[str(results)]))
    claims = [row["claim"] for row in rows]
    assert sum(claim.startswith("specialists, ") for claim in claims) == 2
    assert any("generalist: mean gap" in claim for claim in claims)
    assert all(np.isfinite(row["ours"]) for row in rows)
