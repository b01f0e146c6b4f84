"""Dialects: what callers may speak. Each file implements `providers.dialect.Dialect` for one API, with the
hub of `chat` on its other side.

In: `server` chooses one by the path of a request. Nothing in here knows a wire.
"""
