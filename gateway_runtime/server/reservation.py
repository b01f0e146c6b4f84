"""What is held for one request until it is over: made by `request`, ended by `settle`."""

from typing import NamedTuple

from gateway_runtime.engine.amounts import Bound
from gateway_runtime.engine.hold import Hold


class Reservation(NamedTuple):
    hold: Hold
    bound: Bound
    size: int
    """Of the request's body, in bytes."""
    said: int | None
    """The limit of its output, where the caller had none."""
