"""Our own picture of the cluster: every custom resource, parsed, and the values of the Secrets that they
name.

In: raw objects, from Kopf's watches (`handlers`) and from lists (`sweep`), in any order and more than once.
Out: `Resources` for compile and the previous statuses for the roll-up. It calls `on_dirty` when there is
something to compile, `on_rest` when somebody wrote a status. It lives in one event loop, and nothing here
awaits.
"""

from headgate_operator.store.objects import Ghosts, Listed, Objects, StoredObject
from headgate_operator.store.secrets import SecretCache
from headgate_operator.store.store import Store

__all__ = ["Ghosts", "Listed", "Objects", "SecretCache", "Store", "StoredObject"]
