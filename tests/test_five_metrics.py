"""The five measures of seed 000, against values that were worked out by hand."""

import numpy as np
import pytest

from jaxinv.evaluation import five_metrics as five

DEMAND = np.array([[2.0, 0.0], [4.0, 1.0], [6.0, 3.0]])  # [T, B]
SHORT = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
ON_HAND = np.array([[3.0, 1.0], [0.0, 0.0], [0.0, 4.0]])


def test_cumulative_reward_and_score():
    np.testing.assert_allclose(five.cumulative_reward(-DEMAND), [-12.0, -4.0])
    assert five.normalised_score(cost=8.0, base=10.0, least=6.0) == 0.5
    assert np.isnan(five.normalised_score(1.0, 2.0, 2.0))


def test_forecast_errors_in_all_units():
    training = np.array([[1.0, 5.0], [3.0, 5.0]])  # deviation 1 and 0, naive error 2 and 0
    found = five.forecast_errors(DEMAND + np.array([[1.0, 1.0]] * 3), DEMAND, training)
    assert found.mae == 1.0
    assert found.wape == pytest.approx(6 / 16)
    assert found.z_mae == 1.0 and found.mase == 0.5  # of the first series, which moved
    none = five.forecast_errors(np.ones((3, 1)), np.zeros((3, 1)), np.ones((2, 1)))
    assert np.isnan(none.wape) and np.isnan(none.z_mae) and np.isnan(none.mase)


def test_total_cost_of_equation_13_and_its_extension():
    ordered = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    costs = five.period_costs(
        ON_HAND, SHORT, ordered, holding=np.array([1.0, 2.0]), shortage=4.0, unit_cost=0.5
    )
    np.testing.assert_allclose(costs[1], [4.0, 1.0])
    found = five.total_cost(costs)
    np.testing.assert_allclose(found, [3 + 4 * 3 + 0.5, 2 * 5 + 0.5 * 2])
    charged = ON_HAND + 4.0 * SHORT
    freight = np.array([[0.5, 0.0], [0.0, 0.0], [1.0, 0.0]])
    more = five.extended_cost(np.array([15.5, 11.0]), -charged - freight, charged)
    np.testing.assert_allclose(more, [17.0, 11.0])


def test_turnover_as_printed_and_by_year():
    found = five.turnover(DEMAND, SHORT, ON_HAND, periods_per_year=52.0)
    assert found.printed == pytest.approx(16 / 8)
    assert found.a_year == pytest.approx(104.0)
    assert found.of_sales == pytest.approx(52 * 13 / 8)
    assert found.days_of_cover == pytest.approx(365 / (52 * 13 / 8))
    assert five.turnover(DEMAND, SHORT, 0 * ON_HAND).printed == np.inf


def test_labels_look_ahead_and_say_where_that_is_known():
    label, known = five.stockout_ahead(np.array([[0], [0], [3], [0], [0]]), 2)
    np.testing.assert_array_equal(label[:, 0], [False, True, True, False, False])
    np.testing.assert_array_equal(known[:, 0], [True, True, True, True, False])
    label, known = five.stockout_ahead(np.array([[0], [1]]), 5)
    assert label.all() and not known.any()


def test_detection():
    score, label = np.array([4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0], bool)
    found = five.detection(score, label, threshold=1.5)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), 1.0)
    assert found.f1 == pytest.approx(0.8) and found.prevalence == 0.5
    assert found.pr_auc == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert five.best_threshold(score, label) == 1.5
    assert five.f1_score(np.array([1, 1, 0], bool), np.array([1, 0, 1], bool)) == 0.5
    nothing = five.detection(score, np.zeros(4, bool), 5.0)
    assert nothing.f1 == 0.0 and np.isnan(nothing.pr_auc)


def test_equal_scores_are_one_threshold():
    label = np.array([1, 0, 0, 0], bool)
    assert five.average_precision(np.ones(4), label) == 0.25
    assert five.detection(np.ones(4), label, five.best_threshold(np.ones(4), label)).recall == 1.0


def test_the_best_threshold_is_the_best_of_all():
    draw = np.random.default_rng(0)
    score, label = draw.normal(size=60).round(1), draw.random(60) < 0.3
    best = five.detection(score, label, five.best_threshold(score, label)).f1
    tried = [five.detection(score, label, cut).f1 for cut in np.linspace(-4, 4, 400)]
    assert best >= max(tried) - 1e-12
