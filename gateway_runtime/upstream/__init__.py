"""The way to providers: HTTP/1.1 over TCP and TLS on `asyncio.Protocol`, with llhttp (`httptools`) as parser.

    UpstreamRequest -> transport -> pool -> (dial: resolver, proxy, tls) -> connection -> parser -> Answer

`server` enters through `transport.PooledTransport` alone. It is not aiohttp's client because that costs many
times the CPU per request; everything a proxy must be careful about stands here, in one place: what may be
sent (`request`), what is accepted (`parser`), which connection is used again (`pool`), and when a request may
be sent twice (`transport`).
"""
