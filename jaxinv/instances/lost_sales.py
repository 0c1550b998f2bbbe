"""Lost sales with a lead time: Zipkin's test bed (2008) and its geometric twin, and the fixed-cost
instance of Bijvank.
"""

from jaxinv.instances.instance import Instance, Published

ZIPKIN = "Zipkin 2008, Operations Research 56(5), table 3: Poisson demand of mean 5, h = 1"
GEOMETRIC = "Zipkin 2008, table 3: geometric demand of mean 5, h = 1"
RECOMPUTED = ", to five digits by an independent value iteration in NumPy"

OPTIMAL = {
    # shortage cost: lead times 1, 2, ...
    "poisson": {
        4: (4.04071, 4.39530, 4.59872, 4.72853, 4.81390, 4.87252),
        9: (5.43822, 6.09364, 6.53137, 6.83594, 7.05802, 7.22896),
        19: (6.67574, 7.66442, 8.36251, 8.88718, 9.30505, 9.64788),
        39: (7.83595, 9.10638, 10.03848, 10.79441, 11.42217),
    },
    "geometric": {
        4: (9.81749, 10.24021, 10.46671, 10.60650, 10.69768),
        9: (14.50817, 15.50289, 16.13674, 16.57737, 16.90105),
        19: (19.21790, 20.89055, 22.06454, 22.95300, 23.65449),
        39: (23.86569, 26.21377, 27.96354, 29.35593),
    },
}

CAPPED_BASE_STOCK = {
    "poisson": {
        4: (4.0654, 4.4057, 4.6308, 4.7978),
        9: (5.4812, 6.1191, 6.6164, 6.9123),
        19: (6.6878, 7.7209, 8.4010, 8.9544),
        39: (7.8425, 9.1326, 10.0853, 10.8926),
    },
    "geometric": {
        4: (9.8712, 10.3215, 10.5237, 10.6886),
        9: (14.5826, 15.6410, 16.2956, 16.7268),
        19: (19.3124, 21.0665, 22.2915, 23.2084),
        39: (23.9472, 26.3881, 28.2200, 29.6702),
    },
}

BASE_STOCK = {
    4: (4.164, 4.639, 4.976, 5.197),
    9: (5.550, 6.316, 6.867, 7.271),
    19: (6.726, 7.841, 8.606, 9.234),
    39: (7.861, 9.190, 10.220, 11.064),
}
"""Poisson demand; simulated over 4 million periods, standard error 0.003 to 0.01."""


def _cell(law: str, shortage: int, lead_time: int, optimal: float) -> Instance:
    published = {"optimal": Published(optimal, 1e-3 if lead_time <= 4 else 1e-4)}
    if lead_time <= 4:
        published["capped_base_stock"] = Published(
            CAPPED_BASE_STOCK[law][shortage][lead_time - 1], 0.005
        )
    if lead_time <= 4 and law == "poisson":
        published["base_stock"] = Published(BASE_STOCK[shortage][lead_time - 1], 0.01)
    return Instance(
        name=f"lost sales, {law}, p={shortage}, L={lead_time}",
        family="lost_sales",
        source=(ZIPKIN if law == "poisson" else GEOMETRIC) + RECOMPUTED,
        preset="lost_sales",
        options={
            "demand": law,
            "mean": 5.0,
            "lead_time": lead_time,
            "shortage_cost": float(shortage),
        },
        published=published,
        slow=lead_time > 4,
    )


LOST_SALES = tuple(
    _cell(law, shortage, lead_time, optimal)
    for law, by_shortage in OPTIMAL.items()
    for shortage, costs in by_shortage.items()
    for lead_time, optimal in enumerate(costs, 1)
)

FIXED_COST = Instance(
    name="lost sales with fixed cost, K=5",
    family="lost_sales",
    source=(
        "Bijvank, Bhulai & Huh 2015, European Journal of Operational Research 241(2): Poisson"
        " demand of mean 5"
    ),
    preset="lost_sales",
    options={
        "demand": "poisson",
        "mean": 5.0,
        "lead_time": 2,
        "shortage_cost": 14.0,
        "fixed_cost": 5.0,
    },
    published={
        "optimal": Published(11.46, 0.005),
        "s_S": Published(11.62, 0.005),
        "r_nQ": Published(11.56, 0.005),
    },
)

BEST_KNOWN = {
    8: {4: 4.961, 9: 7.523, 19: 10.196, 39: 12.834},
    10: {4: 5.019, 9: 7.692, 19: 10.758, 39: 13.957},
}
"""Lead times too long to solve, Poisson demand of mean 5, h = 1: lead time, shortage cost, and the
lowest cost in print, that of deep controlled learning (run logs of DynaPlex, Temizoz et al.;
simulated, error not stated)."""
