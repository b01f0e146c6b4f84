"""Installations drawn from a small world, so that references resolve and claims collide often."""

from typing import Any

from hypothesis import strategies as st

from headgate_operator.compile.resources import Resources
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
        "window": st.sampled_from(["1m", "1h"]),
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
    },
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
    secrets = draw(st.lists(st.sampled_from(SECRETS), max_size=3, unique=True))
    anonymous = draw(st.booleans()) or not secrets
    identity, spec = draw(_identities["quotas"]), draw(_quota_extras)
    return quota(identity, *secrets, anonymous=anonymous, spec=spec, **draw(_meta))


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
        *draw(st.lists(quotas(), max_size=5, unique_by=_id_of)),
    ]
    return resources(*manifests, secrets=draw(secrets()))


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
    return resources(*manifests, secrets=draw(secrets()))


def _id_of(manifest: Any) -> str:
    return str(manifest.meta.id)
