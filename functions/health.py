"""What is asked of a program rather than of the API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from freehold import __version__
from freehold.ids import new_id
from functions.envelope import answer_headers


async def healthz(_: Request) -> JSONResponse:
    """It answers."""
    return plain_answer({"status": "ok"})


async def version(_: Request) -> JSONResponse:
    """Which it is."""
    return plain_answer({"name": "freehold", "version": __version__})


def plain_answer(content: dict[str, str], *, status: int = 200) -> JSONResponse:
    """JSON with the headers of every answer."""
    return JSONResponse(content, status_code=status, headers=answer_headers(new_id("req")))
