"""The Kubernetes API, as far as Headgate needs it: the only room that sends requests (Kopf's watches apart).

In: names and plain dicts. Out: plain dicts as the API server gives them, `KubeSecret` and `Reviewed`, and the
errors of `errors`. `Kube` has one method per verb that the operator's role allows; nothing else is ever sent.
Called by the store's sweep, the leader, the publisher and the status writer.
"""

from headgate_operator.kube.client import Kube, Page, Reviewed
from headgate_operator.kube.connection import Connection
from headgate_operator.kube.errors import Conflict, Gone, KubeError, NotFound, Unreachable
from headgate_operator.kube.secrets import KubeSecret, MalformedSecret

__all__ = [
    "Conflict",
    "Connection",
    "Gone",
    "Kube",
    "KubeError",
    "KubeSecret",
    "MalformedSecret",
    "NotFound",
    "Page",
    "Reviewed",
    "Unreachable",
]
