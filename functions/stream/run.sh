#!/bin/sh
# The handler of `stream`: the web adapter's wrapper runs it in place of Lambda's own start, which
# would have put code and layer on Python's path.
export PYTHONPATH="$LAMBDA_TASK_ROOT:/opt/python${PYTHONPATH:+:$PYTHONPATH}"
exec python3 -m functions.stream.index
