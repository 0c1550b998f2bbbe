"""`python -m jaxinv.tune`: tunes a classical rule on the training demand of a preset."""

from jaxinv.choices import check_choices, of_plan
from jaxinv.cli import emit, enable_compilation_cache, note, parser, run_command, split_arguments
from jaxinv.errors import UserError


def main(argv: list[str]) -> None:
    made = parser(
        "tune",
        "Tunes a classical rule by simulation, by gradient, or both, and prints its parameters in"
        " product units.",
        arguments="RULE PRESET|PLAN [key=value ...]",
        examples=(
            "capped_base_stock lost_sales lead_time=4 shortage_cost=9",
            "dual_index dual_sourcing --method both",
            "base_stock retail data=sales.csv --per-instance",
        ),
    )
    made.add_argument(
        "--method", help="search, gradient, or both (default: what suits the number of parameters)"
    )
    made.add_argument(
        "--periods",
        type=int,
        default=4_000_000,
        help="simulated periods to spend (default 4000000)",
    )
    made.add_argument(
        "--per-instance",
        action="store_true",
        help="own parameters for every SKU, not one set for all",
    )
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    if len(what) != 2:
        raise UserError(
            "give a RULE and a PRESET, as in `base_stock lost_sales`, not"
            f" {' '.join(what) or 'nothing'}"
        )
    name, preset = what

    _, overrides = of_plan(None, [f"env={preset}", *overrides])
    check_choices(None, overrides, [name])

    from jaxinv.api import tune_named
    from jaxinv.experiment import Experiment

    enable_compilation_cache()
    problem = Experiment.load(None, overrides).problem
    for text in problem.notes:
        note(text)
    tuned = tune_named(problem, [name], args.periods, args.method, args.per_instance, args.seed)
    (document,) = tuned.documents
    emit(document, args.json, lambda: _render(document))


def _render(document) -> str:
    import numpy as np

    low, high = document["cost_interval"]
    lines = [
        f"{document['rule']}: cost {document['cost']:.5g} a period on training demand, 95% interval"
        f" {low:.5g} to {high:.5g} ({document['simulated_periods']:,} simulated periods)"
    ]
    for name, value in document["parameters"].items():
        value = np.asarray(value, np.float32)
        if value.ndim <= 2:
            for edge, row in zip(
                document["edges"], value.reshape(len(value), -1) if value.ndim else [value[None]]
            ):
                where = f" on {edge}" if value.ndim and len(document["edges"]) > 1 else ""
                lines.append(f"  {name}{where}: {', '.join(f'{number:.5g}' for number in row)}")
        else:
            lines.append(
                f"  {name}, in units, over {value.shape[-1]} instances: median"
                f" {np.median(value):.5g} (all with --json)"
            )
    for name, share in document["at_end"].items():
        lines.append(
            f"  {name}: {100 * share:.0f}% of its numbers lie at an end of what was searched; the"
            " best may lie beyond"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
