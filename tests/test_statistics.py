"""Intervals: coverage on synthetic data at few and many units, crossed factors, shared weeks,
pairing.
"""

import math

import numpy as np
import pytest
from cases import case

from jaxinv.data import Panel, load
from jaxinv.evaluation.statistics import (
    Factor,
    blocks,
    each_of,
    jackknife,
    left_out,
    mean_of,
    optimality_gap,
    paired_difference,
    ratio_of_sums,
    relative_difference,
)


def coverage(estimate, truth, trials=400):
    """Share of the intervals of `estimate(draw)` that hold the truth."""
    found = [estimate(np.random.default_rng(trial)) for trial in range(trials)]
    return np.mean([low <= truth <= high for _, low, high, _ in found])


@pytest.mark.parametrize("units", [3, 4, 5, 8, 16, 64])
def test_a_mean_is_covered_at_any_number_of_units(units):
    """Standard errors of a share of 2000 are half a per cent; a percentile bootstrap has 80% at 4
    normal units.
    """
    assert 0.93 <= coverage(lambda draw: mean_of(draw.normal(5, 1, units)), 5.0, 2000) <= 0.985
    assert 0.91 <= coverage(lambda draw: mean_of(draw.exponential(1, units)), 1.0, 2000) <= 0.985


def test_interval_of_a_ratio_covers_it():
    def interval(draw):
        demand = draw.gamma(1.0, 10.0, 150)
        return ratio_of_sums(demand * draw.uniform(0.8, 1.0, 150), demand)

    assert 0.92 <= coverage(interval, 0.9) <= 0.98


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_two_levels_cover_where_paths_alone_do_not(seeds):
    """Seeds differ by more than paths do: an interval that takes all as one sample is far too
    narrow.
    """

    def table(draw):
        return (
            5
            + draw.normal(0, 1, (seeds, 1))
            + draw.normal(0, 0.5, (1, 60))
            + draw.normal(0, 0.5, (seeds, 60))
        )

    assert 0.93 <= coverage(lambda draw: mean_of(table(draw)), 5.0) <= 0.985
    assert coverage(lambda draw: mean_of(table(draw).ravel()), 5.0) <= 0.45


