"""The operator's end of the config stream: a routing table in, numbered versions out to every gateway over
TLS, and what the gateways answer back.

    publisher -> term -> versions -> offer -> session -> gateway
    gateway -> session -> term -> fleet -> GatewayView, Change -> status

`publisher.Publisher` is the door; nobody else is called from outside. `server` lets in whom `callers` knows,
over TLS of `certificates`; `bootstrap` keeps the last table in Secrets for those who start later.
"""
