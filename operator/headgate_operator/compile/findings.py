"""A finding: one thing that is wrong with one object, with its code, its field and a sentence that says what
to do.

The passes make them; `rollup` and the command line show them. Every message stands here, one function for
each, so that they can be read together. No message holds the value of a Secret, and `ref_not_permitted` is
the same whether the provider exists or not.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from headgate_operator.api.manifest import BrokenManifest, Meta
from headgate_operator.api.reasons import Code
from headgate_operator.compile.resources import AnyManifest

_SHOWN: Final = 10
"""So many names are listed in a message; a status is no place for two hundred."""
_HELD_BACK: Final = "Without its parent's limits nothing of this version is served"
_COMPARED: Final = 10
"""So many names are looked through for a similar one: a comparison costs some 20 µs, and a provider that goes
may leave 5,000 routes with the question.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    code: Code
    field: str
    """Path in the manifest, such as `spec.targets[0].providerRef.name`."""
    message: str
    """Sentences, without code and object."""

    def text(self, meta: Meta) -> str:
        """What people see, everywhere the same: `HG0203 ModelRoute team-a/chat: target provider …`."""
        return f"{self.code.id} {meta}: {self.message}"


def invalid_fields(manifest: AnyManifest) -> tuple[Finding, ...]:
    """Empty for a manifest that makes sense."""
    problems = manifest.problems if isinstance(manifest, BrokenManifest) else ()
    return tuple(Finding(Code.INVALID_FIELD, p.path, f"{p.path}: {p.message}") for p in problems)


def secret_not_found(field: str, namespace: str, name: str, key: str) -> Finding:
    return Finding(
        Code.SECRET_NOT_FOUND,
        f"{field}.name",
        f'Secret "{name}" not found in namespace {namespace}: create it with the key "{key}", '
        f"or correct {_last(field)}.name",
    )


def secret_key_not_found(field: str, name: str, key: str, keys: Sequence[str]) -> Finding:
    there = f"keys there: {_enumerate(keys)}" if keys else "it is empty"
    return Finding(
        Code.SECRET_KEY_NOT_FOUND,
        f"{field}.key",
        f'Secret "{name}" has no key "{key}"; {there}. {_did_you_mean(key, keys)}'
        f"Add the key to the Secret, or correct {_last(field)}.key",
    )


def certificate_secret_not_found(field: str, namespace: str, name: str) -> Finding:
    return Finding(
        Code.SECRET_NOT_FOUND,
        f"{field}.name",
        f'Secret "{name}" not found in namespace {namespace}: create it with type kubernetes.io/tls, '
        f"or correct {_last(field)}.name",
    )


def certificate_key_not_found(field: str, name: str, key: str) -> Finding:
    return Finding(
        Code.SECRET_KEY_NOT_FOUND,
        f"{field}.name",
        f'Secret "{name}" has no key "{key}". A client certificate is a Secret of type kubernetes.io/tls, '
        "with tls.crt and tls.key: make it one, or name another",
    )


def malformed_pem(field: str, name: str, key: str, problem: str, wanted: str) -> Finding:
    """`wanted`: completes "It must be"."""
    return Finding(
        Code.MALFORMED_SECRET,
        field,
        f'key "{key}" of Secret "{name}" cannot be used for TLS: {problem}. It must be {wanted}',
    )


def malformed_secret(
    field: str, name: str, key: str, problem: str, what: str = "an API key", remedy: str = ""
) -> Finding:
    """`what` it cannot be; `remedy`: a sentence without its full stop, that of API keys if empty."""
    return Finding(
        Code.MALFORMED_SECRET,
        field,
        f'key "{key}" of Secret "{name}" cannot be {what}: {problem}. '
        f"{remedy or 'Put the API key there, alone'}",
    )


def provider_not_found(field: str, name: str, providers: Sequence[str]) -> Finding:
    there = (
        f"providers in this namespace: {_enumerate(providers)}" if providers else "this namespace has none"
    )
    return Finding(
        Code.PROVIDER_NOT_FOUND,
        f"{field}.providerRef.name",
        f'target provider "{name}" not found; {there}. {_did_you_mean(name, providers)}'
        "Correct providerRef.name, or create the LLMProvider",
    )


def ref_not_permitted(field: str, provider: str, namespace: str) -> Finding:
    return Finding(
        Code.REF_NOT_PERMITTED,
        f"{field}.providerRef",
        f"target provider {provider} does not exist or does not admit routes of namespace {namespace}. "
        f"Correct providerRef, or have {namespace} added to that provider's spec.allowedRoutes.namespaces",
    )


def model_not_found(field: str, provider: str, model: str, models: Sequence[str]) -> Finding:
    return Finding(
        Code.MODEL_NOT_FOUND,
        f"{field}.model",
        f'target provider "{provider}" has no model "{model}"; models there: {_enumerate(models)}. '
        f"{_did_you_mean(model, models)}Correct the target's model, or add it to the provider's spec.models",
    )


