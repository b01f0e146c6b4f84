"""Installations drawn from a small world, so that references resolve and claims collide often."""

from dataclasses import replace
from typing import Any
from zlib import crc32

from hypothesis import strategies as st

from headgate_operator.api.manifest import QuotaManifest
from headgate_operator.api.quota import ParentRef
from headgate_operator.compile.resources import Cluster, Resources, UnknownCluster
from tests.compile.builders import build, provider, quota, resources, route

NAMESPACES = ["a", "b"]
PROVIDERS = ["p0", "p1", "p2"]
MODELS = ["m0", "m1", "m-*", "*"]
SECRETS = ["s0", "s1", "s2"]
VALUES = ["key-0", "key-1", " key-0\n", "", "not a key", "schlüssel", "sha256:short", None]


def _name_all(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": f"l{i}"} | item for i, item in enumerate(items)]


_namespace = st.sampled_from(NAMESPACES)
_meta = st.fixed_dictionaries(
    {
        "created": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        "generation": st.integers(1, 3),
        "uid": st.sampled_from(["uid-0", "uid-1"]),
    }
)
_allowed = st.sampled_from(
    [
        {"from": "Same"},
        {"from": "All"},
        {"from": "Selected", "names": ["a"]},
        {"from": "Selected", "names": ["b"]},
    ]
)
_keyed = st.sampled_from(
    [{}, {"type": "anthropic"}, {"type": "groq"}, {"type": "bedrock", "bedrock": {"region": "us-east-1"}}]
)
_keyless = st.sampled_from(
    [
        {},
        {"type": "ollama", "baseUrl": "http://ollama:11434/api"},
        {
            "type": "vertex",
            "baseUrl": "https://aiplatform.googleapis.com/v1",
            "vertex": {"project": "p", "location": "global", "workloadIdentity": True},
        },
    ]
)
"""What differs from a server of one's own, with and without a credential."""
_price = st.sampled_from([{}, {"price": {"input": "0.15", "output": "0.60"}}])
_windowed = st.fixed_dictionaries(
    {
        "resource": st.sampled_from(["Requests", "InputTokens", "OutputTokens", "TotalTokens"]),
        "amount": st.sampled_from([1, 10**15]),
        "window": st.sampled_from(["1m", "1h", "1d", "day", "month"]),
        "scope": st.sampled_from(["Tenant", "PerUser", "PerKey", "PerModel"]),
        "mode": st.sampled_from(["Enforce", "Shadow"]),
    }
)
_limit = st.one_of(
    _windowed,
    st.fixed_dictionaries(
        {
            "resource": st.just("USD"),
            "amount": st.sampled_from(["0.000001", "999999.999999"]),
            "window": st.just("1h"),
        }
    ),
    st.fixed_dictionaries({"resource": st.just("Concurrency"), "amount": st.integers(1, 3)}),
)
_quota_extras = st.fixed_dictionaries(
    {"limits": st.lists(_limit, max_size=3).map(_name_all)},
    optional={
        "requestsPerMinute": st.integers(1, 9),
        "requestsPerHour": st.integers(1, 9),
        "tokensPerMinute": st.integers(1, 9),
        "onUnpriced": st.sampled_from(["Deny", "Allow"]),
        "overshoot": st.sampled_from(["Never", "OneRequest"]),
        "priority": st.integers(-1, 1),
        "queue": st.just({"enabled": True}),
    },
)
_terms = st.sampled_from([{}, {"notAfter": "2026-06-01T00:00:00Z"}, {"notBefore": "2026-03-01T00:00:00Z"}])
_jwt = st.fixed_dictionaries(
    {
        "issuer": st.sampled_from(["https://login.example.com", "https://kubernetes.default.svc"]),
        "audiences": st.sets(st.sampled_from(["a", "b"]), min_size=1).map(sorted),
    },
    optional={"claims": st.just([{"name": "sub", "values": ["system:serviceaccount:a:robot"]}])},
).map(lambda jwt: {"type": "JWT", "jwt": jwt})
_account = st.fixed_dictionaries(
    {"name": st.sampled_from(["robot", "worker"])},
    optional={"namespace": st.just("a"), "audiences": st.sampled_from([["a"], ["a", "b"]])},
).map(lambda account: {"type": "ServiceAccount", "serviceAccount": account})
_proxy = st.builds(
    lambda header, value: {
        "type": "TrustedProxy",
        "trustedProxy": {"addresses": ["10.0.0.0/8"], "header": header, "value": value},
    },
    st.sampled_from(["x-team", "X-Team"]),
    st.sampled_from(["a", "b"]),
)
_clusters = st.sampled_from(
    [
        None,
        UnknownCluster("it is away"),
        *(Cluster(f"https://{host}", "{}") for host in ("kubernetes", "oidc")),
    ]
)
_identities = {
    kind: st.builds("{}/{}".format, _namespace, st.sampled_from(names))
    for kind, names in (
        ("providers", PROVIDERS),
        ("routes", ["r0", "r1", "r2"]),
        ("quotas", ["q0", "q1", "q2"]),
    )
}


@st.composite
def providers(draw: st.DrawFn) -> Any:
    models = draw(st.lists(st.sampled_from(["m0", "m-x", "other"]), max_size=2, unique=True))
    spec: dict[str, object] = {
        "models": [{"name": model} | draw(_price) for model in models],
        "allowedRoutes": {"namespaces": draw(_allowed)},
        "timeouts": {"connect": draw(st.sampled_from(["1s", "2s"]))},
    }
    secret = draw(st.none() | st.sampled_from(SECRETS))
    spec |= draw(_keyed if secret else _keyless)
    return provider(draw(_identities["providers"]), secret=secret, spec=spec, **draw(_meta))


@st.composite
def routes(draw: st.DrawFn) -> Any:
    models = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=3, unique=True))
    target = st.sampled_from(PROVIDERS) | _identities["providers"]
    targets = draw(st.lists(target, min_size=1, max_size=3))
    fallbacks = draw(st.lists(st.sampled_from(["m0", "m1", "m-x", "other"]), max_size=2))
    if len(models) == 1:
        fallbacks = [model for model in fallbacks if model != models[0]]
    strategy = draw(st.sampled_from(["Weighted", "Cost"]))
    return route(
        draw(_identities["routes"]), models, targets, fallbacks=fallbacks, strategy=strategy, **draw(_meta)
    )


