"""Bootstrap intervals: coverage on synthetic data, pairing, two levels, and the same for the same seed."""

import math

import numpy as np
import pytest

from jaxinv.evaluation.statistics import (
    bootstrap_interval,
    mean_of,
    optimality_gap,
    paired_difference,
    ratio_of_sums,
    relative_difference,
)


def coverage(draw_sample, truth, trials=300, **options):
    hits = 0
    for trial in range(trials):
        low, high = draw_sample(np.random.default_rng(trial), **options)
        hits += low <= truth <= high
    return hits / trials


def test_interval_of_a_mean_covers_it():
    def interval(draw):
        return bootstrap_interval(draw.gamma(2.0, 1.5, 100), resamples=400)

    assert 0.90 <= coverage(interval, truth=3.0) <= 0.98


def test_interval_of_a_ratio_covers_it():
    def interval(draw):
        demand = draw.gamma(1.0, 10.0, 150)
        return ratio_of_sums(demand * draw.uniform(0.8, 1.0, 150), demand, resamples=400).interval

    assert 0.90 <= coverage(interval, truth=0.9) <= 0.98


def test_two_levels_cover_where_paths_alone_do_not():
    """Seeds differ by more than paths do: an interval that takes all as one sample is far too narrow."""

    def table(draw):
        return (
            5.0 + draw.normal(0, 1.0, (12, 1)) + draw.normal(0, 0.5, (1, 60)) + draw.normal(0, 0.5, (12, 60))
        )

    def crossed(draw):
        return bootstrap_interval(table(draw), resamples=400)

    def flat(draw):
        return bootstrap_interval(table(draw).reshape(-1), resamples=400)

    assert coverage(crossed, truth=5.0, trials=200) >= 0.88
    assert coverage(flat, truth=5.0, trials=200) <= 0.4


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
    assert paired_difference(values, values) == (0.0, 0.0, 0.0)
    assert relative_difference(values, values) == (0.0, 0.0, 0.0)


def test_gap_takes_a_number_or_one_reference_a_path():
    reference = np.random.default_rng(2).gamma(4.0, 1.0, 80)
    gap = optimality_gap(1.05 * reference, reference)
    assert gap == pytest.approx((0.05, 0.05, 0.05))
    against_mean = optimality_gap(1.05 * reference, reference.mean())
    assert against_mean.value == pytest.approx(0.05)
    assert against_mean.high - against_mean.low > 0.05  # the reference no longer moves with the path


def test_seeds_are_paired_with_the_one_baseline():
    baseline = np.random.default_rng(3).gamma(2.0, 3.0, 40)
    learned = baseline - np.array([[0.4], [0.5], [0.6]])
    difference = paired_difference(learned, baseline)
    assert difference.value == pytest.approx(-0.5)
    assert -0.6 - 1e-9 <= difference.low < difference.high <= -0.4 + 1e-9


def test_same_seed_same_interval():
    values = np.random.default_rng(4).normal(size=200)
    assert mean_of(values, seed=7) == mean_of(values, seed=7)
    assert mean_of(values, seed=7) != mean_of(values, seed=8)


def test_one_path_has_no_interval_and_nothing_to_divide_by_no_ratio():
    one = mean_of([3.0])
    assert one.value == 3.0 and math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(ratio_of_sums([1.0, -1.0], [0.0, 0.0]).low)
