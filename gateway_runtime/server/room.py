"""What all requests of a gateway share: made once by `main`, handed on from `front` to each request."""

from collections.abc import Callable
from typing import NamedTuple

from gateway_runtime.identity import Authenticator
from gateway_runtime.server.account import Books
from gateway_runtime.server.address import Desk
from gateway_runtime.server.endpoint import Clock
from gateway_runtime.server.metrics import Metrics
from gateway_runtime.server.patience import Timekeeper
from gateway_runtime.server.reload import Reloader
from gateway_runtime.server.state import LiveState
from gateway_runtime.upstream.exchange import Transport


class Room(NamedTuple):
    reloader: Reloader
    state: LiveState
    transport: Transport
    metrics: Metrics
    clock: Clock
    keeper: Timekeeper
    draw: Callable[[], float]
    desk: Desk
    authenticator: Authenticator
    books: Books
