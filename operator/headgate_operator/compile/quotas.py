"""The third pass: TenantQuotas and the Secrets of their API keys to the table's Tenants.

    spec, Secrets -> each subject read -> asked -> wanted, if its parent can be one -> without the claims
    that an older quota makes too

A quota none of whose subjects can call stays in the table: what its limits have counted must not be forgotten
because a Secret was away for a moment. One whose parent cannot be one is not served as it asks, since a limit
would not hold: what was served of it before goes on, if the parent of then still can, else nothing. But
who is no longer among its callers, a key whose Secret is gone included, is so at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from gateway_runtime.contract.ids import KeyHash, TenantId
from gateway_runtime.contract.tenant import JwtSubject, KeyTerm, ProxySubject, Queue, Tenant
from headgate_operator.api.fields import parse_duration
from headgate_operator.api.manifest import BrokenManifest, Meta, QuotaManifest
from headgate_operator.api.quota import TenantQuotaSpec
from headgate_operator.api.subject import Subject
from headgate_operator.compile.api_keys import SecretsRead, find_unwatched, read_secrets, still_read
from headgate_operator.compile.claims import Claims, Lost
from headgate_operator.compile.findings import (
    Finding,
    anonymous_claimed,
    caller_claimed,
    invalid_fields,
    key_claimed,
    key_terms_differ,
)
from headgate_operator.compile.last_good import LastGood
from headgate_operator.compile.limits import build_limits
from headgate_operator.compile.memo import QuotaEntry, keep_equal
from headgate_operator.compile.parents import Families
from headgate_operator.compile.resources import Cluster, Resources, UnknownCluster, index_by_id
from headgate_operator.compile.subjects import (
    ANONYMOUS,
    Caller,
    SubjectsRead,
    bounded_terms,
    callers_of,
    claims_of,
    find_claims,
    join_keys,
    read_subjects,
    shared_callers,
    without_claims,
)
from headgate_operator.compile.verdict import Verdict, judge_serving

_AnyQuota: TypeAlias = QuotaManifest | BrokenManifest


class _Wish(NamedTuple):
    """A quota before it meets the others."""

    manifest: _AnyQuota
    secrets: SecretsRead
    cluster: Cluster | UnknownCluster | None
    subjects: SubjectsRead
    """Of a broken one those that it had when it was good."""
    asked: Tenant | None
    """With all its callers; None for a broken one that never was good."""
    old: QuotaEntry | None


class _Settled(NamedTuple):
    """A wish that knows its parent."""

    wanted: Tenant | None
    """None: nothing of it may be served."""
    fault: Finding | None
    """Of the parent that it asks for."""
    claims: tuple[str, ...]
    """Of `wanted`."""


def compile_quotas(
    resources: Resources,
    cluster: Cluster | UnknownCluster | None,
    before: Mapping[str, QuotaEntry],
    last_good: LastGood,
) -> dict[str, QuotaEntry]:
    """`cluster`: whose service accounts there are. `before` was made with the same key salt, or is empty."""
    wishes = {
        identity: _wish_quota(manifest, resources, cluster, before.get(identity), last_good)
        for identity, manifest in index_by_id(resources.quotas).items()
    }
    families = Families({identity: wish.asked for identity, wish in wishes.items()})
    settled: dict[str, _Settled] = {}
    claims = Claims()
    for identity, wish in wishes.items():
        settled[identity] = done = _settle(wish, families, last_good)
        claims.enter(wish.manifest.meta, done.claims)
    entries: dict[str, QuotaEntry] = {}
    for identity, wish in wishes.items():
        old, done = wish.old, settled[identity]
        lost = claims.find_lost(wish.manifest.meta, done.claims)
        if old is not None and _is_current(old, wish, done, lost):
            entries[identity] = old
            continue
        new = _compile_quota(wish, done, lost)
        entries[identity] = new if old is None else _keep_equal_parts(new, old)
    return entries


def _wish_quota(
    manifest: _AnyQuota,
    resources: Resources,
    cluster: Cluster | UnknownCluster | None,
    old: QuotaEntry | None,
    last_good: LastGood,
) -> _Wish:
    if old is not None:
        manifest = keep_equal(manifest, old.manifest)
        if (
            old.asked is not None
            and old.manifest is manifest
            and still_read(old.secrets, resources.secrets)
            and (old.cluster == cluster or not _has_accounts(manifest))
        ):
            return _Wish(manifest, old.secrets, old.cluster, old.subjects, old.asked, old)
    if isinstance(manifest, BrokenManifest):
        good = _find_good(manifest.meta, old, last_good)
        return _Wish(manifest, (), None, () if good is None else callers_of(good), good, old)
    subjects = read_subjects(manifest, resources, cluster)
    asked = _build_tenant(manifest, subjects)
    return _Wish(manifest, read_secrets(manifest, resources.secrets), cluster, subjects, asked, old)


def _has_accounts(manifest: _AnyQuota) -> bool:
    return not isinstance(manifest, BrokenManifest) and any(
        subject.service_account is not None for subject in manifest.spec.subjects
    )


def _find_good(meta: Meta, old: QuotaEntry | None, last_good: LastGood) -> Tenant | None:
    """What was served of this object, or would have been but for its parent."""
    if old is not None and old.good is not None and old.good.uid == meta.uid:
        return old.good
    return last_good.tenant(meta)


def _settle(wish: _Wish, families: Families, last_good: LastGood) -> _Settled:
    meta, asked, old = wish.manifest.meta, wish.asked, wish.old
    if asked is None:
        return _Settled(None, None, ())
    wanted: Tenant | None = asked
    fault = None
    if asked.parent is not None:  # of 10,000 quotas most have none: no call for them
        fault = families.find_fault(meta, asked.parent)
        if fault is not None:
            wanted = _find_good(meta, old, last_good)
            if wanted is not None and families.find_fault(meta, wanted.parent) is not None:
                wanted = None
            if wanted is not None:
                wanted = keep_equal(shared_callers(wanted, asked), wanted)
    if wanted is None:
        return _Settled(None, fault, ())
    if old is not None and old.wanted is wanted:
        return _Settled(wanted, fault, old.claims)
    return _Settled(wanted, fault, claims_of(wanted))


def _is_current(old: QuotaEntry, wish: _Wish, done: _Settled, lost: Lost) -> bool:
    return (
        old.manifest is wish.manifest
        and old.asked is wish.asked
        and old.wanted is done.wanted
        and old.subjects is wish.subjects
        and old.fault == done.fault
        and old.lost == lost
    )


def _keep_equal_parts(new: QuotaEntry, old: QuotaEntry) -> QuotaEntry:
    return replace(
        new, resource=keep_equal(new.resource, old.resource), verdict=keep_equal(new.verdict, old.verdict)
    )


def _compile_quota(wish: _Wish, done: _Settled, lost: Lost) -> QuotaEntry:
    manifest, wanted = wish.manifest, done.wanted
    taken = dict(lost)
    resource = None if wanted is None else keep_equal(without_claims(wanted, taken), wanted)
    serving = frozenset(() if resource is None else claims_of(resource))
    before = None if wish.old is None else wish.old.good
    return QuotaEntry(
        manifest=manifest,
        secrets=wish.secrets,
        cluster=wish.cluster,
        subjects=wish.subjects,
        asked=wish.asked,
        wanted=wanted,
        claims=done.claims,
        good=wanted if wanted is not None else before,
        fault=done.fault,
        lost=lost,
        resource=resource,
        verdict=Verdict(
            meta=manifest.meta,
            findings=tuple(_find_faults(manifest, wish.subjects, taken, done.fault)),
            serving=judge_serving(manifest, resource),
            serving_generation=None if resource is None else resource.generation,
            refs_total=len(wish.subjects),
            refs_resolved=sum(
                not isinstance(subject, Finding) and not serving.isdisjoint(find_claims(subject))
                for subject in wish.subjects
            ),
            unwatched=find_unwatched(wish.secrets),
            limits=() if resource is None else resource.limits,
        ),
    )


def _find_faults(
    manifest: _AnyQuota, subjects: SubjectsRead, taken: Mapping[str, Meta], fault: Finding | None
) -> Iterator[Finding]:
    if isinstance(manifest, BrokenManifest):
        yield from invalid_fields(manifest)
        return
    keys: dict[str, tuple[str, KeyTerm]] = {}
    for i, (subject, read) in enumerate(zip(manifest.spec.subjects, subjects, strict=True)):
        field = f"spec.subjects[{i}]"
        if isinstance(read, Finding):
            yield read
            continue
        for claim in find_claims(read):
            if claim in taken:
                yield _name_loss(field, subject, read, claim, manifest.meta, taken[claim])
        if isinstance(read, KeyTerm):
            other, term = keys.setdefault(read.key, (subject.name, read))
            if term != read:
                yield key_terms_differ(field, subject.name, other)
    if fault is not None:
        yield fault


def _name_loss(field: str, subject: Subject, read: Caller, claim: str, loser: Meta, winner: Meta) -> Finding:
    if isinstance(read, KeyTerm):
        return key_claimed(field, subject.name, loser, winner)
    if isinstance(read, ProxySubject):
        what = f"header {read.header} with the same value"
    elif isinstance(read, JwtSubject):
        audience = read.audiences[find_claims(read).index(claim)]
        of = "issuer and claims" if subject.service_account is None else "service account"
        what = f'{of} and the audience "{audience}"'
    else:
        return anonymous_claimed(field, subject.name, loser, winner)
    return caller_claimed(field, subject.name, what, loser, winner)


def _build_tenant(manifest: QuotaManifest, subjects: SubjectsRead) -> Tenant:
    meta, spec = manifest.meta, manifest.spec
    keys = join_keys(subjects)
    return Tenant(
        id=TenantId(meta.id),
        uid=meta.uid,
        generation=meta.generation,
        namespace=meta.namespace,
        keys=tuple(KeyHash(key) for key in keys),
        anonymous=ANONYMOUS in subjects,
        models=None if spec.models is None else tuple(sorted(set(spec.models))),
        limits=build_limits(spec),
        allow_unpriced=spec.on_unpriced == "Allow",
        key_terms=bounded_terms(keys.values()),
        jwts=tuple(subject for subject in subjects if isinstance(subject, JwtSubject)),
        proxies=tuple(subject for subject in subjects if isinstance(subject, ProxySubject)),
        parent=None if spec.parent is None else TenantId(f"{meta.namespace}/{spec.parent.name}"),
        queue=_build_queue(spec),
        deny_without_store=spec.on_store_unavailable == "Deny",
        one_over=spec.overshoot == "OneRequest",
        priority=spec.priority,
    )


def _build_queue(spec: TenantQuotaSpec) -> Queue | None:
    queue = spec.queue
    if not queue.enabled:
        return None
    return Queue(timeout_s=parse_duration(queue.timeout), max_waiting=queue.max_waiting)
