"""Several gateway processes as one: `headgate gateway --workers N`.

    operator <-> parent (table, probes, disk, admin port) <-> N workers (the front port, shared) <-> callers

The parent serves no request. Downward go each table, each worker's part of the limits, what the probes say;
upward come acks, endpoint reports and metrics, and are joined: to the operator and to a scraper the pod is
one gateway. `pod` puts the parent together, `worker` is what a child runs, `channel` is all they say to each
other.

The one subtle rule: a worker never listens with a table older than the one the operator has our Ack for.
"""

from gateway_runtime.workers.pod import run_workers

__all__ = ["run_workers"]
