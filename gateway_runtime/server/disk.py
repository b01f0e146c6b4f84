"""The last good table on the gateway's disk, and the bootstrap that a pod without one starts from.

`main` reads both at the start and `reload` takes the newer; `TableStore.save` is called after each applied
version. A file that is torn or altered is reported and ignored: starting empty and waiting for the operator
is better than serving a table that nobody made. The file holds provider keys, hence mode 0600.
"""

import os
from pathlib import Path

import structlog

from gateway_runtime.contract.codec import MalformedTable
from gateway_runtime.contract.saved import SavedTable, decode_saved, encode_saved

log = structlog.get_logger()

FILE_NAME = "table.json"


class TableStore:
    """Files of one gateway; two gateways must not share a folder. Blocking: called in a thread."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE_NAME

    def load(self) -> SavedTable | None:
        """None when there is none, or none that can be used."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("saved table not readable", path=str(self.path), error=str(error))
            return None
        return _decode(data, self.path)

    def save(self, saved: SavedTable) -> None:
        """Raises OSError; the file that was there stays then."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        data = encode_saved(saved.version, saved.digest, saved.payloads, saved.share)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # a file left by somebody else keeps its mode otherwise
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        _sync_folder(self.path.parent)


def load_bootstrap(folder: Path) -> SavedTable | None:
    """The parts of the bootstrap Secret, in the order of their names. None when there is no usable one."""
    try:
        data = b"".join(path.read_bytes() for path in sorted(folder.glob("part-*")))
    except OSError as error:
        log.warning("bootstrap table not readable", path=str(folder), error=str(error))
        return None
    return _decode(data, folder) if data else None


def _decode(data: bytes, source: Path) -> SavedTable | None:
    try:
        return decode_saved(data)
    except MalformedTable as error:
        log.warning("saved table ignored", path=str(source), error=str(error))
        return None


def _sync_folder(folder: Path) -> None:
    """The rename itself must survive a power cut too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
