"""A TenantQuota's subjects: how callers show that they are the tenant.

Each type has a branch of its own in the object, and no other. What a gateway checks is all here; which quota
gets a caller that two of them claim, `compile` decides.
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from headgate_operator.api.fields import (
    CidrBlock,
    HeaderName,
    HeaderValue,
    Issuer,
    ItemName,
    JwksUrl,
    NamespaceName,
    ObjectName,
    OneLine,
    SecretKeyRef,
    Word,
)
from headgate_operator.api.model import ApiModel, Rule
from headgate_operator.api.times import Moment, parse_moment

_SET: Final = {"x-kubernetes-list-type": "set"}
_TAKEN: Final = (
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    *("host", "content-length", "content-type", "expect"),
    *("authorization", "proxy-authorization", "proxy-authenticate", "api-key", "x-api-key"),
)
"""Headers of one connection (RFC 9110, 7.6.1), of the message, and those in which keys and tokens come."""


def _may_name(field: str) -> Rule:
    """A header that a proxy can set and nobody else gives a meaning to."""
    names = ", ".join(f"'{name}'" for name in _TAKEN)

    def holds(proxy: "TrustedProxy") -> bool:
        header: str | None = proxy.header if field == "header" else proxy.user_header
        return header is None or header.lower() not in _TAKEN

    return Rule(
        f"!has(self.{field}) || !(self.{field}.lowerAscii() in [{names}])",
        f"{field} must not be a header of the connection, of the body or of a credential, such as "
        "connection, content-type or authorization: choose one of the proxy's own, such as x-team",
        holds,
    )


class RequiredClaim(ApiModel):
    """What a token must say of its bearer."""

    list_map_keys: ClassVar = ("name",)

    name: Word
    """The claim, such as `groups`. Dots lead into objects: `realm_access.roles`."""
    values: Annotated[tuple[OneLine, ...], Field(min_length=1, max_length=64, json_schema_extra=_SET)]
    """One of them must be the claim's value, or in it where the claim is a list."""


class Jwt(ApiModel):
    """Tokens that somebody signs. A gateway checks signature, issuer, audience and time, then `claims`."""

    issuer: Issuer
    """Equal to the token's `iss`, character by character: `https://login.example.com`."""
    audiences: Annotated[tuple[Word, ...], Field(min_length=1, max_length=16, json_schema_extra=_SET)]
    """The token's `aud` must have one of them. Tokens for somebody else prove nothing here."""
    jwks_url: JwksUrl | None = None
    """Where the issuer publishes its keys. Without it, its `/.well-known/openid-configuration` says so."""
    claims: Annotated[tuple[RequiredClaim, ...], Field(max_length=8)] = ()
    """All of them must hold. Without any, whoever the issuer made a token for is this tenant."""
    user_claim: Word = "sub"
    """Whom the token acts for: it stands in the ledger, and limits for each user go by it."""
    tag_claims: Annotated[tuple[Word, ...], Field(max_length=8, json_schema_extra=_SET)] = ()
    """Claims that stand in the ledger, as tags."""


class ServiceAccount(ApiModel):
    """A service account of this cluster. Its pods call with a projected token; `kubectl create token` makes
    one by hand.
    """

    name: ObjectName
    """Name of the ServiceAccount. It need not exist."""
    namespace: NamespaceName | None = None
    """Where it is. Without it, the quota's own namespace."""
    audiences: Annotated[tuple[Word, ...], Field(min_length=1, max_length=16, json_schema_extra=_SET)] = (
        "headgate",
    )
    """The token must be meant for one of them. Default: headgate. The API server's own audience works too,
    and lets every pod's default token call.
    """


class TrustedProxy(ApiModel):
    """A proxy in front of the gateways that has authenticated the caller and says so in a header. It must
    overwrite that header whatever callers send.
    """

    cel_rules: ClassVar = (
        _may_name("header"),
        _may_name("userHeader"),
        Rule(
            "!has(self.userHeader) || self.userHeader.lowerAscii() != self.header.lowerAscii()",
            "userHeader must be another header than header: name the one in which the proxy says who the "
            "user is, or remove it",
            lambda p: p.user_header is None or p.user_header.lower() != p.header.lower(),
        ),
    )

    addresses: Annotated[tuple[CidrBlock, ...], Field(min_length=1, max_length=12, json_schema_extra=_SET)]
    """Where the proxy's connections come from, as CIDR blocks: `10.0.0.0/24`, `192.0.2.7/32`. From elsewhere
    the header is never believed. Whoever can connect from there can be this tenant.
    """
    header: HeaderName
    """The header that says whose request it is, such as `x-team`."""
    value: HeaderValue
    """What it says for this tenant, character by character."""
    user_header: HeaderName | None = None
    """The header that says for which user, if there is one."""


def _go_together(kind: str, field: str, attribute: str) -> Rule:
    return Rule(
        f"(self.type == '{kind}') == has(self.{field})",
        f"{field} goes with type {kind}, and only with it: add it, remove it, or correct type",
        lambda s: (s.type == kind) == (getattr(s, attribute) is not None),
    )


class Subject(ApiModel):
    """Callers that this quota serves."""

    list_map_keys: ClassVar = ("name",)
    cel_rules: ClassVar = (
        _go_together("APIKey", "secretRef", "secret_ref"),
        _go_together("JWT", "jwt", "jwt"),
        _go_together("ServiceAccount", "serviceAccount", "service_account"),
        _go_together("TrustedProxy", "trustedProxy", "trusted_proxy"),
        Rule(
            "self.type == 'APIKey' || !(has(self.notBefore) || has(self.notAfter))",
            "notBefore and notAfter go with type APIKey alone, tokens have times of their own: remove them, "
            "or correct type",
            lambda s: s.type == "APIKey" or (s.not_before is None and s.not_after is None),
        ),
        Rule(
            "!(has(self.notBefore) && has(self.notAfter)) || self.notBefore < self.notAfter",
            "notAfter must be later than notBefore: correct one of the two",
            lambda s: (
                s.not_before is None
                or s.not_after is None
                or parse_moment(s.not_before) < parse_moment(s.not_after)
            ),
        ),
    )

    name: ItemName
    """Identifies the subject in status, logs and the ledger."""
    type: Literal["APIKey", "JWT", "ServiceAccount", "TrustedProxy", "Anonymous"]
    """APIKey: callers that send the key in the Secret. JWT: callers with a token of an issuer.
    ServiceAccount: callers with a token of this cluster. TrustedProxy: callers that a proxy vouches for.
    Anonymous: callers that show nothing; without such a subject somewhere, nobody is served who does not.
    """
    secret_ref: SecretKeyRef | None = None
    """The API key: as text, or as `sha256:` and its SHA-256 in hex, so that the key itself need not be stored
    anywhere.
    """
    not_before: Moment | None = None
    """From this moment on the key is taken."""
    not_after: Moment | None = None
    """From this moment on it is not, on every gateway by its own clock."""
    jwt: Jwt | None = None
    """Which tokens, of type JWT."""
    service_account: ServiceAccount | None = None
    """Which service account, of type ServiceAccount."""
    trusted_proxy: TrustedProxy | None = None
    """Which proxy, of type TrustedProxy."""
