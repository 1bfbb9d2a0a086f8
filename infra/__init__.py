"""The AWS deployment as a CDK application.

Nothing is defined yet: this release runs on one machine.
"""
