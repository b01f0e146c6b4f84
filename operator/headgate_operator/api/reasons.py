"""Every condition type, every reason, and every message code of the control plane, with one sentence each.

A code is what users search for; `docs/messages.md` has an anchor for each, and a test provokes each. The
gateway's own codes (HG1xxx) stand in `gateway_runtime.contract.errors`.
"""

from enum import Enum, StrEnum
from typing import NamedTuple


class ConditionType(StrEnum):
    ACCEPTED = "Accepted"
    """The spec makes sense and nothing older claims the same."""
    RESOLVED_REFS = "ResolvedRefs"
    """Every provider, Secret and key that the spec names is there and may be used."""
    PROGRAMMED = "Programmed"
    """Every connected gateway runs this generation."""
    HEALTHY = "Healthy"
    """Requests can be answered, as the gateways see it. Not on a TenantQuota."""
    WITHIN_LIMITS = "WithinLimits"
    """There is room under every limit. On a TenantQuota alone, and no part of Ready."""
    READY = "Ready"
    """All of the above but WithinLimits. What kstatus, Argo CD, Flux and `kubectl wait` look at."""


class Reason(StrEnum):
    ACCEPTED = "Accepted"
    """The spec makes sense."""
    INVALID = "Invalid"
    """A field has a value that makes no sense; the last good version keeps serving where there was one."""
    CONFLICTED = "Conflicted"
    """An older object claims the same model, key, tokens, proxy's word or anonymity."""
    RESOLVED_REFS = "ResolvedRefs"
    """All references resolve."""
    PROVIDER_NOT_FOUND = "ProviderNotFound"
    """A target names an LLMProvider that does not exist."""
    MODEL_NOT_FOUND = "ModelNotFound"
    """A target names a model that its provider does not list."""
    REF_NOT_PERMITTED = "RefNotPermitted"
    """A target names a provider of another namespace that does not admit this route, or does not exist:
    which, is not told.
    """
    SECRET_NOT_FOUND = "SecretNotFound"
    """A Secret is missing."""
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"
    """The Secret is there, the key inside it is not."""
    PARENT_NOT_FOUND = "ParentNotFound"
    """The quota that a quota names as its parent does not exist, or nothing of it is served."""
    PARENT_NOT_PERMITTED = "ParentNotPermitted"
    """The quota that a quota names as its parent has a parent itself."""
    ACCOUNTS_UNKNOWN = "ServiceAccountsUnknown"
    """Nobody can say whose token it is: there is no cluster, or it has not told who signs."""
    MALFORMED_SECRET = "MalformedSecret"
    """The key's value cannot be what it is there for: an API key, a certificate, a private key."""
    PROGRAMMED = "Programmed"
    """Every connected gateway runs this generation."""
    PENDING = "Pending"
    """Some gateways do not run this generation yet."""
    REFUSED = "Refused"
    """A gateway refused the table that holds this generation."""
    NO_GATEWAYS = "NoGateways"
    """No gateway is connected."""
    NOT_PUBLISHED = "NotPublished"
    """Nothing of this object is in the routing table."""
    HEALTHY = "Healthy"
    """Every endpoint or target is in service."""
    DEGRADED = "Degraded"
    """Some endpoints or targets are out of service, at least one is in."""
    UNHEALTHY = "Unhealthy"
    """None is in service."""
    NO_REPORTS = "NoReports"
    """No gateway has reported recently, or none has had reason to look yet."""
    WITHIN_LIMITS = "WithinLimits"
    """Less than 80 percent of every limit is used."""
    NEAR_LIMIT = "NearLimit"
    """Of some limit 80 percent or more is used; there is room still."""
    EXHAUSTED = "Exhausted"
    """Of some limit nothing is left."""
    READY = "Ready"
    """Everything holds."""


class _Facts(NamedTuple):
    id: str
    condition: ConditionType
    reason: Reason


class Code(Enum):
    """A finding about one object: its id, and the condition and reason that it turns into."""

    INVALID_FIELD = _Facts("HG0101", ConditionType.ACCEPTED, Reason.INVALID)
    SECRET_NOT_FOUND = _Facts("HG0201", ConditionType.RESOLVED_REFS, Reason.SECRET_NOT_FOUND)
    SECRET_KEY_NOT_FOUND = _Facts("HG0202", ConditionType.RESOLVED_REFS, Reason.SECRET_KEY_NOT_FOUND)
    PROVIDER_NOT_FOUND = _Facts("HG0203", ConditionType.RESOLVED_REFS, Reason.PROVIDER_NOT_FOUND)
    REF_NOT_PERMITTED = _Facts("HG0204", ConditionType.RESOLVED_REFS, Reason.REF_NOT_PERMITTED)
    MODEL_NOT_FOUND = _Facts("HG0205", ConditionType.RESOLVED_REFS, Reason.MODEL_NOT_FOUND)
    MALFORMED_SECRET = _Facts("HG0206", ConditionType.RESOLVED_REFS, Reason.MALFORMED_SECRET)
    PARENT_NOT_FOUND = _Facts("HG0207", ConditionType.RESOLVED_REFS, Reason.PARENT_NOT_FOUND)
    PARENT_NOT_PERMITTED = _Facts("HG0208", ConditionType.RESOLVED_REFS, Reason.PARENT_NOT_PERMITTED)
    ACCOUNTS_UNKNOWN = _Facts("HG0209", ConditionType.RESOLVED_REFS, Reason.ACCOUNTS_UNKNOWN)
    MODEL_CLAIMED = _Facts("HG0301", ConditionType.ACCEPTED, Reason.CONFLICTED)
    KEY_CLAIMED = _Facts("HG0302", ConditionType.ACCEPTED, Reason.CONFLICTED)
    ANONYMOUS_CLAIMED = _Facts("HG0303", ConditionType.ACCEPTED, Reason.CONFLICTED)
    CALLER_CLAIMED = _Facts("HG0304", ConditionType.ACCEPTED, Reason.CONFLICTED)
    KEY_TERMS_DIFFER = _Facts("HG0305", ConditionType.ACCEPTED, Reason.CONFLICTED)

    @property
    def id(self) -> str:
        return self.value.id

    @property
    def condition(self) -> ConditionType:
        return self.value.condition

    @property
    def reason(self) -> Reason:
        return self.value.reason
