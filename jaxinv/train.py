"""`python -m jaxinv.train`: trains a policy and ends with evidence of how it does against tuned rules."""

import time
from pathlib import Path
from typing import Any

from jaxinv.choices import check_choices
from jaxinv.cli import (
    Interrupted,
    emit,
    enable_compilation_cache,
    interruptible,
    many_runs,
    note,
    parser,
    progress,
    run_command,
    split_arguments,
)
from jaxinv.errors import UserError
from jaxinv.runs import Run

CHECKPOINT_SECONDS = 20.0
"""Time between checkpoints; one is also saved at the end and when the user stops the run."""


def main(argv: list[str]) -> None:
    made = parser(
        "train",
        "Trains a policy, then compares it with every classical rule, tuned, on demand that none of them saw.",
        arguments="[CONFIG] [key=value ...]",
        examples=(
            "",
            "--env lost_sales lead_time=2 shortage_cost=9 --seeds 5",
            "configs/retail.yaml data=sales.csv",
            "configs/lost_sales.yaml --sweep learning_rate=3e-4,1e-3,3e-3",
            "--resume my-run",
        ),
    )
    made.set_defaults(seed=None)  # so that it does not override the configuration's
    made.add_argument("--env", help="preset to train on, instead of the configuration's")
    made.add_argument("--name", help="name of the run (default: the time)")
    made.add_argument("--runs", default="runs", metavar="FOLDER", help="folder of all runs (default: runs)")
    made.add_argument("--seeds", type=int, help="train this many seeds side by side")
    made.add_argument("--sweep", action="append", default=[], metavar="KEY=A,B,C", help="train once for each value")
    made.add_argument("--resume", metavar="RUN", help="go on with a run that was stopped")
    args = made.parse_args(argv)
    files, overrides = split_arguments(args.arguments)
    if len(files) > 1:
        raise UserError(f"one CONFIG at most, not {len(files)}: {' '.join(files)}")

    if args.resume:
        if files or overrides or args.env or args.sweep or args.seeds or args.name or args.seed is not None:
            raise UserError("--resume goes on with the run's own configuration; give no other option beside it")
        documents = [_resume(Run.open(args.resume, args.runs), args.json)]
    else:
        overrides += [f"seed={args.seed}"] if args.seed is not None else []
        overrides += [f"env={args.env}"] if args.env else []
        overrides += [f"seeds={args.seeds}"] if args.seeds is not None else []
        documents = _begin(Path(files[0]) if files else None, overrides, args)
    emit(documents[0] if len(documents) == 1 else documents, args.json, lambda: render(documents))


def _resume(run: Run, quiet: bool) -> dict[str, Any]:
    from jaxinv.experiment import Experiment

    enable_compilation_cache()
    run.hold()
    try:
        experiment = Experiment.load(run.config_path)
        _prepare([experiment])
        return train(experiment, run, quiet=quiet, resume=True)
    finally:
        run.release()


def _begin(file: Path | None, overrides: list[str], args: Any) -> list[dict[str, Any]]:
    """Trains every experiment of a configuration and its sweeps."""
    check_choices(file, overrides)

    from jaxinv.evidence import check_rules
    from jaxinv.experiment import expand

    enable_compilation_cache()
    experiments = expand(file, overrides, args.sweep)
    _prepare(experiments)
    for experiment in experiments:
        # every mistake is found before the first run folder is made
        experiment.trainer
        check_rules(experiment.problem, experiment.config.evaluation)
    documents = []
    for number, experiment in enumerate(experiments, 1):
        name = args.name if len(experiments) == 1 or not args.name else f"{args.name}-{number}"
        run = Run.create(args.runs, name, config_text=experiment.yaml)
        try:
            documents.append(train(experiment, run, quiet=args.json))
        except (UserError, KeyboardInterrupt):
            run.discard()  # only lets go once there is a checkpoint
            raise
        finally:
            run.release()
    return documents


def _prepare(experiments):
    """Readies jax before any of the experiments computes something."""
    if any(experiment.runs for experiment in experiments):
        many_runs()


