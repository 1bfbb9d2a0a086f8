"""The table on AWS."""
