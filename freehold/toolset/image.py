"""What the image of sandboxes provides (`sandbox_task/Dockerfile`), for those who start it."""

PYTHON = "/usr/bin/python3"
"""Runs the supervisor and what it starts; the tools find the same one first."""
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = "/opt/packages"
"""Where the packages of an environment are, also in a sandbox that is not of this image."""
ENVIRONMENT = {"PLAYWRIGHT_BROWSERS_PATH": "/opt/playwright"}
"""For the tools: a browser is looked for below the home directory, which is the workspace."""
