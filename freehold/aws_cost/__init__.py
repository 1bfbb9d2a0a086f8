"""What an installation on AWS costs: dated prices, what is paid while nothing happens, and what an
hour of a session at work adds.

Everything is exact decimals of US dollars. Nothing here asks AWS.
"""

from freehold.aws_cost.counts import Counts, Work
from freehold.aws_cost.floor import FloorLine, MonthlyFloor, monthly_floor
from freehold.aws_cost.prices import Price, PriceTable, PriceTableInvalid
from freehold.aws_cost.session_hour import (
    CostLine,
    Functions,
    Hour,
    control_plane,
    sandbox_of,
    total,
)

__all__ = [
    "CostLine",
    "Counts",
    "FloorLine",
    "Functions",
    "Hour",
    "MonthlyFloor",
    "Price",
    "PriceTable",
    "PriceTableInvalid",
    "Work",
    "control_plane",
    "monthly_floor",
    "sandbox_of",
    "total",
]
