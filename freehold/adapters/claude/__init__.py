"""`Model` on the Messages API: the Claude API, or any endpoint that speaks it."""

from freehold.adapters.claude.model import ClaudeModel

__all__ = ["ClaudeModel"]
