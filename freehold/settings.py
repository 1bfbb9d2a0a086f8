"""Every environment variable and number the server can be told, validated once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Settings(BaseModel):
    """Built by `from_environment`, passed inside `App`, never read from the environment again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Path(".freehold")
    host: str = "127.0.0.1"
    port: int = 8700
    model: Literal["anthropic", "scripted"] = "scripted"
    sandbox: Literal["auto", "bubblewrap", "container", "none"] = "auto"
    api_key: SecretStr | None = None
    """`FREEHOLD_API_KEY`: accepted as a key of the default workspace."""
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    """SQLite's durability. NORMAL may lose the last commits at a power cut; only benchmarks use it."""

    max_body_bytes: int = 32 * 1024 * 1024
    lease_seconds: float = 45.0
    """A claim not renewed for this long may be taken over. Must exceed twice `renew_seconds` (test_settings)."""
    renew_seconds: float = 15.0
    leg_turns: int = 400
    """Turns of one execution before a successor takes over: four transitions a turn, 25,000 events an execution."""
    max_model_retries: int = 5
    retry_base_seconds: float = 1.0
    retry_cap_seconds: float = 60.0
    max_tool_rounds: int = Field(default=1000, ge=1)
    write_attempts: int = 20
    ping_seconds: float = 10.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **given: object) -> Settings:
        """Settings from the environment; `given` (command-line options that were set) wins. Raises ValidationError."""
        key = environment.get("ANTHROPIC_API_KEY") or None
        found: dict[str, object] = {
            "anthropic_api_key": key,
            "anthropic_base_url": environment.get("ANTHROPIC_BASE_URL") or None,
            "api_key": environment.get("FREEHOLD_API_KEY") or None,
            "model": "anthropic" if key else "scripted",
        }
        return cls.model_validate({**found, **{k: v for k, v in given.items() if v is not None}})
