"""What a tool call may do: which tools an agent has, and what its policies say about one call (BEHAVIOUR 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from freehold.wire.events import AgentToolEvaluationAlwaysAllow, AgentToolEvaluationAlwaysAsk
from freehold.wire.sessions import SessionAgent
from freehold.wire.tools import AgentToolset20260401

Permission = Literal["allow", "ask", "deny"]
Evaluation = AgentToolEvaluationAlwaysAllow | AgentToolEvaluationAlwaysAsk


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one call, as its event shows it. No `evaluation`: refused before any policy was asked."""

    permission: Permission
    evaluation: Evaluation | None = None


def enabled_tools(agent: SessionAgent) -> tuple[str, ...]:
    """Names of the built-in tools the agent may use, in the order of its configuration."""
    names: dict[str, None] = {}
    for toolset in agent.tools:
        if isinstance(toolset, AgentToolset20260401):
            names.update((c.name, None) for c in toolset.configs if c.enabled)
    return tuple(names)


def evaluate(agent: SessionAgent, name: str) -> Decision:
    """The policy's word on a call. A tool that is not enabled is denied whatever the policies say."""
    for toolset in agent.tools:
        if not isinstance(toolset, AgentToolset20260401):
            continue
        for config in toolset.configs:
            if config.name == name and config.enabled:
                if config.permission_policy.type == "always_allow":
                    return Decision("allow", AgentToolEvaluationAlwaysAllow())
                return Decision("ask", AgentToolEvaluationAlwaysAsk())
    return Decision("deny")
