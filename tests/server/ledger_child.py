"""A gateway to be killed, with a provider beside it: `python -m tests.server.ledger_child PATH`.

Prints `port N` among its log. PATH is its ledger.
"""

import asyncio
import sys
from pathlib import Path

from gateway_runtime.server.fake_provider import FakeProvider
from tests.server.ledgers import PRICED, with_ledger
from tests.server.rig import provider, serving, table


async def main(path: Path) -> None:
    fake = FakeProvider()
    await fake.start()
    async with serving(table(provider(fake.url, models=[PRICED])), with_ledger(path)) as rig:
        sys.stdout.write(f"port {rig.gateway.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
