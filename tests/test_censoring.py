"""What was known of each period: demand where stock was out, and gaps in covariates that would tell
of sales.
"""

import numpy as np
import pandas as pd
import pytest
from cases import case

from jaxinv.data import Panel, load
from jaxinv.data.censoring import product_limit, sold_out


def test_the_law_of_censored_sales_is_the_product_limit_estimate():
    """By hand: of five, one of 1; then one of three at 2 (the censored 2 no longer tells); then one
    of two at 3; the rest at 5.
    """
    values, mass = product_limit(
        np.array([1.0, 2, 2, 3, 5]), np.array([False, False, True, False, True])
    )
    assert values.tolist() == [1, 2, 3, 5]
    np.testing.assert_allclose(mass, [1 / 5, 4 / 15, 4 / 15, 4 / 15])
    assert product_limit(np.ones(3), np.ones(3, bool)) is None


def test_a_period_is_censored_where_it_began_or_ended_without_stock():
    sales, stock = np.array([[0.0, 3, 2, 9, 9, 1]]), np.array([[0.0, 5, 2, 4, 0, np.nan]])
    assert sold_out(sales, stock).tolist() == [[True, False, True, True, True, False]]


def panel_of(sales, stock, frequency):
    days = pd.date_range("2024-01-01", periods=len(sales))
    return Panel.from_table(
        pd.DataFrame({"date": days, "sku": "a", "sales": sales, "stock": stock}), frequency
    )


@pytest.mark.parametrize("frequency, length", [("day", 1), ("week", 7)])
def test_estimates_have_the_mean_and_the_spread_of_the_demand_that_stock_hid(frequency, length):
    """A shop that begins each day with 0 to 8 of a Poisson demand of 5 loses two fifths; days are
    mended before they are summed.
    """
    random = np.random.default_rng(0)
    demand, stock = (
        random.poisson(5.0, 3500).astype(float),
        random.integers(0, 9, 3500).astype(float),
    )
    panel = panel_of(np.minimum(demand, stock), stock, frequency)
    estimates = panel.parts.estimate(np.zeros(1, int), len(panel.dates) - 1)
    found, share = estimates.demand, estimates.share
    assert panel.sales.mean() < 0.65 * 5 * length
    assert found.mean() == pytest.approx(5 * length, rel=0.06) and found.var() == pytest.approx(
        5 * length, rel=0.3
    )
    assert (found >= panel.sales).all() and estimates.laws[0] is not None
    assert share.mean() == pytest.approx((stock <= demand).mean())


def test_every_second_week_without_stock_sold_half_of_what_was_wanted(tmp_path):
    panel = Panel.from_table(load(case("stocked_out", tmp_path)), "week")
    estimates = panel.parts.estimate(np.zeros(12, int), 112)
    demand, share = estimates.demand, estimates.share
    np.testing.assert_allclose(demand.mean(1), panel.sales[:, ::2].mean(1), rtol=0.02)
    np.testing.assert_array_equal(demand[:, ::2], panel.sales[:, ::2])
    assert (share == np.arange(160) % 2).all()


def test_nothing_is_estimated_from_the_test_periods():
    random = np.random.default_rng(0)
    sales, stock = random.poisson(5.0, 100).astype(float), random.integers(0, 2, 100) * 50.0
    later = np.where(np.arange(100) < 60, sales, 40)
    both = [
        panel_of(np.minimum(x, stock), stock, "day").parts.estimate(np.zeros(1, int), 60).demand
        for x in (sales, later)
    ]
    np.testing.assert_array_equal(both[0][:, :60], both[1][:, :60])
    assert both[1][:, 60:][:, stock[60:] == 0].max() <= sales.max()


def test_promotions_of_a_shop_do_not_follow_its_sales(tmp_path):
    """Rows on days with sales only, summed to weeks: correlation 0.93 with sales when a day without
    row was one without promotion.
    """
    panel = Panel.from_table(load(case("promotion_on_days_with_sales", tmp_path)), "week")
    promotion = panel.covariates["promotion"]
    assert set(np.unique(promotion)) == {0, 1} and not panel.notes
    assert abs(np.corrcoef(promotion.ravel(), panel.sales.ravel())[0, 1]) < 0.05
    assert (promotion == promotion[:1]).all() and 0.2 < promotion.mean() < 0.45


def sparse(promotion: np.ndarray, **columns) -> pd.DataFrame:
    """Rows of the days with sales of four SKUs in two stores, `[8, days]`."""
    random = np.random.default_rng(0)
    sold = random.poisson(0.5, promotion.shape)
    row, day = np.nonzero(sold)
    dates = pd.date_range("2024-01-01", periods=promotion.shape[1])
    return pd.DataFrame(
        {
            "date": dates[day],
            "sku": [f"s{i // 2}" for i in row],
            "location": [f"l{i % 2}" for i in row],
            "sales": sold[row, day],
            "promotion": promotion[row, day],
        }
    )


@pytest.mark.parametrize("of", ["location", "sku"])
def test_promotions_of_a_store_or_a_product_fill_its_gaps(of):
    plan = np.random.default_rng(1).random((8, 280)) < 0.3
    group = np.arange(8) % 2 if of == "location" else np.arange(8) // 2
    true = plan[group].astype(float)
    panel = Panel.from_table(sparse(true), "day")
    right = panel.covariates["promotion"] == true[:, : len(panel.dates)]
    assert right.mean() > (
        0.9 if of == "location" else 0.75
    )  # days that none of the group sold on remain unknown
    for row in range(8):
        assert abs(np.corrcoef(panel.covariates["promotion"][row], panel.sales[row])[0, 1]) < 0.2


def test_promotions_of_single_series_are_left_out_where_gaps_tell_of_sales():
    own = (np.random.default_rng(1).random((8, 280)) < 0.3).astype(float)
    panel = Panel.from_table(sparse(own), "week")
    assert not panel.covariates and "promotion left out" in panel.notes[0]
    table = sparse(own)
    table.loc[::10, "sales"] = 0.0  # where days without sales have rows too, a gap tells nothing
    assert "promotion" in Panel.from_table(table, "week").covariates


def test_quoted_lead_times_in_days_are_whole_weeks():
    table = pd.DataFrame(
        {
            "date": pd.date_range("2024-01-01", periods=28),
            "sku": "a",
            "sales": 1.0,
            "lead_time": 10.0,
        }
    )
    assert Panel.from_table(table, "week").quoted["lead_time"].tolist() == [[2, 2, 2, 2]]
    assert Panel.from_table(table, "day").quoted["lead_time"][0, 0] == 10
