"""A secret value that does not show itself: its str, repr and every careless serialisation say `[redacted]`.

Only `reveal` gives the text; the callers are few on purpose (the upstream's Authorization header, the key
hash, the codec).
"""

from typing import Final

REDACTED: Final = "[redacted]"


class Secret:
    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({REDACTED!r})"

    def __str__(self) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never pickled; pass its owner by reference or reveal() it on purpose")
