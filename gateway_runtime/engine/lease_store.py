"""The store that gateways share, as a Python object: a LeaseCall in, a LeaseAnswer out, in one step.

The rules that hold for `stores/lease.lua` too, which does the same in Redis; a test gives both the same
calls. Simulations, `headgate verify-limits` and tests use this one; `now_ms` is an argument.

    free = amount - sum(buckets that count) - sum(leases)

Rules. A lease is granted from what is free alone. What was spent is counted in the bucket of *now*: never
earlier than it was admitted. A bucket counts while it may hold anything newer than a window. A lease has a
term; behind it, it is counted as spent, all of it, and what its gateway says of it later is void. Of
Concurrency nothing is counted: its leases are what is running, and end with their term.

Time never goes back, and never jumps: who calls says what the clock should show, and a root's own clock
follows that when the two differ (`skew`). Calendar periods go by the real clock, and never back: what was
used in one counts until it ends, also where an edit, or a gateway whose clock is ahead, begins another.

The subtle rule: a store may lose its memory, or fall back to an older one. Another process answers then, or
it has not counted all of some gateway's calls, or does not know the root. A new epoch begins, in which every
gateway asserts: it tells what it holds, and what it has charged behind the last of its calls that the store
remembers. Nothing is granted until all have, or a window has passed.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from gateway_runtime.engine.lease_call import (
    RECOVERY_MS,
    LeaseAnswer,
    LeaseCall,
    ScopeAnswer,
    ScopeAsk,
    Verdict,
)

TOLERANCE_MS: Final = 100
"""By which a clock may differ from what a caller expects, as calls take time. Buckets count so much longer.
"""
SOON_MS: Final = 1000
"""After which a lease that its gateway no longer uses is back, all but 3 % of it: with each beat of 100 ms a
gateway keeps 0.7 of what it kept before. The last of 3,000 took three seconds. When a running request ends is
not known; as long as a short answer takes is a guess.
"""


@dataclass(slots=True)
class _Lease:
    amount: int
    expires_ms: int
    generation: int
    held: int


@dataclass(slots=True)
class ScopeState:
    birth: int
    width_ms: int
    oldest: int = 0
    ends_ms: int = 0
    """Of a calendar: of the period in which it counts."""
    total: int = 0
    buckets: dict[int, int] = field(default_factory=dict)
    leases: dict[str, _Lease] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """The last generation of each gateway whose lease was taken back."""
    asserted: dict[str, int] = field(default_factory=dict)
    """The last epoch in which each gateway has."""

    def charge(self, bucket: int, amount: int) -> None:
        if amount:
            self.buckets[bucket] = self.buckets.get(bucket, 0) + amount
            self.total += amount


@dataclass(slots=True)
class _Root:
    epoch: int
    since_ms: int
    """When the recovery began."""
    birth: int
    """The epoch in which it knew nothing."""
    server: str
    recovering: bool = True
    skew_ms: int = 0
    last_ms: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)
    asserted: set[str] = field(default_factory=set)


class MemoryStore:
    def __init__(self, server: str = "") -> None:
        self.server = server
        self._roots: dict[str, _Root] = {}
        self._scopes: dict[tuple[str, str], ScopeState] = {}

    def forget(self) -> None:
        """As a server that is restarted without a disk."""
        self._roots.clear()
        self._scopes.clear()

    def scopes(self) -> Collection["ScopeState"]:
        """As of the last call of each: to be looked at."""
        return self._scopes.values()

    def exchange(self, root_id: str, call: LeaseCall, clock_ms: int) -> LeaseAnswer:
        root = self._roots.get(root_id)
        if root is None:
            epoch = max(clock_ms, call.epoch + 1)
            root = self._roots[root_id] = _Root(epoch, 0, epoch, call.server)
        counted = root.counts.get(call.gateway, 0)
        if call.server != root.server or (call.epoch == root.epoch and call.acknowledged > counted):
            root.epoch = max(clock_ms, root.epoch + 1, call.epoch + 1)
            root.server, root.since_ms, root.recovering = call.server, 0, True
            root.expected, root.asserted = set(), set()
        now_ms = clock_ms + root.skew_ms
        if call.estimate_ms >= 0:
            latest_ms = call.estimate_ms + call.uncertain_ms
            if now_ms < call.estimate_ms - TOLERANCE_MS:
                root.skew_ms += call.estimate_ms - now_ms
                root.since_ms = now_ms = call.estimate_ms  # no time has passed for those that are waited for
            elif now_ms > latest_ms + TOLERANCE_MS:
                root.skew_ms += latest_ms - now_ms
                now_ms = latest_ms
        if now_ms < root.last_ms:
            root.skew_ms += root.last_ms - now_ms
            now_ms = root.last_ms
        root.last_ms = now_ms
        if root.since_ms == 0:
            root.since_ms = now_ms
        if call.epoch != root.epoch and not call.asserts:
            return LeaseAnswer(root.epoch, now_ms, False, counted, root.recovering, ())
        root.counts[call.gateway] = call.sequence
        if call.asserts:
            root.expected.update(call.peers)
            if call.asserts == 2:
                root.asserted.add(call.gateway)
            if root.expected <= root.asserted:
                root.recovering = False
        judged = [self._count(root_id, root, call, ask, now_ms, clock_ms) for ask in call.scopes]
        fits = all(
            ask.need <= free for ask, (_, _, _, free) in zip(call.scopes, judged, strict=True) if ask.need
        )
        answers = tuple(
            self._grant(root, call, ask, found, now_ms, clock_ms, fits=fits)
            for ask, found in zip(call.scopes, judged, strict=True)
        )
        withheld = any(_is_withheld(root, call, ask, now_ms) for ask in call.scopes)
        recovering = root.recovering and (withheld or not call.scopes)
        return LeaseAnswer(root.epoch, now_ms, True, call.sequence, recovering, answers)

    def _count(
        self, root_id: str, root: _Root, call: LeaseCall, ask: ScopeAsk, now_ms: int, clock_ms: int
    ) -> tuple[ScopeState, int, Verdict, int]:
        """What the gateway says, counted. Gives the bucket of now and what is free."""
        scope = self._scopes.get((root_id, ask.key))
        if scope is None or scope.birth != root.birth:
            scope = self._scopes[root_id, ask.key] = ScopeState(root.birth, ask.width_ms)
        bucket, oldest = _find_buckets(ask, scope, now_ms, clock_ms)
        began_early = oldest > scope.oldest and clock_ms < scope.ends_ms
        if scope.width_ms != ask.width_ms or began_early:  # an edit: what was used counts on, as used now
            total = scope.total
            scope.buckets.clear()
            scope.total = 0
            scope.width_ms = ask.width_ms
            scope.charge(bucket, total)
        for index in [index for index in scope.buckets if index < oldest]:
            scope.total -= scope.buckets.pop(index)
        scope.oldest = oldest
        scope.ends_ms = _find_end(ask, scope, clock_ms)
        for gateway, lease in list(scope.leases.items()):
            is_old = gateway == call.gateway and lease.generation != ask.generation
            if is_old and call.asserts:
                del scope.leases[gateway]  # what was spent of it is in the journal
            elif lease.expires_ms <= now_ms or is_old:
                del scope.leases[gateway]
                if not ask.concurrency:
                    scope.charge(bucket, lease.amount)
                    scope.ended[gateway] = lease.generation
        verdict, spent, keep = Verdict.COUNTED, ask.spent, ask.keep
        if call.asserts:
            if scope.asserted.get(call.gateway) != root.epoch:  # else it is repeated: its answer was lost
                scope.asserted[call.gateway] = root.epoch
                for index, amount in zip(ask.journal[::2], ask.journal[1::2], strict=True):
                    if index >= oldest:
                        scope.charge(index, amount)
        elif scope.ended.get(call.gateway) == ask.generation:
            verdict, spent, keep = Verdict.LOST, 0, 0
        if not ask.concurrency:
            scope.charge(bucket, spent)
        for index, amount in zip(ask.refunds[::2], ask.refunds[1::2], strict=True):
            if index >= oldest and index in scope.buckets:
                scope.charge(index, -amount)
        expires_ms = now_ms + call.term_ms
        scope.leases[call.gateway] = _Lease(keep, expires_ms, ask.generation, ask.held)
        leased = sum(one.amount for one in scope.leases.values())
        return scope, bucket, verdict, ask.amount - scope.total - leased

    def _grant(
        self,
        root: _Root,
        call: LeaseCall,
        ask: ScopeAsk,
        found: tuple[ScopeState, int, Verdict, int],
        now_ms: int,
        clock_ms: int,
        *,
        fits: bool,
    ) -> ScopeAnswer:
        scope, bucket, verdict, free = found
        granted = 0
        withheld = _is_withheld(root, call, ask, now_ms)
        if ask.want and not withheld and free > 0 and (fits or not ask.need):
            granted = min(max(ask.need, min(ask.want, free // (2 * call.gateways))), free)
        wait_ms = 0
        if ask.need and granted < ask.need:
            granted = 0
            unspent = sum(one.amount for name, one in scope.leases.items() if name != call.gateway)
            wait_ms = _find_wait(scope, ask, ask.need - free, unspent, now_ms, clock_ms)
        lease = scope.leases[call.gateway]
        lease.amount += granted
        if lease.amount == 0 and lease.held == 0:
            del scope.leases[call.gateway]
        return ScopeAnswer(
            verdict,
            granted,
            bucket,
            scope.oldest,
            scope.total,
            sum(one.amount for one in scope.leases.values()),
            sum(one.held for one in scope.leases.values()),
            free - granted,
            wait_ms,
        )


def _is_withheld(root: _Root, call: LeaseCall, ask: ScopeAsk, now_ms: int) -> bool:
    """Others have not asserted yet, and what they may have charged counts still: what they had been granted
    they may spend to the end of its term, and then it counts for a window.
    """
    longest_ms = RECOVERY_MS if ask.periods else min(ask.window_ms + call.term_ms, RECOVERY_MS)
    return root.recovering and now_ms < root.since_ms + longest_ms


def _find_buckets(ask: ScopeAsk, scope: ScopeState, now_ms: int, clock_ms: int) -> tuple[int, int]:
    """Of now, and the oldest that counts."""
    if ask.concurrency:
        return 0, 0
    if ask.width_ms:
        return now_ms // ask.width_ms, (now_ms - ask.window_ms - TOLERANCE_MS) // ask.width_ms
    start = ask.periods[0]
    if clock_ms >= ask.periods[1]:
        start = ask.periods[2]
    if scope.width_ms == 0 and scope.oldest:
        start = scope.oldest if clock_ms < start else max(start, scope.oldest)
    return start, start


def _find_end(ask: ScopeAsk, scope: ScopeState, clock_ms: int) -> int:
    """Of the period of a calendar; 0 of all else."""
    if ask.concurrency or ask.width_ms:
        return 0
    if clock_ms < ask.periods[0]:
        return scope.ends_ms  # the gateway's clock is ahead
    return ask.periods[1] if clock_ms < ask.periods[1] else ask.periods[3]


def _find_wait(
    scope: ScopeState, ask: ScopeAsk, missing: int, unspent: int, now_ms: int, clock_ms: int
) -> int:
    """Until so much more will be free, if nobody takes it. unspent: what others hold in advance.

    Nothing that was spent is promised before it leaves. What is held in advance is taken to come back, for
    nobody knows better: where it is spent instead, that is counted within a beat, and whoever comes again is
    told when it leaves. Rejected: to take it for spent, which sends callers away for an hour where a second
    would do.
    """
    if missing <= 0:
        return 100  # another limit refused, or others have not asserted yet
    if ask.concurrency:
        return SOON_MS
    leaves_ms = _find_leaving(scope, ask, missing, now_ms, clock_ms)
    return min(leaves_ms, max(SOON_MS, _find_leaving(scope, ask, missing - unspent, now_ms, clock_ms)))


def _find_leaving(scope: ScopeState, ask: ScopeAsk, amount: int, now_ms: int, clock_ms: int) -> int:
    """Until so much of what was spent counts no more; the window when that is more than there is."""
    if amount <= 0:
        return 0
    if not ask.width_ms:
        return max(1, (ask.periods[1] if clock_ms < ask.periods[1] else ask.periods[3]) - clock_ms)
    for index in sorted(scope.buckets):
        amount -= scope.buckets[index]
        if amount <= 0:
            return max(1, (index + 1) * ask.width_ms + ask.window_ms + TOLERANCE_MS - now_ms)
    return ask.window_ms
