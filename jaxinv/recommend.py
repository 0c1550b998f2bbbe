"""`python -m jaxinv.recommend`: the order list of a date, exceptions, and why each line is what it is."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from jaxinv.choices import check_choices, run_among_rules
from jaxinv.cli import emit, enable_compilation_cache, note, parser, run_command, split_arguments, table
from jaxinv.errors import UserError
from jaxinv.policies.registry import RULES

TUNE_PERIODS = 600_000
"""Simulated periods that each rule is tuned with, where no option says how many: a list is wanted in minutes."""

SHOWN = {
    "sku": "SKU", "source": "from", "destination": "to", "quantity": "order", "arrival_likely": "arrives", "risk_with": "risk with, %",
    "risk_without": "without, %", "cost_review_later": "a review later costs", "reason": "why",
}  # fmt: skip
MOST_SHOWN = 20


def main(argv: list[str]) -> None:
    made = parser(
        "recommend",
        "The order list of a date from a plan: orders.csv with risks, costs and the reason of every line, a sheet for each "
        "supplier, exceptions.csv, and why.csv, what would be ordered otherwise. Without --policy all rules are tuned and compete "
        "with finished runs of this plan on held-out periods, and what is proven cheapest acts.",
        arguments="PLAN [key=value ...]",
        examples=("plan.yaml", "shop/ --date 2024-05-06", "plan.yaml --policy my-run", "sales.csv --policy base_stock lead_time=2"),
    )
    made.add_argument("--policy", metavar="RUN|RULE", help="what decides: a finished run of this plan, or a rule, which is tuned first")
    made.add_argument("--out", metavar="FOLDER", help="where the files go (default: orders/DATE)")
    made.add_argument("--date", type=_date, metavar="YYYY-MM-DD", help="the day that is decided (default: that of the plan)")
    made.add_argument("--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)")
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if len(what) != 1:
        raise UserError("name one plan: a plan.yaml, a folder of tables, or a file of sales, as in: python -m jaxinv.recommend plan.yaml")
    if args.policy == "ready":
        raise UserError("--policy ready: there is no policy yet that is ready for any plan; leave --policy out, or name a run or a rule")
    if not Path(what[0]).expanduser().exists():
        raise UserError(f"{what[0]}: there is no such plan; give a plan.yaml, a folder of tables, or a file of sales")
    run = None
    if args.policy and args.policy not in RULES:
        run = run_among_rules(args.policy, args.runs)
        if overrides:
            raise UserError("a run has its own options; leave out key=value")
    overrides = [f"seed={args.seed}", "env=network", f"data={what[0]}", *overrides]
    check_choices(None, overrides)

    enable_compilation_cache()
    from jaxinv.orders.order_list import make_list

    experiment, today, acting, rule, costs = _acting(args, run, overrides)
    for text in (*experiment.problem.notes, *acting.why):
        note(text)
    found = make_list(today, acting, rule, seed=args.seed)
    folder = Path(args.out) if args.out else Path("orders") / str(today.date)
    found.write(folder)
    emit(_document(found, folder, today, costs), args.json, lambda: _render(found, folder))


def _date(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


_date.__name__ = "date YYYY-MM-DD"


def _acting(args, run, overrides):
    """The experiment, today, who acts, the tuned rule beside a policy that is none, and what all that competed cost."""
    from jaxinv.evaluation.compare import contestants_of
    from jaxinv.evidence import tune_rules
    from jaxinv.experiment import Experiment, trained_policies
    from jaxinv.keys import root
    from jaxinv.orders.competing import compete, decider_of
    from jaxinv.orders.lines import Acting

    learned: list[Any] = []
    if run is not None:
        experiment, policies = trained_policies(run, args.arguments[0])
        if experiment.config.env != "network":
            raise UserError(f"run {run.name!r} is of env={experiment.config.env}; orders are made with runs of env=network, such as: "
                            f"python -m jaxinv.train {args.arguments[0]}")  # fmt: skip
        learned = policies[:1]
    else:
        experiment = Experiment.load(None, overrides)
        learned = [] if args.policy else _finished(args.runs, experiment)
    today = today_for(experiment, args.date)
    problem, config = experiment.problem, experiment.config.evaluation
    asked = dataclasses.replace(
        config, rules=(args.policy,) if args.policy in RULES else config.rules, tune_periods=config.tune_periods or TUNE_PERIODS,
        per_instance=config.per_instance if problem.instances <= 200 else (),
    )  # fmt: skip
    if not args.json:
        note("tuning rules on training demand, judging them on held-out demand")
    rules = contestants_of(tune_rules(problem, asked, 0, root(args.seed)))
    acting, costs = compete(problem, [*rules, *(learned if not run else ())], root(args.seed), _classes(today))
    best_rule, rule_costs = (acting, costs) if not learned or run else compete(problem, rules, root(args.seed))
    if run is None:
        return experiment, today, acting, best_rule, costs
    _, costs = compete(problem, [*rules, *learned], root(args.seed))
    best = min(rule_costs, key=lambda name: rule_costs[name].value)
    said = f"{learned[0].name} acts, as asked: {costs[learned[0].name].value:.4g} a period and series, {best} {costs[best].value:.4g}"
    own = dataclasses.replace(Acting.of(decider_of(problem, learned[0]), len(today.skus)), why=(said,))
    return experiment, today, own, best_rule, costs


def today_for(experiment, date: datetime.date | None):
    """Today of the plan of an experiment, or that of another date: with what was sold before it."""
    from jaxinv.data.plan import read_plan
    from jaxinv.orders.today import today_of

    preset = experiment.problem.settled or experiment.config.instance
    plan = read_plan(preset.data, preset.columns, **({} if date is None else {"as_of": date}))
    return today_of(preset, preset.shop(plan), experiment.problem)


def _finished(folder, experiment):
    """Learned policies of finished runs of the same plan."""
    from jaxinv.experiment import Experiment, trained_policies
    from jaxinv.runs import Run

    found = []
    for name in Run.names(folder) if Path(folder).is_dir() else []:
        try:
            run = Run.open(name, folder)
            config = Experiment.load(run.config_path).config
            if config.env != "network" or config.instance.data != experiment.config.instance.data or not run.summary_path.exists():
                continue
            other, policies = trained_policies(run)
            if other.problem.env == experiment.problem.env and other.problem.labels == experiment.problem.labels:
                found += policies
        except UserError as error:
            note(f"run {name!r} does not compete: {error}")
    return found


def _classes(today):
    """Category of each instance, or None where there are none."""
    if today.plan is None:
        return None
    items = today.plan.full_items.reindex(today.skus)
    found = items["category"].fillna("").astype(str).to_numpy() if "category" in items else None
    return found if found is not None and len(set(found)) > 1 else None


def _document(found, folder, today, costs) -> dict[str, Any]:
    orders = found.orders
    return {
        "date": str(found.date),
        "folder": str(folder),
        "lines": len(orders),
        "suppliers": found.all.attrs["suppliers"],
        "cost": float(orders["cost"].sum()),
        "policies": sorted({decider.name for decider in found.acting.deciders}),
        "why": list(found.acting.why),
        "competed": [{"policy": name, "cost": one.value, "cost_interval": list(one.interval)} for name, one in costs.items()],
        "exceptions": {kind: int(count) for kind, count in found.exceptions["kind"].value_counts(sort=False).sort_index().items()},
        "orders": orders.to_dict("records"),
    }


def _render(found, folder):
    from rich.console import Group

    orders = found.orders
    rows = orders.sort_values("risk_without", ascending=False, kind="stable").head(MOST_SHOWN).to_dict("records")
    for row in rows:
        row |= {"risk_with": 100 * row["risk_with"], "risk_without": 100 * row["risk_without"]}
    title = f"orders of {found.date}: {len(orders)} lines" + (f", the {MOST_SHOWN} with the highest risk" if len(orders) > MOST_SHOWN else "")
    kinds = found.exceptions["kind"].value_counts(sort=False).sort_index()
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"
    return Group(table(rows, SHOWN, title=title), f"exceptions: {said}", f"written to {folder}")


if __name__ == "__main__":
    run_command(main)
