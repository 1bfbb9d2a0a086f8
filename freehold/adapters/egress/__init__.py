"""The way out of sandboxes: an egress proxy, and what each session may reach through it."""

from freehold.adapters.egress.laptop import LaptopEgress

__all__ = ["LaptopEgress"]
