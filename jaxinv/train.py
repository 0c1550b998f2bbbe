"""`python -m jaxinv.train`: trains a policy and ends with evidence of how it does against tuned
rules.
"""

from pathlib import Path
from typing import Any

from jaxinv.choices import check_choices, of_plan
from jaxinv.cli import (
    add_devices,
    emit,
    enable_compilation_cache,
    many_runs,
    parser,
    run_command,
    split_arguments,
)
from jaxinv.errors import UserError
from jaxinv.runs import Run


def main(argv: list[str]) -> None:
    made = parser(
        "train",
        "Trains a policy, then compares it with every classical rule, tuned, on demand that none of"
        " them saw.",
        arguments="[CONFIG|PLAN] [key=value ...]",
        examples=(
            "",
            "--env lost_sales lead_time=2 shortage_cost=9 --seeds 5",
            "plan.yaml agent=diffsim",
            "configs/retail.yaml data=sales.csv",
            "configs/lost_sales.yaml --sweep learning_rate=3e-4,1e-3,3e-3",
            "--resume my-run",
        ),
    )
    made.set_defaults(seed=None)  # so that it does not override the configuration's
    made.add_argument("--env", help="preset to train on, instead of the configuration's")
    made.add_argument("--name", help="name of the run (default: the time)")
    made.add_argument(
        "--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)"
    )
    made.add_argument("--seeds", type=int, help="train this many seeds side by side")
    made.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=A,B,C",
        help="train once for each value",
    )
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped")
    add_devices(made)
    args = made.parse_args(argv)
    files, overrides = split_arguments(args.arguments)
    if len(files) > 1:
        raise UserError(f"one CONFIG at most, not {len(files)}: {' '.join(files)}")

    if args.resume:
        if (
            files
            or overrides
            or args.env
            or args.sweep
            or args.seeds
            or args.name
            or args.seed is not None
        ):
            raise UserError(
                "--resume goes on with the run's own configuration; give no other option beside it"
            )
        run = Run.open(args.resume, args.runs)

        from jaxinv import training
        from jaxinv.placement import use_devices

        enable_compilation_cache()
        use_devices(args.devices)
        documents = [training.resume(run, args.json, many_runs)]
    else:
        overrides += [f"seed={args.seed}"] if args.seed is not None else []
        overrides += [f"env={args.env}"] if args.env else []
        overrides += [f"seeds={args.seeds}"] if args.seeds is not None else []
        file, overrides = of_plan(Path(files[0]) if files else None, overrides)
        check_choices(file, overrides)

        from jaxinv import training
        from jaxinv.experiment import expand
        from jaxinv.placement import use_devices

        enable_compilation_cache()
        use_devices(args.devices)
        experiments = expand(file, overrides, args.sweep)
        documents = training.train_in_new_runs(
            experiments, args.name, args.runs, args.json, many_runs
        )
    emit(documents[0] if len(documents) == 1 else documents, args.json, lambda: render(documents))


def render(documents: list[dict[str, Any]]):
    """What people see at the end."""
    from rich.console import Group

    from jaxinv.ending import told
    from jaxinv.evidence import evidence_table, tuning_notes, verdict

    parts = []
    for document in documents:
        parts += [
            evidence_table(
                document["evaluation"], f"{document['env']}: held-out demand, run {document['run']}"
            ),
            verdict(document["evaluation"]),
            *([told(document["ends_with"])] if document["ends_with"] else []),
            tuning_notes(document["evaluation"]),
            f"{document['seconds']:.0f} s, of which {document['compile_seconds']:.0f} s compiled; "
            + (
                f"{document['steps_per_second']:,.0f} environment steps a second"
                if document["steps_per_second"]
                else ""
            ),
        ]
    return Group(*parts)


if __name__ == "__main__":
    run_command(main)
