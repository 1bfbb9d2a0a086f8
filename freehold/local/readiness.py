"""Whether the server can do its work: store, sandbox, model."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.adapters.subprocess_sandbox import Probe
from freehold.keys import Key
from freehold.ports import App, Write

_NOWHERE = Key("_readiness", "look")


@dataclass(frozen=True, slots=True)
class Found:
    """Each part with `ok` or what is wrong with it; never a secret, never a path."""

    parts: dict[str, str]

    @property
    def is_ready(self) -> bool:
        return all(state == "ok" for state in self.parts.values())


class Readiness:
    """The sandbox's probe starts a real sandbox, so it is asked once, at the start."""

    def __init__(self, app: App, probe: Probe) -> None:
        self._app = app
        self._probe = probe
        self._has_credentials = False

    def look(self) -> Found:
        """Asks the store for a transaction that changes nothing. Blocks."""
        return Found({"store": self._store(), "sandbox": self._sandbox(), "model": self._model()})

    def _store(self) -> str:
        try:
            self._app.records.get([_NOWHERE])
            self._app.records.write([Write(_NOWHERE)])
        except Exception:  # noqa: BLE001 - whatever the store raises, it is not ready
            return "cannot be used; the server's log says why"
        return "ok"

    def _sandbox(self) -> str:
        return "ok" if self._probe.rung else "none is usable; `freehold doctor` says why"

    def _model(self) -> str:
        settings = self._app.settings
        if settings.model == "scripted" or settings.anthropic_api_key or settings.aws_api_key:
            return "ok"
        if settings.model != "anthropic":
            return self._credentials()
        if settings.anthropic_base_url:
            return "ok"  # an endpoint of the operator's own may ask for no key
        return "ANTHROPIC_API_KEY is not set"

    def _credentials(self) -> str:
        """Looked for again until they are found once."""
        if not self._has_credentials:
            from freehold.adapters.aws_clients import has_credentials  # noqa: PLC0415 - loads boto3

            self._has_credentials = has_credentials()
        return "ok" if self._has_credentials else "there are no AWS credentials"
