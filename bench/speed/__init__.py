"""How fast the gateway is, beside its peers, in one run on two cores.

    python -m bench.speed --setup    bring the peers into a cache outside the tree, once
    python -m bench.speed            measure everything; a section of RESULTS.md

One core belongs to the gateway that is measured, the other to the upstream and the callers (`bench/go`).
Every load is run for each peer in turn, round after round, so that what disturbs the machine disturbs all;
the median counts. The figure that compares is the number of requests per second of CPU that a gateway's
processes used: it holds also where a gateway was not kept busy to the last. What is written in Python runs
on one and the same Python, the system's own where it will do.

    interpreter -> installs, environment -> peers, ours -> process (pinned)
        -> measure (CPU, memory, the loader's figures) -> report
"""
