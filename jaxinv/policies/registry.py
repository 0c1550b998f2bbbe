"""The classical rules by name; what a rule takes is on its class.

`base_stock_seasonal` is base-stock that follows the forecast of that name
(`jaxinv.policies.following`), and so on.
"""

import importlib
from functools import partial

from jaxinv.outside import Known

CLASSICAL: Known = Known(
    base_stock="jaxinv.policies.rules:BaseStock",
    echelon_base_stock="jaxinv.policies.rules:EchelonBaseStock",
    capped_base_stock="jaxinv.policies.rules:CappedBaseStock",
    s_S="jaxinv.policies.rules:ReorderUpTo",
    r_nQ="jaxinv.policies.rules:ReorderLots",
    constant_order="jaxinv.policies.rules:ConstantOrder",
    dual_index="jaxinv.policies.rules:DualIndex",
    tailored_base_surge="jaxinv.policies.rules:TailoredBaseSurge",
    transshipment="jaxinv.policies.transshipment:Transshipment",
)
"""Rules that know no forecast, each of which can follow one."""

FORECASTS: Known = Known(
    smoothing="jaxinv.policies.following:Smoothing",
    seasonal="jaxinv.policies.following:SeasonalNaive",
    regression="jaxinv.policies.regression:Regression",
)


def _following(rule: str, forecast: str) -> type:
    known = Known(CLASSICAL, newsvendor="jaxinv.policies.rules:Newsvendor")
    made = importlib.import_module("jaxinv.policies.following").following
    return made(known[rule], FORECASTS[forecast])


def _forms(*rules: str) -> dict[str, partial]:
    return {
        f"{rule}_{forecast}": partial(_following, rule, forecast)
        for forecast in FORECASTS
        for rule in rules
    }


RULES: Known = Known(
    CLASSICAL.data
    | {
        "anchor_and_adjust": "jaxinv.policies.rules:AnchorAndAdjust",
        "feature_base_stock": "jaxinv.policies.feature:FeatureBaseStock",
    }
    | _forms("newsvendor")
    | {"newsvendor_quantile": "jaxinv.policies.rules:QuantileNewsvendor"}
    | _forms(*CLASSICAL)
)
"""All rules by name. One from elsewhere joins with `RULES[rule.name] = rule`."""
