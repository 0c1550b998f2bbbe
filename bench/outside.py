"""Learners of others and ours on one lost-sales instance: how near each comes to the optimum, and
what it takes.

    pip install 'jaxinv[outside]'
    python bench/outside.py [--seeds N]

Stable-Baselines3's PPO trains on `jaxinv.make_gymnasium`, as it comes; rejax's PPO on
`jaxinv.make_gymnax` (`one_done=True`, for rejax reads the five values of gymnax before 1.0); `ppo`
and `diffsim` are ours. Observations and orders of the first two are scaled. All train on demand
drawn by their own seeds; every policy, by its mode, is then played on the same held-out demand as
the optimal policy, so gaps are of pairs. Intervals are over training seeds and paths, crossed.
PureJaxRL is left out: it is no package that one could install.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from about import about, heading

import jaxinv
from jaxinv.agents.loop import stretch_length
from jaxinv.envs import flat
from jaxinv.envs.single_agent import SingleAgentNetwork
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.statistics import optimality_gap
from jaxinv.exact import solve
from jaxinv.experiment import Experiment
from jaxinv.keys import root
from jaxinv.policies.policy import Policy

INSTANCE = dict(lead_time=2, shortage_cost=9)
PATHS = 1024
DISCOUNT = 0.95
SB3_STEPS, SB3_ENVS = 100_000, 8
REJAX_STEPS, REJAX_ENVS = 5_000_000, 64


@dataclass(frozen=True)
class OutsidePolicy(Policy):
    """A network of others as a policy of ours: it sees and orders as in its environment.

    Attributes:
      env: the environment that it was trained in.
      network: from its parameters and what it sees to its action.
    """

    env: SingleAgentNetwork
    network: Callable[[Any, jax.Array], jax.Array]

    wants_window = True

    def act(self, params, observation, context):
        facts = self.env.default_params
        vector = flat.flatten(self.env.env, observation, facts)
        return self.env.orders(self.network(params, self.env.show(vector, facts)), facts)


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
      compiling, training: what compilation took, and all the rest.
      steps: of the environment.
    """

    policy: Policy
    params: Any
    compiling: "Took"
    training: "Took"
    steps: int


@dataclass
class Took:
    """How long the block of a `with` takes: `seconds`, and those of the processor, which do not
    count what else ran on the machine.
    """

    seconds: float = 0.0
    processor_seconds: float = 0.0

    def __enter__(self):
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self._began[0]
        self.processor_seconds = time.process_time() - self._began[1]


def stable_baselines3(seed: int) -> Trained:
    """Its PPO on single environments, one after another, as it makes them itself."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    make = partial(jaxinv.make_gymnasium, "lost_sales", scaled=True, **INSTANCE)
    envs = VecNormalize(make_vec_env(make, SB3_ENVS, seed=seed), norm_obs=False, gamma=DISCOUNT)
    envs.reset()
    with Took() as compiling:
        envs.step(np.zeros((SB3_ENVS, 1), np.float32))
    ppo = PPO(
        "MlpPolicy", envs, seed=seed, device="cpu", gamma=DISCOUNT, n_steps=256, batch_size=256,
        learning_rate=lambda left: 1e-3 * left, policy_kwargs=dict(log_std_init=-1.0),
    )  # fmt: skip
    with Took() as training:
        ppo.learn(SB3_STEPS)
    layers = [*ppo.policy.mlp_extractor.policy_net, ppo.policy.action_net]
    params = [
        (jnp.asarray(one.weight.detach().numpy()), jnp.asarray(one.bias.detach().numpy()))
        for one in layers
        if hasattr(one, "weight")
    ]
    env, _ = jaxinv.make_gymnax("lost_sales", scaled=True, **INSTANCE)
    policy = OutsidePolicy(env.env.topology, env, tanh_network)
    check_same(ppo, policy, params)
    return Trained(policy, params, compiling, training, ppo.num_timesteps)


def tanh_network(params: list, observation: jax.Array) -> jax.Array:
    """The mean action of Stable-Baselines3's `MlpPolicy`."""
    *hidden, (weight, bias) = params
    for own, shift in hidden:
        observation = jnp.tanh(own @ observation + shift)
    return weight @ observation + bias


