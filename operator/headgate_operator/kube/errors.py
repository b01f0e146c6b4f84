"""What can go wrong between us and the API server, and whether trying again can help.

`Connection` maps every foreign exception and every HTTP status to one of these, with `from`; nobody else in
the operator sees an aiohttp or kubernetes exception.
"""

from typing import Final

_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class KubeError(Exception):
    """The API server refused. The message names the request and has the server's own words."""

    def __init__(self, message: str, *, status: int | None, retryable: bool) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        """Whether the same request may succeed a little later."""


class Unreachable(KubeError):
    """No answer: connection refused or cut, or too slow."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=None, retryable=True)


class NotFound(KubeError):
    """404: the object, its namespace, or its whole kind."""


class Conflict(KubeError):
    """409: somebody else was faster, or it exists already. Read again and decide anew."""


class Gone(KubeError):
    """410: the resourceVersion or the continue token is too old. List from the start."""


_CLASSES: Final = {404: NotFound, 409: Conflict, 410: Gone}


def make_error(request: str, status: int, message: str) -> KubeError:
    """`request`: method and path; `message`: the server's."""
    cls = _CLASSES.get(status, KubeError)
    return cls(f"{request}: {status}: {message}", status=status, retryable=status in _RETRYABLE)
