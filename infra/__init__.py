"""The AWS deployment as a CDK application: `python -m infra.app` synthesizes it, `cdk deploy` makes
it so.
"""
