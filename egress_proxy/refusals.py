"""Why a request is answered by the proxy itself, in words for people and for package managers.

pip and its like show the reason phrase alone, so the host stands there too.
"""

from __future__ import annotations

from typing import ClassVar


class Refused(Exception):
    """403: `host` is not reached by this session. `why` is for whoever asked."""

    status: ClassVar[int] = 403
    mark: ClassVar[str] = "refused"

    def __init__(self, host: str, why: str) -> None:
        super().__init__(why)
        self.host = host
        self.why = why

    @property
    def phrase(self) -> str:
        return f"Forbidden by the environment: {self.host}"

    @property
    def text(self) -> str:
        return f"The network of this session does not reach {self.host}: {self.why}.\n"

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [("x-freehold-egress", self.mark)]


class Unreachable(Refused):
    """502: the host is permitted, and does not answer or is not found."""

    status = 502
    mark = "failed"

    @property
    def phrase(self) -> str:
        return f"Unreachable: {self.host}"

    @property
    def text(self) -> str:
        return f"{self.host} is permitted, but {self.why}.\n"


class Malformed(Refused):
    """400: no request to a proxy, or one that could be read in two ways."""

    status = 400

    def __init__(self, why: str) -> None:
        super().__init__("", why)

    @property
    def phrase(self) -> str:
        return "Bad Request"

    @property
    def text(self) -> str:
        return f"The proxy of this session takes no such request: {self.why}.\n"


class NotIdentified(Malformed):
    """407: no session, or not this one. Which of them is not said."""

    status = 407

    def __init__(self) -> None:
        super().__init__("the session and its token are expected as user and password")

    @property
    def phrase(self) -> str:
        return "Proxy Authentication Required"

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [*super().headers, ("proxy-authenticate", 'Basic realm="freehold"')]
