"""How many requests an API server has answered, by its own count.

In: the text of its /metrics. Out: a `Counter` by verb, resource and subresource; two of them subtract. Pure;
called by `Cluster.request_count`.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class RequestKey(NamedTuple):
    """`verb`: as the server counts: GET LIST WATCH POST PUT PATCH APPLY DELETE DELETECOLLECTION."""

    verb: str
    resource: str
    subresource: str


def parse_request_count(metrics: str, group: str | None) -> Counter[RequestKey]:
    """`group`: only requests for this API group, "" for the core group, None for all."""
    # The whole text is a megabyte and takes the parser a second; these lines take a millisecond.
    lines = [line for line in metrics.splitlines() if line.startswith("apiserver_request_total{")]
    counts: Counter[RequestKey] = Counter()
    for family in text_string_to_metric_families("\n".join([*lines, ""])):
        for sample in family.samples:
            labels = sample.labels
            if group is None or labels["group"] == group:
                counts[RequestKey(labels["verb"], labels["resource"], labels["subresource"])] += int(
                    sample.value
                )
    return counts
