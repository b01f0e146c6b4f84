"""The wire formats of providers and callers: bytes in, facts and bytes out, no sockets.

In: request bodies, answers and stream chunks, split wherever the network split them. Out: the few facts the
gateway needs, and the bytes to send. `server` enters, nobody else. `engine`, which decides, is not known
here, so what a status *means* stands there: `engine.retry.classify`.
"""
