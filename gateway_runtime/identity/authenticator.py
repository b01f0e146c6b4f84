"""Who calls, decided: a key and the connection it came on in, an Identity or a Rejection out.

    recognize   an API key, a token seen before, a proxy's word, or nobody at all: at once, for every request
    identify    all of that; else a token is verified, for which its issuer's keys may have to be fetched

`server` asks `recognize` on both of its ways, and `identify` in a task where that knew nobody. `main` tells
of each table in the step in which it is swapped.

The one subtle rule: what is remembered of a token is the tenant of one table and the word of one set of keys.
Both `configure` and a change of any issuer's keys forget all of it, and nothing is awaited between verifying
and remembering.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway_runtime.contract.ids import KeyHash
from gateway_runtime.contract.keys import hash_key
from gateway_runtime.contract.tenant import JwtSubject, Tenant
from gateway_runtime.engine.identity import Identity
from gateway_runtime.engine.lookup import LiveTable
from gateway_runtime.identity.document import Fetch
from gateway_runtime.identity.key_store import CallLater, KeyStore, Source, source_of
from gateway_runtime.identity.keys import PublicKey
from gateway_runtime.identity.memory import Memory, digest_key
from gateway_runtime.identity.peer import Peer
from gateway_runtime.identity.proxies import TrustedProxies
from gateway_runtime.identity.rejection import Reason, Rejection
from gateway_runtime.identity.signature import Claims
from gateway_runtime.identity.subject import build_identity, find_subject, prove_token
from gateway_runtime.identity.token import UnverifiedToken, read_token

SHORT_CHARACTERS: Final = 128
"""Up to here it can be no token: an Ed25519 signature alone has 86. API keys are mostly far shorter."""

DOUBTFUL_S: Final = 60.0
"""How long a token is believed to be of one tenant while the keys of another's subject,
which comes before, cannot be had.
"""

_CURABLE: Final = frozenset({Reason.UNKNOWN_SIGNER, Reason.BAD_SIGNATURE, Reason.NO_KEYS})
"""Newer keys of the issuer may prove it yet."""


class Serving(Protocol):
    """A table that runs: `server.reload.Running`."""

    @property
    def live(self) -> LiveTable: ...

    @property
    def hash_key(self) -> Callable[[str], KeyHash]: ...


class Authenticator:
    """Made and used inside a running event loop."""

    def __init__(
        self,
        fetch: Fetch,
        now: Callable[[], float],
        unix: Callable[[], float],
        draw: Callable[[], float],
        *,
        call_later: CallLater | None = None,
    ) -> None:
        """now: seconds, monotonic. unix: seconds. draw: numbers in [0, 1). call_later: None takes the
        loop's.
        """
        self.key_store = KeyStore(fetch, now, draw, self._forget, call_later=call_later)
        self._unix = unix
        self._memory = Memory()
        self._proxies = TrustedProxies(())
        self._live: LiveTable | None = None
        """For which all that is remembered is."""

    def configure(self, live: LiveTable) -> None:
        """This table serves from now on. Raises ValueError for a proxy's address that `server.check` should
        have found.
        """
        self._live = live
        self._memory.clear()
        self._proxies = TrustedProxies(live.proxies)
        self.key_store.configure((subject for _, subject in live.jwts), live.table.installation.cluster_keys)

    def recognize(self, running: Serving, key: str | None, peer: Peer) -> Identity | None:
        """None: nobody who is known yet. running: the one whose table `configure` was told."""
        live = running.live
        if key is None:
            return (self._proxies.find(peer) if live.proxies else None) or live.anonymous
        if not live.jwts or len(key) <= SHORT_CHARACTERS:
            identity = live.identities.get(running.hash_key(key))  # `live.authenticate`, a quarter faster
        else:
            # `hash_key` remembers keys by their text, and tokens come by the thousand and end.
            identity = self._memory.find(digest_key(key))
        if identity is None or identity.term is None or identity.term.holds(self._unix()):
            return identity
        return None

    async def identify(self, running: Serving, key: str | None, peer: Peer) -> Identity | Rejection:
        """As `recognize`, with all that takes longer."""
        identity = self.recognize(running, key, peer)
        if identity is not None:
            return identity
        if key is None:
            return Rejection(Reason.NO_KEY)
        live = running.live
        if len(key) <= SHORT_CHARACTERS:
            known = live.authenticate(running.hash_key(key))
        else:
            known = live.authenticate(hash_key(key, live.table.installation.key_salt))
        if known is not None:
            return self._judge_term(known) or self._remember(live, key, known)
        token = read_token(key) if live.jwts else None
        if token is None:
            return Rejection(Reason.UNKNOWN_KEY)
        if isinstance(token, Reason):
            return Rejection(token)
        found = await self._verify(live, key, token)
        return Rejection(found) if isinstance(found, Reason) else found

    def _judge_term(self, known: Identity) -> Rejection | None:
        term = known.term
        if term is None or term.holds(unix_s := self._unix()):
            return None
        if term.end_unix_s is not None and unix_s >= term.end_unix_s:
            return Rejection(Reason.KEY_ENDED, term.end_unix_s)
        return Rejection(Reason.KEY_NOT_YET, term.begin_unix_s or 0.0)

    def _remember(self, live: LiveTable, key: str, identity: Identity) -> Identity:
        if live is self._live and len(key) > SHORT_CHARACTERS:
            self._memory.remember(digest_key(key), identity)
        return identity

    def _forget(self) -> None:
        self._memory.clear()

    async def _verify(self, live: LiveTable, key: str, token: UnverifiedToken) -> Identity | Reason:
        subjects = [(tenant, one) for tenant, one in live.jwts if one.issuer == token.issuer]
        if not subjects:
            return Reason.UNKNOWN_ISSUER
        sources = {source_of(subject) for _, subject in subjects}
        await self.key_store.prepare(sources)
        found = self._try(live, subjects, key, token)
        if found in _CURABLE:
            lacking = [source for source in sources if self._find_key(source, token) is None]
            if await self.key_store.renew(lacking):
                found = self._try(live, subjects, key, token)
        return found

    def _try(
        self, live: LiveTable, subjects: Sequence[tuple[Tenant, JwtSubject]], key: str, token: UnverifiedToken
    ) -> Identity | Reason:
        """With the keys that are there. What fits is remembered."""
        unix_s = self._unix()

        def prove(source: Source) -> Claims | Reason:
            public = self._find_key(source, token)
            if public is None:
                return Reason.NO_KEYS if self.key_store.peek(source) is None else Reason.UNKNOWN_SIGNER
            return prove_token(key, public, token.algorithm, unix_s)

        fit = find_subject(subjects, prove)
        if isinstance(fit, Reason):
            return fit
        good_s = self.key_store.good_for_s(source_of(fit.subject))
        good_s = math.inf if good_s is None else good_s
        until_s = unix_s + (good_s if fit.is_certain else min(good_s, DOUBTFUL_S))
        return self._remember(live, key, build_identity(fit, until_s))

    def _find_key(self, source: Source, token: UnverifiedToken) -> PublicKey | None:
        keys = self.key_store.peek(source)
        return None if keys is None else keys.find(token.key_id, token.algorithm)
