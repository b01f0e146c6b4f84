"""What is remembered of tokens, and for how long."""

from gateway_runtime.engine.identity import Identity
from gateway_runtime.identity.memory import Memory, digest_key
from tests.contract.tables import build_tenant

ADA, BOB, EVE = (Identity(build_tenant(), user=name) for name in ("ada", "bob", "eve"))


def test_what_was_remembered_is_found_by_its_digest() -> None:
    memory = Memory()
    memory.remember(digest_key("token"), ADA)

    assert memory.find(digest_key("token")) is ADA
    assert memory.find(digest_key("token ")) is None


def test_when_there_is_no_room_the_one_goes_that_was_not_asked_for_the_longest() -> None:
    memory = Memory(kept=2)
    memory.remember(b"a", ADA)
    memory.remember(b"b", BOB)
    memory.find(b"a")
    memory.remember(b"c", EVE)

    assert [memory.find(digest) for digest in (b"a", b"b", b"c")] == [ADA, None, EVE]
    assert len(memory) == 2


def test_what_is_remembered_again_is_new_again() -> None:
    memory = Memory(kept=2)
    memory.remember(b"a", ADA)
    memory.remember(b"b", BOB)
    memory.remember(b"a", EVE)
    memory.remember(b"c", ADA)

    assert [memory.find(digest) for digest in (b"a", b"b", b"c")] == [EVE, None, ADA]


def test_all_is_forgotten_at_once() -> None:
    memory = Memory()
    memory.remember(b"a", ADA)
    memory.clear()

    assert memory.find(b"a") is None
    assert len(memory) == 0


def test_a_key_is_known_by_all_of_its_bytes_whatever_they_are() -> None:
    assert digest_key("\udcff") != digest_key("?")
    assert len(digest_key("\udcff")) == 32
