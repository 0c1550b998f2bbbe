"""`python -m jaxinv.recommend`: the order list of a date, exceptions, and why each line is what it
is."""

import datetime
from pathlib import Path
from typing import Any

from jaxinv.choices import check_choices, run_among_rules
from jaxinv.cli import (
    emit,
    enable_compilation_cache,
    note,
    parser,
    run_command,
    split_arguments,
    table,
)
from jaxinv.errors import UserError
from jaxinv.policies.registry import RULES

SHOWN = {
    "sku": "SKU", "source": "from", "destination": "to", "quantity": "order",
    "arrival_likely": "arrives", "risk_with": "risk with, %",
    "risk_without": "without, %", "cost_review_later": "a review later costs", "reason": "why",
}  # fmt: skip
MOST_SHOWN = 20


def main(argv: list[str]) -> None:
    made = parser(
        "recommend",
        "The order list of a date from a plan: orders.csv with the risks, costs and reason of every"
        " line, a sheet for each supplier, exceptions.csv, why.csv (what would be ordered"
        " otherwise), and the report. Without --policy all rules are tuned and compete with"
        " finished runs of this plan on held-out periods, and what is proven cheapest acts.",
        arguments="PLAN [key=value ...]",
        examples=(
            "plan.yaml",
            "shop/ --date 2024-05-06",
            "plan.yaml --policy my-run",
            "sales.csv --policy base_stock",
            "sales.csv --policy ready",
        ),
    )
    made.add_argument(
        "--policy",
        metavar="RUN|RULE|ready",
        help="what decides: a finished run of this plan, a rule, which is tuned first, or the"
        " policy that ships ready, at once and without evidence",
    )
    made.add_argument("--out", metavar="FOLDER", help="where the files go (default: orders/DATE)")
    made.add_argument(
        "--date",
        type=_date,
        metavar="YYYY-MM-DD",
        help="the day that is decided (default: that of the plan)",
    )
    made.add_argument(
        "--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)"
    )
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if len(what) != 1:
        raise UserError(
            "name one plan: a plan.yaml, a folder of tables, or a file of sales, as in: python -m"
            " jaxinv.recommend plan.yaml"
        )
    if not Path(what[0]).expanduser().exists():
        raise UserError(
            f"{what[0]}: there is no such plan; give a plan.yaml, a folder of tables, or a file of"
            " sales"
        )
    run = (
        run_among_rules(args.policy, args.runs)
        if args.policy and args.policy not in (*RULES, "ready")
        else None
    )
    if run and overrides:
        raise UserError("a run has its own options; leave out key=value")
    check_choices(None, ["env=network", *overrides])

    enable_compilation_cache()
    from jaxinv.ordering import recommend

    say = (lambda text: None) if args.json else note
    policy = "" if run else args.policy or ""
    found = recommend(
        what[0],
        overrides,
        policy=policy,
        run=run,
        runs=args.runs,
        date=args.date,
        seed=args.seed,
        say=say,
    )
    folder = Path(args.out) if args.out else Path("orders") / str(found.list.date)
    found.write(folder)
    emit(_document(found, folder), args.json, lambda: _render(found.list, folder))


def _date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


_date.__name__ = "date YYYY-MM-DD"


def _document(found, folder: Path) -> dict[str, Any]:
    orders, competed = found.list.orders, found.outcome.costs
    return {
        **found.list.about,
        "folder": str(folder),
        "lines": len(orders),
        "cost": orders.groupby("currency")["cost"].sum().to_dict(),
        "competed": [
            {"policy": name, "cost": one.value, "cost_interval": list(one.interval)}
            for name, one in competed.items()
        ],
        "exceptions": _kinds(found.list),
        "orders": orders.to_dict("records"),
    }


def _kinds(found) -> dict[str, int]:
    return {
        kind: int(count)
        for kind, count in found.exceptions["kind"].value_counts(sort=False).sort_index().items()
    }


def _render(found, folder: Path):
    from rich.console import Group

    orders = found.orders
    rows = (
        orders.sort_values("risk_without", ascending=False, kind="stable")
        .head(MOST_SHOWN)
        .to_dict("records")
    )
    for row in rows:
        row |= {"risk_with": 100 * row["risk_with"], "risk_without": 100 * row["risk_without"]}
        row["cost_review_later"] = round(row["cost_review_later"], 2) + 0.0  # no -0
    title = f"orders of {found.date}: {len(orders)} lines" + (
        f", the {MOST_SHOWN} with the highest risk" if len(orders) > MOST_SHOWN else ""
    )
    said = ", ".join(f"{count} {kind}" for kind, count in _kinds(found).items()) or "none"
    return Group(
        table(rows, SHOWN, title=title),
        f"exceptions: {said}",
        f"written to {folder}, with the report of it in {folder / 'report.html'}",
    )


if __name__ == "__main__":
    run_command(main)
