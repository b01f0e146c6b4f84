"""Which tenant a token is of, when several could be."""

from collections.abc import Mapping

from gateway_runtime.contract.tenant import JwtSubject, Tenant
from gateway_runtime.engine.identity import Identity, Term
from gateway_runtime.identity.claims import LEEWAY_S
from gateway_runtime.identity.key_store import Source
from gateway_runtime.identity.rejection import Reason
from gateway_runtime.identity.signature import Claims
from gateway_runtime.identity.subject import Fit, build_identity, find_subject
from tests.identity.rig import ISSUER, KEYS_URL, claims, subject, tenant
from tests.tokens.rig import UNIX_S

OTHER_URL = "https://elsewhere.example.com/keys"


def find(
    *tenants: Tenant, told: Claims | None = None, proofs: Mapping[str, Claims | Reason] | None = None
) -> tuple[str, str, bool] | Reason:
    """proofs: by URL; else each source proves what is told. Gives tenant, subject and certainty."""

    def prove(source: Source) -> Claims | Reason:
        return (proofs or {}).get(source.url or "", told or claims())

    fit = find_subject([(one, s) for one in tenants for s in one.jwts], prove)
    return (fit.tenant.id, fit.subject.name, fit.is_certain) if isinstance(fit, Fit) else fit


def blue(name: str, *values: str, url: str = KEYS_URL) -> JwtSubject:
    return subject(name, wanted={"team": values or ("blue",)}, jwks_url=url)


def test_the_first_subject_whose_conditions_hold_is_it() -> None:
    tenants = [tenant(blue("a1", "red"), blue("a2"), name="a"), tenant(blue("b"), name="b")]

    assert find(*tenants, told=claims(team="blue")) == ("chat/a", "a2", True)
    assert find(*tenants, told=claims(team="red")) == ("chat/a", "a1", True)


def test_none_whose_conditions_hold() -> None:
    assert find(tenant(blue("a")), told=claims(team="green")) is Reason.NO_TENANT


def test_the_reason_is_that_of_the_subject_that_came_nearest() -> None:
    other_audience = subject("x", audiences=("other",))

    assert find(tenant(other_audience, blue("a"))) is Reason.NO_TENANT
    assert find(tenant(blue("a"), other_audience)) is Reason.NO_TENANT
    assert find(tenant(other_audience)) is Reason.WRONG_AUDIENCE
    assert find(tenant(blue("a")), proofs={KEYS_URL: Reason.EXPIRED}) is Reason.EXPIRED


def test_keys_that_are_away_are_told_before_a_signature_that_others_do_not_know() -> None:
    tenants = [tenant(blue("a"), blue("b", url=OTHER_URL))]

    assert (
        find(*tenants, proofs={KEYS_URL: Reason.UNKNOWN_SIGNER, OTHER_URL: Reason.NO_KEYS}) is Reason.NO_KEYS
    )
    assert (
        find(*tenants, proofs={KEYS_URL: Reason.NO_KEYS, OTHER_URL: Reason.BAD_SIGNATURE}) is Reason.NO_KEYS
    )


def test_what_one_urls_keys_have_signed_proves_nothing_to_a_subject_with_another() -> None:
    """Whoever writes a quota can name any issuer, and a URL with keys of their own."""
    victim, forger = tenant(subject("v"), name="a"), tenant(subject("f", jwks_url=OTHER_URL), name="b")
    forged: dict[str, Claims | Reason] = {KEYS_URL: Reason.BAD_SIGNATURE, OTHER_URL: claims()}

    assert find(victim, forger, proofs=forged) == ("chat/b", "f", True)
    assert find(victim, proofs=forged) is Reason.BAD_SIGNATURE


def test_a_fit_behind_one_whose_keys_are_away_is_not_certain() -> None:
    tenants = [tenant(blue("a", url=OTHER_URL), name="a"), tenant(blue("b"), name="b")]

    assert find(*tenants, told=claims(team="blue"), proofs={OTHER_URL: Reason.NO_KEYS}) == (
        "chat/b",
        "b",
        False,
    )


def test_each_source_is_proved_once() -> None:
    asked: list[Source] = []

    def prove(source: Source) -> Claims | Reason:
        asked.append(source)
        return claims()

    found = find_subject([(tenant(), blue("a")), (tenant(), blue("b")), (tenant(), blue("c"))], prove)

    assert found is Reason.NO_TENANT
    assert asked == [Source(ISSUER, KEYS_URL)]


def test_an_issuer_that_only_the_unverified_half_has_named_is_not_believed() -> None:
    assert find(tenant(subject()), told=claims(iss="https://other.example.com")) is Reason.UNKNOWN_ISSUER


def test_an_identity_lasts_as_long_as_its_token_and_no_longer_than_its_keys() -> None:
    whose = tenant(one := subject("people", user_claim="email", tag_claims=("team",)))
    fit = Fit(whose, one, claims(email="ada@example.com", team="blue"), True)
    end_s = UNIX_S + 3600 + LEEWAY_S

    assert build_identity(fit, end_s + 1) == Identity(
        whose, "people", "ada@example.com", (("team", "blue"),), Term(None, end_s)
    )
    assert build_identity(fit, end_s - 1).term == Term(None, end_s - 1)
