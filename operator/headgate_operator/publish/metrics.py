"""What the config stream tells Prometheus, in the registry that the operator's `/metrics` shows."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class PublishMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.gateways = Gauge(
            "headgate_gateways_connected", "Gateways on the config stream.", registry=registry
        )
        self.refusals = Counter(
            "headgate_config_refusals", "Versions that a gateway refused.", registry=registry
        )
        self.bootstrap_bytes = Gauge(
            "headgate_bootstrap_bytes", "Size of the compressed bootstrap table.", registry=registry
        )
        self.bootstrap_too_large = Gauge(
            "headgate_bootstrap_too_large",
            "1 when the table does not fit into the bootstrap Secrets, so that they hold an older one.",
            registry=registry,
        )
