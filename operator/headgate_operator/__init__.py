"""The control plane: custom resources in, a routing table for the gateways out, and the truth written back to
status.

    YAML -> api -> compile -> (RoutingTable, Verdicts) -> publish -> gateways
    gateways -> HealthReport -> rollup -> status -> YAML

`api`, `compile` and `rollup` are pure; everything that talks to Kubernetes or to a gateway stands in the
modules around them.
"""
