"""What a connected gateway is called: pure."""

import re
from collections.abc import Container

from gateway_runtime.contract.ids import GatewayId

_NAME = re.compile(r"[A-Za-z0-9.~/@:_-]{1,253}")


def is_gateway_name(text: str) -> bool:
    """Whether it may stand in logs, messages and a status. A pod's name always may."""
    return _NAME.fullmatch(text) is not None


def name_gateway(said: GatewayId, pod: str | None, taken: Container[GatewayId]) -> GatewayId:
    """`said`: what its Hello says. `pod`: what its token is bound to. `taken`: who is connected.

    A token bound to a pod proves the name, so the pod's name is used, or a name that begins with it where a
    pod runs several processes; a second connection of that name is the same gateway that dialled again.
    Without a pod the name proves nothing: a second connection gets a number and drives out nobody.
    """
    if pod is not None:
        return said if said == pod or said.startswith(f"{pod}/") else GatewayId(pod)
    if said not in taken:
        return said
    number = 2
    while (numbered := GatewayId(f"{said}~{number}")) in taken:
        number += 1
    return numbered
