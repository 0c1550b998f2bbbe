"""`python -m jaxinv.solve`: the exact optimum of an instance."""

import csv
from pathlib import Path

from jaxinv.choices import check_choices
from jaxinv.cli import emit, enable_compilation_cache, note, parser, run_command, split_arguments
from jaxinv.errors import UserError

SHOWN = 18
"""Most rows and columns of the table of orders that is printed; the file has every state."""


def main(argv: list[str]) -> None:
    made = parser(
        "solve",
        "Solves an instance to optimality and shows the best policy: a chain or a store with"
        " backlog in closed form, others by value iteration on whole units, known demand laws and"
        " fixed lead times, as far as the states fit into memory.",
        arguments="PRESET [key=value ...]",
        examples=(
            "lost_sales lead_time=4 shortage_cost=9",
            "dual_sourcing regular_lead_time=3 expedited_cost=110",
            "perishable shelf_life=3 lead_time=2 --discount 0.99 --out solved",
        ),
    )
    made.add_argument(
        "--discount",
        type=float,
        default=1.0,
        help="discount factor a period (default 1: average cost)",
    )
    made.add_argument(
        "--tolerance",
        type=float,
        default=1e-7,
        help="relative width of the bounds on the cost (default 1e-7)",
    )
    made.add_argument(
        "--memory",
        type=float,
        default=6.0,
        metavar="GB",
        help="memory that may be used (default 6)",
    )
    made.add_argument(
        "--out",
        metavar="FOLDER",
        help="write policy.csv (every visited state) and policy.png there",
    )
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if len(what) != 1:
        raise UserError(
            f"give one PRESET, as in `lost_sales lead_time=4`, not {' '.join(what) or 'nothing'}"
        )
    if not 0 < args.discount <= 1:
        raise UserError(f"--discount {args.discount} must lie above 0 and at most at 1")
    if not args.tolerance > 0:
        raise UserError(f"--tolerance {args.tolerance} must be above 0")
    if args.out and Path(args.out).exists() and not Path(args.out).is_dir():
        raise UserError(f"--out {args.out} is a file; give a folder")

    overrides = [f"env={what[0]}", *overrides]
    check_choices(None, overrides)

    from jaxinv.exact import solve_problem
    from jaxinv.experiment import Experiment

    enable_compilation_cache()
    problem = Experiment.load(None, overrides).problem
    if not problem.single:
        raise UserError(
            f"{what[0]} has {problem.instances} instances, each a problem of its own; solve works"
            " on a single one"
        )
    solution = solve_problem(
        problem, discount=args.discount, tolerance=args.tolerance, memory=1e9 * args.memory
    )
    table = solution.enumeration
    document = {
        "env": what[0],
        "discount": args.discount,
        "periods": problem.test_periods if problem.ends else None,
        "average_cost": solution.average_cost,
        "interval": list(solution.interval),
        "method": solution.method,
        "states": table.grid.states if table else None,
        "iterations": table.iterations if table else None,
        "seconds": solution.seconds,
        "truncated_probability": table.truncated_probability if table else None,
        "parameters": None if table or problem.ends else _natural(solution, problem),
    }
    if args.out:
        if problem.ends:
            raise UserError(
                "--out: the orders of an episode that ends differ from period to period; leave"
                " --out away"
            )
        _write(Path(args.out), what[0], table, args.json)
    emit(document, args.json, lambda: _render(document, table))


def _natural(solution, problem) -> dict:
    """Parameters of a rule in product units, one number an edge."""
    natural = solution.policy.natural(solution.params, problem.env.facts(problem.first))
    return {name: [float(entry) for entry in value.reshape(-1)] for name, value in natural.items()}


def _write(folder: Path, name: str, table, quiet: bool) -> None:
    if table is None:
        raise UserError(
            "--out: the optimal policy of this instance is a rule with a few numbers; there is no"
            " table to write"
        )
    from jaxinv.exact.policy_table import policy_rows
    from jaxinv.report.figures import save_policy

    rows = policy_rows(table)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "policy.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        save_policy(folder / "policy.png", name, table)
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written: {error.strerror}") from None
    if not quiet:
        note(
            f"{len(rows):,} visited states in {folder / 'policy.csv'}, drawn in"
            f" {folder / 'policy.png'}"
        )


def _render(document, table):
    from rich.console import Group

    low, high = document["interval"]
    what = (
        "optimal average cost"
        if document["periods"] is None
        else f"optimal cost of {document['periods']} periods:"
    )
    lines = [
        f"{what} {document['average_cost']:.6g} a period, +-{(high - low) / 2:.1g}"
        f" ({document['method']})"
    ]
    if document["discount"] < 1:
        lines.append(
            "  which is (1 - discount) times the discounted cost from a state in the middle of the"
            " grid"
        )
    if document["parameters"] is not None:
        for name, values in document["parameters"].items():
            lines.append(f"  {name}: {', '.join(f'{value:.5g}' for value in values)}")
    if table is None:
        return Group(*lines)
    lines.append(
        f"{document['states']:,} states x {table.grid.orders.size:,} orders,"
        f" {document['iterations']} sweeps, {document['seconds']:.1f} s; demand cut off with"
        f" probability {document['truncated_probability']:.1g} a period"
    )
    return Group(*lines, _orders(table))


def _orders(table):
    """The mean order by stock and units on their way, as a table that fits a screen."""
    import numpy as np

    from jaxinv.cli import table as draw
    from jaxinv.exact.policy_table import order_map

    levels, amounts, orders = order_map(table)
    columns = _spread(len(amounts))
    rows = [
        {
            "stock": int(levels[row]),
            **{
                str(amounts[column]): f"{orders[row, column]:.3g}"
                for column in columns
                if orders[row, column] >= 0
            },
        }
        for row in _spread(len(levels))
        if not np.isnan(orders[row, columns]).all()
    ]
    headings = {
        "stock": "stock",
        **{str(amounts[column]): str(amounts[column]) for column in columns},
    }
    return draw(rows, headings, title="mean order, by stock (down) and units on their way (across)")


def _spread(count: int) -> list[int]:
    """At most `SHOWN` places, evenly spread over `count`."""
    return list(range(0, count, -(-count // SHOWN)))


if __name__ == "__main__":
    run_command(main)