def no_model_served(field: str, provider: str, models: Sequence[str]) -> Finding:
    return Finding(
        Code.MODEL_NOT_FOUND,
        field,
        f'target provider "{provider}" has none of this route\'s models; models there: '
        f"{_enumerate(models)}. Set the target's model to one of them, or add the route's to the provider's "
        "spec.models",
    )


def fallback_not_served(field: str, model: str, served: Sequence[str]) -> Finding:
    """`served`: models and patterns of the namespace; there is at least the route's own."""
    return Finding(
        Code.MODEL_NOT_FOUND,
        f"{field}.model",
        f'fallback model "{model}" is served by no route of this namespace; served here: '
        f"{_enumerate(served)}. {_did_you_mean(model, served)}"
        "Correct the fallback's model, or create a ModelRoute for it",
    )


def own_parent(field: str) -> Finding:
    return Finding(
        Code.INVALID_FIELD,
        field,
        f"{field}: must name another quota, since this one's own limits hold anyway: correct it, or remove "
        "parent",
    )


def parent_not_found(field: str, name: str, quotas: Sequence[str]) -> Finding:
    """`quotas`: of this namespace, sorted; there is at least the one that asks."""
    return Finding(
        Code.PARENT_NOT_FOUND,
        field,
        f'parent "{name}" not found; quotas in this namespace: {_enumerate(quotas)}. '
        f"{_did_you_mean(name, quotas)}Correct parent.name, or create the TenantQuota. {_HELD_BACK}",
    )


def parent_not_served(field: str, name: str) -> Finding:
    return Finding(
        Code.PARENT_NOT_FOUND,
        field,
        f'parent "{name}" makes no sense itself, and never did: mend it, its status says how. {_HELD_BACK}',
    )


def parent_has_parent(field: str, name: str, grandparent: str) -> Finding:
    return Finding(
        Code.PARENT_NOT_PERMITTED,
        field,
        f'parent "{name}" has a parent itself, "{grandparent}", and a parent must have none: correct '
        f"parent.name, or remove parent from one of the two. {_HELD_BACK}",
    )


def no_cluster(field: str, subject: str) -> Finding:
    return Finding(
        Code.ACCOUNTS_UNKNOWN,
        field,
        f'subject "{subject}" is a ServiceAccount, and service accounts need a cluster: here is none. '
        "Use type APIKey or JWT, or apply the quota to a cluster",
    )


def accounts_unknown(field: str, subject: str, problem: str) -> Finding:
    return Finding(
        Code.ACCOUNTS_UNKNOWN,
        field,
        f'subject "{subject}" is a ServiceAccount, and the API server has not told who signs their tokens: '
        f"{problem}. The operator asks again by itself. 403: bind the ClusterRole "
        "system:service-account-issuer-discovery to its service account; 404: the API server's "
        "--service-account-issuer must be an https:// URL",
    )


def key_terms_differ(field: str, subject: str, other: str) -> Finding:
    return Finding(
        Code.KEY_TERMS_DIFFER,
        field,
        f'subject "{subject}" has the same API key as subject "{other}", and other times: the later '
        "notBefore and the earlier notAfter hold. Give each a key of its own, or both the same times",
    )


def model_claimed(field: str, model: str, loser: Meta, winner: Meta) -> Finding:
    return Finding(
        Code.MODEL_CLAIMED,
        field,
        f'model "{model}" is served by {winner}, {_why_first(loser, winner)}. '
        "Remove it from one of the two routes",
    )


def key_claimed(field: str, subject: str, loser: Meta, winner: Meta) -> Finding:
    return Finding(
        Code.KEY_CLAIMED,
        field,
        f'subject "{subject}" has an API key that belongs to {winner}, {_why_first(loser, winner)}. '
        "Give the subject a key of its own, or remove it from one of the two quotas",
    )


def anonymous_claimed(field: str, subject: str, loser: Meta, winner: Meta) -> Finding:
    return Finding(
        Code.ANONYMOUS_CLAIMED,
        field,
        f'subject "{subject}" is Anonymous, and callers without a key belong to {winner}, '
        f"{_why_first(loser, winner)}; one quota of the installation serves them. "
        "Remove the subject from one of the two quotas",
    )


def caller_claimed(field: str, subject: str, what: str, loser: Meta, winner: Meta) -> Finding:
    """`what`: the claim, in words that follow "the same"."""
    return Finding(
        Code.CALLER_CLAIMED,
        field,
        f'subject "{subject}" has the same {what} as {winner}, {_why_first(loser, winner)}. '
        "Tell the two apart, or remove it from one of the two quotas",
    )


def _why_first(loser: Meta, winner: Meta) -> str:
    return "which is older" if winner.created < loser.created else "which is as old and comes first by name"


def _last(field: str) -> str:
    """`caSecretRef` of `spec.tls.caSecretRef`."""
    return field.rpartition(".")[2]


def _enumerate(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    """`names` is sorted; mistyped names mostly stand near the right one."""
    start = max(0, min(bisect_left(names, name) - _COMPARED // 2, len(names) - _COMPARED))
    close = get_close_matches(name, names[start : start + _COMPARED], n=1)
    return f'Did you mean "{close[0]}"? ' if close else ""
