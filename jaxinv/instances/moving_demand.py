"""DeepStock's setting 1: independent demand whose law moves from day to day, orders every second
day.
"""

from jaxinv.demand.deepstock_paths import LEAD_TIME, REVIEW, SPREAD
from jaxinv.instances.instance import Instance, Published

DAYS = 31
COUNTED_FROM = REVIEW + LEAD_TIME
"""The days before are those that no order decides."""

DEEPSTOCK = Instance(
    name="DeepStock, setting 1",
    family="deepstock",
    source=(
        "the authors' published code (appendix of DeepStock, setting 1) and its generators; the"
        " expected cost and the costs on 100 test paths by an independent dynamic programme in"
        " NumPy"
    ),
    preset="backlog",
    options=dict(
        demand="uniform",
        low=0,
        high=SPREAD - 1,
        lead_time=LEAD_TIME,
        holding_cost=0.1,
        shortage_cost=0.9,
    ),
    published={
        "expected cost a day": Published(0.8543, 0.0001),
        "cost on test paths": Published(0.8592, 1.96 * 0.0086),
        "cost on test paths, law from 10 paths": Published(0.8678, 1.96 * 0.0095),
    },
)
