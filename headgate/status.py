"""`headgate status`: what a running `headgate up` knows, in the tables of `kubectl get`.

In: the admin address of the gateway. Out: text for stdout. The objects and their statuses come from the
gateway process itself, made by the function that writes CR status in a cluster.
"""

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

import yaml

from headgate.columns import build_table
from headgate_operator.api.kinds import KINDS


class Unreachable(Exception):
    """Nothing answers there; the message says what to do."""


def fetch_objects(url: str, timeout_s: float = 5.0) -> list[dict[str, Any]]:
    """Raises Unreachable."""
    address = f"{url.rstrip('/')}/status"
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as answer:
            document: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(
            f"no gateway answers at {address} ({reason}): start one with `headgate up DIR`, "
            "or name its admin address with --url"
        ) from error
    objects: list[dict[str, Any]] = document["items"]
    return objects


def show_objects(objects: list[dict[str, Any]], output: str) -> str:
    """`output`: table, wide, json or yaml."""
    if output == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=2)
    if output == "yaml":
        text: str = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects}, sort_keys=False)
        return text.rstrip()
    namespaces = len({item["metadata"]["namespace"] for item in objects}) > 1
    tables = []
    for kind in KINDS.values():
        of_kind = [item for item in objects if item["kind"] == kind.name]
        if of_kind:
            now = datetime.now(UTC)
            tables.append(
                "\n".join(build_table(kind, of_kind, now, wide=output == "wide", namespaces=namespaces))
            )
    return "\n\n".join(tables) if tables else "No resources found."
