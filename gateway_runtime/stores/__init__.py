"""Where gateways share limits: what they have to say in, grants out.

    server.lease_desk -> LimitStore.exchange -> RedisStore (lease.lua, one step for each call) -> answers

In: LeaseCalls, those of one turn of the event loop together. Out: LeaseAnswers, or StoreAway. `server`
enters. The rules of the store stand in `engine.lease_store`, which is the same in Python.
"""

from typing import Final

from gateway_runtime.stores.store import LimitStore, WrongStore

STORE_PASSWORD: Final = "HEADGATE_STORE_PASSWORD"
"""An environment variable."""


def open_store(url: str, password: str | None) -> LimitStore:
    """Nothing is dialled before the first call. Raises WrongStore."""
    try:
        # Here, since a gateway without a store needs no client for one.
        from gateway_runtime.stores.redis import open_redis_store
    except ImportError as error:
        raise WrongStore(f"a shared store needs `pip install 'headgate[redis]'`: {error}") from error
    return open_redis_store(url, password)
