"""The tokens that providers are sent, kept and renewed: Tokens is what `server` asks.

    peek   a token that is good for a minute yet, at once
    get    the same, else one exchange, which all that come meanwhile wait for
    run    the next token ahead of time, so that hardly a request ever waits in `get`

    a token's life:   |------------ used ------------ renewed at 80 % ------- 60 s before its end: not
                                                                              handed out any more -----|

What failed is remembered: for a second towards requests, so that a broken key costs its issuer no request
per request, and longer and longer towards `run`. A renewal that fails takes nothing away: the token before
serves while it is good.

The one subtle rule: an exchange belongs to nobody who waits for it. A caller that leaves takes nothing along,
and every error is raised anew, with its words and without its frames, in which secrets lie.
"""

import asyncio
import random
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import Credential, Provider
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.tokens.issuers import Issuers
from gateway_runtime.tokens.means import Means
from gateway_runtime.tokens.mint import mint
from gateway_runtime.tokens.pod import Pod
from gateway_runtime.tokens.token import Need, TokenRefused, find_need
from gateway_runtime.upstream.exchange import Transport, UpstreamFailure

log = structlog.get_logger()

EXCHANGE_S: Final = 10.0
"""All of one exchange, with its two or three questions."""

MARGIN_S: Final = 60.0
"""A token with less to live is not handed out: its request may be tried again, and clocks differ."""

RENEWED_AT: Final = 0.8
SPREAD: Final = 0.1
"""Of its life, half of it before and half after RENEWED_AT: pods that started together drift apart."""

REMEMBERED_S: Final = 1.0
FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
"""A key that was mended is found within a minute by `run`, and at once by a request."""

MIN_REST_S: Final = 30.0
"""Before `run` renews a token anew, however short its life is. A guess; real ones live a quarter of an hour
and more.
"""

CONCURRENCY: Final = 8
"""Exchanges that `run` has under way: a table with 2,000 new providers must not be told to Entra at once."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class CallLater(Protocol):
    def __call__(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


class _Failure(NamedTuple):
    """An exchange that came to nothing, in words."""

    outcome: Outcome | None
    """None: it was refused."""
    reason: str

    def build_error(self) -> Exception:
        if self.outcome is None:
            return TokenRefused(self.reason)
        return UpstreamFailure(self.outcome, self.reason)


class _Held:
    """What is known of one need's token."""

    __slots__ = ("due_s", "ends_s", "failed_s", "failure", "failures", "flight", "name", "need", "token")

    def __init__(self, need: Need, name: str, now_s: float) -> None:
        self.need = need
        self.name = name
        """Of the credential, for the log."""
        self.token: Secret | None = None
        self.ends_s = float("-inf")
        self.due_s = now_s
        """When `run` asks for the next one."""
        self.failure: _Failure | None = None
        """Of the last exchange, if it failed."""
        self.failed_s = float("-inf")
        self.failures = 0
        """In a row."""
        self.flight: asyncio.Task[Secret | _Failure] | None = None


