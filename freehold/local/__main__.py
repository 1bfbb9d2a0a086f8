"""`python -m freehold.local`: the server with settings from the environment."""

from __future__ import annotations

import os
import sys

from pydantic import ValidationError

from freehold.local.server import serve
from freehold.settings import Settings, explain

if __name__ == "__main__":
    try:
        settings = Settings.from_environment(os.environ)
    except ValidationError as error:
        sys.exit(explain(error))
    sys.exit(serve(settings))
