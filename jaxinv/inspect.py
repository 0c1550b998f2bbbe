"""`python -m jaxinv.inspect`: what a shop's files hold, what would be assumed, and a plan ready to
run.
"""

from pathlib import Path

from jaxinv.cli import emit, note, parser, run_command, split_arguments
from jaxinv.errors import UserError


def main(argv: list[str]) -> None:
    made = parser(
        "inspect",
        "Reads the files of a shop (sales, and what there is of items, locations, lanes, stock,"
        " open orders, calendar, receipts), says what was understood and what is assumed, and"
        " writes plan.yaml.",
        arguments="FILE... | FOLDER | PLAN [key=value ...]",
        examples=(
            "sales.csv",
            "shop/ service=0.97",
            "export.csv columns.sku='Lineitem sku' dates=dmy returns=net",
            "plan.yaml --json",
        ),
    )
    made.add_argument(
        "--out", type=Path, help="where the plan is written (default: plan.yaml, in FOLDER or here)"
    )
    made.add_argument("--force", action="store_true", help="write the plan over one that is there")
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if not what:
        raise UserError(
            "give the files of a shop, the folder that holds them, or a plan; see python -m"
            " jaxinv.inspect --help"
        )

    from jaxinv.data.plan.look import look
    from jaxinv.data.plan.plan import read_plan
    from jaxinv.data.plan.typed import by_name, parse_overrides
    from jaxinv.data.plan.written import plan_text
    from jaxinv.whole import write_text

    columns, settings = parse_overrides(overrides)
    path, files = by_name([Path(text) for text in what])
    plan = read_plan(path, columns, **files, **settings)
    found = look(plan)
    folder = path if path.is_dir() else Path()
    out = args.out or (path if path.suffix in (".yaml", ".yml") else folder / "plan.yaml")
    written = args.force or not out.exists()
    if written:
        write_text(out, plan_text(plan, out.parent))
    document = {
        "read": list(plan.read),
        "notes": list(dict.fromkeys([*plan.notes, *found.pop("odd")])),
        "assumptions": list(plan.assumptions),
        "as_of": str(plan.settings.as_of),
        "fingerprint": plan.fingerprint,
        "plan": str(out) if written else None,
        **found,
    }
    emit(document, args.json, lambda: _render(document))
    if written:
        note(f"written: {out}; look through it, then give it to train, evaluate, tune or recommend")
    else:
        note(
            f"{out} is there and stays as it is; --force writes it anew, --out FILE writes another"
        )


def _render(document):
    from rich.console import Group

    from jaxinv.cli import table

    def section(title, lines):
        return f"{title}\n" + "".join(f"  {line}\n" for line in lines) if lines else ""

    sales = document["sales"]
    counts = (
        f"{sales['skus']:,} SKUs at {sales['locations']:,}"
        f" location{'s' * (sales['locations'] != 1)}, {sales['series']:,} series"
    )
    parts = [
        section("What was read", document["read"]),
        section("Odd, and what was made of it", document["notes"]),
        section("What is assumed", document["assumptions"]),
        section(
            "Sales",
            [
                f"{counts}, by {sales['frequency']} from {sales['first']} to {sales['last']}",
                *_sentences(document),
            ],
        ),
    ]
    by_class = table(
        document["abc_xyz"],
        {
            "class": "class",
            "skus": "SKUs",
            "share": "of money sold",
            "X": "X even",
            "Y": "Y",
            "Z": "Z uneven",
            "-": "no sales",
        },
        title="Products by money sold (ABC) and by how even their weeks are (XYZ)",
        formats={"share": _percent},
    )
    columns = {
        "source": "from",
        "destination": "to",
        "counted": "days counted with",
        "orders": "lines in receipts",
        "mean": "mean",
        "spread": "spread",
    }
    columns |= {"latest": "latest", "partly": "came in part", "lost": "never came"}
    lanes = document["lead_times"]
    shown = table(
        lanes[:20],
        columns,
        title="Lead times"
        + (f" (20 of {len(lanes)} lanes; all with --json)" if len(lanes) > 20 else ""),
        formats={"partly": _percent, "lost": _percent},
    )
    return Group(
        "\n".join(part for part in parts if part),
        by_class,
        *([shown] if any(lane["orders"] for lane in lanes) else []),
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def _sentences(document) -> list[str]:
    """What the figures say, one line each."""
    kinds = document["kinds"]
    said = [
        f"demand by {document['sales']['frequency']}, SKUs: {kinds['smooth']} smooth,"
        f" {kinds['erratic']} erratic, {kinds['intermittent']} intermittent, {kinds['lumpy']} lumpy"
        + (f", {kinds['no sales']} without sales" if kinds["no sales"] else "")
    ]
    season = document["season"]
    if season["weekdays"]:
        said.append(
            "weekdays, of the mean: "
            + ", ".join(f"{name} {value:.2f}" for name, value in season["weekdays"].items())
        )
    if season["months"]:
        high, low = (pick(season["months"], key=season["months"].get) for pick in (max, min))
        repeats = (
            f"; one year is like the next with correlation {season['repeats']:.2f}"
            if season["repeats"] is not None
            else ""
        )
        said.append(
            f"months, of the mean: highest {high} ({season['months'][high]:.2f}), lowest {low}"
            f" ({season['months'][low]:.2f}){repeats}"
        )
    else:
        said.append("season: less than two years of sales, which do not tell it")
    promotions = document["promotions"]
    if promotions and promotions["lift"] is not None:
        said.append(
            f"promotions: sales times {promotions['lift']:.2f} ({promotions['skus']} SKUs,"
            f" {promotions['periods']:,} {document['sales']['frequency']}s);"
            f" {promotions['to_come']:,} rows to come"
        )
    elif document["promotions_left_out"]:
        said.append(
            "promotions: the column of sales is left out, as told above, and the calendar has none"
        )
    else:
        said.append("promotions: none in sales or calendar")
    out = document["stock_outs"]
    if out:
        said.append(
            f"stock-outs: {_percent(out['share'])} of periods began without stock or sold all of it"
            f" ({out['series']} series); demand there is estimated"
        )
    else:
        said.append(
            "stock-outs: not known; a column stock in sales (units as the period begins) tells them"
        )
    return said


if __name__ == "__main__":
    run_command(main)
