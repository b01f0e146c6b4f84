"""The third pass: TenantQuotas and the Secrets of their API keys to the table's Tenants.

    spec, Secrets -> a claim for each subject -> wanted -> without the claims that an older quota makes too

A quota none of whose subjects can call stays in the table: what its limits have counted must not be forgotten
because a Secret was away for a moment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from msgspec import structs

from gateway_runtime.contract.ids import KeyHash, TenantId
from gateway_runtime.contract.keys import hash_stored_key
from gateway_runtime.contract.table import Tenant
from headgate_operator.api.manifest import BrokenManifest, Meta, QuotaManifest
from headgate_operator.compile.api_keys import (
    SecretsRead,
    find_unwatched,
    read_api_key,
    read_secrets,
    still_read,
)
from headgate_operator.compile.claims import Claims, Lost
from headgate_operator.compile.findings import (
    Finding,
    anonymous_claimed,
    invalid_fields,
    key_claimed,
    malformed_secret,
)
from headgate_operator.compile.last_good import LastGood
from headgate_operator.compile.limits import build_limits
from headgate_operator.compile.memo import QuotaEntry, SubjectClaims, keep_equal
from headgate_operator.compile.resources import Resources, index_by_id
from headgate_operator.compile.verdict import Verdict, judge_serving

_ANONYMOUS: Final = "anonymous"
"""Stands among the claims for the callers without a key; the hash of a key is never this text."""


class _Wish(NamedTuple):
    """A quota before it meets the others."""

    manifest: QuotaManifest | BrokenManifest
    secrets: SecretsRead
    claims: SubjectClaims
    wanted: Tenant | None
    """With all its keys; None for a broken one that never was good."""
    old: QuotaEntry | None


def compile_quotas(
    resources: Resources, before: Mapping[str, QuotaEntry], last_good: LastGood
) -> dict[str, QuotaEntry]:
    """`before` was made with the same key salt, or is empty."""
    wishes: dict[str, _Wish] = {}
    claims = Claims()
    for identity, manifest in index_by_id(resources.quotas).items():
        wish = _wish_quota(manifest, resources, before.get(identity), last_good)
        wishes[identity] = wish
        if wish.wanted is not None:
            claims.enter(wish.manifest.meta, _claims_of(wish.wanted))
    entries: dict[str, QuotaEntry] = {}
    for identity, wish in wishes.items():
        old, wanted = wish.old, wish.wanted
        if wanted is None:
            new = _refuse_quota(wish.manifest)
        else:
            lost = claims.find_lost(wish.manifest.meta, _claims_of(wanted))
            if old is not None and _is_current(old, wish, lost):
                entries[identity] = old
                continue
            new = _compile_quota(wish, wanted, lost)
        entries[identity] = new if old is None else _keep_equal_parts(new, old)
    return entries


def _wish_quota(
    manifest: QuotaManifest | BrokenManifest,
    resources: Resources,
    old: QuotaEntry | None,
    last_good: LastGood,
) -> _Wish:
    if old is not None:
        manifest = keep_equal(manifest, old.manifest)
        if old.wanted is not None and old.manifest is manifest and still_read(old.secrets, resources.secrets):
            return _Wish(manifest, old.secrets, old.claims, old.wanted, old)
    if isinstance(manifest, BrokenManifest):
        wanted = old.wanted if old is not None else None
        if wanted is None or wanted.uid != manifest.meta.uid:
            wanted = last_good.tenant(manifest.meta)
        return _Wish(manifest, (), () if wanted is None else _claims_of(wanted), wanted, old)
    claims = tuple(_read_subjects(manifest, resources))
    return _Wish(
        manifest, read_secrets(manifest, resources.secrets), claims, _build_tenant(manifest, claims), old
    )


def _is_current(old: QuotaEntry, wish: _Wish, lost: Lost) -> bool:
    return (
        old.manifest is wish.manifest
        and old.wanted is wish.wanted
        and old.claims is wish.claims
        and old.lost == lost
    )


def _keep_equal_parts(new: QuotaEntry, old: QuotaEntry) -> QuotaEntry:
    return replace(
        new, resource=keep_equal(new.resource, old.resource), verdict=keep_equal(new.verdict, old.verdict)
    )


def _refuse_quota(manifest: QuotaManifest | BrokenManifest) -> QuotaEntry:
    """The entry of a broken quota that never was good."""
    verdict = Verdict(
        meta=manifest.meta,
        findings=invalid_fields(manifest),
        serving="Nothing",
        serving_generation=None,
        refs_total=0,
        refs_resolved=0,
    )
    return QuotaEntry(manifest, (), (), None, (), None, verdict)


def _compile_quota(wish: _Wish, wanted: Tenant, lost: Lost) -> QuotaEntry:
    manifest = wish.manifest
    taken = dict(lost)
    resource = keep_equal(
        structs.replace(
            wanted,
            keys=tuple(key for key in wanted.keys if key not in taken),
            anonymous=wanted.anonymous and _ANONYMOUS not in taken,
        ),
        wanted,
    )
    return QuotaEntry(
        manifest=manifest,
        secrets=wish.secrets,
        claims=wish.claims,
        wanted=wanted,
        lost=lost,
        resource=resource,
        verdict=Verdict(
            meta=manifest.meta,
            findings=tuple(_find_faults(manifest, wish.claims, taken)),
            serving=judge_serving(manifest, resource),
            serving_generation=resource.generation,
            refs_total=len(wish.claims),
            refs_resolved=sum(isinstance(c, str) and c not in taken for c in wish.claims),
            unwatched=find_unwatched(wish.secrets),
        ),
    )


def _read_subjects(manifest: QuotaManifest, resources: Resources) -> Iterator[str | Finding]:
    for i, subject in enumerate(manifest.spec.subjects):
        ref = subject.secret_ref
        if ref is None:
            yield _ANONYMOUS
            continue
        field = f"spec.subjects[{i}].secretRef"
        key = read_api_key(ref, manifest.meta.namespace, resources.secrets, field)
        if isinstance(key, Finding):
            yield key
            continue
        try:
            yield hash_stored_key(key.reveal(), resources.key_salt)
        except ValueError as error:
            yield malformed_secret(field, ref.name, ref.key, str(error))


def _find_faults(
    manifest: QuotaManifest | BrokenManifest, claims: SubjectClaims, taken: Mapping[str, Meta]
) -> Iterator[Finding]:
    if isinstance(manifest, BrokenManifest):
        yield from invalid_fields(manifest)
        return
    for i, (subject, claimed) in enumerate(zip(manifest.spec.subjects, claims, strict=True)):
        if isinstance(claimed, Finding):
            yield claimed
        elif claimed in taken:
            name_claim = anonymous_claimed if claimed == _ANONYMOUS else key_claimed
            yield name_claim(f"spec.subjects[{i}]", subject.name, manifest.meta, taken[claimed])


def _claims_of(tenant: Tenant) -> tuple[str, ...]:
    return (*tenant.keys, _ANONYMOUS) if tenant.anonymous else tenant.keys


def _build_tenant(manifest: QuotaManifest, claims: SubjectClaims) -> Tenant:
    meta, spec = manifest.meta, manifest.spec
    claimed = {c for c in claims if isinstance(c, str)}
    return Tenant(
        id=TenantId(meta.id),
        uid=meta.uid,
        generation=meta.generation,
        namespace=meta.namespace,
        keys=tuple(KeyHash(key) for key in sorted(claimed - {_ANONYMOUS})),
        anonymous=_ANONYMOUS in claimed,
        models=None if spec.models is None else tuple(sorted(set(spec.models))),
        limits=build_limits(spec),
        allow_unpriced=spec.on_unpriced == "Allow",
    )
