"""Our own picture of the cluster: every custom resource, parsed, and the values of the Secrets that they name.

In: raw objects, from Kopf's watches (`handlers`) and from lists (`sweep`), in any order and more than once. Out:
`Resources` for compile, the previous status for the roll-up, and two calls: `on_dirty` when there is something to
compile, `on_status` when somebody wrote a status.

Rules. The newest resourceVersion wins, so an event that comes late never undoes a newer one; a deleted object leaves
a tombstone, so a list that began before the deletion does not bring it back. An object is dirty when its uid or
generation changes or it is being deleted, never because a status was written. Lives in one event loop; nothing
here awaits.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import structlog

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.kinds import KINDS, PROVIDER, QUOTA, ROUTE
from headgate_operator.api.manifest import BrokenManifest, FieldProblem, Manifest, parse_manifest, parse_meta
from headgate_operator.api.model import ApiModel
from headgate_operator.compile.resources import Resources
from headgate_operator.keyring import Keyring

log = structlog.get_logger()
