"""The store: which of several tellings of an object counts, and what makes it dirty."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.manifest import BrokenManifest
from headgate_operator.compile.resources import SecretId
from headgate_operator.store import Ghosts, Listed, Store
from tests.shell.operators import provider, quota

SALT = Secret("salt")
KEY = SecretId("team", "key")


class Watched(Store):
    """A store that counts how often it became dirty and whose status was written."""

    def __init__(self) -> None:
        super().__init__()
        self.dirty = 0
        self.statuses: list[str] = []
        self.on_dirty = self._count
        self.on_rest = self.statuses.append

    def _count(self) -> None:
        self.dirty += 1

    def names(self) -> list[str]:
        return sorted(manifest.meta.name for manifest in self.resources(SALT).providers)


def raw(manifest: Mapping[str, Any], version: int, **metadata: Any) -> dict[str, Any]:
    filled = {"namespace": "team", "uid": "u1", "generation": 1, "resourceVersion": str(version)}
    return {**manifest, "metadata": {**manifest["metadata"], **filled, **metadata}}


def raw_secret(version: int, **values: str) -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "key", "resourceVersion": str(version)}
    return {"kind": "Secret", "metadata": metadata, "data": values}


def test_an_object_makes_the_store_dirty_once_however_often_it_is_told() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 5))
    store.upsert(raw(provider("openai"), 5))

    assert store.dirty == 1
    assert store.names() == ["openai"]


def test_a_status_that_was_written_does_not_make_the_store_dirty() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 5))
    store.upsert({**raw(provider("openai"), 6), "status": {"health": "Healthy"}})

    assert store.dirty == 1
    assert store.statuses == ["LLMProvider/team/openai"]
    stored = store.get("LLMProvider/team/openai")
    assert stored is not None
    assert stored.status == {"health": "Healthy"}


def test_a_manifest_stays_the_same_object_while_its_generation_does() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 5))
    before = store.resources(SALT).providers[0]
    store.upsert(raw(provider("openai"), 6, labels={"a": "b"}))

    assert store.resources(SALT).providers[0] is before


def test_an_event_that_comes_late_does_not_undo_a_newer_one() -> None:
    store = Watched()
    store.upsert(raw(provider("openai", "new"), 7, generation=2))
    store.upsert(raw(provider("openai", "old"), 5, generation=1))

    (manifest,) = store.resources(SALT).providers
    assert manifest.meta.generation == 2


def test_a_list_that_began_before_a_deletion_does_not_bring_the_object_back() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 5))
    store.remove(raw(provider("openai"), 9))
    store.upsert(raw(provider("openai"), 5))

    assert store.names() == []


def test_the_deletion_of_a_predecessor_does_not_take_its_successor_away() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 12, uid="u2"))
    store.remove(raw(provider("openai"), 9, uid="u1"))

    assert store.names() == ["openai"]


def test_an_object_that_a_finalizer_keeps_counts_as_deleted() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 5))
    store.upsert(raw(provider("openai"), 6, deletionTimestamp="2026-01-01T00:00:00Z"))

    assert store.names() == []
    assert store.dirty == 2


def test_an_object_that_our_parser_fails_on_is_broken_and_the_others_go_on() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise ZeroDivisionError

    store = Watched()
    store.upsert(raw({**provider("hostile"), "spec": {"baseUrl": Hostile()}}, 5))
    store.upsert(raw(provider("openai"), 6))

    broken, _ = sorted(store.resources(SALT).providers, key=lambda manifest: manifest.meta.name)
    assert isinstance(broken, BrokenManifest)
    assert [problem.message for problem in broken.problems] == [
        "cannot be read by this version of the operator (ZeroDivisionError); its log says more"
    ]
    assert store.names() == ["hostile", "openai"]


def test_a_list_shows_ghosts_and_what_was_missed() -> None:
    store = Watched()
    store.upsert(raw(provider("gone"), 5))
    store.upsert(raw(provider("edited"), 6))
    store.upsert(raw(provider("same"), 7))
    store.upsert(raw(provider("younger-than-the-list"), 30))
    listed = {
        "LLMProvider/team/edited": Listed("u1", 2, 18),
        "LLMProvider/team/same": Listed("u1", 1, 19),
        "LLMProvider/team/new": Listed("u9", 1, 20),
    }

    assert store.compare("LLMProvider", "team", listed, 20) == Ghosts(
        gone=("LLMProvider/team/gone",), stale=("LLMProvider/team/edited", "LLMProvider/team/new")
    )


def test_a_list_of_one_namespace_says_nothing_of_another() -> None:
    store = Watched()
    store.upsert(raw(provider("openai"), 5))

    assert store.compare("LLMProvider", "other", {}, 20) == Ghosts((), ())


def test_only_referenced_keys_of_referenced_secrets_are_kept() -> None:
    store = Watched()
    store.upsert_secret(raw_secret(3, **{"api-key": "c2st"}), watched=True)
    unreferenced = dict(store.secrets.data)
    store.upsert(raw(provider("openai", "key"), 5))
    store.upsert_secret(raw_secret(6, **{"api-key": "c2st", "other": "eA=="}), watched=True)

    assert unreferenced == {}
    assert store.secrets.data[KEY].values == {"api-key": Secret("sk-")}


def test_a_secret_is_read_by_name_when_its_event_came_before_the_reference() -> None:
    store = Watched()
    store.upsert_secret(raw_secret(3, **{"api-key": "c2st"}), watched=True)
    store.upsert(raw(provider("openai", "key"), 5))

    assert store.secrets.unread == {KEY}


def test_a_secret_that_the_watch_calls_gone_serves_until_a_read_tells() -> None:
    store = Watched()
    store.upsert(raw(provider("openai", "key"), 5))
    store.upsert_secret(raw_secret(6, **{"api-key": "c2st"}), watched=True)
    store.remove_secret(raw_secret(8))
    doubted = (KEY in store.secrets.data, set(store.secrets.unread))
    store.put_missing_secret(KEY)

    assert doubted == (True, {KEY})
    assert KEY not in store.secrets.data


def test_a_secret_is_dropped_with_its_last_reference() -> None:
    store = Watched()
    store.upsert(raw(provider("openai", "key"), 5))
    store.upsert(raw(quota("team", "key"), 6))
    store.upsert_secret(raw_secret(7, **{"api-key": "c2st"}), watched=True)
    store.remove(raw(provider("openai", "key"), 8))
    still = KEY in store.secrets.data
    store.remove(raw(quota("team", "key"), 9))

    assert still
    assert KEY not in store.secrets.data
    assert store.secrets.unwatched == ()


def test_a_secret_makes_the_store_dirty_only_when_its_referenced_values_change() -> None:
    store = Watched()
    store.upsert(raw(provider("openai", "key"), 5))
    store.upsert_secret(raw_secret(6, **{"api-key": "c2st"}), watched=True)
    dirty = store.dirty
    store.upsert_secret(raw_secret(7, **{"api-key": "c2st", "other": "eA=="}), watched=True)
    same = store.dirty
    store.upsert_secret(raw_secret(8, **{"api-key": "c2stMg=="}), watched=True)

    assert (same - dirty, store.dirty - dirty) == (0, 1)


@given(st.permutations(range(6)))
def test_events_may_come_in_any_order(order: list[int]) -> None:
    """Created, edited, its status written, deleted, made anew with another uid, edited again."""
    history = [
        ("upsert", raw(provider("openai"), 1)),
        ("upsert", raw(provider("openai"), 2, generation=2)),
        ("upsert", {**raw(provider("openai"), 3, generation=2), "status": {"health": "Healthy"}}),
        ("remove", raw(provider("openai"), 4, generation=2)),
        ("upsert", raw(provider("openai"), 5, uid="u2")),
        ("upsert", raw(provider("openai", "key"), 6, uid="u2", generation=2)),
    ]
    store = Watched()
    for i in order:
        verb, event = history[i]
        getattr(store, verb)(event)

    (manifest,) = store.resources(SALT).providers
    assert (manifest.meta.uid, manifest.meta.generation) == ("u2", 2)
    assert store.secrets.unread == {KEY}


def test_a_secret_that_only_tls_names_is_read_and_followed_like_a_credential() -> None:
    store = Watched()
    spec = {
        "type": "openai-compatible",
        "baseUrl": "https://llm.example/v1",
        "tls": {"caSecretRef": {"name": "key"}, "clientCertificateSecretRef": {"name": "ours"}},
    }
    store.upsert(raw({**provider("vllm"), "spec": spec}, 5))
    unread = set(store.secrets.unread)
    store.upsert_secret(raw_secret(6, **{"ca.crt": "Zmlyc3Q=", "other": "eA=="}), watched=True)
    dirty = store.dirty
    store.upsert_secret(raw_secret(7, **{"ca.crt": "c2Vjb25k"}), watched=True)

    assert unread == {KEY, SecretId("team", "ours")}
    assert store.dirty == dirty + 1
    assert dict(store.resources(SALT).secrets[KEY].values) == {"ca.crt": Secret("second")}
