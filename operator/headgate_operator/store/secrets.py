"""The values of the Secrets that are referenced, and of each only the keys that are.

In: which object references what, Secrets as the watch or a read by name gives them. Out: `SecretData` for
compile, and the ids that have to be read (`unread`) or read again (`unwatched`). Called by `Store`; `sweep`
does the reading.

The watch covers labelled Secrets. Whatever it cannot answer ends in `unread`: a Secret that nobody
referenced when its event came, one without the label, one whose label was taken away, which the watch
reports as a deletion.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.fields import SecretKeyRef
from headgate_operator.compile.resources import SecretData, SecretId


class _Kept(NamedTuple):
    data: SecretData
    resource_version: int
    keys: frozenset[str]
    """What was asked for when it was read; a key that is not here may be in the Secret all the same."""


class SecretCache:
    def __init__(self) -> None:
        self._kept: dict[SecretId, _Kept] = {}
        self._refs: dict[str, frozenset[tuple[SecretId, str]]] = {}
        self._users: dict[SecretId, Counter[str]] = {}
        self.unread: set[SecretId] = set()
        """Referenced, but what is in the Secret is not known, or no longer."""

    @property
    def data(self) -> dict[SecretId, SecretData]:
        return {secret: kept.data for secret, kept in self._kept.items()}

    @property
    def unwatched(self) -> tuple[SecretId, ...]:
        """Referenced, and no event will tell when they change or come to be."""
        return tuple(secret for secret in sorted(self._users) if not self._is_watched(secret))

    def reference(self, owner: str, namespace: str, refs: Iterable[SecretKeyRef]) -> None:
        """What the object `owner` references now; none when it was deleted."""
        new = frozenset((SecretId(namespace, ref.name), ref.key) for ref in refs)
        old = self._refs.pop(owner, frozenset())
        if new:
            self._refs[owner] = new
        for secret, key in new - old:
            self._users.setdefault(secret, Counter())[key] += 1
            kept = self._kept.get(secret)
            if kept is None or key not in kept.keys:
                self.unread.add(secret)
        for secret, key in old - new:
            users = self._users[secret]
            users[key] -= 1
            if not users[key]:
                del users[key]
            if not users:
                del self._users[secret]
                self._kept.pop(secret, None)
                self.unread.discard(secret)

    def put(self, secret: SecretId, values: Mapping[str, bytes], version: int, *, watched: bool) -> bool:
        """Whether compile sees a difference. A Secret that nobody references is dropped at once."""
        users = self._users.get(secret)
        before = self._kept.get(secret)
        if users is None or (before is not None and version < before.resource_version):
            return False
        keys = frozenset(users)
        texts = {key: Secret(values[key].decode("utf-8", "replace")) for key in sorted(keys) if key in values}
        self.unread.discard(secret)
        self._kept[secret] = _Kept(SecretData(texts, watched), version, keys)
        return before is None or (dict(before.data.values), before.data.watched) != (texts, watched)

    def put_missing(self, secret: SecretId) -> bool:
        """A read by name found nothing. Whether compile sees a difference."""
        self.unread.discard(secret)
        return self._kept.pop(secret, None) is not None

    def doubt(self, secret: SecretId) -> bool:
        """The watch says that it is gone: deleted, or its label taken away. The last values serve until a
        read by name tells which. Whether anybody cares.
        """
        if secret in self._users:
            self.unread.add(secret)
        return secret in self._users

    def compare(self, listed: Mapping[SecretId, int], namespace: str | None) -> bool:
        """Doubts what is newer in a list of labelled Secrets (all of them, by resourceVersion), what is not
        known to be watched, and what is not in the list any more. Whether there was any.
        """
        newer = {
            secret
            for secret, version in listed.items()
            if secret in self._users and not self._knows(secret, version)
        }
        gone = {
            secret
            for secret, kept in self._kept.items()
            if kept.data.watched and namespace in (None, secret.namespace) and secret not in listed
        }
        self.unread |= newer | gone
        return bool(newer or gone)

    def _knows(self, secret: SecretId, version: int) -> bool:
        kept = self._kept.get(secret)
        return kept is not None and kept.data.watched and kept.resource_version >= version

    def _is_watched(self, secret: SecretId) -> bool:
        kept = self._kept.get(secret)
        return kept is not None and kept.data.watched