class Tokens:
    """Made and used inside a running event loop."""

    def __init__(
        self,
        transport: Transport,
        now: Callable[[], float],
        unix: Callable[[], float],
        environment: Mapping[str, str],
        draw: Callable[[], float] = random.random,
        *,
        call_later: CallLater | None = None,
        exchange_s: float = EXCHANGE_S,
    ) -> None:
        """now: seconds, monotonic. unix: seconds. environment: the pod's variables. draw: numbers in [0, 1).
        call_later: None takes the loop's.
        """
        self._now = now
        self._draw = draw
        self._call_later = call_later or asyncio.get_running_loop().call_later
        self._exchange_s = exchange_s
        self._means = Means(Issuers(transport), Pod(environment), unix)
        self._held: dict[Need, _Held] = {}
        self._flights: set[asyncio.Task[Secret | _Failure]] = set()
        self._wake = asyncio.Event()
        self._closed = False

    def needs(self, provider: Provider) -> bool:
        """Whether its credential has to be exchanged before it is of use."""
        return find_need(provider, None) is not None

    def peek(self, provider: Provider, credential: Credential | None) -> Secret | None:
        """One that is good for at least a minute, without waiting. 0.7 µs."""
        need = find_need(provider, credential)
        held = None if need is None else self._held.get(need)
        return None if held is None else self._peek(held)

    async def get(self, provider: Provider, credential: Credential | None) -> Secret:
        """As `peek`, and where that has none from an exchange, which those that come meanwhile share. Raises
        TokenRefused, UpstreamFailure. A cancelled call does not cancel the exchange.
        """
        held = self._find(provider, credential)
        token = self._peek(held)
        if token is not None:
            return token
        if held.flight is None and held.failure is not None and self._now() < held.failed_s + REMEMBERED_S:
            return self._fall_back(held, held.failure)
        flight = held.flight or self._start(held)
        await asyncio.wait([flight])
        if flight.cancelled():
            raise UpstreamFailure(Outcome.CANCELLED, "the gateway stops")
        came = flight.result()
        return self._fall_back(held, came) if isinstance(came, _Failure) else came

    def configure(self, providers: Iterable[Provider]) -> None:
        """These are all that there are; what is in no table any more is forgotten. `run` gets a token for the
        first credential of each that is new.
        """
        kept: dict[Need, _Held] = {}
        for provider in providers:
            first = True
            for credential in provider.credentials or (None,):
                need = find_need(provider, credential)
                if need is None:
                    break
                held = self._held.get(need)
                if held is None and first:
                    held = self._build_held(need, credential)
                if held is not None:
                    kept[need] = held
                first = False
        self._held = kept
        self._wake.set()

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

    def _peek(self, held: _Held) -> Secret | None:
        return held.token if self._now() + MARGIN_S <= held.ends_s else None

    def _fall_back(self, held: _Held, failure: _Failure) -> Secret:
        """The token before, for its last minute; there is no better one."""
        if held.token is not None and self._now() < held.ends_s:
            return held.token
        raise failure.build_error()

    def _find(self, provider: Provider, credential: Credential | None) -> _Held:
        need = find_need(provider, credential)
        if need is None:
            raise ValueError(f"provider {provider.id} takes its credential as it is: ask `needs` first")
        held = self._held.get(need)
        if held is None:
            held = self._held[need] = self._build_held(need, credential)
        return held

    def _build_held(self, need: Need, credential: Credential | None) -> _Held:
        name = "" if credential is None or need.secret is None else credential.name
        return _Held(need, name, self._now())

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

    def _start(self, held: _Held) -> asyncio.Task[Secret | _Failure]:
        if self._closed:
            raise UpstreamFailure(Outcome.CANCELLED, "the gateway stops")
        flight = asyncio.create_task(self._fly(held), name=f"token for {held.need.provider}")
        held.flight = flight
        self._flights.add(flight)
        flight.add_done_callback(partial(self._land, held))
        return flight

    def _land(self, held: _Held, flight: asyncio.Task[Secret | _Failure]) -> None:
        held.flight = None
        self._flights.discard(flight)
        self._wake.set()  # another one has its turn

    async def _fly(self, held: _Held) -> Secret | _Failure:
        """One exchange, and what follows from it."""
        began_s = self._now()
        came = await self._mint(held.need)
        now_s = self._now()
        if isinstance(came, _Failure):
            self._note_failure(held, came, now_s)
            return came
        if held.failure is not None:
            log.info("token got again", provider=held.need.provider, credential=held.name)
        token, life_s = came
        share = RENEWED_AT + SPREAD * (self._draw() - 0.5)
        held.token = token
        held.ends_s = began_s + life_s
        held.due_s = max(began_s + life_s * share, now_s + MIN_REST_S)
        held.failure = None
        held.failures = 0
        return token

    async def _mint(self, need: Need) -> tuple[Secret, float] | _Failure:
        try:
            async with asyncio.timeout(self._exchange_s):
                token = await mint(need, self._means)
        except TokenRefused as refused:
            return _Failure(None, refused.reason)
        except UpstreamFailure as failure:
            return _Failure(failure.outcome, failure.reason)
        except TimeoutError:
            return _Failure(Outcome.TIMEOUT, f"no token within {self._exchange_s:g} s")
        except Exception:
            # Remembered as any failure, or `run` would repeat it at full speed. As text: renderers that print
            # local variables would print secrets.
            log.error("token not got by a bug", provider=need.provider, traceback=traceback.format_exc())  # noqa: TRY400
            return _Failure(Outcome.MALFORMED, "the exchange failed by a bug of ours")
        return token.secret, token.life_s

    def _note_failure(self, held: _Held, failure: _Failure, now_s: float) -> None:
        if held.failure != failure:
            log.warning(
                "token not got", provider=held.need.provider, credential=held.name, reason=failure.reason
            )
        backoff_s = min(FIRST_BACKOFF_S * 2.0 ** min(held.failures, 10), MAX_BACKOFF_S)
        held.due_s = now_s + backoff_s * (0.5 + self._draw() / 2)
        held.failure = failure
        held.failed_s = now_s
        held.failures += 1