def test_factors_that_are_nested_or_single_change_nothing():
    values = np.random.default_rng(0).normal(size=(5, 12)) + np.arange(12) // 3
    store = Factor("stores", np.arange(12) // 3)
    alone, nested = (
        mean_of(values, (store,)),
        mean_of(values, (store, Factor("series", np.arange(12)))),
    )
    assert nested.interval == pytest.approx(alone.interval)
    assert mean_of(values[:1]) == mean_of(values[0])
    assert alone.over == "4 stores" and nested.over == "4 stores and 12 series"


def test_variance_of_two_factors_is_that_of_the_clustered_sums():
    """By hand: rows and columns of a table, less its cells; Cameron, Gelbach & Miller (2011),
    equation 2.10.
    """
    table = np.array([[1.0, 2, 6], [3, 5, 7], [2, 9, 10]])
    errors = (table - table.mean()) / 9
    rows, columns = ((errors.sum(axis) ** 2).sum() * 3 / 2 for axis in (1, 0))
    variance = max(rows + columns - (errors**2).sum() * 9 / 8, rows, columns)
    freedom = max(variance**2 / ((rows**2 + columns**2) / 2), 2)
    from scipy import stats

    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    _, low, high, _ = mean_of(table)
    assert low <= table.mean() - half * (1 - 1e-9) and high >= table.mean() + half * (1 - 1e-9)
    assert min(table.mean() - low, high - table.mean()) == pytest.approx(half)


SERIES, WEEKS, LEAD_TIME, WARM_UP = 60, 42, 2, 20


def lost_sales_costs(shock, levels, worlds, draw, weeks=WEEKS, series=SERIES):
    """Costs `[levels, worlds, weeks, series]` of base-stock levels with lost sales and a weekly
    shock that all series share.
    """
    shocks = np.exp(shock * draw.standard_normal((worlds, WARM_UP + weeks, 1)) - shock**2 / 2)
    return costs_of_levels(
        draw.poisson(20 * np.broadcast_to(shocks, (worlds, WARM_UP + weeks, series))).astype(float),
        levels,
    )


def costs_of_levels(demand, levels):
    """Costs `[levels, worlds, weeks, series]` on demand `[worlds, WARM_UP + weeks, series]`."""
    costs = []
    for level in levels:
        stock = np.full((len(demand), demand.shape[-1]), float(level))
        pipeline = [np.zeros_like(stock)] * LEAD_TIME
        own = []
        for week in np.moveaxis(demand, 1, 0):
            pipeline.append(np.maximum(level - stock - sum(pipeline), 0.0))
            sold = np.minimum(stock, week)
            own.append(stock - sold + 9 * (week - sold))
            stock = stock - sold + pipeline.pop(0)
        costs.append(np.stack(own, 1)[:, WARM_UP:])
    return np.stack(costs)


def equal_levels(shock, draw):
    """Two levels of equal expected cost, one below the best and one above it."""
    levels = np.arange(76, 116, 4.0)
    means = lost_sales_costs(shock, levels, 300, draw, weeks=200, series=1).mean((1, 2, 3))
    best = means.argmin()
    low = max(best - 2, 0)
    return levels[low], np.interp(means[low], means[best:], levels[best:])


@pytest.mark.parametrize("shock", [0.0, 0.1, 0.2, 0.4])
def test_levels_of_equal_cost_are_not_told_apart_by_shared_weeks(shock):
    """Of `shared_weeks`: at most 6% are called different, and the standard error of a share of 300
    is 1.4%; taking the series as independent calls half of them or more."""
    draw = np.random.default_rng(11)
    own, other = lost_sales_costs(shock, equal_levels(shock, draw), 300, draw)
    over = (blocks(WEEKS, LEAD_TIME, "weeks"), "series")
    found = [paired_difference(*pair, over) for pair in zip(own, other)]
    share = np.mean([not estimate.low <= 0 <= estimate.high for estimate in found])
    assert found[0].over == "7 blocks of 6 weeks and 60 series"
    assert share <= 0.06 + 2 * 0.014
    if shock >= 0.2:
        alone = [paired_difference(*pair) for pair in zip(own.mean(1), other.mean(1))]
        assert np.mean([not estimate.low <= 0 <= estimate.high for estimate in alone]) > 0.4


def test_files_of_shared_weeks_tell_no_equal_levels_apart(tmp_path):
    """The file `shared_weeks` as it is read, and 39 more of its kind: at most 6% are called
    different (4 of 40 come by chance in one of seven times), half of them or more where the series
    are taken as independent."""
    levels = equal_levels(0.2, np.random.default_rng(11))
    found, alone = [], []
    for seed in (None, *range(1000, 1039)):
        panel = Panel.from_table(load(str(case("shared_weeks", tmp_path, seed))))
        split = panel.split_by_time(0.7)
        assert panel.frequency == "week" and panel.sales.shape == (SERIES, 140)
        weeks = slice(split.test.start - WARM_UP, split.test.stop)
        own, other = costs_of_levels(panel.sales[:, weeks].T[None].astype(float), levels)[:, 0]
        found.append(paired_difference(own, other, (blocks(WEEKS, LEAD_TIME, "weeks"), "series")))
        alone.append(paired_difference(own.mean(0), other.mean(0)))
    assert found[0].over == "7 blocks of 6 weeks and 60 series"
    told_apart = [
        np.mean([not low <= 0 <= high for _, low, high, _ in one]) for one in (found, alone)
    ]
    assert told_apart[0] <= 0.1 and told_apart[1] > 0.4


def test_stores_items_and_weeks_are_crossed():
    stores, items, weeks = 6, 20, 42
    over = (
        blocks(weeks, name="weeks"),
        Factor("stores", np.repeat(np.arange(stores), items)),
        Factor("items", np.tile(np.arange(items), stores)),
    )

    def values(draw):
        effects = (
            draw.normal(size=(weeks, 1, 1))
            + draw.normal(size=(1, stores, 1))
            + draw.normal(size=(1, 1, items))
        )
        return (effects + 2 * draw.normal(size=(weeks, stores, items))).reshape(weeks, -1)

    assert 0.92 <= coverage(lambda draw: mean_of(values(draw), over), 0.0) <= 0.98
    assert coverage(lambda draw: mean_of(values(draw).mean(0)), 0.0) <= 0.6
    assert (
        mean_of(values(np.random.default_rng(0)), over).over
        == "7 blocks of 6 weeks, 6 stores and 20 items"
    )


def test_blocks_are_longer_than_a_lead_time_and_never_few():
    def sizes(*given):
        return np.bincount(blocks(*given).units)

    assert sizes(42, 2).tolist() == [6] * 7
    assert sizes(365, 2).min() >= 19
    assert sizes(60, 9).min() >= 10 and len(sizes(30, 20)) == 4
    assert sizes(3).tolist() == [1, 1, 1] and sizes(43).sum() == 43


def test_intervals_of_a_family_hold_at_once():
    """Of 28 means that are nothing, some is called something in at most about 5% of families, not
    in three quarters.
    """

    def called(draw, level):
        found = [mean_of(draw.normal(size=30), level=level) for _ in range(28)]
        return any(not estimate.low <= 0 <= estimate.high for estimate in found)

    apart, together = (
        np.mean([called(np.random.default_rng(trial), level) for trial in range(100)])
        for level in (0.95, each_of(28))
    )
    assert apart > 0.5 and together <= 0.1


def test_a_jackknife_of_a_mean_is_its_interval():
    values = np.random.default_rng(5).gamma(2.0, size=40)
    found = jackknife(values.mean(), left_out(40) @ values)
    assert found[:3] == pytest.approx(mean_of(values)[:3])


def test_pairing_shrinks_the_interval():
    draw = np.random.default_rng(0)
    noise = draw.gamma(2.0, 3.0, 400)
    a, b = 10.0 + noise, 10.2 + noise + draw.normal(0, 0.1, 400)
    paired = paired_difference(a, b)
    shuffled = paired_difference(a, draw.permutation(b))
    assert paired.high < 0.0
    assert paired.value == pytest.approx(shuffled.value)
    assert paired.high - paired.low < 0.05 * (shuffled.high - shuffled.low)


def test_difference_from_itself_is_exactly_zero():
    values = np.random.default_rng(1).normal(5.0, 1.0, 50)
    assert paired_difference(values, values)[:3] == (0.0, 0.0, 0.0)
    assert relative_difference(values, values)[:3] == (0.0, 0.0, 0.0)


def test_gap_takes_a_number_or_one_reference_a_path():
    reference = np.random.default_rng(2).gamma(4.0, 1.0, 80)
    gap = optimality_gap(1.05 * reference, reference)
    assert gap[:3] == pytest.approx((0.05, 0.05, 0.05))
    against_mean = optimality_gap(1.05 * reference, reference.mean())
    assert against_mean.value == pytest.approx(0.05)
    assert (
        against_mean.high - against_mean.low > 0.05
    )  # the reference no longer moves with the path


def test_seeds_are_paired_with_the_one_baseline():
    baseline = np.random.default_rng(3).gamma(2.0, 3.0, 40)
    learned = baseline - np.array([[0.4], [0.5], [0.6]])
    difference = paired_difference(learned, baseline)
    assert difference.value == pytest.approx(-0.5)
    assert difference.low == pytest.approx(
        -0.5 - 4.30265 * 0.1 / math.sqrt(3), rel=1e-5
    )  # Student's, of three


def test_one_path_has_no_interval_and_nothing_to_divide_by_no_ratio():
    one = mean_of([3.0])
    assert one.value == 3.0 and math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(ratio_of_sums([1.0, -1.0], [0.0, 0.0]).low)
