"""What of a request its provider cannot express: refused or dropped, and told either way.

A wire makes Losses for each request that it builds, and says of each thing that it leaves out what it is and
why. The target's route decides: `Refuse` ends in an error that the caller reads, `Drop` in a list that goes
into a header of the answer.

The one subtle rule: a hint is never worth a refusal. Members that do not change what the model says (who the
user is, where the request is filed, which cache it would like) are dropped under either rule, and told.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from gateway_runtime.contract.errors import ErrorCode, GatewayError

HINTS: Final = frozenset(
    {
        "diagnostics",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "user",
        "verbosity",
    }
)
_KNOWN: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
)
"""Every wire takes them, one way or another."""


class Losses:
    __slots__ = ("_drop", "_lost", "_provider")

    def __init__(self, provider: str, *, drop: bool) -> None:
        """provider: whose API it is, for people: `Anthropic`. drop: the route says `unsupported: Drop`."""
        self._provider = provider
        self._drop = drop
        self._lost: list[str] = []

    @property
    def dropped(self) -> tuple[str, ...]:
        """In the order in which they were found, each once."""
        return tuple(dict.fromkeys(self._lost)) if self._lost else ()

    def add(self, what: str, why: str = "") -> None:
        """what: the member, such as `logit_bias` or `messages[2].content[0]`. why: a clause without its full
        stop. Raises GatewayError UNSUPPORTED where the route refuses.
        """
        if not self._drop and what not in HINTS:
            reason = f": {why}" if why else ""
            raise GatewayError(
                ErrorCode.UNSUPPORTED,
                f"`{what}` cannot be said in {self._provider}'s API{reason}. Leave it out, ask for a model "
                "of another provider, or have the route say `unsupported: Drop`.",
            )
        self._lost.append(what)

    def tell(self, what: str) -> None:
        """It is left out under either rule: a hint that is no member of the top level, such as a mark for the
        cache.
        """
        self._lost.append(what)

    def check(self, present: AbstractSet[str], takes: AbstractSet[str]) -> None:
        """present: the names of the request's top level that are not null. takes: those that the wire sends,
        beside the ones that all do. Raises as `add`.
        """
        for name in sorted(present - takes - _KNOWN):
            self.add(name)
