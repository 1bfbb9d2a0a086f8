"""What an installation on AWS costs: dated prices, what is paid while nothing happens, and what an
hour of a session at work adds.

Everything is exact decimals of US dollars. Nothing here asks AWS.
"""

from freehold.aws_cost.floor import FloorLine, MonthlyFloor, monthly_floor
from freehold.aws_cost.prices import Price, PriceTable, PriceTableInvalid

__all__ = [
    "FloorLine",
    "MonthlyFloor",
    "Price",
    "PriceTable",
    "PriceTableInvalid",
    "monthly_floor",
]
