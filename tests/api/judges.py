"""Two judges of one object: our Python and a real API server. Neither stores anything.

In: an object as a YAML parser gives it. Out: a `Verdict`, the paths of the fields that a judge finds fault
with. Called by the tests of the corpus, of the boundaries and of chance objects, which want both to agree.

The one subtle thing is what the API server says on top: a rule of an object that has a malformed field fails
too, or cannot be evaluated. Python leaves that out, since it would only mislead; `find_disagreement` lets it
pass.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from headgate_operator.api.kinds import API_VERSION, KINDS
from headgate_operator.api.manifest import BrokenManifest, parse_manifest
from tests.kube.access import ApiConnection

Verdict = Mapping[str, tuple[str, ...]]
"""Path to messages; empty for an object that is accepted."""


def ask_python(raw: Mapping[str, Any]) -> Verdict:
    """As `headgate validate` asks."""
    parsed = parse_manifest(raw, refuse_unknown_fields=True)
    found: dict[str, list[str]] = defaultdict(list)
    if isinstance(parsed, BrokenManifest):
        for problem in parsed.problems:
            found[problem.path].append(problem.message)
    return {path: tuple(messages) for path, messages in found.items()}


class ApiServer:
    """Server-side dry-run creates with `fieldValidation=Strict`, over one connection."""

    def __init__(self, api: ApiConnection, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def ask(self, raw: Mapping[str, Any]) -> Verdict:
        plural = KINDS[raw["kind"]].plural
        self._api.http.request(
            "POST",
            f"/apis/{API_VERSION}/namespaces/{self._namespace}/{plural}?dryRun=All&fieldValidation=Strict",
            body=json.dumps(_as_kubectl_sends(raw)),
            headers={"Authorization": f"Bearer {self._api.token}", "Content-Type": "application/json"},
        )
        response = self._api.http.getresponse()
        answer = json.loads(response.read())
        return {} if response.status == 201 else _read_refusal(answer)


def find_disagreement(python: Verdict, server: Verdict) -> str:
    """Empty when both find fault with the same fields."""
    followed = {path for path in server if any(_is_inside(other, path) for other in python)}
    overlooked = sorted(server.keys() - python.keys() - followed)
    invented = sorted(python.keys() - server.keys())
    parts = [f"only the API server refuses {path}: {server[path]}" for path in overlooked]
    parts += [f"only Python refuses {path}: {python[path]}" for path in invented]
    return "; ".join(parts)


def _is_inside(path: str, outer: str) -> bool:
    return path.startswith((f"{outer}.", f"{outer}["))


def _as_kubectl_sends(value: Any) -> Any:
    """Go writes a number without a fraction as a whole one, whatever the YAML said."""
    if isinstance(value, Mapping):
        return {key: _as_kubectl_sends(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_kubectl_sends(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_refusal(status: Mapping[str, Any]) -> Verdict:
    found: dict[str, list[str]] = defaultdict(list)
    for path in re.findall(r'unknown field "([^"]*)"', status["message"]):
        found[path].append(status["message"])
    for cause in status.get("details", {}).get("causes", ()):
        # The server adds this one whenever the schema refused something, as a reminder to ask again.
        if "some validation rules were not checked" not in cause["message"]:
            message = re.sub(r'^Invalid value: ("([^"\\]|\\.)*": )?', "", cause["message"])
            found[cause.get("field", "")].append(message)
    assert found, status  # anything else is not about the object: a test that asks wrongly
    return {path: tuple(messages) for path, messages in found.items()}
