"""How a caller's API key becomes the hash in the table."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.keys import hash_key, hash_stored_key
from gateway_runtime.contract.secret import Secret

SALT = Secret("installation")


def test_the_hash_of_a_key_is_pinned() -> None:
    # Written down, because a gateway and an operator of different releases must agree on it.
    assert hash_key("sk-demo", SALT) == "7b41e8b59b2b21629cdfa097874e8175add08d304c19291515faf5950ec3ea77"


@given(st.text())
def test_a_secret_may_hold_the_key_or_its_digest(key: str) -> None:
    digest = hashlib.sha256(key.encode()).hexdigest()

    assert hash_stored_key(f"sha256:{digest}", SALT) == hash_key(key, SALT)


@given(st.text().filter(lambda text: not text.startswith("sha256:")))
def test_a_key_stored_as_text_is_hashed_as_it_is_sent(key: str) -> None:
    assert hash_stored_key(key, SALT) == hash_key(key, SALT)


def test_another_installation_gives_another_hash() -> None:
    assert hash_key("sk-demo", SALT) != hash_key("sk-demo", Secret("elsewhere"))


@pytest.mark.parametrize(
    "stored", ["sha256:", "sha256:abc", "sha256:" + "A" * 64, "sha256:" + "0" * 64 + "\n"]
)
def test_a_malformed_digest_says_how_one_is_written(stored: str) -> None:
    with pytest.raises(ValueError, match=r"^a hashed key is written sha256:<64 lower-case hex digits>$"):
        hash_stored_key(stored, SALT)
