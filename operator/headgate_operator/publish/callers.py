"""Who is dialling: a gateway's projected ServiceAccount token, checked by the API server's TokenReview.

In: the Authorization header. Out: a Caller, or a Refusal with the HTTP status and a sentence that names the
remedy. `server` asks before it lets anyone onto the stream, which carries provider keys.

Rules. A good answer is kept for five minutes at most and never past the token's own end; a bad one for ten
seconds. While the API server cannot be asked, a token that it knew before is good until its own end; a token
that it never knew stays outside.
"""

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import structlog

from headgate_operator.kube import KubeError, Reviewed

log = structlog.get_logger()

TRUSTED_S: Final = 300.0
"""How long a revoked token may still open a new connection."""
REFUSED_S: Final = 10.0
"""Short: a gateway that was refused for a binding just made gets in soon; long enough to stop a hot loop."""
ENDLESS_GRACE_S: Final = 3600.0
"""The grace of a token without an end of its own; projected tokens have one."""
MAX_KEPT: Final = 4096
MAX_REVIEWS: Final = 16
"""At once; a thousand gateways that redial together must not spend the operator's share of the API server."""
_ACCOUNT_PREFIX: Final = "system:serviceaccount:"


class TokenReviewer(Protocol):
    async def review_token(self, token: str, audience: str) -> Reviewed | None: ...


class Caller(NamedTuple):
    account: str
    """`<namespace>:<name>` of its service account."""
    pod: str | None
    """The pod that the token is bound to, with its namespace when gateways live in several."""


class Refusal(NamedTuple):
    status: int
    """401: no good token. 403: a good token of somebody else. 503: nobody could be asked."""
    message: str


class _Claims(msgspec.Struct):
    aud: str | tuple[str, ...] = ()
    exp: float | None = None


class _Kept(NamedTuple):
    verdict: Caller | Refusal
    asked_again_at_s: float
    graced_until_s: float


class Callers:
    """`clock`: Unix time, since the end of a token is written in it."""

    def __init__(
        self, reviewer: TokenReviewer, audience: str, accounts: Sequence[str], clock: Callable[[], float]
    ) -> None:
        self._reviewer = reviewer
        self._audience = audience
        self._accounts = frozenset(accounts)
        self._several_namespaces = len({account.partition(":")[0] for account in accounts}) > 1
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._reviews = asyncio.Semaphore(MAX_REVIEWS)

    async def identify(self, authorization: str | None) -> Caller | Refusal:
        """`authorization`: the header as it came."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return Refusal(
                401,
                "no token: send Authorization: Bearer <token>, a projected ServiceAccount token "
                f'with audience "{self._audience}"',
            )
        claims = _parse_claims(token)
        if claims is None:
            return Refusal(401, "the bearer token is not a ServiceAccount token")
        if self._audience not in ((claims.aud,) if isinstance(claims.aud, str) else claims.aud):
            return Refusal(
                401,
                "the token is meant for another audience; project the gateway's ServiceAccount token "
                f'with audience "{self._audience}"',
            )
        now_s = self._clock()
        if claims.exp is not None and claims.exp <= now_s:
            return Refusal(
                401, "the token has expired; read it from its file again, the kubelet renews it there"
            )
        key = hashlib.sha256(token.encode()).digest()
        kept = self._kept.get(key)
        if kept is not None and now_s < kept.asked_again_at_s:
            self._kept.move_to_end(key)
            return kept.verdict
        try:
            async with self._reviews:
                reviewed = await self._reviewer.review_token(token, self._audience)
        except KubeError as error:
            return self._judge_unasked(kept, now_s, error)
        verdict = self._judge(reviewed)
        self._keep(key, verdict, claims.exp, now_s)
        return verdict

    def _judge(self, reviewed: Reviewed | None) -> Caller | Refusal:
        if reviewed is None:
            return Refusal(401, "the API server does not accept the token")
        account = reviewed.username.removeprefix(_ACCOUNT_PREFIX)
        if not reviewed.username.startswith(_ACCOUNT_PREFIX) or account not in self._accounts:
            allowed = " or ".join(_ACCOUNT_PREFIX + account for account in sorted(self._accounts))
            return Refusal(
                403,
                f"{reviewed.username} may not read the routing table; run the gateway as {allowed}, "
                "or name its account with --gateway-account",
            )
        if reviewed.pod is not None and self._several_namespaces:
            return Caller(account, f"{account.partition(':')[0]}/{reviewed.pod}")
        return Caller(account, reviewed.pod)

    def _judge_unasked(self, kept: _Kept | None, now_s: float, error: KubeError) -> Caller | Refusal:
        if kept is not None and isinstance(kept.verdict, Caller) and now_s < kept.graced_until_s:
            log.warning("token not reviewed, known before", account=kept.verdict.account, error=str(error))
            return kept.verdict
        log.warning("token not reviewed, not known", error=str(error))
        return Refusal(503, "the API server cannot be asked who this token belongs to; dial again")

    def _keep(self, key: bytes, verdict: Caller | Refusal, expires_s: float | None, now_s: float) -> None:
        good = isinstance(verdict, Caller)
        ends_s = now_s + ENDLESS_GRACE_S if expires_s is None else expires_s
        self._kept[key] = _Kept(
            verdict,
            asked_again_at_s=min(ends_s, now_s + (TRUSTED_S if good else REFUSED_S)),
            graced_until_s=ends_s if good else now_s,
        )
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def statistics(self) -> dict[str, int]:
        return {"kept": len(self._kept)}


def _parse_claims(token: str) -> _Claims | None:
    """Of a JWT, unverified: only to refuse early and to know how long an answer may be kept."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=_Claims)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
