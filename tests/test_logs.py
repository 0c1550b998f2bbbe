"""Logs of known behaviour: who decided, in which problem, and a file that says so and is unchanged."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv import log as command
from jaxinv.envs.presets import DualSourcing, LostSales
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.evaluation.behaviour import Part, behaviour_costs, play_log
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.logs import check_fit, description, read_log, write_log
from jaxinv.keys import root
from jaxinv.policies.around import Scattered, Varied
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")

STORE = LostSales(lead_time=2, shortage_cost=9.0, horizon=10)


def rule_of(problem, name="base_stock", number=1.3, spread=0.0):
    rule = make_rule(name, problem.env.topology)
    numbers = {key: jnp.full(shape, number) for key, shape in rule.shapes().items()}
    if not spread:
        return Contestant(name, rule, numbers)
    around = {"policy": numbers, "spread": jnp.float32(spread)}
    return Contestant(name, Varied(rule.topology, rule), around)


def played(problem, *parts, episodes=6, periods=8):
    parts = parts or (Part(1.0, rule_of(problem)),)
    return play_log(problem, parts, rule_of(problem), root(0), episodes, periods)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    problem, path = STORE.build(), tmp_path_factory.mktemp("logs") / "log.npz"
    write_log(path, played(problem), {"policy": "base_stock", "fits": description(problem)})
    return path


# --- who decides ----------------------------------------------------------------------------------


def test_a_rule_beside_itself_earns_the_very_same():
    log = played(STORE.build())
    np.testing.assert_array_equal(log.baseline, log.reward)
    assert log.log_prob is None and log.reward.shape == (8, 6)


def test_parts_share_the_episodes_and_only_what_is_drawn_has_a_probability():
    problem = STORE.build()
    parts = (
        Part(0.5, rule_of(problem), spread=True),
        Part(0.5, rule_of(problem, spread=0.3)),
    )
    log = played(problem, *parts)
    assert (log.log_prob[:, :3] == 0).all() and (log.log_prob[:, 3:] != 0).all()
    levels = np.asarray((log.on_hand + log.in_transit + log.orders)[0, 0, 0, :3])
    assert np.unique(levels).size == 3  # each episode has a level of its own
    assert np.all((levels >= 0.7 * 1.3 * 15 - 1) & (levels <= 1.3 * 1.3 * 15 + 1))


def test_orders_by_chance_lie_between_nothing_and_twice_the_mean():
    problem = LostSales(lead_time=2, integer_orders=False).build()
    _, rule, numbers, _ = rule_of(problem, "constant_order", 1.0)
    chance = Contestant("chance", Scattered(rule.topology, rule), {"policy": numbers})
    orders = np.asarray(played(problem, Part(1.0, chance), episodes=64, periods=30).orders).ravel()
    assert 0 <= orders.min() < 0.1 and 9.9 < orders.max() <= 10.0
    assert abs(orders.mean() - 5.0) < 4 * 10 / np.sqrt(12 * orders.size)


def test_costs_of_parts_are_paired_with_those_of_any_policy():
    problem = LostSales(lead_time=1).build()
    one, other = rule_of(problem), rule_of(problem, number=0.8)
    found = behaviour_costs(problem, [Part(0.25, one), Part(0.75, other)], root(1), 8)
    apart = [costs(problem, each, root(1), 8) for each in (one, other)]
    np.testing.assert_allclose(found, [*apart[0][:2], *apart[1][2:]], rtol=1e-5)


@pytest.mark.parametrize("episodes, periods", [(6, 0), (1, 8), (0, 8)])
def test_a_log_without_a_step_is_refused(episodes, periods):
    problem = STORE.build()
    parts = (Part(0.5, rule_of(problem)), Part(0.5, rule_of(problem)))
    with pytest.raises(UserError, match="must be 1 ..|leave a part of the log without one"):
        played(problem, *parts, episodes=episodes, periods=periods)


# --- the file -------------------------------------------------------------------------------------


def test_a_log_is_read_as_it_was_written(file):
    log = read_log(file, STORE.build())
    jax.tree.map(np.testing.assert_array_equal, log.trajectories, played(STORE.build()))
    assert len(log.checksum) == 64 and log.about["policy"] == "base_stock"
    read_log(
        file, LostSales(lead_time=2, shortage_cost=9.0, horizon=50).build()
    )  # as long as wanted


@pytest.mark.parametrize(
    "other, message",
    [
        (LostSales(lead_time=2), "its shortage is 9, and here it is 4; give the options"),
        (LostSales(lead_time=2, shortage_cost=9.0, mean=6.0), "does not fit: its"),
        (LostSales(lead_time=3, shortage_cost=9.0), r"its lead_times is \[2\], and here it is \[3\]"),
        (LostSales(lead_time=2, shortage_cost=9.0, history=4), "its history is 1, and here it is 4"),
        (LostSales(lead_time=2, shortage_cost=9.0, integer_orders=False), "its mechanisms is .*packs"),
        (LostSales(lead_time=2, shortage_cost=9.0, fixed_cost=1.0), "its mechanisms is"),
        (DualSourcing(), "its world is lost_sales, and here it is dual_sourcing"),
    ],
)  # fmt: skip
def test_a_log_of_another_problem_is_refused_by_what_differs(file, other, message):
    with pytest.raises(UserError, match=message) as raised:
        read_log(file, other.build())
    assert "\n" not in str(raised.value)


def test_names_have_to_fit_too():
    problem = preset("two_warehouses")().build()
    told = json.loads(json.dumps(description(problem)))
    check_fit("log.npz", told, problem)
    told["nodes"][0] = "elsewhere"
    with pytest.raises(UserError, match="its nodes is .*elsewhere"):
        check_fit("log.npz", told, problem)


def changed(file, path, **change):
    with np.load(file) as arrays:
        kept = dict(arrays) | change
    np.savez(path, **{name: array for name, array in kept.items() if array is not None})
    return path


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(reward=np.zeros((8, 6), np.float32)), "the checksum does not fit"),
        (dict(about=np.asarray("{}")), "the checksum does not fit"),
        (dict(checksum=None), "has no checksum or does not say what it is of"),
        (dict(about=None), "has no checksum or does not say what it is of"),
    ],
)
def test_a_changed_file_is_refused(file, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        read_log(changed(file, tmp_path / "log.npz", **change))


def test_a_damaged_file_is_refused(file, tmp_path):
    content = bytearray(file.read_bytes())
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    for place in range(200, len(content) - 2000, 500):
        content[place] ^= 0xFF
    (tmp_path / "hurt.npz").write_bytes(content)
    for name in ("cut.npz", "hurt.npz"):
        with pytest.raises(UserError, match=f"{name}: no trajectories can be read from it"):
            read_log(tmp_path / name)


def test_a_behaviour_probability_of_nothing_is_refused(tmp_path):
    log = played(STORE.build())
    log = log.replace(log_prob=jnp.full_like(log.reward, -jnp.inf))
    write_log(tmp_path / "log.npz", log, {"fits": {}})
    with pytest.raises(UserError, match="log_prob holds a behaviour probability of 0"):
        read_log(tmp_path / "log.npz")


# --- the command ----------------------------------------------------------------------------------


def test_the_command_writes_a_log_and_prints_what_is_in_it(tmp_path, capsys):
    path = tmp_path / "log.npz"
    sizes = ["--episodes", "4", "--periods", "5", "--tune-periods", "100000", "--json"]
    command.main(["lost_sales", "policy=random", "lead_time=1", "--out", str(path), *sizes])
    document = json.loads(capsys.readouterr().out)
    log = read_log(path, LostSales(lead_time=1).build())
    assert document["checksum"] == log.checksum and document["steps"] == 20
    assert document["mean_cost"] == pytest.approx(float(log.trajectories.cost))
    assert document["baseline_cost"] < document["mean_cost"]
    assert log.about["options"]["lead_time"] == 1 and log.about["baseline"] == "base_stock"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["lost_sales", "policy=medium"], "give --out FILE"),
        (["lost_sales", "--out", "log.npz"], "give a PRESET and policy=NAME"),
        (["policy=medium", "--out", "log.npz"], "give a PRESET and policy=NAME"),
        (["lost_sales", "policy=medium", "--out", "nowhere/log.npz"], "there is no such folder"),
        (["lost_sale", "policy=medium", "--out", "log.npz"], "did you mean 'lost_sales'"),
        (["lost_sales", "policy=base_stok", "--out", "log.npz"], "did you mean 'base_stock'"),
        (["lost_sales", "policy=mediun", "--out", "log.npz"], "did you mean 'medium'"),
        (["lost_sales", "policy=medium", "lead_tim=2", "--out", "log.npz"], "lead_time"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        command.main(arguments)
