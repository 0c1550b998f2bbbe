"""The five measures of seed 000 (equations 11 to 17), as printed and as an operations researcher
reads them.

Pure functions of arrays of what was played, `[T, B]`: T periods of B series. Readings of what the
paper leaves open are those of methods.md, D.1, rows 13 to 17.
"""

from typing import NamedTuple

import numpy as np


def cumulative_reward(reward: np.ndarray) -> np.ndarray:
    """R = sum_t r_t of each series `[B]` (equation 11)."""
    return np.asarray(reward, float).sum(0)


def normalised_score(cost: float, base: float, least: float) -> float:
    """(C_base - C) / (C_base - C*): 0 for the base policy, 1 for the least cost; NaN where the two
    are one (D.1, row 8).
    """
    return (base - cost) / (base - least) if base != least else np.nan


class ForecastErrors(NamedTuple):
    """Errors of a forecast of the coming period, over all series and periods.

    Attributes:
      mae: in units (equation 12).
      z_mae: each series in standard deviations of its demand in training, which is what "units" of
        0.15 can only have been.
      wape: sum |error| over sum of demand.
      mase: each series' MAE over that of the naive forecast, the period before, in training.
    """

    mae: float
    z_mae: float
    wape: float
    mase: float


def forecast_errors(
    forecast: np.ndarray, demand: np.ndarray, training: np.ndarray
) -> ForecastErrors:
    """Errors of a forecast on demand that nothing censored.

    Series whose demand stands still in training have no z-units and no naive error, and count for
    neither.

    Args:
      forecast, demand: `[T, B]`; training: demand of the training periods `[T', B]`.
    """
    error = np.abs(np.asarray(forecast, float) - demand)
    by_series, total = error.mean(0), float(np.sum(demand))
    spread, naive = training.std(0), np.abs(np.diff(training, axis=0)).mean(0)

    def relative(unit):
        return float(np.mean(by_series[unit > 0] / unit[unit > 0])) if (unit > 0).any() else np.nan

    wape = float(error.sum() / total) if total > 0 else np.nan
    return ForecastErrors(float(error.mean()), relative(spread), wape, relative(naive))


def period_costs(
    on_hand: np.ndarray, short: np.ndarray, ordered: np.ndarray, *, holding, shortage, unit_cost
) -> np.ndarray:
    """h I_t + p S_t + c O_t of each period and series `[..., T, B]`, a term of equation 13.

    Args:
      on_hand: units at the end of each period; short: units not served; ordered: units.
      holding, shortage, unit_cost: h, p and c in money per unit (and period), `[]` or `[B]`.
    """
    return holding * on_hand + shortage * short + unit_cost * ordered


def total_cost(costs: np.ndarray) -> np.ndarray:
    """sum_t (h I_t + p S_t + c O_t) of each series `[B]` (equation 13), from `period_costs`."""
    return np.asarray(costs, float).sum(0)


def extended_cost(total: np.ndarray, reward: np.ndarray, charged: np.ndarray) -> np.ndarray:
    """Equation 13 with all that the reward charges and it leaves out, such as transport and duty
    (D.1, row 17): `[B]`.

    Args:
      total: `[B]` of `total_cost`.
      reward: `[T, B]`; charged: `[T, B]` what of its costs equation 13 has too.
    """
    return total + np.sum(-np.asarray(reward, float) - charged, 0)


class Turnover(NamedTuple):
    """How often stock turns.

    Attributes:
      printed: sum D / sum I (equation 14), a number per period.
      a_year: that times the periods of a year (D.1, row 16).
      of_sales: the same of what was sold; the two differ by lost sales.
      days_of_cover: 365 / `of_sales`, for how many days of sales the mean stock lasts.
    """

    printed: float
    a_year: float
    of_sales: float
    days_of_cover: float


def turnover(
    demand: np.ndarray, short: np.ndarray, on_hand: np.ndarray, periods_per_year: float = 365.0
) -> Turnover:
    """Turnover of stock at the end of periods, goods on their way left out, over all series;
    infinite where there never was stock.

    Args:
      demand, short, on_hand: units `[T, B]`.
    """
    stock = float(np.sum(on_hand))
    asked, sold = float(np.sum(demand)), float(np.sum(demand) - np.sum(short))

    def over(units):
        return units / stock if stock > 0 else np.inf

    of_sales = periods_per_year * over(sold)
    cover = 365.0 / of_sales if of_sales > 0 else np.inf
    return Turnover(over(asked), periods_per_year * over(asked), of_sales, cover)


def stockout_ahead(short: np.ndarray, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """The label of equations 15 to 17: whether demand goes unserved in a period or in the
    `horizon` - 1 after it (D.1, row 15).

    Returns:
      Labels, and whether all of those periods were played: two arrays of booleans `[T, B]`.
    """
    out = np.asarray(short) > 0
    label = out.copy()
    for ahead in range(1, min(horizon, len(out))):
        label[:-ahead] |= out[ahead:]
    known = np.arange(len(out)) + horizon <= len(out)
    return label, np.broadcast_to(known[:, None], out.shape)


class Detection(NamedTuple):
    """How well stock-outs were foretold.

    Attributes:
      precision, recall, f1: equations 16, 17 and 15; 0 where nothing was predicted, or happened.
      prevalence: share of labels that are true: F1 of predicting always is
        2 prevalence / (1 + prevalence).
      pr_auc: average precision, the area under the curve of precision over recall; NaN where
        nothing happened.
    """

    precision: float
    recall: float
    f1: float
    prevalence: float
    pr_auc: float


def detection(score: np.ndarray, label: np.ndarray, threshold: float) -> Detection:
    """Of scores, the higher the likelier, of which those above a threshold predict a stock-out."""
    score, label = np.ravel(score), np.ravel(label).astype(bool)
    predicted = score > threshold
    right = float(np.sum(predicted & label))
    precision = right / max(float(predicted.sum()), 1.0)
    recall = right / max(float(label.sum()), 1.0)
    prevalence = float(label.mean()) if label.size else np.nan
    f1, area = f1_score(predicted, label), average_precision(score, label)
    return Detection(precision, recall, f1, prevalence, area)


def f1_score(predicted: np.ndarray, actual: np.ndarray) -> float:
    """2 TP / (2 TP + FP + FN), equation 15; 0 where nothing is predicted and nothing happens."""
    right = np.sum(predicted & actual)
    return float(2 * right / max(np.sum(predicted) + np.sum(actual), 1))


def average_precision(score: np.ndarray, label: np.ndarray) -> float:
    """sum_k (R_k - R_{k-1}) P_k over the distinct thresholds, from the highest; NaN without a true
    label.
    """
    if not label.any():
        return np.nan
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    last = np.append(np.diff(score) != 0, True)  # of each group of equal scores
    right, predicted = np.cumsum(label)[last], (np.arange(label.size) + 1)[last]
    gained = np.diff(right, prepend=0) / label.sum()
    return float(np.sum(gained * right / predicted))


def best_threshold(score: np.ndarray, label: np.ndarray) -> float:
    """The threshold with the best F1, half-way between two scores: to be chosen on other data than
    it is judged on.
    """
    score, label = np.ravel(score).astype(float), np.ravel(label).astype(bool)
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    last = np.append(np.diff(score) != 0, True)
    right, predicted = np.cumsum(label)[last], (np.arange(label.size) + 1)[last]
    best = int(np.argmax(2 * right / (predicted + max(label.sum(), 1))))
    ends = score[last]
    below = ends[best + 1] if best + 1 < len(ends) else ends[best] - 1.0
    return float((ends[best] + below) / 2)
