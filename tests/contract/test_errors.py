"""The gateway's own errors: one code each, and what users see of it."""

from gateway_runtime.contract.errors import ErrorCode, GatewayError


def test_every_error_has_a_code_of_its_own() -> None:
    ids = [code.id for code in ErrorCode]

    assert ids == [f"HG{1001 + index}" for index in range(len(ErrorCode))]


def test_an_error_says_its_code_first() -> None:
    error = GatewayError(ErrorCode.RATE_LIMITED, "Wait a little.", retry_after_s=3.0)

    assert str(error) == "HG1007 Wait a little."
    assert (error.message, error.retry_after_s, error.code.status) == ("Wait a little.", 3.0, 429)


def test_what_somebody_must_mend_first_is_not_to_be_retried() -> None:
    fruitless = {code for code in ErrorCode if not code.value.retry}

    callers = {code for code in ErrorCode if 400 <= code.status < 500 and code.status != 429}
    assert fruitless == callers | {ErrorCode.CREDENTIAL_REFUSED}
