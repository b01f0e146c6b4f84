"""`docs/messages.md` has an anchor for every code that exists, and for no other."""

import re
from pathlib import Path

from gateway_runtime.contract.errors import ErrorCode
from headgate.folder import FileCode
from headgate_operator.api.reasons import Code

PAGE = Path("docs/messages.md").read_text()


def test_every_code_has_its_anchor_once_and_in_order() -> None:
    anchors = re.findall(r"^### (HG\d{4})$", PAGE, re.MULTILINE)

    assert anchors == sorted(
        [*(code.value for code in FileCode), *(code.id for code in Code), *(code.id for code in ErrorCode)]
    )


def test_the_http_status_of_an_error_is_the_one_that_is_sent() -> None:
    told = dict(re.findall(r"^### (HG1\d{3})\n(\d{3})\.", PAGE, re.MULTILINE))

    assert told == {
        code.id: str(code.status) for code in ErrorCode if code is not ErrorCode.STREAM_INTERRUPTED
    }
