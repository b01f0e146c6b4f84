"""Which subject a token is of: subjects in the order of the table and a way to prove the token in, a Fit out,
or why there is none.

`authenticator` asks, with the keys that are there. Pure.

The one subtle rule: a token is proved once for each source of keys, and what one source's keys prove counts
for the subjects of that source alone.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway_runtime.contract.tenant import JwtSubject, Tenant
from gateway_runtime.engine.identity import Identity, Term
from gateway_runtime.identity.claims import (
    fits_audience,
    fits_conditions,
    judge_times,
    read_end,
    read_tags,
    read_user,
)
from gateway_runtime.identity.key_store import Source, source_of
from gateway_runtime.identity.keys import PublicKey
from gateway_runtime.identity.rejection import Reason
from gateway_runtime.identity.signature import Claims, verify_signature


class Fit(NamedTuple):
    tenant: Tenant
    subject: JwtSubject
    claims: Claims
    is_certain: bool
    """No subject before it would be the token's, if only its keys could be had."""


def find_subject(
    subjects: Sequence[tuple[Tenant, JwtSubject]], prove: Callable[[Source], Claims | Reason]
) -> Fit | Reason:
    """subjects: at least one."""
    proofs: dict[Source, Claims | Reason] = {}
    nearest = Reason.UNKNOWN_ISSUER
    is_certain = True
    for tenant, subject in subjects:
        source = source_of(subject)
        if source not in proofs:
            proofs[source] = prove(source)
        proof = proofs[source]
        if isinstance(proof, Reason):
            reason = proof
        elif proof.get("iss") != subject.issuer:
            reason = Reason.UNKNOWN_ISSUER
        elif not fits_audience(proof, subject):
            reason = Reason.WRONG_AUDIENCE
        elif not fits_conditions(proof, subject):
            reason = Reason.NO_TENANT
        else:
            return Fit(tenant, subject, proof, is_certain)
        is_certain = is_certain and reason is not Reason.NO_KEYS
        nearest = max(nearest, reason, key=lambda one: one.value)
    return nearest


def prove_token(text: str, key: PublicKey, algorithm: str, unix_s: float) -> Claims | Reason:
    """What holds for all subjects of a source."""
    claims = verify_signature(text, key, algorithm)
    return Reason.BAD_SIGNATURE if claims is None else judge_times(claims, unix_s) or claims


def build_identity(fit: Fit, until_unix_s: float) -> Identity:
    """until_unix_s: how long the gateway may believe it, if the token itself lasts longer."""
    claims, subject = fit.claims, fit.subject
    end_s = read_end(claims)
    return Identity(
        fit.tenant,
        subject.name,
        read_user(claims, subject),
        read_tags(claims, subject),
        Term(None, until_unix_s if end_s is None else min(end_s, until_unix_s)),
    )
