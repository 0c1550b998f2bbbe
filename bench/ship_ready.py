"""Makes the weights that ship of a run of configs/unseen.yaml: python bench/ship_ready.py RUN"""

import argparse
from pathlib import Path

from about import about

from jaxinv.experiment import Experiment, trained_policies
from jaxinv.policies import ready
from jaxinv.policies.relative import WINDOW
from jaxinv.runs import Run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a finished run of env=unseen")
    parser.add_argument("--out", default=str(ready.WEIGHTS))
    options = parser.parse_args()
    experiment, (policy,) = trained_policies(Run.open(Path(options.run)))
    facts = facts_of(experiment)
    ready.save(options.out, policy.params, facts)
    print(f"{Path(options.out).stat().st_size:,} bytes in {options.out}: {facts}")


def facts_of(experiment: Experiment) -> dict:
    """What is known of the weights of an experiment."""
    world, learner = experiment.config.instance, experiment.config.learner
    made = about()
    return dict(
        window=WINDOW,
        hidden=list(learner.hidden),
        activation=learner.activation,
        longest_lead_time=world.longest_lead_time,
        ratios=[world.ratios[0], world.highest_ratio],
        longest_review=5,
        data="none: invented demand alone (jaxinv.demand.prior)",
        updates=learner.updates,
        environments=learner.envs,
        seed=experiment.config.seed,
        **{name: made[name] for name in ("commit", "date", "versions")},
    )


if __name__ == "__main__":
    main()
