"""Managed agents on land you own."""

__version__ = "0.1.0"
