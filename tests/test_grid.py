"""Dates to periods: every step is found, odd dates are named, and no period of zeros comes from a
way of dating.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import case

from jaxinv.data import Panel, load
from jaxinv.data.grid import Frequency
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError


def dated(dates, series=("a", "b"), sales=5.0, **columns) -> pd.DataFrame:
    """A row of each series on each date."""
    rows = [(pd.Timestamp(day), name) for name in series for day in dates]
    return pd.DataFrame(rows, columns=["date", "sku"]).assign(sales=sales, **columns)


def every(step: str, count=40, start="2023-01-02"):
    return pd.date_range(start, periods=count, freq=step)


def test_two_weekly_file(tmp_path):
    table = load(case("every_two_weeks", tmp_path))
    panel = Panel.from_table(table)
    assert (
        panel.frequency == "2-week" and panel.sales.shape == (12, 200) and (panel.sales > 0).all()
    )
    assert panel.periods_per_year == pytest.approx(365 / 14)
    with pytest.raises(UserError, match='2 weeks apart.*frequency="2-week"'):
        Panel.from_table(table, "week")


def test_monthly_file(tmp_path):
    table = load(case("monthly", tmp_path))
    panel = Panel.from_table(table)
    assert (
        panel.frequency == "month"
        and panel.periods_per_year == 12
        and panel.sales.shape == (12, 84)
    )
    assert panel.dates[13] == np.datetime64("2018-02-01")
    assert (panel.sales == table["sales"].to_numpy().reshape(12, 84)).all()
    with pytest.raises(UserError, match='a month apart.*frequency="month"') as caught:
        Panel.from_table(table, "week")
    assert "min_active" not in str(caught.value)


def test_one_odd_date_is_named(tmp_path):
    table = load(case("one_odd_date", tmp_path))
    panel = Panel.from_table(table, "week")
    assert panel.sales.shape == (2, 80) and (panel.sales == 10).all()
    assert (panel.covariates["promotion"] == (np.arange(80) % 4 == 0)).all()
    (note,) = panel.notes
    assert "2023-12-18, 'A'" in note


def test_series_dated_on_other_weekdays(tmp_path):
    panel = Panel.from_table(load(case("two_anchors", tmp_path)), "week")
    assert panel.sales.tolist() == [[10] * 60, [11] * 60]
    assert any("'B'" in note for note in panel.notes)


def test_mistyped_year_is_named(tmp_path):
    with pytest.raises(UserError, match="2026-08-07, 's00'.*mistyped year"):
        Panel.from_table(load(case("mistyped_year", tmp_path)), "week")


def test_a_sunday_sale_loses_no_finished_week():
    """A shop open from Monday to Saturday, with one sale on a Sunday: its last week ends on a
    Saturday.
    """
    days = every("D", 7 * 20 - 1)
    table = dated(days[(days.day_of_week < 6) | (days == "2023-01-15")])
    panel = Panel.from_table(table, "week")
    assert (
        panel.sales.shape == (2, 20) and panel.sales[:, -1].tolist() == [30, 30] and not panel.notes
    )
    unfinished = Panel.from_table(table[table["date"] < "2023-05-19"], "week")  # to a Thursday
    assert unfinished.sales.shape == (2, 19) and "ends on 2023-05-18" in unfinished.notes[0]


@pytest.mark.parametrize(
    "dates, frequency, periods",
    [
        (every("MS"), "month", 40),
        (every("ME"), "month", 40),
        ([pd.Timestamp("2023-01-30") + pd.DateOffset(months=k) for k in range(40)], "month", 40),
        (every("QS"), "3-month", 40),
        (every("YS", 9), "12-month", 9),
        (every("28D"), "4-week", 40),
        (every("W-SUN"), "week", 40),
        (every("D").delete([3, 4, 19]), "day", 40),
        (every("B", 60), "day", 82),
    ],
)
def test_own_step(dates, frequency, periods):
    panel = Panel.from_table(dated(dates))
    assert (panel.frequency, panel.sales.shape) == (frequency, (2, periods))
    assert (panel.sales > 0).sum() == 2 * len(dates)


def test_two_weekly_series_in_turn_have_no_empty_periods():
    """One is counted in even weeks, one in odd weeks."""
    table = pd.concat([dated(every("14D"), "a"), dated(every("14D", start="2023-01-09"), "b")])
    panel = Panel.from_table(table)
    assert (
        panel.frequency == "2-week"
        and (panel.sales[:, 1:-1] == 5).all()
        and panel.sales.sum() == 2 * 40 * 5
    )


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_rare_sales_are_no_step(share):
    """Rows only where something sold keep their days, or weeks."""
    rng = np.random.default_rng(0)
    days, weeks = every("D", 1000), every("7D", 1000)
    for dates, frequency in ((days, "day"), (weeks, "week")):
        table = pd.concat([dated(dates[rng.random(1000) < share], [f"s{s}"]) for s in range(12)])
        panel = Panel.from_table(table)
        assert panel.frequency == frequency and panel.sales.sum() == table["sales"].sum()


def test_odd_dates_anywhere_stay_in_their_week():
    """Every tenth date up to three days early or late."""
    rng = np.random.default_rng(1)
    dates = every("7D", 100)
    moved = dates + pd.to_timedelta(
        np.where(np.arange(100) % 10 == 5, rng.integers(-3, 4, 100), 0), "D"
    )
    panel = Panel.from_table(dated(moved, ["a"], sales=np.arange(100.0)))
    assert panel.sales[0].tolist() == list(range(100))


def test_two_rows_in_one_week_are_refused():
    table = dated([*every("7D"), pd.Timestamp("2023-01-17")], ["a"])
    with pytest.raises(UserError, match="two rows.*2023-01-16, 'a'.*2023-01-17, 'a'"):
        Panel.from_table(table)


def test_months_are_summed_from_days_and_quarters_from_months():
    days = every("D", 365 + 14, start="2022-12-25")
    table = dated(
        days, price=days.month.to_numpy().astype(float).repeat(2).reshape(-1, 2).T.ravel()
    )
    panel = Panel.from_table(table, "month")
    assert panel.sales[0].tolist() == [
        5 * n for n in (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    ]
    np.testing.assert_allclose(panel.covariates["price"][0], np.arange(1, 13), rtol=1e-6)
    assert len(panel.notes) == 2  # December 2022 and January 2024 are cut
    quarters = Panel.from_table(dated(every("MS", 14, "2023-03-01"), stock=1.0), "3-month")
    assert quarters.sales[0].tolist() == [15] * 4 and quarters.dates[0] == np.datetime64(
        "2023-04-01"
    )


def test_long_time_without_sales_is_named():
    dates = every("7D", 60).delete(slice(20, 40))
    panel = Panel.from_table(dated(dates))
    assert "2023-05-15 to 2023-10-09" in panel.notes[0]


def test_a_shop_by_months_under_other_column_names(tmp_path):
    """What the options say reaches the panel, and what was odd reaches the commands."""
    rng = np.random.default_rng(0)
    table = dated(every("MS", 84), [f"s{n}" for n in range(6)]).assign(
        sales=rng.poisson(30, 6 * 84)
    )
    table["turnover"] = table["sales"] * rng.uniform(4.5, 5.5, len(table))
    path = tmp_path / "sales.csv"
    table.rename(columns={"date": "day", "sku": "product", "sales": "units"}).to_csv(
        path, index=False
    )
    names = {"date": "day", "sku": "product", "sales": "units"}
    shop = Retail(data=str(path), frequency="month", columns=names, history=6, horizon=20)
    problem = shop.build()
    assert problem.periods_per_year == 12 and problem.instances == 6
    assert any("'turnover' is left out" in note and str(path) in note for note in problem.notes)
    with pytest.raises(UserError, match="columns.sales=units"):
        replace(shop, columns={"date": "day", "sku": "product"}).build()
    kept = replace(shop, known_ahead=("turnover",)).build()
    width = [known.train.demand.covariates.shape[-1] for known in (problem, kept)]
    assert width[1] == width[0] + 1


@pytest.mark.parametrize("text", ["day", "week", "2-week", "month", "3-month"])
def test_frequency_reads_back(text):
    assert str(Frequency.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "days of rest", "2-day", "0-week", "fortnight", "-1-week", "1e9-month"]
)
def test_unknown_frequency(text):
    with pytest.raises(UserError, match="unknown frequency"):
        Frequency.parse(text)
