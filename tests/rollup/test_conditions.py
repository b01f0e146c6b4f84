"""Each condition of a status: when it is what, for which reason, and in which words."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from gateway_runtime.contract.health import EndpointReport
from headgate_operator.api.kinds import KINDS
from headgate_operator.api.manifest import BrokenManifest, FieldProblem, Meta
from headgate_operator.api.reasons import Reason
from headgate_operator.compile import findings
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.resources import SecretId
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup import GatewayView, judge_provider
from tests.rollup.situation import (
    NEW,
    NOW_S,
    OLD,
    condition,
    gateway,
    limit,
    limit_report,
    nack,
    provider_verdict,
    quota_verdict,
    report,
    roll,
    route_verdict,
    told,
)

OPENAI = "Provider/team-a/openai"
ELDER = Meta("2025-01-01T00:00:00Z", "team-a", "elder", "ModelRoute", "uid", 1)
TWO = (gateway("gw-0", report("a")), gateway("gw-1", report("a")))


def invalid(verdict: Verdict) -> tuple[Finding, ...]:
    problem = FieldProblem("spec.type", 'must be one of openai, openai-compatible, not "opnai"')
    return findings.invalid_fields(BrokenManifest(verdict.meta, (problem,)))


class Case(NamedTuple):
    name: str
    verdict: Verdict
    gateways: tuple[GatewayView, ...]
    kind: str
    expected: tuple[str, Reason, str]
    more: Mapping[str, Any] = MappingProxyType({})


INVALID = invalid(provider_verdict())
CLAIMED = findings.model_claimed("spec.models[0]", "gpt-4o", route_verdict().meta, ELDER)
KEY_CLAIMED = findings.key_claimed("spec.subjects[0]", "ci", quota_verdict().meta, ELDER)
MISSING = findings.provider_not_found("spec.targets[0]", "opnai", ["azure", "openai"])
REFUSED = findings.ref_not_permitted("spec.targets[0]", "shared/openai", "team-a")
NO_MODEL = findings.model_not_found("spec.targets[0]", "openai", "gpt-5", ["gpt-4o"])
NO_SECRET = findings.secret_not_found("spec.credentials[0].secretRef", "team-a", "openai", "api-key")
NO_KEY = findings.secret_key_not_found("spec.credentials[0].secretRef", "openai", "api-key", ["token"])
MALFORMED = findings.malformed_secret("spec.credentials[0].secretRef", "openai", "api-key", "it is empty")
NO_PARENT = findings.parent_not_found("spec.parent.name", "departmnt", ["all", "department"])
TWO_PARENTS = findings.parent_has_parent("spec.parent.name", "department", "company")
NO_CLUSTER = findings.no_cluster("spec.subjects[0].type", "nightly")

ACCEPTED = [
    Case(
        "a spec that makes sense",
        provider_verdict("a"),
        TWO,
        "Accepted",
        ("True", Reason.ACCEPTED, "the spec makes sense"),
    ),
    Case(
        "a broken edit",
        provider_verdict("a", generation=4, serving="LastGood", findings=INVALID),
        TWO,
        "Accepted",
        (
            "False",
            Reason.INVALID,
            "HG0101 LLMProvider team-a/openai: spec.type: must be one of openai, openai-compatible, "
            'not "opnai". Generation 3 keeps serving',
        ),
    ),
    Case(
        "never made sense",
        provider_verdict(serving="Nothing", findings=INVALID),
        TWO,
        "Accepted",
        (
            "False",
            Reason.INVALID,
            "HG0101 LLMProvider team-a/openai: spec.type: must be one of openai, openai-compatible, "
            'not "opnai". Until then nothing of it serves',
        ),
    ),
    Case(
        "some models are claimed",
        route_verdict("team-a/openai", findings=[CLAIMED]),
        TWO,
        "Accepted",
        (
            "False",
            Reason.CONFLICTED,
            'HG0301 ModelRoute team-a/chat: model "gpt-4o" is served by ModelRoute team-a/elder, '
            "which is older. Remove it from one of the two routes. The rest of it serves",
        ),
    ),
    Case(
        "some keys are claimed",
        quota_verdict(1, 2, findings=[KEY_CLAIMED]),
        TWO,
        "Accepted",
        (
            "False",
            Reason.CONFLICTED,
            'HG0302 TenantQuota team-a/all: subject "ci" has an API key that belongs to ModelRoute '
            "team-a/elder, which is older. Give the subject a key of its own, or remove it from one of the "
            "two quotas. The rest of it serves",
        ),
    ),
    Case(
        "many mistakes are cut short",
        provider_verdict(
            serving="Nothing", findings=[Finding(INVALID[0].code, "f", f"f: {i}") for i in range(7)]
        ),
        TWO,
        "Accepted",
        (
            "False",
            Reason.INVALID,
            "HG0101 LLMProvider team-a/openai: f: 0. HG0101 LLMProvider team-a/openai: f: 1. "
            "HG0101 LLMProvider team-a/openai: f: 2. HG0101 LLMProvider team-a/openai: f: 3. "
            "HG0101 LLMProvider team-a/openai: f: 4. 2 more of the same kind. "
            "Until then nothing of it serves",
        ),
    ),
]

RESOLVED_REFS = [
    Case(
        "a parent that is not there",
        quota_verdict(0, 1, serving="Nothing", findings=[NO_PARENT]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.PARENT_NOT_FOUND,
            'HG0207 TenantQuota team-a/all: parent "departmnt" not found; quotas in this namespace: all, '
            'department. Did you mean "department"? Correct parent.name, or create the TenantQuota. Without '
            "its parent's limits nothing of this version is served",
        ),
    ),
    Case(
        "a parent with a parent",
        quota_verdict(0, 1, serving="Nothing", findings=[TWO_PARENTS]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.PARENT_NOT_PERMITTED,
            'HG0208 TenantQuota team-a/all: parent "department" has a parent itself, "company", and a parent '
            "must have none: correct parent.name, or remove parent from one of the two. Without its parent's "
            "limits nothing of this version is served",
        ),
    ),
    Case(
        "a service account without a cluster",
        quota_verdict(0, 1, findings=[NO_CLUSTER]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.ACCOUNTS_UNKNOWN,
            'HG0209 TenantQuota team-a/all: subject "nightly" is a ServiceAccount, and service accounts need '
            "a cluster: here is none. Use type APIKey or JWT, or apply the quota to a cluster",
        ),
    ),
    Case(
        "all resolve",
        provider_verdict("a"),
        TWO,
        "ResolvedRefs",
        ("True", Reason.RESOLVED_REFS, "all references resolve"),
    ),
    Case(
        "a Secret is not watched",
        provider_verdict("a", unwatched=(SecretId("team-a", "openai"),)),
        TWO,
        "ResolvedRefs",
        (
            "True",
            Reason.RESOLVED_REFS,
            "all references resolve. Secret openai is read again only every few minutes: "
            'label it headgate.dev/watched: "true" for changes at once',
        ),
    ),
    Case(
        "a strategy has no price to go by",
        route_verdict("team-a/openai", lacks_prices=True),
        TWO,
        "ResolvedRefs",
        (
            "True",
            Reason.RESOLVED_REFS,
            "all references resolve. No target's model has a price, so that strategy Cost draws by weight: "
            "add price to the models in the providers' spec.models",
        ),
    ),
    Case(
        "a broken spec is not judged",
        provider_verdict("a", serving="LastGood", findings=INVALID),
        TWO,
        "ResolvedRefs",
        ("Unknown", Reason.INVALID, "not judged while the spec makes no sense: see Accepted"),
    ),
    Case(
        "a provider is missing",
        route_verdict(total=1, findings=[MISSING]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.PROVIDER_NOT_FOUND,
            'HG0203 ModelRoute team-a/chat: target provider "opnai" not found; providers in this namespace: '
            'azure, openai. Did you mean "openai"? Correct providerRef.name, or create the LLMProvider',
        ),
    ),
    Case(
        "a provider of another namespace is refused",
        route_verdict(total=1, findings=[REFUSED]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.REF_NOT_PERMITTED,
            "HG0204 ModelRoute team-a/chat: target provider shared/openai does not exist or does not admit "
            "routes of namespace team-a. Correct providerRef, or have team-a added to that provider's "
            "spec.allowedRoutes.namespaces",
        ),
    ),
    Case(
        "a model is missing",
        route_verdict(total=1, findings=[NO_MODEL]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.MODEL_NOT_FOUND,
            'HG0205 ModelRoute team-a/chat: target provider "openai" has no model "gpt-5"; models there: '
            'gpt-4o. Did you mean "gpt-4o"? Correct the target\'s model, or add it to the '
            "provider's spec.models",
        ),
    ),
    Case(
        "a Secret is missing, another one not watched",
        provider_verdict(
            "a", findings=[NO_SECRET], unwatched=(SecretId("team-a", "x"), SecretId("team-a", "y"))
        ),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.SECRET_NOT_FOUND,
            'HG0201 LLMProvider team-a/openai: Secret "openai" not found in namespace team-a: create it with '
            'the key "api-key", or correct secretRef.name. Secrets x, y are read again only every few '
            'minutes: label them headgate.dev/watched: "true" for changes at once',
        ),
    ),
    Case(
        "a key is missing in the Secret",
        provider_verdict("a", findings=[NO_KEY]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.SECRET_KEY_NOT_FOUND,
            'HG0202 LLMProvider team-a/openai: Secret "openai" has no key "api-key"; keys there: token. '
            "Add the key to the Secret, or correct secretRef.key",
        ),
    ),
    Case(
        "the value is no API key",
        provider_verdict("a", findings=[MALFORMED]),
        TWO,
        "ResolvedRefs",
        (
            "False",
            Reason.MALFORMED_SECRET,
            'HG0206 LLMProvider team-a/openai: key "api-key" of Secret "openai" cannot be an API key: '
            "it is empty. Put the API key there, alone",
        ),
    ),
]

PROGRAMMED = [
    Case(
        "every gateway runs it",
        provider_verdict("a"),
        TWO,
        "Programmed",
        ("True", Reason.PROGRAMMED, "2 of 2 gateways run generation 3"),
    ),
    Case(
        "the only gateway runs it",
        provider_verdict("a"),
        (gateway("gw-0"), gateway("gw-1", connected=False, applied=OLD)),
        "Programmed",
        ("True", Reason.PROGRAMMED, "1 of 1 gateway runs generation 3"),
    ),
    Case(
        "one gateway is behind",
        provider_verdict("a"),
        (gateway("gw-1", applied=OLD), gateway("gw-0")),
        "Programmed",
        ("False", Reason.PENDING, "1 of 2 gateways runs generation 3; waiting for gw-1"),
    ),
    Case(
        "many gateways are behind",
        provider_verdict("a"),
        tuple(gateway(f"gw-{i}", applied=None) for i in range(7)),
        "Programmed",
        (
            "False",
            Reason.PENDING,
            "0 of 7 gateways run generation 3; waiting for gw-0, gw-1, gw-2, gw-3, gw-4 and 2 more",
        ),
    ),
    Case(
        "a gateway refused it",
        provider_verdict("a"),
        (
            gateway("gw-0"),
            gateway(
                "gw-1", applied=OLD, refused=nack(NEW, (OPENAI, "unknown type"), ("Route/b/x", "secret"))
            ),
        ),
        "Programmed",
        ("False", Reason.REFUSED, "1 of 2 gateways runs generation 3; gw-1 refused it: unknown type"),
    ),
    Case(
        "a gateway refused the table as a whole",
        provider_verdict("a"),
        (gateway("gw-1", applied=OLD, refused=nack(NEW, ("", "the digest does not match"))),),
        "Programmed",
        (
            "False",
            Reason.REFUSED,
            "0 of 1 gateway runs generation 3; gw-1 refused it: the digest does not match",
        ),
    ),
    Case(
        "a gateway refused the table for something else, another one is slow",
        provider_verdict("a"),
        (
            gateway("gw-1", applied=OLD, refused=nack(NEW, ("Route/team-b/x", "no"))),
            gateway("gw-2", applied=None),
            gateway("gw-3"),
        ),
        "Programmed",
        (
            "False",
            Reason.REFUSED,
            "1 of 3 gateways runs generation 3; gw-1 refused the table that holds it because of another "
            "object; waiting for gw-2",
        ),
    ),
    Case(
        "what was refused is older than this content",
        provider_verdict("a"),
        (gateway("gw-1", applied=None, refused=nack(OLD, ("", "too small"))),),
        "Programmed",
        ("False", Reason.PENDING, "0 of 1 gateway runs generation 3; waiting for gw-1"),
    ),
    Case(
        "no gateway is connected",
        provider_verdict("a"),
        (gateway("gw-0", connected=False),),
        "Programmed",
        ("False", Reason.NO_GATEWAYS, "no gateway is connected to run generation 3"),
    ),
    Case(
        "nothing was published yet",
        provider_verdict("a"),
        TWO,
        "Programmed",
        ("False", Reason.PENDING, "generation 3 is not published yet"),
        {"since": None},
    ),
    Case(
        "an earlier generation serves",
        provider_verdict("a", generation=4, serving="LastGood", findings=INVALID),
        (gateway("gw-0"), gateway("gw-1", applied=OLD)),
        "Programmed",
        (
            "False",
            Reason.NOT_PUBLISHED,
            "generation 4 is not published (see Accepted and ResolvedRefs); "
            "1 of 2 gateways runs generation 3",
        ),
    ),
    Case(
        "nothing of it serves",
        provider_verdict("a", serving="Nothing", findings=[NO_SECRET]),
        TWO,
        "Programmed",
        (
            "False",
            Reason.NOT_PUBLISHED,
            "nothing of this object is in the routing table: see Accepted and ResolvedRefs",
        ),
    ),
]


def two(*reports: EndpointReport, other: tuple[EndpointReport, ...] = ()) -> tuple[GatewayView, ...]:
    return gateway("gw-0", *reports), gateway("gw-1", *(other or reports))


BROKEN = "5 failures in a row, last: 503 from upstream"
HEALTHY = [
    Case(
        "every endpoint is in service",
        provider_verdict("a", "b"),
        two(report("a"), report("b")),
        "Healthy",
        ("True", Reason.HEALTHY, "2 of 2 endpoints are in service"),
    ),
    Case(
        "the only endpoint is in service",
        provider_verdict("a"),
        TWO,
        "Healthy",
        ("True", Reason.HEALTHY, "1 of 1 endpoint is in service"),
    ),
    Case(
        "a gateway that knows nothing says nothing against one that does",
        provider_verdict("a"),
        two(report("a"), other=(report("a", "Unknown"),)),
        "Healthy",
        ("True", Reason.HEALTHY, "1 of 1 endpoint is in service"),
    ),
    Case(
        "a circuit is open at one gateway",
        provider_verdict("a", "b"),
        two(report("a"), report("b"), other=(report("a"), report("b", "Healthy", "Open", BROKEN))),
        "Healthy",
        (
            "True",
            Reason.DEGRADED,
            "1 of 2 endpoints is in service; out: b (circuit open at 1 of 2 gateways, gw-1: "
            "5 failures in a row, last: 503 from upstream)",
        ),
    ),
    Case(
        "a circuit is half-open",
        provider_verdict("a", "b"),
        two(report("a"), report("b", "Healthy", "HalfOpen")),
        "Healthy",
        (
            "True",
            Reason.DEGRADED,
            "1 of 2 endpoints is in service; out: b (circuit half-open, still recovering, "
            "at 2 of 2 gateways, gw-0)",
        ),
    ),
    Case(
        "an endpoint has not been looked at",
        provider_verdict("a", "b", "c"),
        two(report("a"), report("b", "Unknown")),
        "Healthy",
        (
            "True",
            Reason.DEGRADED,
            "1 of 3 endpoints is in service; not known: b (no request and no probe yet), "
            "c (no report within 45 s)",
        ),
    ),
    Case(
        "no endpoint is in service",
        provider_verdict("a", "b"),
        two(report("a", "Unhealthy", "Closed", "2 probes failed"), report("b", "Unhealthy", "Open")),
        "Healthy",
        (
            "False",
            Reason.UNHEALTHY,
            "0 of 2 endpoints are in service; out: a (unhealthy at 2 of 2 gateways, gw-0: 2 probes failed), "
            "b (circuit open at 2 of 2 gateways, gw-0)",
        ),
    ),
    Case(
        "one is out, of the other nothing is known",
        provider_verdict("a", "b"),
        two(report("a", "Unhealthy")),
        "Healthy",
        (
            "Unknown",
            Reason.NO_REPORTS,
            "0 of 2 endpoints are in service; out: a (unhealthy at 2 of 2 gateways, gw-0); "
            "not known: b (no report within 45 s)",
        ),
    ),
    Case(
        "reports are stale",
        provider_verdict("a"),
        (gateway("gw-0", report("a"), age_s=45.5), gateway("gw-1", report("a"), age_s=None)),
        "Healthy",
        (
            "Unknown",
            Reason.NO_REPORTS,
            "0 of 1 endpoint is in service; not known: a (no report within 45 s)",
        ),
    ),
    Case(
        "a report is just fresh, though its gateway has gone",
        provider_verdict("a"),
        (gateway("gw-0", report("a"), age_s=45.0, connected=False),),
        "Healthy",
        ("True", Reason.HEALTHY, "1 of 1 endpoint is in service"),
    ),
    Case(
        "the provider is not in the table",
        provider_verdict("a", serving="Nothing", findings=[NO_SECRET]),
        TWO,
        "Healthy",
        (
            "False",
            Reason.NOT_PUBLISHED,
            "nothing of this object is in the routing table, so no request reaches it",
        ),
    ),
    Case(
        "every target is in service",
        route_verdict("team-a/openai", "team-a/azure"),
        TWO,
        "Healthy",
        ("True", Reason.HEALTHY, "2 of 2 targets are in service"),
        {"health": {"team-a/openai": "Healthy", "team-a/azure": "Degraded"}},
    ),
    Case(
        "targets are out or unknown",
        route_verdict("team-a/openai", "team-a/azure", "team-a/vllm", total=4, findings=[MISSING]),
        TWO,
        "Healthy",
        (
            "True",
            Reason.DEGRADED,
            "1 of 4 targets is in service; out: team-a/azure (Unhealthy), a target that does not resolve; "
            "not known: team-a/vllm (Unknown)",
        ),
        {"health": {"team-a/openai": "Healthy", "team-a/azure": "Unhealthy"}},
    ),
    Case(
        "no target is in service",
        route_verdict("team-a/openai"),
        TWO,
        "Healthy",
        ("False", Reason.UNHEALTHY, "0 of 1 target is in service; out: team-a/openai (Unhealthy)"),
        {"health": {"team-a/openai": "Unhealthy"}},
    ),
    Case(
        "the route is not in the table",
        route_verdict("team-a/openai", serving="Nothing", findings=[CLAIMED]),
        TWO,
        "Healthy",
        (
            "False",
            Reason.NOT_PUBLISHED,
            "nothing of this object is in the routing table, so no request reaches it",
        ),
        {"health": {"team-a/openai": "Healthy"}},
    ),
]

RPM, TPM, SHADOW = limit("rpm"), limit("tpm", 1_000, "TotalTokens"), limit("trial", shadow=True)
SPENT_FOR_USERS = limit("user-rpm", scope="PerUser")


def using(*used: int, connected: bool = True) -> tuple[GatewayView, ...]:
    """Gateways of which each has used so much of `rpm`."""
    return tuple(
        gateway(f"gw-{i}", tenant=told(limit_report("rpm", n)), connected=connected)
        for i, n in enumerate(used)
    )


WITHIN_LIMITS = [
    Case(
        "less than 80 % is used of everything",
        quota_verdict(2, 2, RPM),
        using(40, 39),
        "WithinLimits",
        ("True", Reason.WITHIN_LIMITS, "less than 80% of every limit is taken"),
    ),
    Case(
        "gateways together come near",
        quota_verdict(2, 2, RPM, TPM),
        (
            gateway("gw-0", tenant=told(limit_report("rpm", 40), limit_report("tpm", 900, 60, 1_000))),
            gateway("gw-1", tenant=told(limit_report("rpm", 30, 10), limit_report("tpm", 30, 5, 1_000))),
        ),
        "WithinLimits",
        ("True", Reason.NEAR_LIMIT, "80% or more is taken: rpm 80%, tpm 99%"),
    ),
    Case(
        "nothing is left of one",
        quota_verdict(2, 2, RPM, TPM),
        (gateway("gw-0", tenant=told(limit_report("rpm", 99, 1), limit_report("tpm", 0, 0, 1_000))),),
        "WithinLimits",
        (
            "False",
            Reason.EXHAUSTED,
            "used up: rpm; what does not fit waits or is refused until some is free again, or the amount is "
            "raised",
        ),
    ),
    Case(
        "nothing is left of one user's",
        quota_verdict(2, 2, SPENT_FOR_USERS),
        (gateway("gw-0", tenant=told(limit_report("user-rpm", 120))),),
        "WithinLimits",
        (
            "False",
            Reason.EXHAUSTED,
            "used up: user-rpm of one user; what does not fit waits or is refused until some is free again, "
            "or the amount is raised",
        ),
    ),
    Case(
        "one of three gateways has told nothing",
        quota_verdict(2, 2, RPM),
        (*using(40, 20), gateway("gw-2", report("a"))),
        "WithinLimits",
        ("True", Reason.WITHIN_LIMITS, "less than 80% of every limit is taken; 2 of 3 gateways have told"),
    ),
    Case(
        "one of two gateways is silent, and what the other has used is too much already",
        quota_verdict(2, 2, RPM),
        (*using(85), gateway("gw-1", age_s=46.0, tenant=told(limit_report("rpm", 15)))),
        "WithinLimits",
        ("True", Reason.NEAR_LIMIT, "80% or more is taken: rpm 85%; 1 of 2 gateways has told"),
    ),
    Case(
        "a gateway that has left counts while its report is fresh",
        quota_verdict(2, 2, RPM),
        (*using(50), gateway("gw-1", connected=False, tenant=told(limit_report("rpm", 50)))),
        "WithinLimits",
        (
            "False",
            Reason.EXHAUSTED,
            "used up: rpm; what does not fit waits or is refused until some is free again, or the amount is "
            "raised",
        ),
    ),
    Case(
        "a gateway that has left and is stale is missed by nobody",
        quota_verdict(2, 2, RPM),
        (
            *using(50),
            gateway("gw-1", connected=False, age_s=46.0, tenant=told(limit_report("rpm", 50))),
        ),
        "WithinLimits",
        ("True", Reason.WITHIN_LIMITS, "less than 80% of every limit is taken"),
    ),
    Case(
        "a store has told for everybody, so that nobody is missing",
        quota_verdict(2, 2, RPM),
        (
            gateway("gw-0", tenant=told(limit_report("rpm", 90, shared=True), changed_s=NOW_S - 5)),
            gateway("gw-1", tenant=told(limit_report("rpm", 95, shared=True), changed_s=NOW_S - 1)),
            gateway("gw-2"),
        ),
        "WithinLimits",
        ("True", Reason.NEAR_LIMIT, "80% or more is taken: rpm 95%"),
    ),
    Case(
        "no gateway has told",
        quota_verdict(2, 2, RPM),
        (gateway("gw-0", age_s=50.0, tenant=told(limit_report("rpm", 15))), gateway("gw-1", age_s=None)),
        "WithinLimits",
        ("Unknown", Reason.NO_REPORTS, "no gateway has told within 45 s what is used"),
    ),
    Case(
        "a limit is so new that no gateway has told of it",
        quota_verdict(2, 2, RPM, TPM),
        using(10),
        "WithinLimits",
        ("Unknown", Reason.NO_REPORTS, "no gateway has told yet what is used of tpm"),
    ),
    Case(
        "a limit in Shadow says nothing",
        quota_verdict(2, 2, RPM, SHADOW),
        (gateway("gw-0", tenant=told(limit_report("rpm", 10), limit_report("trial", 500))),),
        "WithinLimits",
        ("True", Reason.WITHIN_LIMITS, "less than 80% of every limit is taken"),
    ),
    Case(
        "all limits are in Shadow",
        quota_verdict(2, 2, SHADOW),
        TWO,
        "WithinLimits",
        ("True", Reason.WITHIN_LIMITS, "no limit refuses anything: all have mode Shadow"),
    ),
    Case(
        "there is no limit",
        quota_verdict(),
        (),
        "WithinLimits",
        ("True", Reason.WITHIN_LIMITS, "there is no limit"),
    ),
    Case(
        "nothing of the quota is in the table",
        quota_verdict(serving="Nothing"),
        TWO,
        "WithinLimits",
        (
            "Unknown",
            Reason.NOT_PUBLISHED,
            "nothing of this object is in the routing table, so nothing is counted",
        ),
    ),
]

READY = [
    Case(
        "a quota that is used up is as ready as ever",
        quota_verdict(2, 2, RPM),
        using(60, 60),
        "Ready",
        ("True", Reason.READY, "2 of 2 gateways run generation 3"),
    ),
    Case(
        "a provider for which everything holds",
        provider_verdict("a"),
        TWO,
        "Ready",
        ("True", Reason.READY, "2 of 2 gateways run generation 3; 1 of 1 endpoint is in service"),
    ),
    Case(
        "a quota for which everything holds",
        quota_verdict(),
        TWO,
        "Ready",
        ("True", Reason.READY, "2 of 2 gateways run generation 3"),
    ),
    Case(
        "the first condition that does not hold gives the reason",
        route_verdict(total=1, findings=[MISSING]),
        (),
        "Ready",
        (
            "False",
            Reason.PROVIDER_NOT_FOUND,
            'HG0203 ModelRoute team-a/chat: target provider "opnai" not found; providers in this namespace: '
            'azure, openai. Did you mean "openai"? Correct providerRef.name, or create the LLMProvider',
        ),
    ),
    Case(
        "what does not hold goes before what is not known",
        provider_verdict("a", generation=4, serving="LastGood", findings=INVALID[:0]),
        (gateway("gw-0"),),
        "Ready",
        (
            "False",
            Reason.NOT_PUBLISHED,
            "generation 4 is not published (see Accepted and ResolvedRefs); 1 of 1 gateway runs generation 3",
        ),
    ),
    Case(
        "nothing is known of its health",
        provider_verdict("a"),
        (gateway("gw-0"),),
        "Ready",
        (
            "Unknown",
            Reason.NO_REPORTS,
            "0 of 1 endpoint is in service; not known: a (no report within 45 s)",
        ),
    ),
]
CASES = [*ACCEPTED, *RESOLVED_REFS, *PROGRAMMED, *HEALTHY, *WITHIN_LIMITS, *READY]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_a_condition_says_what_is(case: Case) -> None:
    status = roll(case.verdict, *case.gateways, **case.more)

    assert condition(status, case.kind) == case.expected


def test_every_reason_has_a_case() -> None:
    assert {case.expected[1] for case in CASES} == set(Reason)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.name}")
def test_a_status_is_one_that_the_api_accepts(case: Case) -> None:
    status = roll(case.verdict, *case.gateways, **case.more)
    model = KINDS[case.verdict.meta.kind].status
    parsed = model.model_validate(status, strict=False)

    assert parsed.model_dump(by_alias=True, exclude_none=True, mode="json") == status


def test_conditions_come_in_a_fixed_order_and_a_quota_has_no_health() -> None:
    types = [
        [c["type"] for c in roll(v, *TWO)["conditions"]] for v in (provider_verdict("a"), quota_verdict())
    ]

    assert types == [
        ["Accepted", "ResolvedRefs", "Programmed", "Healthy", "Ready"],
        ["Accepted", "ResolvedRefs", "Programmed", "WithinLimits", "Ready"],
    ]


def test_a_provider_is_judged_for_routes_as_in_its_own_status() -> None:
    views = two(report("a"), report("b", "Unhealthy"))

    assert judge_provider(provider_verdict("a", "b"), views, NOW_S) == "Degraded"
    assert judge_provider(provider_verdict("a", serving="Nothing"), views, NOW_S) == "Unhealthy"
