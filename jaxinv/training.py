"""Trains experiments in their run folders and judges what comes of them: for the command, and for
`jaxinv.fit`.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxinv.agents.loop import check_critics, check_finite, check_moving, stretch_length
from jaxinv.cli import Interrupted, interruptible, note
from jaxinv.ending import choose_policy
from jaxinv.errors import UserError, called
from jaxinv.evaluation.compare import Evaluation
from jaxinv.evidence import check_learned, check_rules, evaluate_contests, with_rows
from jaxinv.experiment import Experiment
from jaxinv.progress import progress
from jaxinv.report.figures import save_result
from jaxinv.report.results import about, write_results
from jaxinv.runs import Run

CHECKPOINT_SECONDS = 20.0
"""Time between checkpoints; one is also saved at the end and when the user stops the run."""


def train_in_new_runs(
    experiments: Sequence[Experiment],
    name: str | None,
    folder: str | Path,
    quiet: bool,
    guard: Callable[[], None],
) -> list[dict[str, Any]]:
    """Trains each experiment in a new run folder: the documents of `train --json`.

    Args:
      name: of the run; of several, with a number behind it. None for the time.
      guard: called before anything is computed where many runs are trained side by side.
    """
    if any(experiment.runs for experiment in experiments):
        guard()
    for experiment in experiments:
        # every mistake is found before the first run folder is made
        _ = experiment.trainer, experiment.donor(folder)
        check_rules(experiment.problem, experiment.config.evaluation)
    documents = []
    for number, experiment in enumerate(experiments, 1):
        own = name if len(experiments) == 1 or not name else f"{name}-{number}"
        run = Run.create(folder, own, config_text=experiment.yaml)
        try:
            documents.append(train(experiment, run, quiet))
        except (UserError, KeyboardInterrupt):
            run.discard()  # only lets go once there is a checkpoint
            raise
        finally:
            run.release()
    return documents


def resume(run: Run, quiet: bool, guard: Callable[[], None]) -> dict[str, Any]:
    """Goes on with a run that was stopped."""
    run.hold()
    try:
        experiment = Experiment.of_run(run)
        if experiment.runs:
            guard()
        return train(experiment, run, quiet, resume=True)
    finally:
        run.release()


def train(
    experiment: Experiment, run: Run, quiet: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Trains an experiment in its run folder and judges the outcome: the document of
    `train --json`.
    """
    started = time.monotonic()
    config, agent = experiment.config, experiment.agent
    if resume:
        experiment.check_data(run)
    experiment.remember_data(run)
    if experiment.problem.dropped:
        run.write_dropped(experiment.problem.dropped)
    for text in (_introduction(experiment, run), *experiment.problem.notes):
        _say(quiet, text)
    done = 0
    if resume and run.updates():
        done, state = experiment.restored(run)
        if done > config.learner.updates:
            raise UserError(
                f"run {run.name!r} has done {done} updates, more than"
                f" updates={config.learner.updates} of its {run.config_path.name}; give it at least"
                f" {done}"
            )
    else:
        state = experiment.begin(run.path.parent)
    if resume:
        run.rewind(done)
    if done < config.learner.updates:
        run.ending_path.unlink(missing_ok=True)  # what was chosen then may not be chosen again
    state, seconds, compile_seconds = _fit(experiment, run, state, done, quiet)

    _say(quiet, "tuning and evaluating the rules")
    ending = None
    try:
        contests = experiment.contests(experiment.contestants(state, config.agent))
        if experiment.problem.choice:
            contest, ending = choose_policy(
                contests[0], config.evaluation, agent.simulated_periods, config.seed
            )
            contests = [contest]
            run.write_ending(ending)
        judged: list[Evaluation] = []
        evidence = evaluate_contests(
            contests, config.evaluation, agent.simulated_periods, config.seed, watch=judged.append
        )
    except KeyboardInterrupt:
        raise Interrupted(
            f"the trained policy is saved; judge it with: {_resume_command(run)}"
        ) from None
    for row in evidence if ending else ():
        row["choice_cost"] = ending["costs"].get(row["policy"])
        row["chosen"] = row["policy"] == ending["policy"] or None
    judged = with_rows(judged, evidence)
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
        "ends_with": ending,
        "held_out": about(judged),
        "evaluation": evidence,
    }
    run.write_summary(document)
    save_result(run, document)
    write_results(run.path, judged, config.agent)
    _say(quiet, f"the report is in {run.path / 'report.html'}")
    try:
        if not ending or ending["policy"] in ending["learned"]:
            check_learned(contests, evidence)
    except UserError as error:
        raise UserError(f"{error}. All figures are in {run.path}") from None
    return document


def _fit(experiment, run, state, done: int, quiet: bool):
    """Updates up to the last one; returns the state, seconds of training, and seconds of
    compilation.
    """
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
    with (
        interruptible() as stop,
        progress(updates * steps, "training", done=done * steps, quiet=quiet) as bar,
    ):
        while done < updates:
            after, metrics = trainer.advance(state, length)
            try:
                check_finite(metrics, done)
            except UserError as error:
                run.save_checkpoint(done, state)
                raise UserError(
                    f"{error}. The state after update {done} is kept in {run.path}"
                ) from None
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
                raise Interrupted(
                    f"saved at update {done} of {updates}; go on with: {_resume_command(run)}"
                )
    return state, time.monotonic() - compiled, compiled - began


def _resume_command(run) -> str:
    where = "" if str(run.path.parent) == "runs" else f" --runs {run.path.parent}"
    return f"{called('train')} --resume {run.name}{where}"


def _log(experiment, run, done, metrics) -> None:
    """One row a stretch and run: the means over its updates."""
    for index, label in enumerate(experiment.labels):
        row = {
            name: values.mean(0) if experiment.runs is None else values.mean(0)[index]
            for name, values in metrics.items()
        }
        run.log(done, row if experiment.runs is None else {"run": label, **row})


def _introduction(experiment, run) -> str:
    config, problem = experiment.config, experiment.problem
    what = f"{problem.instances} instances" if problem.instances > 1 else "one instance"
    runs = f", {experiment.runs} runs side by side" if experiment.runs else ""
    return (
        f"{run.path}: {config.agent} on {config.env} ({what}), {config.learner.updates} updates of "
        f"{config.learner.envs} environments x {experiment.agent.config.rollout} periods{runs}"
    )


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        note(text)
