"""A quota's subjects to what the table has of them: each one read by itself, to what it claims in the
installation or to a finding that says why it can claim nothing.

    APIKey -> KeyTerm    JWT, ServiceAccount -> JwtSubject    TrustedProxy -> ProxySubject    Anonymous

Called by `quotas`. What two quotas must not both have is told by `find_claims`, as text: a key by its hash,
tokens by issuer, audience and conditions, what a proxy says by header and value.

A claim of a token is one for each audience, so that of two subjects whose audiences overlap the younger keeps
those that are its alone.
"""

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import structs

from gateway_runtime.contract.keys import hash_stored_key
from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.tenant import JwtSubject, KeyTerm, ProxySubject, Tenant
from headgate_operator.api import subject as api
from headgate_operator.api.fields import SecretKeyRef
from headgate_operator.api.manifest import QuotaManifest
from headgate_operator.api.times import parse_moment
from headgate_operator.compile.api_keys import read_api_key
from headgate_operator.compile.findings import Finding, accounts_unknown, malformed_secret, no_cluster
from headgate_operator.compile.resources import Cluster, Resources, UnknownCluster

ANONYMOUS: Final[Literal["anonymous"]] = "anonymous"
"""Stands among the claims for the callers who show nothing; the hash of a key is never this text."""
DISCOVERY: Final = "/.well-known/openid-configuration"
"""https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig"""

Caller: TypeAlias = KeyTerm | JwtSubject | ProxySubject | Literal["anonymous"]
SubjectsRead: TypeAlias = tuple[Caller | Finding, ...]
"""One for each subject of the spec, in its order."""


def read_subjects(
    manifest: QuotaManifest, resources: Resources, cluster: Cluster | UnknownCluster | None
) -> SubjectsRead:
    return tuple(_read_each(manifest, resources, cluster))


def _read_each(
    manifest: QuotaManifest, resources: Resources, cluster: Cluster | UnknownCluster | None
) -> Iterator[Caller | Finding]:
    namespace = manifest.meta.namespace
    for i, subject in enumerate(manifest.spec.subjects):
        field = f"spec.subjects[{i}]"
        if subject.secret_ref is not None:
            yield _read_key(subject, subject.secret_ref, namespace, resources, f"{field}.secretRef")
        elif subject.jwt is not None:
            yield _build_jwt(subject.name, subject.jwt)
        elif subject.service_account is not None:
            account = subject.service_account
            if isinstance(cluster, Cluster):
                yield _build_account(subject.name, account, namespace, cluster)
            elif cluster is None:
                yield no_cluster(f"{field}.type", subject.name)
            else:
                yield accounts_unknown(f"{field}.type", subject.name, cluster.problem)
        elif subject.trusted_proxy is not None:
            yield _build_proxy(subject.name, subject.trusted_proxy)
        else:
            yield ANONYMOUS


def _read_key(
    subject: api.Subject, ref: SecretKeyRef, namespace: str, resources: Resources, field: str
) -> KeyTerm | Finding:
    key = read_api_key(ref, namespace, resources.secrets, field)
    if isinstance(key, Finding):
        return key
    return _hash(subject, ref, key, resources.key_salt, field)


def _hash(
    subject: api.Subject, ref: SecretKeyRef, key: Secret, salt: Secret, field: str
) -> KeyTerm | Finding:
    try:
        hashed = hash_stored_key(key.reveal(), salt)
    except ValueError as error:
        return malformed_secret(field, ref.name, ref.key, str(error))
    return KeyTerm(
        key=hashed,
        not_before_unix_s=None if subject.not_before is None else parse_moment(subject.not_before),
        not_after_unix_s=None if subject.not_after is None else parse_moment(subject.not_after),
    )


def _build_jwt(name: str, jwt: api.Jwt) -> JwtSubject:
    return JwtSubject(
        name=name,
        issuer=jwt.issuer,
        audiences=tuple(sorted(set(jwt.audiences))),
        jwks_url=jwt.jwks_url or jwt.issuer.rstrip("/") + DISCOVERY,
        claims=tuple(sorted((claim.name, tuple(sorted(set(claim.values)))) for claim in jwt.claims)),
        user_claim=jwt.user_claim,
        tag_claims=tuple(sorted(set(jwt.tag_claims))),
    )


