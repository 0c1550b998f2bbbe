"""`python -m jaxinv.ablate`: every ablation of D3S-CI as one vmapped program."""

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
from jaxinv.errors import UserError


def main(argv: list[str]) -> None:
    made = parser(
        "ablate",
        "Trains D3S-CI without its state representation, its core decision, its adaptive module,"
        " each pair and all three, all seeds and variants in one program, and sends them through"
        " the same stream of days in which the market changes. Every difference from the whole"
        " system is printed with its interval beside the paper's.",
        arguments="[key=value ...]",
        examples=(
            "",
            "--quick",
            "seeds=5 updates=60 skus=64",
            "scenarios=demand_step,none segment=120 gradient=both",
        ),
    )
    made.add_argument("--quick", action="store_true", help="the same code at a size of minutes")
    add_devices(made)
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if what:
        raise UserError(f"ablate takes key=value alone, not {what[0]}")
    many_runs()

    from jaxinv.placement import use_devices
    from jaxinv.studies import ablation
    from jaxinv.studies.rows import timed

    enable_compilation_cache()
    use_devices(args.devices)
    config = ablation.configure([f"seed={args.seed}", *overrides], args.quick)
    runs = len(ablation.VARIANTS) * config.seeds
    if not args.json:
        note(
            f"{runs} runs in one program: {len(ablation.VARIANTS)} variants x {config.seeds} seeds"
        )
    rows = list(timed(ablation.run(config=config)))
    emit(rows, args.json, lambda: _render(rows, config.stream.scenarios))


def _render(rows, scenarios):
    from rich.console import Group

    from jaxinv.reproduce import claims_table

    held = sum(row["holds"] for row in rows)
    return Group(
        claims_table(rows, f"ablation on a stream with {', '.join(scenarios)}", "in print"),
        f"{held} of {len(rows)} claims hold",
    )


if __name__ == "__main__":
    run_command(main)
