"""What a provider with an API of its own costs: CPU per request and per chunk, beside pass-through, in one
run on two cores.

    python -m bench.providers    four minutes; a section of RESULTS.md

One gateway has a route for each wire, named after it, and a provider behind it that the mock of `bench/go`
plays: the same words in as many chunks, each time in that provider's format. All loads go to that one
process, in turn, round after round; what a translation costs is the difference to pass-through in the same
round, and the median of these. Cores, loader and features are those of `bench.speed`.

    cases -> bodies, gateways -> rounds -> figures -> report
               own, bench.providers_litellm (processes of their own) -> in_process -> report
"""
