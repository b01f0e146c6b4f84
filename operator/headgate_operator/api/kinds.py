"""The three kinds: names, models and printer columns. The CRDs, the API paths and `headgate status` all read
this table.
"""

from typing import Final, NamedTuple

from headgate_operator.api.model import ApiModel
from headgate_operator.api.provider import LLMProviderSpec
from headgate_operator.api.quota import TenantQuotaSpec
from headgate_operator.api.route import ModelRouteSpec
from headgate_operator.api.status import LLMProviderStatus, ModelRouteStatus, TenantQuotaStatus

GROUP: Final = "headgate.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "headgate"


class Column(NamedTuple):
    name: str
    path: str
    """JSONPath as the CRD has it."""
    type: str = "string"
    priority: int = 0
    """Above 0: shown only with `-o wide`."""


class Kind(NamedTuple):
    name: str
    plural: str
    singular: str
    short: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Column, ...]


def _condition(kind: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_READY: Final = Column("Ready", _condition("Ready"))
_GATEWAYS: Final = Column("Gateways", ".status.gateways")
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
_REASON: Final = Column("Reason", _condition("Ready", "reason"))
_MESSAGE: Final = Column("Message", _condition("Ready", "message"), priority=1)

PROVIDER: Final = Kind(
    "LLMProvider",
    "llmproviders",
    "llmprovider",
    "llmp",
    LLMProviderSpec,
    LLMProviderStatus,
    (
        Column("Type", ".spec.type"),
        _READY,
        _REASON,
        Column("Health", ".status.health"),
        Column("Circuit", ".status.circuit"),
        _GATEWAYS,
        _AGE,
        _MESSAGE,
    ),
)
ROUTE: Final = Kind(
    "ModelRoute",
    "modelroutes",
    "modelroute",
    "mr",
    ModelRouteSpec,
    ModelRouteStatus,
    (
        Column("Models", ".spec.models"),
        _READY,
        _REASON,
        Column("Targets", ".status.targets"),
        _GATEWAYS,
        _AGE,
        _MESSAGE,
    ),
)
QUOTA: Final = Kind(
    "TenantQuota",
    "tenantquotas",
    "tenantquota",
    "tq",
    TenantQuotaSpec,
    TenantQuotaStatus,
    (
        _READY,
        _REASON,
        Column("Subjects", ".status.subjects"),
        Column("Spend", ".status.spend"),
        Column("Tightest", ".status.tightest"),
        _GATEWAYS,
        _AGE,
        _MESSAGE,
    ),
)
KINDS: Final = {kind.name: kind for kind in (PROVIDER, ROUTE, QUOTA)}
