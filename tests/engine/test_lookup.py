"""Who the caller is, which route takes the model, and what a caller may use."""

from string import ascii_lowercase
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.table import Model, Route
from gateway_runtime.contract.tenant import JwtSubject, KeyTerm, ProxySubject
from gateway_runtime.engine.identity import Identity, Term
from gateway_runtime.engine.lookup import build_live_table, matches
from tests.contract.tables import build_provider, build_route, build_table, build_target, build_tenant

TENANT = build_tenant("key")


def find(model: str, *routes: Route) -> str | None:
    live = build_live_table(build_table(routes=routes, tenants=[TENANT]))
    route = live.match_route(TENANT, model)
    return None if route is None else route.id


def test_a_key_leads_to_its_tenant() -> None:
    other = build_tenant("other", name="other")
    live = build_live_table(build_table(tenants=[TENANT, other]))

    assert live.authenticate(KeyHash("key")) == Identity(TENANT, "key")
    assert live.authenticate(KeyHash("other")) == Identity(other, "other")
    assert live.authenticate(KeyHash("wrong")) is None


def test_a_caller_without_a_key_is_nobody_unless_a_tenant_is_anonymous() -> None:
    anonymous = build_tenant(name="public", anonymous=True)

    assert build_live_table(build_table(tenants=[TENANT])).authenticate(None) is None
    assert build_live_table(build_table(tenants=[TENANT, anonymous])).authenticate(None) == Identity(
        anonymous
    )


def test_a_wrong_key_is_not_served_as_anonymous() -> None:
    live = build_live_table(build_table(tenants=[build_tenant(name="public", anonymous=True)]))

    assert live.authenticate(KeyHash("wrong")) is None


def test_a_key_in_two_tenants_leads_to_the_first_by_id() -> None:
    first, second = build_tenant("key", name="a"), build_tenant("key", name="b")
    live = build_live_table(build_table(tenants=[second, first]))

    assert live.authenticate(KeyHash("key")) == Identity(first, "key")


def test_a_key_is_known_by_the_beginning_of_its_hash_and_has_its_term() -> None:
    key, plain = KeyHash("0123456789abcdef" * 4), KeyHash("f" * 64)
    tenant = replace(build_tenant(key, plain), key_terms=(KeyTerm(key=key, not_after_unix_s=9.0),))
    live = build_live_table(build_table(tenants=[tenant]))

    assert live.authenticate(key) == Identity(tenant, "0123456789ab", term=Term(None, 9.0))
    assert live.authenticate(plain) == Identity(tenant, "f" * 12)


def test_subjects_stand_in_the_order_of_their_tenants_and_in_that_of_each() -> None:
    def subject(name: str) -> JwtSubject:
        return JwtSubject(name=name, issuer="i", audiences=("a",), jwks_url=None)

    def proxy(name: str) -> ProxySubject:
        return ProxySubject(name=name, addresses=("10.0.0.0/8",), header="x-team", value=name)

    tenants = [
        replace(build_tenant(name=name), jwts=tuple(map(subject, names)), proxies=tuple(map(proxy, names)))
        for name, names in (("b", "zy"), ("a", "x"))
    ]
    live = build_live_table(build_table(tenants=tenants))

    assert [(tenant.id, one.name) for tenant, one in live.jwts] == [
        ("chat/a", "x"),
        ("chat/b", "z"),
        ("chat/b", "y"),
    ]
    assert [(tenant.id, one.name) for tenant, one in live.proxies] == [
        ("chat/a", "x"),
        ("chat/b", "z"),
        ("chat/b", "y"),
    ]


@pytest.mark.parametrize(
    ("term", "holding"),
    [
        (Term(None, None), [1, 2, 3, 4]),
        (Term(2, None), [2, 3, 4]),
        (Term(None, 3), [1, 2]),
        (Term(2, 3), [2]),
        (Term(3, 2), []),
    ],
    ids=str,
)
def test_a_term_begins_with_its_first_moment_and_ends_before_its_last(term: Term, holding: list[int]) -> None:
    assert [unix_s for unix_s in (1, 2, 3, 4) if term.holds(unix_s)] == holding


