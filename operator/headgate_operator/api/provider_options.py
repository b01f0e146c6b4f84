"""What only one provider type needs: an LLMProvider's objects `azure`, `vertex`, `bedrock` and `litellm`.

`provider_rules` says which type each goes with.
"""

from typing import ClassVar

from headgate_operator.api.fields import (
    AzureApiVersion,
    CloudProject,
    CloudRegion,
    EntraClient,
    EntraTenant,
)
from headgate_operator.api.model import ApiModel, Rule
from headgate_operator.api.provider_types import LitellmProvider


class Azure(ApiModel):
    """How Azure OpenAI is spoken to, and who the gateways are there."""

    cel_rules: ClassVar = (
        Rule(
            "has(self.tenantId) == has(self.clientId)",
            "tenantId and clientId go together: set both for an application of Entra, or neither for the "
            "resource's API key",
            lambda a: (a.tenant_id is None) == (a.client_id is None),
        ),
    )

    api_version: AzureApiVersion | None = None
    """Such as `2024-10-21`: models are then called by their deployments' names, in the path. Without it, the
    v1 API, which has no versions.
    """
    tenant_id: EntraTenant | None = None
    """Tenant of an application of Entra. The credential is then the application's client secret, for which
    the gateways get tokens.
    """
    client_id: EntraClient | None = None
    """The application."""
    workload_identity: bool = False
    """Tokens for the gateways' own identity instead of credentials (Microsoft Entra Workload ID). `tenantId`
    and `clientId` override what the pods' environment says.
    """


class Vertex(ApiModel):
    """Where in Google Cloud the models are asked, and who the gateways are there."""

    project: CloudProject
    """Id or number of the project that is billed."""
    location: CloudRegion
    """A region such as `europe-west4`; `us` or `eu`; or `global`."""
    workload_identity: bool = False
    """Tokens for the gateways' own identity instead of credentials (Workload Identity Federation, or the
    metadata server of GKE). Without it the credential is a service account's key, the JSON file.
    """


class Bedrock(ApiModel):
    """Where in AWS the models are asked, and who the gateways are there."""

    region: CloudRegion
    """Such as `us-east-1`. Requests are signed for it."""
    workload_identity: bool = False
    """Keys for the gateways' own identity instead of credentials (IRSA or EKS Pod Identity). Without it the
    credential is a Bedrock API key, the text of an AWS credentials file, or JSON with accessKeyId and
    secretAccessKey.
    """


class Litellm(ApiModel):
    """A provider whose API is translated by litellm's code inside the gateways. They need it installed:
    `headgate[litellm]`.
    """

    provider: LitellmProvider
    """As litellm calls it."""
