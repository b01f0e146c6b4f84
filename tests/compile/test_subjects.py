"""Who two quotas must not both serve, and what is left to the one that comes later."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.tenant import JwtSubject, KeyTerm, ProxySubject
from headgate_operator.compile import compile_resources
from headgate_operator.compile.resources import Cluster
from headgate_operator.compile.subjects import callers_of, claims_of, find_claims, join_keys, without_claims
from tests.compile.builders import quota, resources

CLUSTER = Cluster("https://kubernetes.default.svc", '{"keys":[]}')
JWT = {"issuer": "https://login.example.com", "audiences": ["headgate"]}

tokens = st.builds(
    lambda issuer, audiences, claims: JwtSubject(
        name="n", issuer=issuer, audiences=tuple(sorted(audiences)), jwks_url=None, claims=claims
    ),
    st.sampled_from(["https://a", 'https://a","b']),
    st.sets(st.sampled_from(["a", "b", 'a","b']), min_size=1),
    st.sampled_from([(), (("sub", ("a",)),), (("sub", ("a", "b")),), (("sub", ("a",)), ("x", ("b",)))]),
)
moments = st.none() | st.integers(0, 9).map(float)
terms = st.builds(
    lambda begin, end: KeyTerm(key=KeyHash("k"), not_before_unix_s=begin, not_after_unix_s=end),
    moments,
    moments,
)


def tenants_of(*subjects: dict[str, Any]) -> Any:
    """One quota for each subject, the oldest first."""
    quotas = [
        quota(
            f"team-a/q{i}",
            spec={"subjects": [{"name": "it"} | subject]},
            created=f"2026-01-0{i + 1}T00:00:00Z",
        )
        for i, subject in enumerate(subjects)
    ]
    return compile_resources(resources(*quotas, cluster=CLUSTER)).table.tenants


@given(one=tokens, other=tokens)
def test_two_claim_the_same_tokens_when_issuer_conditions_and_an_audience_agree(
    one: JwtSubject, other: JwtSubject
) -> None:
    shared = set(find_claims(one)) & set(find_claims(other))
    same = one.issuer == other.issuer and one.claims == other.claims

    assert len(shared) == (len(set(one.audiences) & set(other.audiences)) if same else 0)


def test_what_a_token_is_for_does_not_make_it_anothers() -> None:
    """User and tags are read from it; they do not tell whose it is."""
    first, second = tenants_of(
        {"type": "JWT", "jwt": JWT},
        {"type": "JWT", "jwt": JWT | {"userClaim": "email", "tagClaims": ["x"], "jwksUrl": "https://keys"}},
    )

    assert len(first.jwts) == 1
    assert second.jwts == ()


def test_the_order_of_values_and_conditions_does_not_make_a_claim_another() -> None:
    claims = [{"name": "a", "values": ["1", "2"]}, {"name": "b", "values": ["3"]}]
    turned = [{"name": "b", "values": ["3"]}, {"name": "a", "values": ["2", "1"]}]
    _, second = tenants_of(
        {"type": "JWT", "jwt": JWT | {"claims": claims}}, {"type": "JWT", "jwt": JWT | {"claims": turned}}
    )

    assert second.jwts == ()


def test_a_service_account_is_claimed_by_tokens_that_say_the_same() -> None:
    bearer = {"name": "sub", "values": ["system:serviceaccount:team-a:robot"]}
    _, second = tenants_of(
        {"type": "ServiceAccount", "serviceAccount": {"name": "robot"}},
        {"type": "JWT", "jwt": JWT | {"issuer": CLUSTER.issuer, "claims": [bearer]}},
    )

    assert second.jwts == ()


def test_a_proxys_word_is_claimed_from_whichever_address() -> None:
    def proxy(address: str, header: str, value: str) -> dict[str, Any]:
        said = {"addresses": [address], "header": header, "value": value}
        return {"type": "TrustedProxy", "trustedProxy": said}

    first, second, third = tenants_of(
        proxy("10.0.0.0/8", "X-Team", "a"),
        proxy("192.0.2.0/24", "x-team", "a"),
        proxy("10.0.0.0/8", "x-team", "A"),
    )

    assert first.proxies == (ProxySubject(name="it", addresses=("10.0.0.0/8",), header="x-team", value="a"),)
    assert second.proxies == ()
    assert len(third.proxies) == 1


@given(one=terms, other=terms, moment=st.integers(-1, 10))
def test_a_key_of_two_subjects_holds_while_both_terms_do(one: KeyTerm, other: KeyTerm, moment: int) -> None:
    def holds(term: KeyTerm) -> bool:
        begin, end = term.not_before_unix_s, term.not_after_unix_s
        return (begin is None or begin <= moment) and (end is None or moment < end)

    (joined,) = join_keys((one, other)).values()

    assert holds(joined) == (holds(one) and holds(other))


def test_a_tenant_without_its_claims_has_no_callers() -> None:
    (tenant,) = compile_resources(
        resources(
            quota(
                "team-a/q",
                spec={
                    "subjects": [
                        {"name": "key", "type": "APIKey", "secretRef": {"name": "s"}},
                        {
                            "name": "ends",
                            "type": "APIKey",
                            "secretRef": {"name": "t"},
                            "notAfter": "2026-12-31T00:00:00Z",
                        },
                        {"name": "jwt", "type": "JWT", "jwt": JWT},
                        {"name": "account", "type": "ServiceAccount", "serviceAccount": {"name": "robot"}},
                        {
                            "name": "proxy",
                            "type": "TrustedProxy",
                            "trustedProxy": {"addresses": ["10.0.0.0/8"], "header": "x-team", "value": "a"},
                        },
                        {"name": "anyone", "type": "Anonymous"},
                    ]
                },
            ),
            secrets={"team-a/s": "hg-1", "team-a/t": "hg-2"},
            cluster=CLUSTER,
        )
    ).table.tenants
    left = without_claims(tenant, claims_of(tenant))

    assert len(callers_of(tenant)) == 6
    assert callers_of(left) == ()
    assert left.key_terms == ()
    assert left.limits == tenant.limits
