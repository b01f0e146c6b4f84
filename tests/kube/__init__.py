"""A real Kubernetes API server for the tests, and proxies that break the way to it.

In: three programs (`assets`), found or built from source. Out: `Cluster`, an etcd and a kube-apiserver on
127.0.0.1 that end with the process that started them; `FaultProxy` and `ApiProxy`, which stand before it.
Tests come in through `fixtures`, developers through `python -m tests.kube.cluster`. Nothing in `operator/`,
`gateway_runtime/` or `headgate/` may import from here.

There is an API server and nothing else: no controller-manager, so no pods run, nobody makes `default`
ServiceAccounts, nobody collects garbage by owner references, and `namespaces` does by hand what ends a
namespace. CRDs with CEL, server-side apply, watches, RBAC, TokenRequest, TokenReview and Leases are the real
ones.
"""
