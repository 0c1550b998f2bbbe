"""Drift detectors: how often they alarm for nothing, and that they alarm for something."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.adapt.drift import (
    DAYS,
    DETECTORS,
    Cusum,
    PageHinkley,
    alarms,
    arrival_residual,
    calibrate,
    check_stream,
    delay,
    expectation,
    expected_from,
    hazards,
)  # fmt: skip
from jaxinv.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


def noise(series, days=DAYS, seed=0, persistence=0.0):
    draw = np.random.default_rng(seed).normal(size=(series, days))
    for day in range(1, days):
        draw[:, day] = persistence * draw[:, day - 1] + np.sqrt(1 - persistence**2) * draw[:, day]
    return jnp.asarray(draw, jnp.float32)


def heard(detector, residuals, threshold):
    return np.asarray(jax.vmap(alarms, (None, 0, None))(detector, residuals, threshold))


def test_cusum_has_its_known_run_length():
    """Two-sided with slack 1/2 and threshold 5 the mean run length on independent normals is 465
    (Montgomery, table 9.4).
    """
    found = heard(Cusum(), noise(60, 20_000), 5.0)
    assert found.shape[1] / found.sum(1).mean() == pytest.approx(465, rel=0.06)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("persistence", [0.0, 0.6])
def test_calibrated_for_one_false_alarm_in_two_years(name, persistence):
    detector = DETECTORS[name]
    threshold = calibrate(detector, noise(200, persistence=persistence))
    fresh = noise(200, seed=1, persistence=persistence)
    assert 0.3 < heard(detector, fresh, threshold).sum(1).mean() <= 1.15
    assert heard(detector, fresh, 0.5 * threshold).sum(1).mean() > 1


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("way", [-1.0, 1.0])
def test_a_shift_is_noticed_either_way(name, way):
    """Of one deviation; of one and a half by the detector whose slack is one."""
    detector = DETECTORS[name]
    shift = way * (1.5 if name == "CUSUM" else 1.0)
    threshold = calibrate(detector, noise(100))
    days = jnp.arange(DAYS)
    found = heard(detector, noise(50, seed=3) + shift * (days >= 400), threshold)
    assert np.nanmedian(delay(found, 400)) < 40 and np.isfinite(delay(found, 400)).all()


def test_an_alarm_starts_anew():
    found = np.asarray(alarms(Cusum(), jnp.ones(24), jnp.float32(1.75)))
    np.testing.assert_array_equal(np.flatnonzero(found), [3, 7, 11, 15, 19, 23])
    steady = np.asarray(alarms(PageHinkley(), 5 * jnp.ones(200), jnp.float32(1.0)))
    assert not steady.any()  # a level is no drift
    np.testing.assert_array_equal(delay(found, 4), 3)
    assert np.isnan(delay(steady, 4))


def test_no_threshold_is_enough_for_what_is_no_residual():
    with pytest.raises(UserError, match="no threshold"):
        calibrate(Cusum(), 1e4 * noise(30, 100))


def test_so_few_series_that_none_alarming_proves_nothing_are_refused():
    with pytest.raises(
        UserError,
        match=(
            "3 series of 730 days are too few to prove at most 0.5 false alarms in 730 days;"
            " simulate 6"
        ),
    ):
        calibrate(Cusum(), noise(3, 730), most=0.5)
    assert calibrate(Cusum(), 0 * noise(6, 730), most=0.5) < 1


def test_expectation_reads_what_is_known():
    draw = np.random.default_rng(1)
    known = draw.normal(size=(300, 2, 5))
    demand = np.array([3.0, 1.0, 7.0, 2.0, 9.0]) * (1 + 0.2 * known[:, :1] - 0.1 * known[:, 1:])
    coefficients = expectation(jnp.asarray(demand), jnp.asarray(known))
    np.testing.assert_allclose(coefficients[:, 0], [1, 0.2, -0.1], atol=0.02)
    np.testing.assert_allclose(
        expected_from(coefficients, jnp.asarray(known))[:, 0, 2], demand[:, 0, 2] / 7, atol=0.1
    )


def test_arrivals_follow_their_law_until_they_are_late():
    draw = np.random.default_rng(2)
    lead_time = draw.integers(2, 6, (2000, 2, 1)).astype(np.float32)
    hazard = hazards(jnp.asarray(lead_time[..., 0]), 15)
    np.testing.assert_allclose(hazard[:5, 0], [0, 1 / 4, 1 / 3, 1 / 2, 1], atol=0.04)

    def residuals(lead_time):
        of_day = jax.jit(
            lambda day: arrival_residual(jax.lax.dynamic_slice_in_dim(lead_time, day, 15), hazard)
        )
        return np.asarray(
            jax.lax.map(of_day, jnp.arange(len(lead_time) - 15))
        )  # of days 15, 16, ...

    own = residuals(jnp.asarray(lead_time))
    assert abs(own.mean()) < 0.05 and 0.9 < own.std() < 1.1
    late = lead_time + 4 * (np.arange(2000) >= 1000)[:, None, None]
    moved = residuals(jnp.asarray(late))
    np.testing.assert_array_equal(
        own[: 1002 - 15], moved[: 1002 - 15]
    )  # nothing shows before it can be seen
    assert moved[1010 - 15 : 1100 - 15].mean() < -0.5
    seldom = np.where(np.arange(2000)[:, None, None] % 7, 0.0, lead_time)  # an order a week
    assert abs(residuals(jnp.asarray(seldom)).mean()) < 0.05
    np.testing.assert_array_equal(residuals(jnp.zeros_like(lead_time)), 0)


def test_missing_days_are_named():
    demand = np.ones((10, 2))
    demand[4, 1] = np.nan
    with pytest.raises(UserError, match="no value on day 4"):
        check_stream(demand)
    days = np.delete(np.arange("2024-01-01", "2024-01-12", dtype="datetime64[D]"), 3)
    with pytest.raises(UserError, match="misses 2024-01-04"):
        check_stream(np.ones(10), days)
    check_stream(np.ones(10), np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]"))
