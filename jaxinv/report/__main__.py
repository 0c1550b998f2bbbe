"""`python -m jaxinv.report`: the report on a run or on a folder of orders, one page that needs
nothing beside it.
"""

from jaxinv.cli import emit, parser, run_command, split_arguments
from jaxinv.errors import UserError
from jaxinv.runs import Run


def main(argv: list[str]) -> None:
    made = parser(
        "report",
        "Writes the report on a run, on what an evaluation left in its folder, or on a folder of"
        " orders: one HTML page that needs no network and nothing beside it. Training, evaluation"
        " and recommendation write it themselves; this writes it again.",
        arguments="RUN|FOLDER",
        examples=("my-run", "my-run --out for-the-boss.html", "orders/2025-03-03"),
    )
    made.add_argument(
        "--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)"
    )
    made.add_argument("--out", metavar="FILE", help="the page (default: report.html in the folder)")
    args = made.parse_args(argv)
    names, overrides = split_arguments(args.arguments)
    if len(names) != 1 or overrides:
        raise UserError("name one run, or one folder of orders, to report on")
    place = Run.place(names[0], args.runs)
    folder = place if place is not None and place.is_dir() else Run.open(names[0], args.runs).path

    from jaxinv.report.page import write_report

    out = write_report(folder, args.out)
    emit({"report": out, "bytes": out.stat().st_size}, args.json, lambda: f"the report is in {out}")


if __name__ == "__main__":
    run_command(main)
