"""What the embedded cross-border world takes from real files, and how each number was fitted.

Three fits, each a pure function of one raw file, and beside them their results as constants, so
that the package needs no file at run time: `SCMS_LEAD_TIMES` and `SCMS_FREIGHT` from USAID's Supply
Chain Management System delivery history (purchase-order lines to 43 countries, 2006-2015),
`ONLINE_RETAIL_DEMAND` from UCI Online Retail (a British wholesaler of gifts, 2010-12-01 to
2011-12-09). A test fits them afresh and compares.
"""

from jaxinv.data.fits.demand import HOME, ONLINE_RETAIL_DEMAND, VELOCITY_CLASSES, Demand, fit_demand
from jaxinv.data.fits.freight import SCMS_FREIGHT, TIER_EDGES_KG, Freight, fit_freight
from jaxinv.data.fits.lead_times import (
    PROBABILITIES,
    SCMS_LEAD_TIMES,
    FreightLeadTimes,
    LeadTimeSpread,
    fit_lead_times,
)

__all__ = [
    "HOME", "ONLINE_RETAIL_DEMAND", "PROBABILITIES", "SCMS_FREIGHT", "SCMS_LEAD_TIMES",
    "TIER_EDGES_KG",
    "VELOCITY_CLASSES", "Demand", "Freight", "LeadTimeSpread", "FreightLeadTimes", "fit_demand",
    "fit_freight",
    "fit_lead_times",
]  # fmt: skip
