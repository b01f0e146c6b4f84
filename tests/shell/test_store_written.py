"""What the API server answers to our own status write is the whole object, and is taken as such."""

from headgate_operator.store import Store


def _raw(
    generation: int, version: int, model: str, status: dict[str, object] | None = None
) -> dict[str, object]:
    return {
        "apiVersion": "headgate.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {
            "namespace": "team-a",
            "name": "chat",
            "uid": "u1",
            "generation": generation,
            "resourceVersion": str(version),
        },
        "spec": {"models": [model], "targets": [{"providerRef": {"name": "p"}}]},
        "status": status or {},
    }


def test_an_edit_that_the_watch_has_not_told_yet_is_not_lost_by_a_status_write() -> None:
    """The race: the user edits (version 11), we write a status (12), the answer comes before the edit's
    event.
    """
    dirty: list[None] = []
    store = Store()
    store.on_dirty = lambda: dirty.append(None)
    store.upsert(_raw(1, 10, "before"))
    dirty.clear()

    store.note_written(_raw(2, 12, "after", {"gateways": "1/1"}))
    store.upsert(_raw(2, 11, "after"))

    stored = store.get("ModelRoute/team-a/chat")
    assert stored is not None
    assert stored.manifest.meta.generation == 2
    assert stored.status == {"gateways": "1/1"}
    assert len(dirty) == 1


def test_a_status_that_we_wrote_ourselves_asks_for_nothing() -> None:
    asked: list[str] = []
    store = Store()
    store.upsert(_raw(1, 10, "same"))
    store.on_dirty = lambda: asked.append("dirty")
    store.on_status = asked.append

    store.note_written(_raw(1, 11, "same", {"gateways": "1/1"}))
    store.upsert(_raw(1, 11, "same", {"gateways": "1/1"}))

    assert asked == []
