"""What was used is the same number wherever it is told: to the tenant, to a scraper, in the status, on the
command line, in the ledger.
"""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_up import KEY, Up
from tests.e2e.manifests import provider, route
from tests.e2e.processes import wait_until
from tests.e2e.system import fetch_json

QUOTA = """\
apiVersion: headgate.dev/v1alpha1
kind: TenantQuota
metadata: {name: me}
spec:
  subjects: [{name: me, type: APIKey, secretRef: {name: me}}]
  requestsPerMinute: 4
  tokensPerMinute: 100000
  limits:
    - {name: dollars, resource: USD, amount: "25.00", window: 1h}
    - {name: trial, amount: 2, window: 1m, mode: Shadow}
---
apiVersion: v1
kind: Secret
metadata: {name: me}
stringData: {api-key: sk-up-1}
"""
NAMES = ("requests-per-minute", "tokens-per-minute", "dollars", "trial")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """It has served four requests, whose tokens have a price, and refused a fifth; all is written down."""
    folder: Path = tmp_path_factory.mktemp("use") / "config"
    folder.mkdir()
    up = Up(folder, {"XDG_STATE_HOME": str(folder.parent / "state")})
    priced = provider("local", up.provider_url).replace(
        "{name: gpt-4o-mini}", '{name: gpt-4o-mini, price: {input: "150", output: "600"}}'
    )
    up.write("provider.yaml", priced)
    up.write("route.yaml", route("chat", "local"))
    up.write("quota.yaml", QUOTA)
    try:
        up.start()
        assert [up.ask()[0] for _ in range(5)] == [200] * 4 + [429]
        wait_until(lambda: fetch_own(up, "/v1/usage?by=tenant")["total"]["requests"] == 4, "rows are written")
        yield up
    finally:
        up.close()


def fetch_own(up: Up, path: str) -> Any:
    """As the tenant."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{up.port}{path}", headers={"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def fetch_quota(up: Up) -> dict[str, Any]:
    items = fetch_json(f"http://127.0.0.1:{up.admin_port}/status")["items"]
    return next(item["status"] for item in items if item["kind"] == "TenantQuota")


def fetch_metrics(up: Up) -> dict[str, str]:
    """The samples of tenants, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{up.admin_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return dict(re.findall(r"^headgate_tenant_(\S+) (\S+)$", text, re.MULTILINE))


def test_a_tenant_a_scraper_the_status_and_the_ledger_are_told_the_same(up: Up) -> None:
    told = {one["name"]: one for one in fetch_own(up, "/v1/limits")["data"]}
    quota, metrics = fetch_quota(up), fetch_metrics(up)
    total = fetch_own(up, "/v1/usage?by=tenant")["total"]

    shown = {one["name"]: one for one in quota["limits"]}
    assert tuple(shown) == tuple(told) == NAMES
    for name in NAMES:
        own, here = shown[name], told[name]
        labels = f'{{limit="{name}",tenant="default/me"}}'
        for what in ("amount", "used", "held"):
            assert own[what] == here[what], (name, what)
            assert Decimal(metrics[f"limit_{what}{labels}"]) == Decimal(own[what]), (name, what)
        assert (own["remaining"], own["resource"], own["mode"]) == (
            here["remaining"],
            here["resource"],
            here["mode"],
        )
    assert (shown["requests-per-minute"]["used"], shown["trial"]["used"]) == (4, 4)
    assert shown["dollars"]["used"] == total["cost_usd"]
    assert Decimal(metrics['cost_usd_total{tenant="default/me"}']) == Decimal(total["cost_usd"])
    tokens = [metrics[f'tokens_total{{direction="{d}",tenant="default/me"}}'] for d in ("input", "output")]
    assert [int(float(count)) for count in tokens] == [total["input_tokens"], total["output_tokens"]]
    assert shown["tokens-per-minute"]["used"] == total["input_tokens"] + total["output_tokens"]
    refused = 'limit_refusals_total{limit="requests-per-minute",resource="Requests",tenant="default/me"}'
    assert metrics[refused] == "1.0"


def test_headgate_status_shows_spend_and_the_tightest_limit_and_stays_ready(up: Up) -> None:
    command = [sys.executable, "-m", "headgate.cli", "status"]
    command += ["--url", f"http://127.0.0.1:{up.admin_port}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    quota = fetch_quota(up)

    header, row = (line.split() for line in shown.split("\n\n")[-1].splitlines())
    conditions = {c["type"]: (c["status"], c["reason"]) for c in quota["conditions"]}
    assert header == ["NAME", "READY", "REASON", "SUBJECTS", "SPEND", "TIGHTEST", "GATEWAYS", "AGE"]
    assert row[:7] == [
        "tenantquota.headgate.dev/me",
        "True",
        "Ready",
        "1/1",
        quota["spend"],
        "requests-per-minute",
        "100%",
    ]
    assert re.fullmatch(r"0\.\d\d/25\.00", quota["spend"])
    assert conditions["WithinLimits"] == ("False", "Exhausted")
    assert len(quota["keys"]) == 1
    assert re.fullmatch("[0-9a-f]{12}", quota["keys"][0]["id"])
    assert quota["keys"][0]["lastUsed"].endswith(":00Z")
