"""`python -m jaxinv.evaluate`: runs and rules on the same held-out demand, paired."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxinv.choices import BESIDE, check_choices, of_plan, run_among_rules
from jaxinv.cli import (
    add_devices,
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


def main(argv: list[str]) -> None:
    made = parser(
        "evaluate",
        "Evaluates trained runs, classical rules, the `optimal` policy and the one that ships"
        " `ready` on the same held-out demand. Rules are tuned on training demand first; without"
        " any named, all that apply are."
        " A run that was trained with preferences=true is also evaluated at the preference, or at"
        " the service level, that is asked for; costs are at the instance's own weights. A run of"
        " sales is also evaluated on later ones, data=FILE, with what was fitted to the first;"
        " rules are tuned on those.",
        arguments="WHAT ... [key=value ...]",
        examples=(
            "my-run",
            "my-run base_stock newsvendor_smoothing",
            "base_stock capped_base_stock --env lost_sales lead_time=2",
            "my-run --service 0.95",
            "my-run --monitor kpis",
            "my-run data=later.csv",
            "my-run preference.service=3 preference.stock=1",
        ),
    )
    made.add_argument("--env", help="preset, or a plan, where no run among WHAT says it")
    made.add_argument(
        "--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)"
    )
    made.add_argument(
        "--service",
        type=float,
        metavar="LEVEL",
        help="fill rate to evaluate a run at, such as 0.95",
    )
    made.add_argument(
        "--monitor",
        metavar="FOLDER",
        help="also writes key figures of every period there: monitor.csv and monitor.png",
    )
    made.add_argument(
        "--out",
        metavar="FOLDER",
        help="writes report.html, by_sku.csv and evaluation.json there (default: that of --monitor,"
        " or evaluated/ in the first run)",
    )
    add_devices(made)
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    preference, overrides = _preference(overrides)
    if not what and not args.env:
        raise UserError("name a run or rules to evaluate, or an --env for all its rules")

    for option, folder in (("--monitor", args.monitor), ("--out", args.out)):
        if folder and Path(folder).exists() and not Path(folder).is_dir():
            raise UserError(f"{option} {folder} is a file; give a folder")

    rules = tuple(name for name in what if name in RULES)
    runs = [run_among_rules(name, args.runs) for name in what if name not in (*RULES, *BESIDE)]
    later = ""
    if runs:
        later, overrides = _later(overrides)
        if args.env or overrides:
            raise UserError(
                "a run is evaluated on the problem it was trained for; leave out --env and"
                " key=value but data=LATER"
            )
    if not runs:
        _, overrides = of_plan(
            None, [f"seed={args.seed}", f"env={args.env or _missing(what)}", *overrides]
        )
        check_choices(None, overrides)

    from jaxinv.api import evaluate_trained
    from jaxinv.ending import notes_of
    from jaxinv.evidence import evidence_table, tuning_notes, verdict, with_rows
    from jaxinv.experiment import Experiment, trained_policies
    from jaxinv.placement import use_devices

    enable_compilation_cache()
    use_devices(args.devices)
    trained = [trained_policies(run, later) for run in runs]
    experiment = trained[0][0] if trained else Experiment.load(None, overrides)
    endings = [
        notes_of(run.name, other.problem, run.ending()) for run, (other, _) in zip(runs, trained)
    ]

    def announce():
        for text in (*experiment.problem.notes, *itertools.chain(*endings)):
            note(text)
        if not args.json:
            note("tuning rules on training demand, evaluating on held-out demand")

    judged: list[Any] = []
    rows = evaluate_trained(
        experiment,
        trained,
        rules,
        [name for name in BESIDE if name in what],
        preference,
        args.service,
        args.seed,
        announce,
        judged.append,
    )
    monitored: list[Any] = []
    if args.monitor:
        from jaxinv.evaluation.monitor import monitor

        for one in judged:
            monitored += monitor(
                one.problem, one.contestants, one.key, experiment.config.evaluation.paths
            )
        first, *others = monitored
        monitored = [first, *sorted(others, key=lambda one: one.row["cost"])]
        _write(Path(args.monitor), monitored, experiment.problem.season, experiment.config.env)
    out = args.out or args.monitor or (runs[0].path / "evaluated" if runs else None)
    if out:
        _write_results(
            Path(out), with_rows(judged, rows), experiment, bool(args.out or args.monitor)
        )
    emit(
        rows,
        args.json,
        lambda: _render(
            rows, experiment.config.env, monitored, evidence_table, verdict, tuning_notes
        ),
    )


def _preference(overrides) -> tuple[dict[str, float], list[str]]:
    """The `preference.OBJECTIVE=WEIGHT` among overrides, and the others."""
    asked = [text for text in overrides if text.startswith("preference.")]
    found = {}
    for text in asked:
        name, _, value = text.removeprefix("preference.").partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UserError(f"{text}: {value!r} is not a number") from None
    return found, [text for text in overrides if text not in asked]


def _later(overrides) -> tuple[str, list[str]]:
    """The file of later sales among overrides, and the others."""
    files = [
        text.partition("=")[2] for text in overrides if text.startswith(("data=", "instance.data="))
    ]
    return (files[-1] if files else ""), [
        text for text in overrides if not text.startswith(("data=", "instance.data="))
    ]


def _missing(what):
    raise UserError(
        f"rules need a problem: add --env PRESET, as in `{' '.join(what)} --env lost_sales`"
    )


def _write(folder: Path, monitored: Sequence[Any], season: int, env: str) -> None:
    from jaxinv.evaluation.monitor import save_table
    from jaxinv.report.figures import save_monitor

    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_table(folder / "monitor.csv", monitored)
        save_monitor(folder / "monitor.png", monitored, season, f"{env}: held-out demand")
    except OSError as error:
        raise UserError(f"--monitor {folder}: cannot be written: {error.strerror}") from None
    note(
        f"key figures of {monitored[0].periods} periods in {folder / 'monitor.csv'}, drawn in"
        f" {folder / 'monitor.png'}"
    )


def _write_results(folder: Path, judged: Sequence[Any], experiment: Any, asked: bool) -> None:
    """Writes what people read; where nobody asked for it, a folder that cannot be written is only
    told of.
    """
    from jaxinv.report.results import about, write_results
    from jaxinv.runs import json_text
    from jaxinv.whole import write_text

    rows = [row for one in judged for row in one.rows]
    document = {
        "env": experiment.config.env, "notes": list(experiment.problem.notes),
        "held_out": about(judged), "evaluation": rows,
    }  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "evaluation.json", json_text(document) + "\n")
        write_results(folder, judged)
    except (OSError, UserError) as error:
        said = f"{folder}: cannot be written: {getattr(error, 'strerror', error)}"
        if asked:
            raise UserError(said) from None
        note(f"no report: {said}")
    else:
        note(f"the report is in {folder / 'report.html'}")


def _render(rows, env, monitored, evidence_table, verdict, notes):
    from rich.console import Group

    parts = [evidence_table(rows, f"{env}: held-out demand"), verdict(rows), notes(rows)]
    if monitored:
        from jaxinv.evaluation.monitor import COLUMNS

        shown = [one.row for one in monitored]
        columns = {
            key: heading
            for key, heading in COLUMNS.items()
            if any(row[key] is not None for row in shown if key in row)
        }
        parts.append(table(shown, columns, title="key figures of a period"))
    return Group(*parts)


if __name__ == "__main__":
    run_command(main)
