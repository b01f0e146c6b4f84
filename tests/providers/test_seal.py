"""An id that leaves the gateway says whose it is."""

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.ids import EndpointId, TenantId
from gateway_runtime.contract.secret import Secret
from gateway_runtime.providers.seal import Seal, find_tag, open_id

SALT = Secret("salt")
TEAM = TenantId("chat/team")
HERE = EndpointId("chat/openai/e0")
SEAL = Seal(SALT, TEAM, HERE)


def test_a_sealed_id_is_the_same_from_every_gateway() -> None:
    """Also from one of an older version: callers keep ids for months."""
    assert SEAL.put("resp_abc") == "resp_abc_hgf36p3ndurb63ibscnwnvbpaa"
    assert open_id("resp_abc_hgf36p3ndurb63ibscnwnvbpaa") == ("resp_abc", find_tag(HERE))


@given(st.text(min_size=1, max_size=200))
def test_a_seal_is_known_again(text: str) -> None:
    sealed = SEAL.put(text)

    opened = open_id(sealed)
    assert opened is not None
    assert opened.id == text
    assert SEAL.is_on(sealed)


def test_a_seal_of_anybody_else_is_not_known() -> None:
    sealed = SEAL.put("resp_abc")
    strangers = [
        Seal(Secret("other"), TEAM, HERE),
        Seal(SALT, TenantId("chat/others"), HERE),
        Seal(SALT, TEAM, EndpointId("chat/openai/e1")),
    ]

    assert not any(stranger.is_on(sealed) for stranger in strangers)
    assert not SEAL.is_on(sealed.replace("abc", "abd"))
    assert not SEAL.is_on(sealed[:-1] + ("a" if sealed[-1] != "a" else "b"))


def test_what_has_no_seal_is_not_opened() -> None:
    assert open_id("resp_abc") is None
    assert open_id("resp_abc_hgtooshort") is None
    assert not SEAL.is_on("resp_abc")


def test_an_id_may_be_sealed_twice() -> None:
    """A gateway behind a gateway."""
    once = SEAL.put("resp_abc")
    twice = Seal(Secret("other"), TEAM, HERE).put(once)

    opened = open_id(twice)
    assert opened is not None
    assert opened.id == once