def train(experiment: Any, run: Any, quiet: bool = False, resume: bool = False) -> dict[str, Any]:
    """Trains an experiment in its run folder and judges the outcome: the document of `train --json`."""
    import jax

    started = time.monotonic()
    config, trainer, agent = experiment.config, experiment.trainer, experiment.agent
    if resume:
        experiment.check_data(run)
    experiment.remember_data(run)
    if experiment.problem.dropped:
        run.write_dropped(experiment.problem.dropped)
    for text in (_introduction(experiment, run), *experiment.problem.notes):
        _say(quiet, text)
    done = 0
    if resume and run.updates():
        done, state = run.restore(jax.eval_shape(trainer.init, experiment.keys))
        if done > config.learner.updates:
            raise UserError(
                f"run {run.name!r} has done {done} updates, more than updates={config.learner.updates} of its "
                f"{run.config_path.name}; give it at least {done}"
            )
    else:
        state = trainer.init(experiment.keys)
    if resume:
        run.rewind(done)
    state, seconds, compile_seconds = _fit(experiment, run, state, done, quiet)

    from jaxinv.evidence import check_learned, judge_all

    _say(quiet, "tuning and evaluating the rules")
    try:
        contests = experiment.contests(experiment.contestants(state, config.agent))
        evidence = judge_all(contests, config.evaluation, agent.simulated_periods, config.seed)
    except KeyboardInterrupt:
        raise Interrupted(f"the trained policy is saved; judge it with: {_resume_command(run)}") from None
    steps = agent.periods_per_update * (config.learner.updates - done) * (experiment.runs or 1)
    document = {
        "run": run.name,
        "env": config.env,
        "agent": config.agent,
        "notes": list(experiment.problem.notes),
        "seconds": time.monotonic() - started,
        "compile_seconds": compile_seconds,
        "steps": steps,
        "steps_per_second": steps / seconds if seconds else None,
        "evaluation": evidence,
    }
    run.write_summary(document)

    from jaxinv.report.figures import save_result

    save_result(run, document)
    try:
        check_learned(contests, evidence)
    except UserError as error:
        raise UserError(f"{error}. All figures are in {run.path}") from None
    return document


def _fit(experiment, run, state, done: int, quiet: bool):
    """Updates up to the last one; returns the state, seconds of training, and seconds of compilation."""
    from jaxinv.agents.loop import check_critics, check_finite, check_moving, stretch_length

    trainer, updates = experiment.trainer, experiment.config.learner.updates
    length = stretch_length(updates)
    if (updates - done) % length:  # updates were changed since
        length = stretch_length(updates - done)
    steps = experiment.agent.periods_per_update * (experiment.runs or 1)
    if done == updates:
        return state, 0.0, 0.0
    began = time.monotonic()
    trainer.compile(state, length)
    compiled = time.monotonic()
    saved = compiled
    with interruptible() as stop, progress(updates * steps, "training", done=done * steps, quiet=quiet) as bar:
        while done < updates:
            after, metrics = trainer.advance(state, length)
            try:
                check_finite(metrics, done)
            except UserError as error:
                run.save_checkpoint(done, state)
                raise UserError(f"{error}. The state after update {done} is kept in {run.path}") from None
            state, done = after, done + length
            _log(experiment, run, done, metrics)
            bar.advance(length * steps, f"cost {metrics['cost'][-1].mean():.4g}")
            if stop or done == updates or time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.save_checkpoint(done, state)
                saved = time.monotonic()
            if done == updates:
                check_moving(metrics)
                check_critics(metrics, experiment.agent)
            if stop:
                raise Interrupted(f"saved at update {done} of {updates}; go on with: {_resume_command(run)}")
    return state, time.monotonic() - compiled, compiled - began


def _resume_command(run) -> str:
    where = "" if str(run.path.parent) == "runs" else f" --runs {run.path.parent}"
    return f"python -m jaxinv.train --resume {run.name}{where}"


def _log(experiment, run, done, metrics) -> None:
    """One row a stretch and run: the means over its updates."""
    for index, label in enumerate(experiment.labels):
        row = {name: values.mean(0) if experiment.runs is None else values.mean(0)[index]
               for name, values in metrics.items()}  # fmt: skip
        run.log(done, row if experiment.runs is None else {"run": label, **row})


def _introduction(experiment, run) -> str:
    config, problem = experiment.config, experiment.problem
    what = f"{problem.instances} instances" if problem.instances > 1 else "one instance"
    runs = f", {experiment.runs} runs side by side" if experiment.runs else ""
    return (
        f"{run.path}: {config.agent} on {config.env} ({what}), {config.learner.updates} updates of "
        f"{config.learner.envs} environments x {experiment.agent.config.rollout} periods{runs}"
    )


def render(documents: list[dict[str, Any]]):
    """What people see at the end."""
    from rich.console import Group

    from jaxinv.evidence import evidence_table, tuning_notes, verdict

    parts = []
    for document in documents:
        parts += [
            evidence_table(document["evaluation"], f"{document['env']}: held-out demand, run {document['run']}"),
            verdict(document["evaluation"]),
            tuning_notes(document["evaluation"]),
            f"{document['seconds']:.0f} s, of which {document['compile_seconds']:.0f} s compiled; "
            + (f"{document['steps_per_second']:,.0f} environment steps a second" if document["steps_per_second"] else ""),
        ]
    return Group(*parts)


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        note(text)


if __name__ == "__main__":
    run_command(main)
