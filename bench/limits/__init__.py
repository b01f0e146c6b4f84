"""What limits and the ledger cost, whether they hold, and what a crash loses: three runs on two cores.

    python -m bench.limits           all three, each a section of RESULTS.md
    python -m bench.limits costs     CPU per request, beside a tenant without limits, in one run
    python -m bench.limits exact     four gateways, one Redis, five times the limit, for three windows
    python -m bench.limits crash     kill -9 under full load, ten times and a million requests
    --quick                          smaller, and nothing is written down

Redis is a real one on a free port. What is said of a limit is read from the log of the provider, which is the
benchmark's own, and what is said of the ledger from the ids that callers were answered with.

    quota -> processes (gateways, peer, store)
        -> costs                                   -> Table
        -> exact: offer, upstream -> figures       -> exact_report
        -> crash: the loader of bench/go, killing  -> crash_report
"""
