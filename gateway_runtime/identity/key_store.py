"""Issuers' keys, kept and renewed: KeyStore is what `authenticator` asks.

    peek      the keys that there are, at once
    prepare   waits for those that were never asked for yet
    renew     one more fetch, for the sake of a key that nobody knows
    run       the keys ahead of time, so that hardly a request ever waits

A fetch is shared by all that want it meanwhile, and belongs to none of them: a caller that leaves takes
nothing along.

    the age of keys:  |-------- used -------- renewed before they are old ---- the issuer is away ---- 24 h:
                                                                                              used no more -|

An issuer is away for a day and nothing fails. A key that is not among its keys may be new, so they are
fetched once more, but not more often than every ten seconds: whoever makes tokens up must not make us ask.

The one subtle rule: keys belong to an issuer and the URL they come from, together. Two quotas may name one
issuer and different URLs, and what one URL's keys have signed proves nothing to a subject with the other.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog

from gateway_runtime.contract.tenant import JwtSubject
from gateway_runtime.identity.discovery import FetchedKeys, fetch_keys
from gateway_runtime.identity.document import Fetch, Unfetched
from gateway_runtime.identity.keys import KeySet, UnusableKeys, read_keys

log = structlog.get_logger()

FETCH_S: Final = 5.0
"""All of one fetch, a discovery document included: a request may wait for it."""

AWAY_S: Final = 24 * 3600.0
"""How long keys are used that could not be renewed."""

UNKNOWN_EVERY_S: Final = 10.0
"""Between two fetches for the sake of keys that nobody knows."""

RENEWED_AT: Final = 0.85
SPREAD: Final = 0.1
"""Of the keys' life, half of it before and half after RENEWED_AT: pods that started together drift apart."""

REMEMBERED_S: Final = 1.0
"""A failure, towards requests."""
FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
"""Of `run`."""

CONCURRENCY: Final = 8
"""Fetches that `run` has under way."""


class Source(NamedTuple):
    issuer: str
    url: str | None
    """None: the keys stand in the table."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class CallLater(Protocol):
    def __call__(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


class _Held:
    """What is known of one source's keys."""

    __slots__ = (
        "asked_s",
        "due_s",
        "failed_s",
        "failures",
        "fetched_s",
        "flight",
        "keys",
        "reason",
        "source",
    )

    def __init__(self, source: Source, now_s: float) -> None:
        self.source = source
        self.keys: KeySet | None = None
        self.fetched_s = float("-inf")
        self.asked_s = float("-inf")
        """When the last fetch began."""
        self.due_s = now_s
        """When `run` fetches them next."""
        self.reason: str | None = None
        """Why the last fetch failed, if it did."""
        self.failed_s = float("-inf")
        self.failures = 0
        """In a row."""
        self.flight: asyncio.Task[None] | None = None

    def peek(self, now_s: float) -> KeySet | None:
        return self.keys if now_s < self.fetched_s + AWAY_S else None