def check_same(ppo: Any, policy: OutsidePolicy, params: list) -> None:
    """That weights were taken over as they are: the same actions on a few observations."""
    for seen in np.random.default_rng(0).uniform(0, 2, (8, len(params[0][0][0]))):
        theirs, _ = ppo.predict(seen.astype(np.float32), deterministic=True)
        ours = jnp.clip(policy.network(params, jnp.asarray(seen, jnp.float32)), -1, 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def rejax_ppo(seed: int) -> Trained:
    """rejax's PPO as one compiled program."""
    import rejax

    env, params = jaxinv.make_gymnax("lost_sales", scaled=True, one_done=True, **INSTANCE)
    ppo = rejax.get_algo("ppo").create(
        env=env, env_params=params, num_envs=REJAX_ENVS, num_steps=64, num_epochs=4,
        num_minibatches=8, learning_rate=1e-3, gamma=DISCOUNT, gae_lambda=0.95, ent_coef=0.0,
        max_grad_norm=0.5, normalize_rewards=True, total_timesteps=REJAX_STEPS,
        eval_freq=REJAX_STEPS, skip_initial_evaluation=True,
    )  # fmt: skip
    with Took() as compiling:
        train = jax.jit(ppo.train).lower(root(seed)).compile()
    with Took() as training:
        state, _ = jax.block_until_ready(train(root(seed)))
    policy = OutsidePolicy(env.env.topology, env, partial(mean_action, ppo.actor))
    return Trained(policy, state.actor_ts.params, compiling, training, int(state.global_step))


def mean_action(actor: Any, params: Any, observation: jax.Array) -> jax.Array:
    """The mean action of rejax's Gaussian policy."""
    return actor.apply(params, observation[None], method="_action_dist").mean()[0]


def ours(learner: str, seed: int) -> Trained:
    """A learner of ours with the defaults of `train`."""
    given = (f"{key}={value}" for key, value in INSTANCE.items())
    experiment = Experiment.load(
        overrides=["env=lost_sales", f"agent={learner}", f"seed={seed}", *given]
    )
    trainer, updates = experiment.trainer, experiment.config.learner.updates
    length = stretch_length(updates)
    with Took() as compiling:
        state = trainer.init(experiment.keys)
        trainer.compile(state, length)
    with Took() as training:
        for _ in range(updates // length):
            state, _ = trainer.advance(state, length)
        jax.block_until_ready(state)
    (found,) = experiment.contestants(state, learner)
    steps = updates * experiment.agent.periods_per_update
    return Trained(found.policy, found.params, compiling, training, steps)


LEARNERS = {
    "Stable-Baselines3 PPO": stable_baselines3,
    "rejax PPO": rejax_ppo,
    "jaxinv ppo": partial(ours, "ppo"),
    "jaxinv diffsim": partial(ours, "diffsim"),
}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "outside.json"
    )
    args = arguments.parse_args()
    facts = about()
    try:
        others = {name: version(name) for name in ("stable-baselines3", "torch", "rejax")}
    except PackageNotFoundError as error:
        raise SystemExit(f"{error.name} is not installed; pip install 'jaxinv[outside]'") from None
    facts["versions"] |= others
    print(heading(facts))
    problem = jaxinv.preset("lost_sales")(**INSTANCE).build()
    solution = solve(problem.env, problem.first)

    def judged(policy, params):
        return costs(problem, Contestant("", policy, params), root(0), PATHS)

    optimal = judged(solution.policy, solution.params)
    print("seconds of a training, and those of the processor for it and for compilation:")
    print(
        f"{'':22}{'gap, %':>8}{'95%':>18}{'seconds':>9}{'of CPU':>9}{'compile':>9}{'steps':>12}"
        f"{'steps/CPU s':>12}"
    )
    rows = []
    for name, learner in LEARNERS.items():
        trained = [learner(seed) for seed in range(args.seeds)]
        cost = np.stack([judged(one.policy, one.params) for one in trained])
        over = ("seeds", "paths")
        gap = optimality_gap(cost, np.broadcast_to(optimal, cost.shape), over).times(100.0)
        took = {
            f"{what}{clock}": float(
                np.mean([getattr(getattr(one, what), clock[1:]) for one in trained])
            )
            for what in ("compiling", "training")
            for clock in ("_seconds", "_processor_seconds")
        }
        row = dict(
            learner=name,
            gap_percent=gap.value,
            gap_interval=gap.interval,
            gap_by_seed=(100 * (cost.mean(1) / optimal.mean() - 1)).tolist(),
            cost=float(cost.mean()),
            steps=trained[0].steps,
            steps_per_processor_second=trained[0].steps / took["training_processor_seconds"],
            **took,
        )
        rows.append(row)
        interval = f"[{gap.low:.2f}, {gap.high:.2f}]"
        print(
            f"{name:22}{gap.value:8.2f}{interval:>18}{took['training_seconds']:9.1f}"
            f"{took['training_processor_seconds']:9.1f}{took['compiling_processor_seconds']:9.1f}"
            f"{row['steps']:12,}{row['steps_per_processor_second']:12,.0f}",
            flush=True,
        )
    document = {
        **facts,
        "instance": "lost sales, Poisson(5), p=9, L=2",
        "paths": PATHS,
        "seeds": args.seeds,
        "optimal_cost": float(optimal.mean()),
        "exact_cost": float(solution.average_cost),
        "learners": rows,
    }
    args.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