def test_an_exact_name_beats_a_pattern() -> None:
    assert find("gpt-4o", build_route("*", name="star"), build_route("gpt-4o", name="exact")) == "chat/exact"


def test_a_longer_literal_beats_a_shorter_one() -> None:
    routes = [
        build_route("*", name="all"),
        build_route("gpt-*", name="gpt"),
        build_route("gpt-4*", name="gpt4"),
    ]

    assert find("gpt-4o", *routes) == "chat/gpt4"
    assert find("gpt-3", *routes) == "chat/gpt"
    assert find("o1", *routes) == "chat/all"


def test_the_alphabet_decides_between_patterns_of_one_length() -> None:
    assert find("ab", build_route("a*", name="a"), build_route("*b", name="b")) == "chat/b"


def test_what_is_inferred_comes_after_all_that_somebody_wrote() -> None:
    inferred = replace(build_route("gpt-*", name="~openai"), inferred=True)

    assert find("gpt-4o", inferred) == "chat/~openai"
    assert find("gpt-4o", inferred, build_route("*", name="all")) == "chat/all"
    assert find("gpt-4o", build_route("gpt-*", name="gpt"), inferred) == "chat/gpt"
    assert find("gpt-4o", inferred, build_route("gpt-*", name="gpt")) == "chat/gpt"


def test_a_route_may_hold_names_and_patterns() -> None:
    route = build_route("gpt-4o", "claude-*", name="both")

    assert find("gpt-4o", route) == "chat/both"
    assert find("claude-opus", route) == "chat/both"
    assert find("gpt-4", route) is None


def test_routes_of_another_namespace_do_not_exist_for_a_tenant() -> None:
    assert find("gpt-4o", build_route("gpt-4o", namespace="other")) is None


def test_an_allow_list_hides_what_it_does_not_name() -> None:
    tenant = build_tenant("key", models=["gpt-4o", "claude-*"])
    route = build_route("*", targets=[build_target()])
    live = build_live_table(build_table(providers=[build_provider()], routes=[route], tenants=[tenant]))

    assert live.match_route(tenant, "gpt-4o") is route
    assert live.match_route(tenant, "claude-opus") is route
    assert live.match_route(tenant, "o1") is None


def test_an_empty_allow_list_allows_nothing() -> None:
    tenant = build_tenant("key", models=[])
    live = build_live_table(build_table(routes=[build_route("gpt-4o")], tenants=[tenant]))

    assert live.match_route(tenant, "gpt-4o") is None
    assert live.models_for(tenant) == ()


def test_the_model_list_has_exact_names_and_what_patterns_find_at_their_providers() -> None:
    provider = build_provider(
        models=[Model(name=name, upstream_name=name) for name in ("gpt-4o", "gpt-3", "whisper")]
    )
    routes = [
        build_route("small", name="small", targets=[build_target(model="gpt-3")]),
        build_route("gpt-*", name="gpt", targets=[build_target()]),
    ]
    tenants = [build_tenant("key"), build_tenant("few", name="few", models=["s*", "gpt-4o", "absent"])]
    live = build_live_table(build_table(providers=[provider], routes=routes, tenants=tenants))

    assert live.models_for(tenants[0]) == ("gpt-3", "gpt-4o", "small")
    assert live.models_for(tenants[1]) == ("gpt-4o", "small")


def test_the_model_list_is_made_once_per_table() -> None:
    live = build_live_table(build_table(routes=[build_route("b"), build_route("a", name="a")]))

    assert live.models_for(TENANT) is live.models_for(TENANT)


def test_a_tenant_of_a_namespace_without_routes_may_use_nothing() -> None:
    assert build_live_table(build_table(tenants=[TENANT])).models_for(TENANT) == ()


def test_providers_and_endpoints_are_found_by_id() -> None:
    provider = build_provider(endpoints=2)
    live = build_live_table(build_table(providers=[provider]))

    assert live.provider(provider.id) is provider
    assert live.endpoints() == {endpoint.id: (provider, endpoint) for endpoint in provider.endpoints}