class KeyStore:
    """Made and used inside a running event loop."""

    def __init__(
        self,
        fetch: Fetch,
        now: Callable[[], float],
        draw: Callable[[], float],
        on_change: Callable[[], None],
        *,
        call_later: CallLater | None = None,
        fetch_s: float = FETCH_S,
    ) -> None:
        """now: seconds, monotonic. draw: numbers in [0, 1). on_change: called when a source has other keys
        than before. call_later: None takes the loop's.
        """
        self._fetch = fetch
        self._now = now
        self._draw = draw
        self._on_change = on_change
        self._call_later = call_later or asyncio.get_running_loop().call_later
        self._fetch_s = fetch_s
        self._held: dict[Source, _Held] = {}
        self._cluster_text: str | None = None
        self._cluster_keys: KeySet | None = None
        self._flights: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._closed = False

    def configure(self, subjects: Iterable[JwtSubject], cluster_keys: str | None) -> None:
        """These are all that there are. cluster_keys: a JWKS. What is new is fetched by `run`, at once."""
        now_s = self._now()
        sources = {source_of(subject) for subject in subjects}
        self._held = {
            source: self._held.get(source) or _Held(source, now_s)
            for source in sorted(sources, key=str)
            if source.url is not None
        }
        if cluster_keys != self._cluster_text:
            self._cluster_text = cluster_keys
            self._cluster_keys = _read_cluster_keys(cluster_keys)
        self._wake.set()

    def peek(self, source: Source) -> KeySet | None:
        """None: none were ever had, or none for a day. The log has the reason."""
        if source.url is None:
            return self._cluster_keys
        held = self._held.get(source)
        return None if held is None else held.peek(self._now())

    def good_for_s(self, source: Source) -> float | None:
        """How long its keys are used if they cannot be renewed. None: as long as the table."""
        held = self._held.get(source)
        return None if held is None else held.fetched_s + AWAY_S - self._now()

    async def prepare(self, sources: Iterable[Source]) -> None:
        """Those that failed are not waited for: whoever names a dead URL delays nobody else."""
        await self._wait(held for held in self._list(sources) if held.keys is None and held.reason is None)

    async def renew(self, sources: Iterable[Source]) -> bool:
        """Where it is not too soon after the last fetch. False: it is too soon for all of them."""
        return await self._wait(held for held in self._list(sources) if self._may_renew(held))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            pause_s = self._start_due()
            timer = None if pause_s is None else self._call_later(pause_s, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    async def close(self) -> None:
        """Whoever waits is told."""
        self._closed = True
        for flight in self._flights:
            flight.cancel()
        await asyncio.gather(*self._flights, return_exceptions=True)

    def _list(self, sources: Iterable[Source]) -> list[_Held]:
        return [held for source in sources if (held := self._held.get(source)) is not None]

    async def _wait(self, wanted: Iterable[_Held]) -> bool:
        flights = [held.flight or self._start(held) for held in wanted if not self._closed]
        if flights:
            await asyncio.wait(flights)
        return bool(flights)

    def _may_renew(self, held: _Held) -> bool:
        if held.flight is not None:
            return True
        now_s = self._now()
        if held.peek(now_s) is None:
            return now_s >= held.failed_s + REMEMBERED_S
        return now_s >= held.asked_s + UNKNOWN_EVERY_S

    def _start_due(self) -> float | None:
        """Seconds until the next one is due; None: when a flight has ended, or never."""
        now_s = self._now()
        next_s = float("inf")
        for held in self._held.values():
            if held.flight is not None:
                continue
            if held.due_s > now_s:
                next_s = min(next_s, held.due_s)
            elif len(self._flights) < CONCURRENCY and not self._closed:
                self._start(held)
        return None if next_s == float("inf") else next_s - now_s

    def _start(self, held: _Held) -> asyncio.Task[None]:
        held.asked_s = self._now()
        flight = asyncio.create_task(self._fly(held, held.source.url or ""), name="keys of an issuer")
        held.flight = flight
        self._flights.add(flight)
        flight.add_done_callback(partial(self._land, held))
        return flight

    def _land(self, held: _Held, flight: asyncio.Task[None]) -> None:
        held.flight = None
        self._flights.discard(flight)
        self._wake.set()  # another one has its turn

    async def _fly(self, held: _Held, url: str) -> None:
        """One fetch, and what follows from it."""
        try:
            async with asyncio.timeout(self._fetch_s):
                fetched = await fetch_keys(self._fetch, held.source.issuer, url)
        except Unfetched as error:
            self._note_failure(held, error.reason)
        except TimeoutError:
            self._note_failure(held, f"its server did not answer within {self._fetch_s:g} s")
        except Exception:
            # Remembered as any failure, or `run` would repeat it at full speed.
            log.exception("issuer's keys not got by a bug", issuer=held.source.issuer, url=held.source.url)
            self._note_failure(held, "the fetch failed by a bug of ours")
        else:
            self._note_keys(held, fetched)

    def _note_keys(self, held: _Held, fetched: FetchedKeys) -> None:
        before, held.keys = held.keys, fetched.keys
        if held.reason is not None or before != fetched.keys:
            log.info(
                "issuer's keys",
                issuer=held.source.issuer,
                url=held.source.url,
                keys=len(fetched.keys.keys),
                changed=before is not None and before != fetched.keys,
            )
        now_s = self._now()
        held.fetched_s = now_s
        held.due_s = now_s + fetched.life_s * (RENEWED_AT + SPREAD * (self._draw() - 0.5))
        held.reason = None
        held.failures = 0
        if before is not None and before != fetched.keys:
            self._on_change()

    def _note_failure(self, held: _Held, reason: str) -> None:
        now_s = self._now()
        if held.reason != reason:
            log.warning(
                "issuer's keys not got", issuer=held.source.issuer, url=held.source.url, reason=reason
            )
        backoff_s = min(FIRST_BACKOFF_S * 2.0 ** min(held.failures, 10), MAX_BACKOFF_S)
        held.due_s = now_s + backoff_s * (0.5 + self._draw() / 2)
        held.reason = reason
        held.failed_s = now_s
        held.failures += 1


def source_of(subject: JwtSubject) -> Source:
    return Source(subject.issuer, subject.jwks_url)


def _read_cluster_keys(text: str | None) -> KeySet | None:
    """None: there are none."""
    if text is None:
        return None
    try:
        return read_keys(text.encode())
    except UnusableKeys as error:
        log.error("cluster's keys cannot be used", reason=error.reason)  # noqa: TRY400
        return None
