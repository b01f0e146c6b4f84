"""The parts of `docs/providers.md` that state facts: computed here, put between two markers each.

    types      operator's `provider_types.TYPES`
    callers    who reaches whom: `provider_callers`
    requests   what a provider hears: `provider_requests`
    answers    what comes back: `provider_answers`

`test_provider_table` compares the page with them; with `--update-golden` it writes them anew.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

from gateway_runtime.contract.secret import Secret
from gateway_runtime.contract.table import WireName
from gateway_runtime.providers.wire import Outgoing
from headgate_operator.api.provider_types import TYPES, ProviderType
from tests.docs.provider_answers import build_answer_table
from tests.docs.provider_callers import build_caller_table
from tests.docs.provider_requests import build_request_table
from tests.docs.provider_wires import make_wire

PAGE: Final = Path("docs/providers.md")


def build_type_table() -> list[list[str]]:
    rows = [["`type`", "speaks", "where, unless `baseUrl` says it", "credential", "how a key is sent"]]
    for name in get_args(ProviderType):
        facts = TYPES[name]
        url = f"`{facts.url}`" if facts.url else "`baseUrl` is needed"
        needed = "needed" if facts.needs_key else "if the server asks"
        rows.append([f"`{name}`", f"`{facts.wire}`", url, needed, _find_header(facts.wire)])
    return rows


def _find_header(name: WireName) -> str:
    sent = make_wire(name).authorize(Secret("KEY"), Outgoing("/x", b""), "https://provider.test/x", 0.0)
    ((header, value),) = ((header, value) for header, value in sent.items() if "KEY" in value)
    return f"`{header}: {value.replace('KEY', '…')}`"


TABLES: Final[dict[str, Callable[[], list[list[str]]]]] = {
    "types": build_type_table,
    "callers": build_caller_table,
    "requests": build_request_table,
    "answers": build_answer_table,
}


def write_table(rows: list[list[str]]) -> str:
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def build_page(page: str) -> str:
    """page: as it is. Raises ValueError when a marker is missing."""
    for name, build in TABLES.items():
        begin, end = f"<!-- {name}: written by tests/docs -->\n", f"<!-- end of {name} -->"
        start, stop = page.index(begin) + len(begin), page.index(end)
        page = f"{page[:start]}\n{write_table(build())}\n\n{page[stop:]}"
    return page
