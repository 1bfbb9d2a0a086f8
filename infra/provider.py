"""Who serves the model: what is told of it to who asks one, and may be done there."""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam

from freehold import bedrock_models
from infra.acknowledged import acknowledge
from infra.context import Context
from infra.data import Data
from infra.function import Function


@dataclass(frozen=True, slots=True)
class Provider:
    """The one that the context chooses. `region` is the stack's."""

    context: Context
    data: Data
    region: str

    def environment(self) -> dict[str, str | None]:
        """Of `TurnEnvironment`."""
        found = {
            "model_base_url": self.context.model_base_url or None,
            "cache_ttl": self.context.cache_ttl,
        }
        if self.context.model == "anthropic":
            return {**found, "model_key_secret_arn": self.data.model_key.ref}
        if self.context.model == "scripted":
            return {}
        return {
            **found,
            "model_region": self._region,
            "model_workspace_id": self.context.model_workspace_id or None,
            "model_ids": json.dumps(dict(self.context.model_ids)) or None,
        }

    @property
    def searches(self) -> bool:
        """Whether it has a `web_search` of its own (`Settings.model_searches`)."""
        return self.context.model == "anthropic" and not self.context.model_base_url

    def permit(self, function: Function) -> None:
        """The key that pays for requests, or requests in the name of the role; never both."""
        if self.context.model == "anthropic":
            function.permit(["secretsmanager:GetSecretValue"], self.data.model_key.ref)
        elif self.context.model == "bedrock":
            self._permit_bedrock(function)
        elif self.context.model == "claude-platform-aws":
            workspace = self._arn(function, "aws-external-anthropic", "workspace", self._workspace)
            function.permit(["aws-external-anthropic:CreateInference"], workspace)

    @property
    def _region(self) -> str:
        return self.context.model_region or self.region

    @property
    def _workspace(self) -> str:
        return self.context.model_workspace_id

    def _permit_bedrock(self, function: Function) -> None:
        """A request through a profile needs the profile, and the model wherever it is sent to."""
        profiles = [
            name if name.startswith("arn:") else self._profile(function, name)
            for name in self._identifiers()
        ]
        partition = Stack.of(function).partition
        models = {
            name: f"arn:{partition}:bedrock:*::foundation-model/{name}" for name in self._models()
        }
        # One statement: the policies of a role may have 10,240 characters together.
        function.role.add_to_policy(
            iam.PolicyStatement(
                actions=["bedrock:InvokeModelWithResponseStream"],
                resources=[*profiles, *models.values()],
            )
        )
        for name in models:
            acknowledge(
                function.role,
                f"IAM5[Resource::arn:<AWS::Partition>:bedrock:*::foundation-model/{name}]",
                "An inference profile sends requests to Regions of its own choice.",
            )

    def _models(self) -> list[str]:
        """What the profiles send requests to. Behind an ARN it may be any that is known."""
        named = [name for name in self._identifiers() if not name.startswith("arn:")]
        found = {bedrock_models.foundation_model(name) for name in named}
        return sorted(found | set(bedrock_models.MODELS.values()))

    def _identifiers(self) -> list[str]:
        """Of every model that may be asked: those known, where the operator names no other.

        The stack's Region may be known at deployment only, and then any part of the world may be
        its own.
        """
        known = [
            f"{part}.{model}"
            for part in self._geographies()
            for name, model in bedrock_models.MODELS.items()
            if name not in self.context.model_ids
        ]
        return sorted({*known, *self.context.model_ids.values()})

    def _geographies(self) -> tuple[str, ...]:
        region = self._region
        return (
            bedrock_models.geographies() if "$" in region else (bedrock_models.geography(region),)
        )

    def _profile(self, function: Function, name: str) -> str:
        return self._arn(function, "bedrock", "inference-profile", name)

    def _arn(self, function: Function, service: str, resource: str, name: str) -> str:
        return Stack.of(function).format_arn(
            service=service,
            resource=resource,
            resource_name=name,
            region=self._region,
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
