"""What an exchange comes to: a Token, or TokenRefused; and the Need that says what is exchanged for what.

`cache` finds Needs and keeps Tokens by them, `mint` makes the one of the other. An issuer that was not
reached, or that failed, is no refusal: that is an UpstreamFailure, as with any other upstream.
"""

from typing import NamedTuple, TypeAlias

from gateway_runtime.contract.ids import ProviderId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import AzureOptions, BedrockOptions, Credential, Provider, VertexOptions

Options: TypeAlias = AzureOptions | VertexOptions | BedrockOptions


class Token(NamedTuple):
    secret: Secret
    life_s: float
    """Seconds from its arrival."""


class TokenRefused(Exception):
    """The same exchange fails again until somebody mends something. `reason` is one clause for a person,
    without secrets: `the service account's key was refused (400 invalid_grant)`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Need(NamedTuple):
    """All that a token hangs on: who needs it, what for, and in exchange for what."""

    provider: ProviderId
    options: Options
    secret: Secret | None
    """None with `workload`: the pod's own identity. None without it: the provider lacks a credential."""


def find_need(provider: Provider, credential: Credential | None) -> Need | None:
    """None: the credential is sent, or signed with, as it is."""
    options = _find_options(provider)
    if options is None:
        return None
    secret = None if options.workload or credential is None else credential.value
    return Need(provider.id, options, secret)


def _find_options(provider: Provider) -> Options | None:
    match provider.wire:
        case "vertex":
            return provider.vertex  # there is no key that would be sent as it is
        case "azure" if provider.azure is not None:
            entra = provider.azure.workload or provider.azure.tenant or provider.azure.client
            return provider.azure if entra else None  # the wire sends a token in the same cases
        case "bedrock" if provider.bedrock is not None:
            return provider.bedrock if provider.bedrock.workload else None
    return None
