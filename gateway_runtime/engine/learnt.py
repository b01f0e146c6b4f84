"""What providers tell of their own limits, so that requests go elsewhere before the 429: headers in, seconds
until there is room out.

    answer                                            learnt
    x-ratelimit-remaining-requests or -tokens is 0    no room until its x-ratelimit-reset-…
    429 with Retry-After                              no room until then
    either header above 0                             there is room

`server` notes every answer of a provider in one `LearntLimits`; `balance` is told the seconds. Limits are per
model at the providers, so they are per endpoint, credential and model here. The subtle rule: answers overtake
each other. One to a request that was sent before a limit was learnt cannot lift it.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway_runtime.contract.ids import EndpointId

LONGEST_S: Final = 300.0
"""No header can ban an endpoint for longer. Providers' windows are a minute, but for those of a day, where it
is well to look again now and then.
"""
_KEPT: Final = 1024
"""Model names may come from callers, so there could be any number of keys."""
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)
_RESOURCES: Final = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)


def parse_reset(text: str) -> float | None:
    """Seconds, from what OpenAI (`1s`, `6m0s`, `20ms`), Groq (`2m59.56s`) or Azure (`12`) writes; None for
    anything else.
    """
    if text.isascii() and text.isdigit():
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def read_wait(headers: Mapping[str, str], retry_after_s: float | None = None) -> float | None:
    """Seconds that an answer asks to stay away; 0 when it shows room, None when it says nothing.

    headers: lower-case names. retry_after_s: of a 429, already read; it is the provider's last word.
    """
    if retry_after_s is not None:
        return retry_after_s
    longest: float | None = None
    for remaining, reset in _RESOURCES:
        left = headers.get(remaining)
        if left is None:
            continue
        wait_s = 0.0 if left != "0" else parse_reset(headers.get(reset, ""))
        if wait_s is not None:
            longest = wait_s if longest is None else max(longest, wait_s)
    return longest


class LimitKey(NamedTuple):
    endpoint: EndpointId
    credential: str
    """Its name; empty where the provider takes none."""
    model: str
    """As the provider calls it."""


class LearntLimit:
    __slots__ = ("_learnt_s", "_until_s")

    def __init__(self) -> None:
        self._until_s = self._learnt_s = float("-inf")

    def note(self, wait_s: float, now_s: float, *, sent_s: float) -> None:
        """wait_s: from `read_wait`. sent_s: when the request went out that was answered so."""
        until_s = now_s + min(wait_s, LONGEST_S)
        if wait_s > 0 and (until_s > self._until_s or sent_s >= self._learnt_s):
            self._until_s = until_s
            self._learnt_s = now_s
        elif wait_s <= 0 and sent_s >= self._learnt_s:
            self._until_s = now_s

    def blocked_until(self, now_s: float) -> float | None:
        """None when there is room, as far as is known."""
        return self._until_s if self._until_s > now_s else None


class LearntLimits:
    """Of one gateway. It holds only those that were used up lately."""

    __slots__ = ("_latest_s", "_limits")

    def __init__(self) -> None:
        self._limits: dict[LimitKey, LearntLimit] = {}
        self._latest_s = float("-inf")

    def note(self, key: LimitKey, wait_s: float | None, now_s: float, *, sent_s: float) -> None:
        """After each answer. wait_s: from `read_wait`."""
        if wait_s is None:
            return
        limit = self._limits.get(key)
        if limit is None:
            if wait_s <= 0:
                return
            self._make_room(now_s)
            limit = self._limits[key] = LearntLimit()
        limit.note(wait_s, now_s, sent_s=sent_s)
        until_s = limit.blocked_until(now_s)
        if until_s is not None:
            self._latest_s = max(self._latest_s, until_s)

    def are_idle(self, now_s: float) -> bool:
        """No limit is known to be used up, so nobody need ask for a `wait`. Mostly so; one comparison."""
        return now_s >= self._latest_s

    def wait(self, key: LimitKey, now_s: float) -> float:
        """Seconds until there is room; 0 when there is."""
        limit = self._limits.get(key)
        until_s = None if limit is None else limit.blocked_until(now_s)
        return 0.0 if until_s is None else until_s - now_s

    def __len__(self) -> int:
        return len(self._limits)

    def _make_room(self, now_s: float) -> None:
        if len(self._limits) >= _KEPT:
            blocked = {
                k: limit for k, limit in self._limits.items() if limit.blocked_until(now_s) is not None
            }
            # All of them still blocked: the oldest goes. Its worst price is one more 429.
            self._limits = blocked if len(blocked) < _KEPT else dict(list(blocked.items())[1:])
