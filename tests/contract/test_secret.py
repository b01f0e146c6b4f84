"""Every careless way to show a secret says `[redacted]` or fails."""

import copy
import pickle
import traceback

import msgspec
import pytest

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Credential
from tests.contract.tables import build_provider, build_table

PLANTED = "sk-planted"


def test_only_reveal_gives_the_text() -> None:
    secret = Secret(PLANTED)

    assert secret.reveal() == PLANTED
    assert str(secret) == "[redacted]"
    assert repr(secret) == "Secret('[redacted]')"
    assert f"{secret} {secret!r} {secret!s}" == "[redacted] Secret('[redacted]') [redacted]"


def test_a_table_that_is_printed_shows_no_secret() -> None:
    provider = build_provider(credentials=[Credential(name="main", value=Secret(PLANTED))])
    table = build_table(providers=[provider], salt=PLANTED)

    assert PLANTED not in repr(table)
    assert PLANTED not in str(msgspec.structs.asdict(table))


def crash(secret: Secret) -> None:
    raise RuntimeError(f"could not use {secret}")


def test_a_crash_dump_with_local_variables_shows_no_secret() -> None:
    with pytest.raises(RuntimeError) as caught:
        crash(Secret(PLANTED))
    dump = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())

    assert "secret = Secret('[redacted]')" in dump
    assert PLANTED not in dump


def test_a_secret_is_not_encoded_by_accident() -> None:
    with pytest.raises(TypeError, match=r"Encoding objects of type Secret is unsupported"):
        msgspec.json.encode({"key": Secret(PLANTED)})


def test_a_secret_is_neither_pickled_nor_copied() -> None:
    problem = r"^a Secret is never pickled; pass its owner by reference or reveal\(\) it on purpose$"

    with pytest.raises(TypeError, match=problem):
        pickle.dumps(Secret(PLANTED))
    with pytest.raises(TypeError, match=problem):
        copy.deepcopy(Secret(PLANTED))


def test_secrets_are_equal_when_their_text_is() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
