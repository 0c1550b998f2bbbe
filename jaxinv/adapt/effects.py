"""Effects from logs alone: what a treatment did, estimated by those who cannot run the world twice.

Each estimator takes one log of n days - treatment `[n]` of 0 and 1, outcome `[n]`, covariates
`[n, C]` known before the treatment - and is pure, so it maps over logs and outcomes. Errors allow
for outcomes of overlapping days (Newey & West 1987).
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

LAGS = 14
"""Days over which scores may depend on each other: twice the horizon of an outcome."""

FOLDS = 5

OVERLAP = 0.02
"""Propensities are held within OVERLAP .. 1 - OVERLAP."""

NORMAL = 1.959964


@struct.dataclass
class Effect:
    """An average effect and its standard error, `[]`."""

    value: jax.Array
    error: jax.Array

    @property
    def low(self) -> jax.Array:
        """Lower end of the 95% interval."""
        return self.value - NORMAL * self.error

    @property
    def high(self) -> jax.Array:
        return self.value + NORMAL * self.error

    def covers(self, truth) -> jax.Array:
        return (self.low <= truth) & (truth <= self.high)


def naive_difference(treatment: jax.Array, outcome: jax.Array, covariates: jax.Array) -> Effect:
    """Mean outcome of treated days minus that of the others; biased where something moves both."""
    share = treatment.mean()
    treated, other = _mean(outcome, treatment), _mean(outcome, 1.0 - treatment)
    score = treatment / share * (outcome - treated) - (1.0 - treatment) / (1.0 - share) * (
        outcome - other
    )
    return Effect(treated - other, _error(score))


def regression(treatment: jax.Array, outcome: jax.Array, covariates: jax.Array) -> Effect:
    """Coefficient of the treatment in a least-squares fit with covariates and their interactions
    (Lin 2013).
    """
    centred = covariates - covariates.mean(0)
    columns = [
        jnp.ones_like(treatment)[:, None],
        treatment[:, None],
        centred,
        treatment[:, None] * centred,
    ]
    design = jnp.concatenate(columns, 1)
    inverse = jnp.linalg.inv(design.T @ design + 1e-4 * jnp.eye(design.shape[1]))
    fitted = inverse @ (design.T @ outcome)
    score = len(outcome) * (design @ inverse)[:, 1] * (outcome - design @ fitted)
    return Effect(fitted[1], _error(score))


def doubly_robust(
    treatment: jax.Array,
    outcome: jax.Array,
    covariates: jax.Array,
    for_treatment: jax.Array | None = None,
    folds: int = FOLDS,
) -> Effect:
    """Augmented inverse propensity weighting with cross-fitting (Robins et al. 1994; Chernozhukov
    et al. 2018):

        tau = mean of  mu_1(x) - mu_0(x)
                       + a (y - mu_1(x)) / e(x) - (1 - a) (y - mu_0(x)) / (1 - e(x)),

    right where either the outcome mu or the propensity e is. Both are fitted on other stretches of
    the log than they are used on: mu linear in the covariates within each arm, e logistic.

    Args:
      for_treatment: covariates of the propensity `[n, C']`; those of the outcome where not given.
    """
    n = len(outcome)
    design = _with_constant(covariates)
    propensity_design = design if for_treatment is None else _with_constant(for_treatment)
    fold = jnp.arange(n) * folds // n

    def score(number):
        others = (fold != number).astype(jnp.float32)
        with_treatment, without = _arms(design, treatment, outcome, others)
        likely = jax.nn.sigmoid(propensity_design @ logistic(propensity_design, treatment, others))
        likely = jnp.clip(likely, OVERLAP, 1.0 - OVERLAP)
        treated, other = design @ with_treatment, design @ without
        weighted = treatment * (outcome - treated) / likely - (1.0 - treatment) * (
            outcome - other
        ) / (1.0 - likely)
        return treated - other + weighted

    scores = jax.vmap(score)(jnp.arange(folds))[fold, jnp.arange(n)]
    return Effect(scores.mean(), _error(scores - scores.mean()))


ESTIMATORS = {"naive difference": naive_difference, "regression": regression, "AIPW": doubly_robust}


def t_learner(treatment: jax.Array, outcome: jax.Array, covariates: jax.Array) -> jax.Array:
    """Coefficients `[1 + C]` of the effect given covariates: a fit of treated days minus a fit of
    the others.
    """
    design = _with_constant(covariates)
    treated, other = _arms(design, treatment, outcome, jnp.ones_like(treatment))
    return treated - other


def effect_at(coefficients: jax.Array, covariates: jax.Array) -> jax.Array:
    """tau(x) `[m]` of a `t_learner` at covariates `[m, C]`."""
    return _with_constant(covariates) @ coefficients


def pehe(estimated: jax.Array, truth: jax.Array) -> jax.Array:
    """Precision in estimating heterogeneous effects: sqrt E (tau^(x) - tau(x))^2 (Hill 2011), over
    the last axis.
    """
    return jnp.sqrt(jnp.mean((estimated - truth) ** 2, -1))


def over_logs(
    estimator, treatment: jax.Array, outcomes: jax.Array, covariates: jax.Array
) -> Effect:
    """An estimator on R logs and Y outcomes: `[R, Y]`.

    Args:
      treatment: `[R, n]`; outcomes: `[R, n, Y]`; covariates: `[R, n, C]`.
    """
    return _over_logs(estimator, treatment, outcomes, covariates)


@partial(jax.jit, static_argnums=0)
def _over_logs(estimator, treatment, outcomes, covariates):
    return jax.vmap(lambda a, y, x: jax.vmap(lambda y: estimator(a, y, x), 1)(y))(
        treatment, outcomes, covariates
    )


def logistic(design: jax.Array, label: jax.Array, weight: jax.Array, steps: int = 12) -> jax.Array:
    """Coefficients of a weighted logistic regression, by Newton's method with a slight ridge."""

    def newton(coefficients, _):
        likely = jax.nn.sigmoid(design @ coefficients)
        slope = design.T @ (weight * (label - likely)) - RIDGE * coefficients
        curvature = (
            design * (weight * likely * (1.0 - likely))[:, None]
        ).T @ design + RIDGE * jnp.eye(design.shape[1])
        return coefficients + jnp.linalg.solve(curvature, slope), None

    return jax.lax.scan(newton, jnp.zeros(design.shape[1]), length=steps)[0]


RIDGE = 1e-2


def _arms(design, treatment, outcome, weight):
    """Least squares among the treated and among the others."""

    def fit(weight):
        weighted = design * weight[:, None]
        return jnp.linalg.solve(
            weighted.T @ design + RIDGE * jnp.eye(design.shape[1]), weighted.T @ outcome
        )

    return fit(weight * treatment), fit(weight * (1.0 - treatment))


def _with_constant(covariates):
    return jnp.concatenate([jnp.ones((covariates.shape[0], 1)), covariates], 1)


def _mean(values, weight):
    return jnp.sum(values * weight) / jnp.sum(weight)


def _error(score: jax.Array) -> jax.Array:
    """Standard error of the mean of scores of mean 0 `[n]` that depend on each other over `LAGS`
    days.
    """
    n = len(score)
    lags = min(LAGS, n - 1)
    covariance = jnp.stack([jnp.sum(score[lag:] * score[: n - lag]) / n for lag in range(lags + 1)])
    weight = 2.0 * (1.0 - jnp.arange(lags + 1) / (lags + 1.0))
    variance = jnp.sum(covariance * weight.at[0].set(1.0))
    return jnp.sqrt(jnp.maximum(variance, 1e-12) / n)