def _build_account(name: str, account: api.ServiceAccount, namespace: str, cluster: Cluster) -> JwtSubject:
    bearer = f"system:serviceaccount:{account.namespace or namespace}:{account.name}"
    return JwtSubject(
        name=name,
        issuer=cluster.issuer,
        audiences=tuple(sorted(set(account.audiences))),
        jwks_url=None,
        claims=(("sub", (bearer,)),),
    )


def _build_proxy(name: str, proxy: api.TrustedProxy) -> ProxySubject:
    # 10.1.2.3/8 is what people write for 10.0.0.0/8.
    blocks = {ipaddress.ip_network(address, strict=False) for address in proxy.addresses}
    return ProxySubject(
        name=name,
        addresses=tuple(sorted(str(block) for block in blocks)),
        header=proxy.header.lower(),
        value=proxy.value,
        user_header=None if proxy.user_header is None else proxy.user_header.lower(),
    )


def find_claims(caller: Caller) -> tuple[str, ...]:
    if isinstance(caller, KeyTerm):
        return (caller.key,)
    if isinstance(caller, JwtSubject):
        return tuple([_claim_token(caller, audience) for audience in caller.audiences])
    if isinstance(caller, ProxySubject):
        return (_encode("proxy", caller.header, caller.value),)
    return (caller,)


def callers_of(tenant: Tenant) -> tuple[Caller, ...]:
    """As subjects that say what the tenant has would be read."""
    terms = {term.key: term for term in tenant.key_terms}
    keys = [terms.get(key) or KeyTerm(key=key) for key in tenant.keys]
    return (*keys, *tenant.jwts, *tenant.proxies, *((ANONYMOUS,) if tenant.anonymous else ()))


def claims_of(tenant: Tenant) -> tuple[str, ...]:
    return tuple([claim for caller in callers_of(tenant) for claim in find_claims(caller)])


def without_claims(tenant: Tenant, taken: Collection[str]) -> Tenant:
    """The tenant with those of its callers that nobody else claims."""
    return structs.replace(
        tenant,
        keys=tuple([key for key in tenant.keys if key not in taken]),
        key_terms=tuple([term for term in tenant.key_terms if term.key not in taken]),
        jwts=tuple([left for jwt in tenant.jwts if (left := _without_audiences(jwt, taken)) is not None]),
        proxies=tuple([proxy for proxy in tenant.proxies if find_claims(proxy)[0] not in taken]),
        anonymous=tenant.anonymous and ANONYMOUS not in taken,
    )


def shared_callers(tenant: Tenant, other: Tenant) -> Tenant:
    """`tenant` with those of its callers that `other` has, too; of keys the narrower terms hold."""
    left = without_claims(tenant, set(claims_of(tenant)).difference(claims_of(other)))
    keys = join_keys((*callers_of(left), *callers_of(other)))
    return structs.replace(left, key_terms=bounded_terms(keys[key] for key in left.keys))


def _without_audiences(jwt: JwtSubject, taken: Collection[str]) -> JwtSubject | None:
    left = tuple([audience for audience in jwt.audiences if _claim_token(jwt, audience) not in taken])
    return structs.replace(jwt, audiences=left) if left else None


def join_keys(callers: SubjectsRead) -> Mapping[str, KeyTerm]:
    """By key, sorted. Of a key that several subjects have the narrower terms hold: what ends it for one of
    them was meant to end it.
    """
    joined: dict[str, KeyTerm] = {}
    for caller in callers:
        if isinstance(caller, KeyTerm):
            other = joined.get(caller.key)
            joined[caller.key] = caller if other is None else _narrow(other, caller)
    return {key: joined[key] for key in sorted(joined)}


def bounded_terms(terms: Iterable[KeyTerm]) -> tuple[KeyTerm, ...]:
    """Without those that hold for ever, as the table has them."""
    return tuple([t for t in terms if t.not_before_unix_s is not None or t.not_after_unix_s is not None])


def _narrow(one: KeyTerm, other: KeyTerm) -> KeyTerm:
    begins = [s for s in (one.not_before_unix_s, other.not_before_unix_s) if s is not None]
    ends = [s for s in (one.not_after_unix_s, other.not_after_unix_s) if s is not None]
    return KeyTerm(
        key=one.key,
        not_before_unix_s=max(begins, default=None),
        not_after_unix_s=min(ends, default=None),
    )


def _claim_token(jwt: JwtSubject, audience: str) -> str:
    return _encode("token", jwt.issuer, audience, *jwt.claims)


def _encode(*parts: object) -> str:
    """As JSON, in which no two lists look the same."""
    return msgspec.json.encode(parts).decode()
