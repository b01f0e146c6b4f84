"""The data plane: a routing table in, answered requests out. It knows nothing of Kubernetes.

One request: authenticate -> match -> reserve -> order targets -> attempt (circuit, retry, deadline) -> answer
-> record. `contract` is what the control plane shares, `engine` decides, `providers` knows the wire formats,
`server` does the I/O. This module imports nothing, so that `import gateway_runtime.contract` stays cheap for
the operator.
"""
