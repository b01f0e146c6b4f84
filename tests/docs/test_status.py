"""What `docs/status.md` shows of a quota is what the API has."""

import re
from pathlib import Path
from typing import Any

import yaml

from headgate_operator.api.kinds import QUOTA
from headgate_operator.api.reasons import ConditionType
from headgate_operator.api.status import LimitStatus, TenantQuotaStatus

PAGE = Path("docs/status.md").read_text()
TABLE, STATUS = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_table_has_the_columns_of_the_kind() -> None:
    header, row = (re.split(r" {3,}", line) for line in TABLE.splitlines())

    assert header == ["NAME", *(column.name.upper() for column in QUOTA.columns if not column.priority)]
    assert len(row) == len(header)


def test_the_status_is_one_that_the_api_accepts_with_every_field_of_a_limit() -> None:
    shown: dict[str, Any] = yaml.safe_load(STATUS)["status"]
    parsed = TenantQuotaStatus.model_validate(shown, strict=False)

    assert parsed.model_dump(by_alias=True, exclude_none=True, mode="json") == shown
    fields = {info.alias or name for name, info in LimitStatus.model_fields.items()}
    assert [set(limit) for limit in shown["limits"]] == [fields, fields]


def test_every_condition_has_its_row() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| .* \| ", PAGE, re.MULTILINE)) >= set(ConditionType)
