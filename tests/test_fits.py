"""The fits recover what made synthetic files, refuse wrong files, and their constants equal a fresh
fit.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxinv.data import fits
from jaxinv.errors import UserError

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SCMS = DATA / "scms_delivery_history" / "scms_delivery_history.csv.gz"
ONLINE_RETAIL = DATA / "online_retail" / "online_retail_daily.csv.gz"

CONSTANTS = [
    (fits.SCMS_LEAD_TIMES, fits.fit_lead_times, SCMS),
    (fits.SCMS_FREIGHT, fits.fit_freight, SCMS),
    (fits.ONLINE_RETAIL_DEMAND, fits.fit_demand, ONLINE_RETAIL),
]


@pytest.mark.parametrize("constant, fit, path", CONSTANTS, ids=["lead times", "freight", "demand"])
def test_constants_equal_a_fresh_fit(constant, fit, path):
    if not path.exists():
        pytest.skip(f"{path} is not here; the constants are checked where the raw data is")
    committed, fresh = dict(numbers(constant)), dict(numbers(fit(path)))
    assert committed == pytest.approx(fresh, rel=6e-3, abs=1e-9)  # three digits are kept


def test_constants_are_coherent():
    for mode in (fits.SCMS_LEAD_TIMES.air, fits.SCMS_LEAD_TIMES.ocean):
        assert len(mode.quantiles) == len(fits.PROBABILITIES)
        assert np.all(np.diff(mode.quantiles) > 0)
    for mode in (fits.SCMS_FREIGHT.air, fits.SCMS_FREIGHT.ocean):
        assert len(mode.tier_value_share) == len(fits.TIER_EDGES_KG) + 1
        assert np.all(np.diff(mode.tier_value_share) < 0)
    demand = fits.ONLINE_RETAIL_DEMAND
    assert np.mean(demand.week) == pytest.approx(1, abs=2e-3)
    assert np.mean(demand.year) == pytest.approx(1, abs=2e-3)
    assert sum(part.volume_share for part in demand.classes) == pytest.approx(1, abs=2e-3)


def test_lead_time_spread_is_recovered_within_lanes(tmp_path):
    found = fits.fit_lead_times(deliveries(tmp_path))
    assert found.air.lognormal_cv == pytest.approx(0.5, abs=0.045)  # three standard errors
    assert found.ocean.lognormal_cv == pytest.approx(0.25, abs=0.03)
    assert found.air.lognormal_error < 0.02
    assert found.air.pooled_cv > found.air.lognormal_cv  # lanes differ in their means
    assert found.ocean_to_air_same_lane == pytest.approx(2 * math.sqrt(1.25 / 1.0625), rel=0.1)


def test_gamma_is_told_from_lognormal(tmp_path):
    found = fits.fit_lead_times(deliveries(tmp_path, shape="gamma"))
    assert found.air.gamma_cv == pytest.approx(0.5, abs=0.03)
    assert found.air.gamma_error < found.air.lognormal_error


def test_freight_rates_are_recovered(tmp_path):
    found = fits.fit_freight(deliveries(tmp_path))
    assert (found.air.scale, found.air.exponent) == pytest.approx((60, 0.7), rel=0.1)
    assert (found.ocean.scale, found.ocean.exponent) == pytest.approx(
        (100, 0.5), rel=0.25, abs=0.03
    )
    assert found.usd_value_per_kg == pytest.approx(50, rel=0.05)
    first = 60 * 500**0.7 / 500
    assert found.air.tier_usd_per_kg[0] == pytest.approx(first, rel=0.1)
    assert found.air.tier_value_share[0] == pytest.approx(first / 50, rel=0.1)


def test_lines_that_refer_to_another_add_to_its_value(tmp_path):
    path = deliveries(tmp_path)
    table = pd.read_csv(path)
    lines = table.assign(
        **{
            "ID": table["ID"] + 10**6,
            "Freight Cost (USD)": [f"See ASN-1 (ID#:{line})" for line in table["ID"]],
            "Weight (Kilograms)": [f"See ASN-1 (ID#:{line})" for line in table["ID"]],
        }
    )
    pd.concat([table, lines]).to_csv(path, index=False)
    assert fits.fit_freight(path).usd_value_per_kg == pytest.approx(100, rel=0.05)


def test_demand_is_recovered(tmp_path):
    found = fits.fit_demand(sales(tmp_path, dispersion=0.5))
    assert [part.skus for part in found.classes] == pytest.approx([60, 90, 150], abs=3)
    for part in found.classes[:2]:
        assert part.dispersion == pytest.approx(0.5, rel=0.1)
        assert part.zero_days_fitted == pytest.approx(part.zero_days, abs=0.02)
    assert found.classes[2].dispersion == pytest.approx(0.5, rel=0.25)
    assert found.week == pytest.approx(WEEK, abs=0.06)
    assert found.year == pytest.approx(YEAR, abs=0.12)
    assert (found.log_mean, found.log_sd) == pytest.approx((1.0, 1.0), abs=0.15)
    assert found.europe_ratio == pytest.approx(0.5, rel=0.1)


def test_shocks_shared_between_markets_are_recovered(tmp_path):
    found = fits.fit_demand(sales(tmp_path, shock=0.4))
    assert found.shock_variance == pytest.approx(0.16, rel=0.3)
    assert found.shock_persistence == pytest.approx(0.8, abs=0.12)
    assert found.europe_shock_slope == pytest.approx(1, abs=0.2)


def test_spikes_stand_out_where_there_are_any(tmp_path):
    calm = fits.fit_demand(sales(tmp_path))
    busy = fits.fit_demand(sales(tmp_path, spikes=True))
    assert calm.spikes_a_year == pytest.approx(calm.spikes_a_year_by_chance, abs=0.1)
    assert busy.spikes_a_year - busy.spikes_a_year_by_chance == pytest.approx(3, abs=0.6)


def test_orders_cancelled_the_same_day_are_no_demand(tmp_path):
    path = sales(tmp_path)
    before = fits.fit_demand(path)
    table = pd.read_csv(path)
    bulk = table.head(40).assign(units=50_000, orders=0, cancelled_units=50_000, country="Japan")
    pd.concat([table, bulk]).to_csv(path, index=False)
    assert fits.fit_demand(path) == before


@pytest.mark.parametrize("fit", [fits.fit_lead_times, fits.fit_freight, fits.fit_demand])
def test_wrong_files_are_refused(fit, tmp_path):
    other, binary, empty = (tmp_path / name for name in ("other.csv", "binary.csv", "empty.csv"))
    other.write_text("a,b\n1,2\n")
    binary.write_bytes(bytes(range(256)) * 8)
    empty.write_text("")
    for path in (other, binary, empty, tmp_path, tmp_path / "absent.csv"):
        with pytest.raises(UserError, match=path.name):
            fit(path)
    with pytest.raises(UserError, match="no column"):
        fit(other)


def test_too_little_data_and_bad_rows_are_refused(tmp_path):
    few = deliveries(tmp_path)
    pd.read_csv(few).head(30).to_csv(few, index=False)
    for fit in (fits.fit_lead_times, fits.fit_freight):
        with pytest.raises(UserError, match="50"):
            fit(few)
    path = sales(tmp_path)
    table = pd.read_csv(path)
    table.assign(country="France").to_csv(path, index=False)
    with pytest.raises(UserError, match="0 SKUs"):
        fits.fit_demand(path)
    table[table["country"] == fits.HOME].to_csv(path, index=False)
    with pytest.raises(UserError, match="Europe"):
        fits.fit_demand(path)
    for column, value in (("date", "yesterday"), ("units", -1)):
        wrong = table.astype({column: object})
        wrong.loc[3, column] = value
        wrong.to_csv(path, index=False)
        with pytest.raises(UserError, match="row 5"):
            fits.fit_demand(path)


WEEK = (1.4, 1.2, 1.2, 1.2, 1.2, 0.0, 0.8)
YEAR = (0.8, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 1.1, 1.2, 1.4, 1.3)


def numbers(value, name=""):
    """Every number of nested dataclasses and tuples with its path."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from numbers(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from numbers(item, f"{name}[{place}]")
    elif not isinstance(value, str):
        yield name, value


