"""`headgate verify-limits`: the proof that gateways which share limits never admit more than the amount.

    settings -> world (virtual time) | storm (real gateways, a real store) -> Report -> text, JSON

`cli` enters, tests use its parts. What is proved is the gateway's own code; only what happens to it is made
up here.
"""
