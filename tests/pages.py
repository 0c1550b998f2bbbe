"""Folders to report on, written by hand: what a run, an evaluation and an order list leave."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.sheets import write_table

ODD = ("=1+1", "<script>alert(1)</script>", "@cmd", "a & b \"c\" 'd'", "007")
"""Names that a spreadsheet or a browser must not take for anything but names."""

PERIODS, PER_YEAR = 26, 52.0


def row(policy: str, kind: str, cost: float, difference: float, **more) -> dict:
    """A row of an evaluation, as `jaxinv.evidence` makes them; the best rule costs 10 a week and
    series.
    """
    share = difference / 10.0
    return {
        "policy": policy, "kind": kind, "cost": cost, "cost_interval": [0.9 * cost, 1.1 * cost],
        "best_rule": "s_S", "instance": "",
        "difference": difference, "difference_interval": [difference - 0.3, difference + 0.3],
        "relative_difference": share,
        "relative_difference_interval": [share - 0.03, share + 0.03],
        "interval_over": "4 blocks of 6.5 weeks and 12 items",
        "fill_rate": 0.9 + 0.01 * share, "fill_rate_interval": [0.85, 0.95], "stock": 20.0,
        "stock_interval": [18.0, 22.0],
        "stock_value": 300.0, "stock_value_interval": [280.0, 320.0], "turnover": 8.25,
        "at_end": None,
        "parts": {"holding": 0.6 * cost, "shortage": 0.4 * cost}, **more,
    }  # fmt: skip


def rows() -> list[dict]:
    """What acts is 8.2% cheaper than the best rule, and 20% cheaper than what the shop ordered
    itself.
    """
    versus = {"own_orders": {
        "difference": -2.3, "difference_interval": [-3.1, -1.2], "relative_difference": -0.2,
        "relative_difference_interval": [-0.31, -0.1],
    }}  # fmt: skip
    return [
        row("diffsim", "policy", 9.18, -0.82, versus=versus), row("base_stock", "rule", 11.4, 1.4),
        row("s_S", "rule", 10.0, 0.0),
        row("newsvendor_smoothing", "rule", 10.6, 0.6), row("own_orders", "theirs", 11.48, 1.48),
    ]  # fmt: skip


def document(found: list[dict], series: int, **about) -> dict:
    held_out = {
        "acts": found[0]["policy"], "period": "week", "periods": PERIODS, "warm_up": 6,
        "first": "2024-05-06", "last": "2024-10-28",
        "periods_per_year": PER_YEAR, "series": series, "skus": series, "places": None,
        "money": True, "currency": "EUR",
        "valued_at": "cost", **about,
    }  # fmt: skip
    return {
        "run": "spring", "env": "retail", "agent": "diffsim",
        "notes": ["/home/me/secret/sales.csv: the column colour is not used"], "held_out": held_out,
        "evaluation": found,
    }  # fmt: skip


def names(series: int) -> list[str]:
    return [*ODD, *(f"SKU-{number:05d}" for number in range(series))][:series]


def by_sku(series: int, policies: tuple[str, ...] = ("diffsim", "s_S")) -> pd.DataFrame:
    draw, tables = np.random.default_rng(0), []
    for policy in policies:
        difference = draw.normal(-0.8, 2.0, series) * (policy == "diffsim")
        tables.append(
            pd.DataFrame(
                {
                    "sku": names(series),
                    "policy": policy,
                    "name": policy,
                    "cost": draw.gamma(4.0, 2.5, series),
                    "difference": difference,
                    "difference_low": difference - 1.0,
                    "difference_high": difference + 1.0,
                    "fill_rate": draw.uniform(0.7, 1.0, series),
                    "stock": draw.gamma(4.0, 5.0, series),
                    "stock_value": draw.gamma(4.0, 75.0, series),
                    "turnover": draw.uniform(2, 20, series),
                    "demand": draw.gamma(3.0, 4.0, series),
                    "ordered": draw.gamma(3.0, 4.0, series),
                    "orders": draw.uniform(0.2, 1.0, series),
                    "cost of holding stock": draw.gamma(4.0, 1.5, series),
                    "cost of demand not served": draw.gamma(4.0, 1.0, series),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def worst(skus: list[str], periods: int = PERIODS) -> pd.DataFrame:
    draw, dates, tables = (
        np.random.default_rng(1),
        pd.date_range("2024-05-06", periods=periods, freq="7D"),
        [],
    )
    for sku in skus:
        demand = draw.poisson(9.0, periods)
        for policy in ("diffsim", "s_S"):
            forecast = np.full(periods, 9.0 if policy == "s_S" else np.nan)
            tables.append(
                pd.DataFrame(
                    {
                        "sku": sku,
                        "policy": policy,
                        "period": dates.strftime("%Y-%m-%d"),
                        "stock": draw.poisson(12.0, periods),
                        "ordered": draw.poisson(9.0, periods),
                        "demand": demand,
                        "short": draw.binomial(2, 0.1, periods),
                        "forecast": forecast,
                        "forecast_low": 0.6 * forecast,
                        "forecast_high": 1.5 * forecast,
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def orders(lines: int) -> pd.DataFrame:
    draw = np.random.default_rng(2)
    packs = draw.integers(1, 9, lines)
    return pd.DataFrame(
        {
            "sku": names(lines),
            "name": "",
            "source": draw.choice(["Nordic Supply", "=SUM(A1)", "East"], lines),
            "destination": "shop",
            "order_date": "2024-11-04",
            "quantity": 12 * packs,
            "packs": packs,
            "unit_cost": 2.5,
            "cost": 30.0 * packs,
            "currency": "EUR",
            "arrival_early": "2024-11-11",
            "arrival_likely": "2024-11-13",
            "arrival_late": "2024-11-18",
            "on_hand": draw.integers(0, 40, lines),
            "on_order": draw.integers(0, 24, lines),
            "risk_with": 0.04,
            "risk_without": draw.uniform(0.05, 0.9, lines).round(3),
            "days_of_cover": draw.integers(2, 20, lines),
            "reason": "net 102, needs 139 until 18 Nov, pack 12: order 36",
        }
    )


def exceptions() -> pd.DataFrame:
    return pd.DataFrame({
        "kind": ["runs_out", "surplus"], "sku": [ODD[1], "007"], "location": "shop",
        "what": ["out on 8 Nov, first arrival 13 Nov", "400 days"],
        "when": ["2024-11-08", ""], "quantity": [14, 220], "advice": ["order by air", "return it"],
    })  # fmt: skip


def run_folder(path: Path, series: int = 12, **about) -> Path:
    """A run with its evidence and an order list."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "summary.json").write_text(
        json.dumps(document(rows(), series, **about)), encoding="utf-8"
    )
    (path / "metrics.csv").write_text("update,cost\n1,12.5\n2,11.0\n3,9.75\n", encoding="utf-8")
    (path / "dropped.csv").write_text(
        "series,reason\n'=2+2,never sold\nold,discontinued: 2023-01-02\n", encoding="utf-8"
    )
    (path / "config.yaml").write_text(
        "instance:\n  data: /home/me/secret/sales.csv\n  lead_time: 2\n", encoding="utf-8"
    )
    write_table(path / "by_sku.csv", by_sku(series))
    write_table(path / "worst.csv", worst(names(series)[:10]))
    return path


def order_folder(path: Path, lines: int = 12) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    write_table(path / "orders.csv", orders(lines))
    write_table(path / "exceptions.csv", exceptions())
    about = {
        "date": "2024-11-04",
        "currency": "EUR",
        "assumptions": ["a lead time of 7 days was taken for 3 SKUs"],
    }
    (path / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return path