def deliveries(folder, shape="lognormal"):
    """3,000 shipments in ten lanes: lead-time CV .5 by air and .25 by ocean, freight 60 w^.7 and
    100 w^.5.
    """
    random = np.random.default_rng(1)
    n = 3000
    ocean, lane = random.random(n) < 0.4, random.integers(0, 10, n)
    cv = np.where(ocean, 0.25, 0.5)
    if shape == "gamma":
        relative = random.gamma(cv**-2) * cv**2
    else:
        sigma = np.sqrt(np.log1p(cv**2))
        relative = np.exp(sigma * random.standard_normal(n) - sigma**2 / 2)
    days = np.maximum(np.rint(relative * (300 + 60 * lane) * np.where(ocean, 2, 1)), 1)
    sent = pd.Timestamp("2008-01-01") + pd.to_timedelta(random.integers(0, 900, n), unit="D")
    kg = np.exp(random.uniform(np.log(100), np.log(20000), n))
    usd = np.where(ocean, 100 * kg**0.5, 60 * kg**0.7) * np.exp(0.3 * random.standard_normal(n))
    path = folder / "deliveries.csv"
    pd.DataFrame(
        {
            "ID": np.arange(n),
            "ASN/DN #": [f"ASN-{k}" for k in range(n)],
            "Country": [f"country {k % 5}" for k in lane],
            "Manufacturing Site": [f"site {k}" for k in lane],
            "Shipment Mode": np.where(ocean, "Ocean", "Air"),
            "Fulfill Via": "Direct Drop",
            "PO Sent to Vendor Date": sent.strftime("%Y-%m-%d"),
            "Delivered to Client Date": (
                (sent + pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d")
            ),
            "Line Item Value": kg * 50 * np.exp(0.3 * random.standard_normal(n)),
            "Weight (Kilograms)": kg,
            "Freight Cost (USD)": usd,
        }
    ).to_csv(path, index=False)
    return path


def sales(folder, dispersion=2.0, shock=0.0, spikes=False):
    """300 SKUs for a year at home and, at half the volume, in France: NB units and Poisson orders.

    shock: standard deviation of an AR(1) (.8 a week) in the order rate, common to both markets.
    spikes: three weeks a year, well apart, of four times the orders.
    """
    random = np.random.default_rng(2)
    days, skus = pd.date_range("2010-12-06", "2011-12-11"), 300
    week = np.arange(len(days)) // 7
    season = (np.array(WEEK)[days.day_of_week] * np.array(YEAR)[days.month - 1])[:, None]
    mean = np.exp(1 + random.standard_normal(skus))
    noise = random.standard_normal((week.max() + 1, skus))
    for t in range(1, len(noise)):
        noise[t] = 0.8 * noise[t - 1] + 0.6 * noise[t]
    rate = (1 + shock * noise).clip(0)
    if spikes:
        for number in range(3):
            rate[random.integers(8 + 15 * number, 16 + 15 * number, skus), np.arange(skus)] *= 4
    frames = []
    for country, share in ((fits.HOME, 1.0), ("France", 0.5)):
        units = random.poisson(random.gamma(dispersion, mean * share * season / dispersion))
        orders = random.poisson(2 * share * season * rate[week] * np.ones(skus))
        day, sku = np.nonzero(units + orders)
        frames.append(
            pd.DataFrame(
                {
                    "date": days[day].strftime("%Y-%m-%d"),
                    "stock_code": 10000 + sku,
                    "country": country,
                    "units": units[day, sku],
                    "orders": orders[day, sku],
                    "cancelled_units": 0,
                }
            )
        )
    path = folder / "sales.csv"
    pd.concat(frames).to_csv(path, index=False)
    return path
