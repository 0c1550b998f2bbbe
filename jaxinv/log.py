"""`python -m jaxinv.log`: writes what a policy did in a preset to a file, for learners that learn
from logs.
"""

from pathlib import Path
from typing import Any

from jaxinv.choices import check_choices, of_plan, run_among_rules
from jaxinv.cli import emit, enable_compilation_cache, note, parser, run_command, split_arguments
from jaxinv.errors import UserError
from jaxinv.policies.registry import RULES


def main(argv: list[str]) -> None:
    made = parser(
        "log",
        "Plays a policy in the training worlds of a preset and writes what it saw, ordered and"
        " paid. The policy is random, medium, mixed or expert, a rule, which is tuned first, or a"
        " run.",
        arguments="PRESET|PLAN policy=NAME [key=value ...]",
        examples=(
            "lost_sales policy=medium shortage_cost=9 lead_time=2 --out medium.npz",
            "dual_sourcing policy=expert --episodes 200 --out expert.npz",
            "lost_sales policy=my-run --out mine.npz",
        ),
    )
    made.add_argument("--out", metavar="FILE", help="where the log is written, as .npz")
    made.add_argument("--episodes", type=int, default=512, help="episodes (default 512)")
    made.add_argument(
        "--periods",
        type=int,
        help="periods of each (default: the preset's horizon, while recorded)",
    )
    made.add_argument(
        "--tune-periods", type=int, default=1_000_000,
        help="simulated periods that each rule is tuned with (default 1000000)",
    )  # fmt: skip
    made.add_argument(
        "--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)"
    )
    args = made.parse_args(argv)
    what, overrides = split_arguments(args.arguments)
    policies = [text.partition("=")[2] for text in overrides if text.startswith("policy=")]
    overrides = [text for text in overrides if not text.startswith("policy=")]
    if len(what) != 1 or len(policies) != 1:
        raise UserError("give a PRESET and policy=NAME, as in `lost_sales policy=medium`")
    if not args.out:
        raise UserError("give --out FILE, where the log is written")
    if not Path(args.out).absolute().parent.is_dir():
        raise UserError(f"--out {args.out}: there is no such folder")
    _, overrides = of_plan(None, [f"env={what[0]}", *overrides])
    check_choices(None, overrides)

    from jaxinv.evaluation.behaviour import BEHAVIOURS
    from jaxinv.experiment import Experiment

    (name,) = policies
    run = None if name in (*BEHAVIOURS, *RULES) else run_among_rules(name, args.runs, BEHAVIOURS)
    enable_compilation_cache()
    experiment = Experiment.load(None, overrides)
    for text in experiment.problem.notes:
        note(text)
    document = write(experiment, name, run, args)
    emit(document, args.json, lambda: _render(document))


def write(experiment: Any, name: str, run: Any, args: Any) -> dict[str, Any]:
    """Plays and writes a log: the document of `log --json`."""
    import dataclasses

    from jaxinv.evaluation.behaviour import Behaviour, Part, play_log
    from jaxinv.evaluation.logs import description, write_log
    from jaxinv.keys import root

    problem, key = experiment.problem.learned_on, root(args.seed)
    behaviour = Behaviour(problem, key, args.tune_periods)
    parts = behaviour.parts(name) if run is None else [Part(1.0, _of_run(run, experiment))]
    recorded = min(problem.horizon, problem.recorded(problem.train))
    periods = int(recorded) if args.periods is None else args.periods
    played = play_log(problem, parts, behaviour.steady, key, args.episodes, periods)
    about = {
        "env": experiment.config.env,
        "options": _plain(dataclasses.asdict(experiment.config.instance)),
        "policy": name,
        "parts": [
            {"policy": part.contestant.name, "share": part.share, "varied_levels": part.spread}
            for part in parts
        ],
        "baseline": behaviour.steady.name,
        "seed": args.seed,
        "fits": description(problem),
    }
    log = write_log(args.out, played, about)
    return {
        "file": args.out,
        "env": about["env"],
        "policy": name,
        "parts": about["parts"],
        "episodes": args.episodes,
        "periods": periods,
        "steps": args.episodes * periods,
        "mean_cost": float(played.cost),
        "baseline": about["baseline"],
        "baseline_cost": float(-played.baseline.mean()),
        "checksum": log.checksum,
    }


def _of_run(run, experiment):
    """The one policy of a run, which was trained for this problem."""
    from jaxinv.experiment import trained_policies

    trained, found = trained_policies(run)
    if trained.config.instance != experiment.config.instance:
        raise UserError(
            f"run {run.name!r} was trained for another problem; give the preset and the options of"
            f" its {run.config_path.name}"
        )
    if len(found) > 1:
        raise UserError(f"run {run.name!r} has {len(found)} policies; name a run with one")
    return found[0]


def _plain(options):
    """Options as JSON holds them; the files of a user stay his own."""
    import json

    return json.loads(json.dumps({k: v for k, v in options.items() if k != "data"}, default=str))


def _render(document) -> str:
    return (
        f"{document['file']}: {document['steps']:,} steps ({document['episodes']} episodes of"
        f" {document['periods']} periods) of policy={document['policy']}, mean cost"
        f" {document['mean_cost']:.5g} a period, where {document['baseline']} has"
        f" {document['baseline_cost']:.5g}\nchecksum {document['checksum']}"
    )


if __name__ == "__main__":
    run_command(main)
