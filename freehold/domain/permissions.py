"""What a tool call may do: which tools an agent has, and what its policies say about one call
(BEHAVIOUR 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from freehold.toolset import SANDBOX_TOOLS
from freehold.wire.events import AgentToolEvaluationAlwaysAllow, AgentToolEvaluationAlwaysAsk
from freehold.wire.sessions import SessionAgent
from freehold.wire.tools import (
    AgentToolConfig,
    AgentToolset20260401,
    AgentToolsetDefaultConfig,
)

Permission = Literal["allow", "ask", "deny"]
Evaluation = AgentToolEvaluationAlwaysAllow | AgentToolEvaluationAlwaysAsk


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one call, as its event shows it. No `evaluation`: refused before any policy
    was asked.
    """

    permission: Permission
    evaluation: Evaluation | None = None


def enabled_tools(agent: SessionAgent) -> tuple[str, ...]:
    """Names of the built-in tools this server runs and the agent may use, in a fixed order."""
    return tuple(name for name in SANDBOX_TOOLS if _config(agent, name) is not None)


def evaluate(agent: SessionAgent, name: str) -> Decision:
    """The policy's word on a call. A tool that is not enabled is denied whatever the policies
    say.
    """
    config = _config(agent, name)
    if config is None or name not in SANDBOX_TOOLS:
        return Decision("deny")
    if config.permission_policy.type == "always_allow":
        return Decision("allow", AgentToolEvaluationAlwaysAllow())
    return Decision("ask", AgentToolEvaluationAlwaysAsk())


def _config(agent: SessionAgent, name: str) -> AgentToolsetDefaultConfig | AgentToolConfig | None:
    """What holds for an enabled tool; None for any other."""
    for toolset in agent.tools:
        if isinstance(toolset, AgentToolset20260401):
            config = toolset.config_of(name)
            if config is not None and config.enabled:
                return config
    return None