def test_a_live_table_prints_as_its_size() -> None:
    table = build_table(providers=[build_provider()], routes=[build_route("a")], tenants=[TENANT])

    assert repr(build_live_table(table)) == "<LiveTable 1 providers, 1 routes, 1 tenants>"


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4", False),
        ("gpt-4o", "GPT-4o", False),
        ("*", "", True),
        ("*", "anything", True),
        ("gpt-*", "gpt-", True),
        ("gpt-*", "gpt", False),
        ("*-mini", "o1-mini", True),
        ("*-mini", "o1-minis", False),
        ("a*a", "aa", True),
        ("a*a", "a", False),
        ("gpt-*-mini", "gpt-4o-mini", True),
        ("gpt-*-mini", "gpt-mini", False),
        ("*", "*", True),
    ],
)
def test_a_pattern_covers_names(pattern: str, name: str, covered: bool) -> None:
    assert matches(pattern, name) is covered


_texts = st.text("ab", max_size=4)
_patterns = st.builds("{}*{}".format, _texts, _texts) | _texts.filter(bool)


@given(_texts, _texts, _texts)
def test_a_pattern_covers_whatever_stands_for_its_star(prefix: str, middle: str, suffix: str) -> None:
    assert matches(f"{prefix}*{suffix}", prefix + middle + suffix)


@given(st.lists(_patterns, unique=True, max_size=6), _texts, st.randoms(use_true_random=False))
def test_the_most_precise_route_wins_whatever_their_order(models: list[str], model: str, random) -> None:
    routes = [build_route(text, name=f"r{index}") for index, text in enumerate(models)]
    random.shuffle(routes)
    covering = [text for text in models if matches(text, model)]
    best = min(covering, key=lambda text: ("*" in text, -len(text), text), default=None)
    live = build_live_table(build_table(routes=routes, tenants=[TENANT]))
    found = live.match_route(TENANT, model)

    assert (found and found.models) == (None if best is None else (best,))


@given(
    st.lists(_patterns, unique=True, max_size=5),
    st.lists(_texts, max_size=5),
    st.none() | st.lists(_patterns, max_size=3),
)
def test_a_caller_may_use_each_model_that_is_listed_for_it(
    models: list[str], offered: list[str], allowed: list[str] | None
) -> None:
    provider = build_provider(models=[Model(name=name, upstream_name=name) for name in offered])
    routes = [build_route(text, name=f"r{i}", targets=[build_target()]) for i, text in enumerate(models)]
    tenant = build_tenant("key", models=allowed)
    live = build_live_table(build_table(providers=[provider], routes=routes, tenants=[tenant]))
    listed = live.models_for(tenant)

    assert list(listed) == sorted(set(listed))
    assert all(live.match_route(tenant, name) for name in listed)


def test_ten_thousand_routes_load_in_time_that_no_quadratic_step_would_leave() -> None:
    providers = [build_provider(f"p{i}") for i in range(1000)]
    routes = [
        build_route(
            f"model-{i}",
            name=f"r{i:05}",
            namespace=f"team-{ascii_lowercase[i % 26]}",
            targets=[build_target(f"p{i % 1000}"), build_target(f"p{i % 7}", priority=1)],
        )
        for i in range(10_000)
    ]
    table = build_table(providers=providers, routes=routes, tenants=[TENANT])

    def measure() -> float:
        began_s = process_time()
        build_live_table(table)
        return process_time() - began_s

    # CPU time, the best of three. It takes 0.07 s; the goal is 0.1 s, and the rest is for busy machines.
    assert min(measure() for _ in range(3)) < 2.0


def test_a_plan_is_made_once_for_each_model() -> None:
    route = build_route("gpt-*", targets=[build_target("openai")])
    live = build_live_table(build_table(providers=[build_provider()], routes=[route]))

    assert live.plan(route, "gpt-4o") is live.plan(route, "gpt-4o")
    assert [choice.model for choice in live.plan(route, "gpt-5").choices] == ["gpt-5"]


def test_callers_that_make_up_model_names_do_not_fill_the_memory() -> None:
    route = build_route("*", targets=[build_target("openai")])
    live = build_live_table(build_table(providers=[build_provider()], routes=[route]))
    first = live.plan(route, "model-0")
    for i in range(1, 1000):
        live.plan(route, f"model-{i}")

    assert live.plan(route, "model-0") is not first
    assert live.plan(route, "model-999").choices[0].model == "model-999"
