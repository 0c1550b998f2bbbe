"""Plans: a shop's own tables (sales, items, locations, lanes, stock, open orders, calendar,
receipts) read and checked as one.
"""

from jaxinv.data.plan.plan import Plan, read_plan
from jaxinv.data.plan.receipts import LeadTimeLaw, lead_time_laws
from jaxinv.data.plan.settings import Settings
from jaxinv.data.plan.tables import TABLES

__all__ = ["TABLES", "LeadTimeLaw", "Plan", "Settings", "lead_time_laws", "read_plan"]
