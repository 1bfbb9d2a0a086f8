"""`Model` on Claude: the Claude API or another endpoint of the Messages API, Amazon Bedrock, or
Claude Platform on AWS.
"""

from freehold.adapters.claude.aws_endpoints import Bedrock, ClaudePlatformAws
from freehold.adapters.claude.chosen import endpoint_of
from freehold.adapters.claude.endpoint import ClaudeApi
from freehold.adapters.claude.model import ClaudeModel

__all__ = ["Bedrock", "ClaudeApi", "ClaudeModel", "ClaudePlatformAws", "endpoint_of"]