@st.composite
def quotas(draw: st.DrawFn) -> Any:
    """Without a parent."""
    subjects = [
        {"type": "APIKey", "secretRef": {"name": name}} | draw(_terms)
        for name in draw(st.lists(st.sampled_from(SECRETS), max_size=3))
    ]
    subjects += draw(st.lists(_jwt | _account | _proxy | st.just({"type": "Anonymous"}), max_size=3))
    spec = draw(_quota_extras) | {"subjects": _name_all(subjects)}
    return quota(draw(_identities["quotas"]), spec=spec, **draw(_meta))


def _with_parent(child: QuotaManifest, name: str) -> QuotaManifest:
    return replace(child, spec=child.spec.model_copy(update={"parent": ParentRef(name=name)}))


@st.composite
def families(draw: st.DrawFn) -> list[Any]:
    """Quotas of which some have a parent that can be one."""
    drawn = draw(st.lists(quotas(), max_size=5, unique_by=_id_of))
    parents = [one for one in drawn if draw(st.booleans())]
    return [
        one if one in parents or not (near := _names_beside(one, parents)) else _with_parent(one, near[0])
        for one in drawn
    ]


def _names_beside(child: Any, parents: list[Any]) -> list[str]:
    return [one.meta.name for one in parents if one.meta.namespace == child.meta.namespace]


_members = st.builds(
    lambda name, subjects, parent: quota(
        f"a/{name}",
        spec={"subjects": subjects, "limits": []} | ({"parent": {"name": parent}} if parent else {}),
        uid=f"uid-{crc32(repr((subjects, parent)).encode())}",
    ),
    st.sampled_from(["q0", "q1", "q2"]),
    st.lists(_account | st.just({"type": "Anonymous"}), max_size=2).map(_name_all),
    st.sampled_from([None, None, "q0", "q1", "q2", "nobody"]),
)
"""Of families in which anything goes. The uid follows from the rest: who is edited was deleted and created
anew, so that there is no last good version, and nothing but what is there decides.
"""


@st.composite
def wild_families(draw: st.DrawFn) -> list[Any]:
    """Parents that are missing, that have parents, or are one's own, too."""
    return draw(st.lists(_members, min_size=2, max_size=4, unique_by=_id_of))


@st.composite
def family_histories(draw: st.DrawFn) -> list[Resources]:
    """The same few quotas come and go, and with them the cluster's issuer."""
    pool = draw(st.lists(_members, min_size=3, max_size=6))
    clusters = _clusters.filter(lambda cluster: not isinstance(cluster, UnknownCluster))
    steps = st.lists(st.sampled_from(pool), min_size=1, max_size=4, unique_by=_id_of)
    return [resources(*draw(steps), cluster=draw(clusters)) for _ in range(draw(st.integers(2, 4)))]


def secrets() -> st.SearchStrategy[dict[str, str | None]]:
    return st.dictionaries(
        st.builds("{}/{}".format, _namespace, st.sampled_from(SECRETS)), st.sampled_from(VALUES)
    )


@st.composite
def installations(draw: st.DrawFn) -> Resources:
    """Every manifest makes sense by itself; names are unique within a kind."""
    manifests = [
        *draw(st.lists(providers(), max_size=5, unique_by=_id_of)),
        *draw(st.lists(routes(), max_size=5, unique_by=_id_of)),
        *draw(families()),
    ]
    # One that has not said who signs leaves what it said before: then it matters what was before.
    cluster = draw(_clusters.filter(lambda cluster: not isinstance(cluster, UnknownCluster)))
    return resources(*manifests, secrets=draw(secrets()), cluster=cluster)


FIELDS = [
    *(
        "type",
        "baseUrl",
        "endpoints",
        "credentials",
        "models",
        "health",
        "circuit",
        "timeouts",
        "allowedRoutes",
        "azure",
        "vertex",
        "bedrock",
        "litellm",
    ),
    *(
        "targets",
        "retry",
        "fallbacks",
        "hedge",
        "strategy",
        "subjects",
        "limits",
        "name",
        "secretRef",
        "providerRef",
        "weight",
        "window",
        "amount",
        "resource",
        "requestsPerMinute",
        "parent",
        "overrides",
        "unsupported",
        "region",
        "workloadIdentity",
    ),
]
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "x", "openai", "bedrock", "1m", "APIKey", "*", "USD", "0.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def wild_installations(draw: st.DrawFn) -> Resources:
    """Anything that parses to a Manifest or a BrokenManifest, names given twice included."""
    kinds = {"LLMProvider": "providers", "ModelRoute": "routes", "TenantQuota": "quotas"}
    wild = st.sampled_from(sorted(kinds)).flatmap(
        lambda kind: st.builds(
            lambda identity, spec, meta: build(kind, identity, spec, **meta),
            _identities[kinds[kind]],
            _json,
            _meta,
        )
    )
    manifests = draw(st.lists(wild | providers() | routes() | quotas(), max_size=12))
    return resources(*manifests, *draw(wild_families()), secrets=draw(secrets()), cluster=draw(_clusters))


def _id_of(manifest: Any) -> str:
    return str(manifest.meta.id)
