"""D3S-CI without its modules on recorded sales (seed 000, tables 3 to 6).

The switches are those of `jaxinv.studies.ablation`, which sends them through a world that changes:
2 x 2 variants of the network times seeds are one program. Recorded sales go on for some weeks only,
too few to calibrate a detector on or to teach a student, so the adaptive module is its short clock
here (`jaxinv.adapt.online`): every period one step on the latest ones, and once a week the gate.
Off, the policy stays as it was trained.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.online import FineTuner, OnlineConfig, Recent, half
from jaxinv.agents.loop import Trainer, select_run, stack_agents
from jaxinv.agents.switched import SwitchedConfig, SwitchedPPO
from jaxinv.agents.validation import Validation
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.rollout import BATCH, batch_last, play_world, take_instances
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.studies.ablation import VARIANTS
from jaxinv.studies.cells import Arrays
from jaxinv.studies.d3sci_methods import ahead
from jaxinv.studies.d3sci_play import watch
from jaxinv.studies.d3sci_worlds import Size
from jaxinv.studies.rows import RESERVED_SEED

LATEST, CHECKED = 14, 7
"""Periods that are replayed for each step, and that lie between two looks at what was learned."""

PLAYED = ("reward", "on_hand", "short", "ordered", "forecast", "own_score")
"""What is kept of an adaptive run, as `d3sci_play.watch` keeps it of a frozen one."""


def ablated(problem: Problem, size: Size, reference: tuple[Trajectories, Trajectories]) -> Arrays:
    """What every variant did and knew, `VARIANT|NAME` for each name of `PLAYED`: `[S, T, B]`."""
    trained = list(dict.fromkeys((one.state, one.core) for one in VARIANTS.values()))
    config = setting(problem, size)
    agents = [
        SwitchedPPO.create(problem, replace(config, state=float(state), core=float(core)))
        for state, core in trained
    ]
    key, runs = root(RESERVED_SEED), len(trained) * size.seeds
    validation = Validation.of(problem, key_of(key, Role.VALIDATION))
    trainer = Trainer(stack_agents(agents, size.seeds), runs, validation)
    keys = jnp.tile(keys_of(key, Role.TRAINING, size.seeds), len(trained))
    params, policy = trainer.train(keys, config.updates).params, agents[0].policy
    policies = [Contestant("", policy, select_run(params, run)) for run in range(runs)]
    frozen = watch(problem, policies, reference)
    adaptive = adapted(problem, agents[0], params, frozen["threshold"])
    kept = {}
    for name, variant in VARIANTS.items():
        first = trained.index((variant.state, variant.core)) * size.seeds
        found = adaptive if variant.adaptive else frozen
        kept |= {f"{name}|{part}": found[part][first : first + size.seeds] for part in PLAYED}
    return kept


def setting(problem: Problem, size: Size) -> SwitchedConfig:
    """Of the trainings."""
    config = SwitchedConfig.suited("retail", problem.env.history)
    return replace(
        config, forecast=ahead(problem), updates=max(config.updates // size.shorter, 1),
        envs=min(config.envs, size.envs),
    )  # fmt: skip


def adapted(problem: Problem, agent: SwitchedPPO, params: Any, threshold: np.ndarray) -> Arrays:
    """Runs `[R]` that are fine-tuned as the held-out periods go by, on the worlds of
    `held_out.measure`: `PLAYED`, `[R, T, B]` each.

    The even series are learned on and the odd ones judge; of one series, a second copy of it.
    """
    batch = problem.tested + problem.tested % 2
    instance = batch_last(take_instances(problem.test, np.arange(batch) % problem.tested))
    tuner = FineTuner.create(agent, OnlineConfig(days=LATEST), batch // 2)
    key = key_of(root(RESERVED_SEED), Role.EVIDENCE, 0)
    network, world = play_world(problem.env, key, instance, batch, problem.test_periods, BATCH)
    found = _through(problem.env, tuner, params, network, world, instance)
    counted = {
        name: np.asarray(values)[:, problem.warm_up :, : problem.tested]
        for name, values in found.items()
    }
    counted["own_score"] = counted["own_score"] - threshold[:, None, None]
    return counted


@partial(jax.jit, static_argnums=0)
def _through(env, tuner, params, network, world, instance):
    """Each run through all periods of a world, `[R, T, B]`."""
    policy, periods = tuner.agent.policy, world.exogenous.demand.shape[0]
    expected = jnp.mean(instance.lead_time) * jnp.ones(env.topology.max_lead_time + 1)

    def decide(params, network, window, exogenous, instance):
        observation = env.view(network, instance, window)
        context = policy.context(params, observation, None)
        decision = policy.decide(params, observation, context)
        order = policy.orders(decision.mean, observation, context)
        network, outcome = env.transition(network, order, exogenous, instance)
        return network, {
            "reward": outcome.reward,
            "on_hand": outcome.on_hand.sum(),
            "short": outcome.short.sum(),
            "ordered": outcome.ordered.sum(),
            "forecast": policy.predict(context).sum(),
            "own_score": decision.stockout,
        }

    decide = jax.vmap(decide, (None, BATCH, BATCH, BATCH, BATCH), BATCH)

    def of_run(params):
        def period(carry, time):
            network, online = carry
            window = jax.lax.dynamic_slice_in_dim(world.signals, time, env.history)
            exogenous = jax.tree.map(lambda leaf: leaf[time], world.exogenous)
            network, lived = decide(online.acting, network, window, exogenous, instance)

            def learn(online):
                recent = Recent.before(world, time + 1, LATEST, env.history, expected)
                own = key_of(root(RESERVED_SEED), Role.CLOCKS, time)
                learned, judged = (
                    (half(network, side), half(recent, side), half(instance, side))
                    for side in (0, 1)
                )
                online, _ = tuner.step(online, own, *learned)
                return jax.lax.cond(
                    time % CHECKED == CHECKED - 1,
                    lambda online: tuner.check(online, *judged)[0],
                    lambda online: online,
                    online,
                )

            # the last evening has no signals of a day to come, and nothing to learn for
            due = (time + 1 >= LATEST) & (time + 1 < periods)
            online = jax.lax.cond(due, learn, lambda online: online, online)
            return (network, online), lived

        return jax.lax.scan(period, (network, tuner.init(params)), jnp.arange(periods))[1]

    return jax.lax.map(of_run, params)
