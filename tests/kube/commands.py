"""The command lines of etcd and kube-apiserver, and the files that they name.

In: programs, a folder, ports. Out: argument lists for `Server`. Called by `Cluster`. Every flag that is not
obvious says why it is there.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.kube.assets import KubeAssets
from tests.kube.ports import HOST

API_AUDIENCE = "https://kubernetes.default.svc"
"""The audience of tokens that the API server itself accepts; also the issuer."""


def etcd_command(assets: KubeAssets, folder: Path, client_port: int, peer_port: int) -> list[str | Path]:
    client, peer = f"http://{HOST}:{client_port}", f"http://{HOST}:{peer_port}"
    return [
        assets.etcd,
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--socket-reuse-port=true",  # the port is held meanwhile: see `ports`
        "--unsafe-no-fsync",  # nothing here has to survive a power cut
    ]


def apiserver_command(assets: KubeAssets, folder: Path, port: int, etcd_port: int) -> list[str | Path]:
    key = folder / "service-accounts.key"
    return [
        assets.apiserver,
        f"--etcd-servers=http://{HOST}:{etcd_port}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        "--permit-port-sharing=true",  # the port is held meanwhile: see `ports`
        f"--cert-dir={folder / 'certs'}",  # it signs its own certificate, once
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={API_AUDIENCE}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",  # it wants `default` accounts, which nobody makes here
        "--service-cluster-ip-range=10.96.0.0/16",
        "--endpoint-reconciler-type=none",  # nobody looks for this server by the Service `kubernetes`
        "--max-requests-inflight=1600",  # load is the tests' own business; the defaults are 400 and 200
        "--max-mutating-requests-inflight=800",
    ]


def write_secrets(folder: Path, admin_token: str) -> None:
    """The key that signs ServiceAccount tokens, and the administrator's token."""
    key = ec.generate_private_key(ec.SECP256R1())  # RSA would take a tenth of a second and prove nothing more
    # Not PKCS8, from which the server does not read a public key.
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    (folder / "service-accounts.key").write_bytes(pem)
    (folder / "tokens.csv").write_text(f"{admin_token},admin,admin,system:masters\n")
