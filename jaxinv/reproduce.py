"""`python -m jaxinv.reproduce`: a study, the paper's numbers beside ours."""

from pathlib import Path

from jaxinv.cli import (
    add_devices,
    emit,
    enable_compilation_cache,
    many_runs,
    note,
    parser,
    run_command,
    split_arguments,
)
from jaxinv.errors import UserError, unknown

STUDIES = (
    "instances",
    "learners",
    "learned_networks",
    "deepstock",
    "causal",
    "pareto",
    "ablation",
    "adaptation",
    "seed001",
    "seed002",
    "beer_game",
    "rivals_network",
    "ready",
    "offline",
    "inventorybench",
    "fdim",
    *(f"d3sci-table{number}" for number in range(2, 7)),
    "gym_invmgmt",
)
"""Modules of `jaxinv.studies`, some with a first part: d3sci-table2 is the part table2 of d3sci."""


def main(argv: list[str]) -> None:
    made = parser(
        "reproduce",
        "Runs a study: every number in print beside ours, with its interval, and whether the claim"
        f" holds. Studies: {', '.join(STUDIES)}. What follows the study restricts it, such as to"
        " families of instances or to learners.",
        arguments="STUDY [PART ...]",
        examples=(
            "instances",
            "instances lost_sales dual_sourcing",
            "instances --quick",
            "learners diffsim base",
            "d3sci-table2 events.csv retail_store_inventory.csv --quick",
            "learners --quick",
        ),
    )
    made.add_argument("--quick", action="store_true", help="the same code at a size of minutes")
    made.add_argument(
        "--out",
        metavar="FOLDER",
        help="folder of a study's pictures and tables (default: runs/STUDY)",
    )
    add_devices(made)
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if overrides:
        raise UserError(f"a study has its own parameters; leave out {overrides[0]}")
    if not what:
        raise UserError(f"name a study: {', '.join(STUDIES)}")
    if what[0] not in STUDIES:
        raise unknown("study", what[0], STUDIES)

    import importlib

    from jaxinv.placement import use_devices
    from jaxinv.studies.rows import timed

    many_runs()
    module, _, part = what[0].partition("-")
    study = importlib.import_module(f"jaxinv.studies.{module}")
    parts = [*filter(None, [part]), *what[1:]]
    kept = {"folder": Path(args.out)} if args.out and hasattr(study, "resumes") else {}
    if args.out and not hasattr(study, "save"):
        raise UserError(
            f"the study {what[0]} has no pictures or tables of its own; leave out --out"
        )
    enable_compilation_cache()
    use_devices(args.devices)
    rows = []
    for row in timed(study.run(quick=args.quick, parts=parts, **kept)):
        rows.append(row)
        where = "in print" if row["source"] else "to compare with"
        printed = "" if row["paper"] is None else f"{row['paper']:.6g} {where}, "
        note(
            f"{row['claim']}: {printed}ours {row['ours']:.6g}, {row['verdict']}"
            f" ({row['seconds']:.1f} s)"
        )
    if hasattr(study, "save"):
        folder = Path(args.out or f"runs/{what[0]}")
        study.save(rows, folder)
        note(f"pictures and tables are in {folder}")
    emit(rows, args.json, lambda: _render(what[0], rows))


def claims_table(rows, title: str, paper: str, formats=None):
    """The rows of a study as a table for people; `paper` heads the numbers that ours stand
    beside.
    """
    from jaxinv.cli import table

    columns = {
        "claim": "claim",
        "paper": paper,
        "ours": "ours",
        "interval": "95%",
        "verdict": "verdict",
    }
    return table(rows, columns, title=title, formats=formats)


def _render(study, rows):
    from rich.console import Group

    six = dict.fromkeys(("paper", "ours"), "{:.6g}".format)
    claims = [row["holds"] for row in rows if row["holds"] is not None]
    notes = dict.fromkeys(
        f"{row['claim'].rpartition(': ')[0]}: {row['note']}" for row in rows if row["note"]
    )
    return Group(
        claims_table(rows, study, "to compare with", six),
        *notes,
        f"{sum(claims)} of {len(claims)} claims hold",
    )


if __name__ == "__main__":
    run_command(main)
