"""The sentences of the errors that the gateway itself answers with, one function each.

`request` and `front` raise what these functions return. Each sentence says what happened, where, and what to
do; none holds a key, nor the name of anything that the caller may not use.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gateway_runtime.contract.amount import find_amount
from gateway_runtime.contract.errors import ErrorCode, GatewayError
from gateway_runtime.contract.table import Provider, Route
from gateway_runtime.contract.tenant import Limit, LimitResource
from gateway_runtime.engine.limits import Refused
from gateway_runtime.engine.retry import Outcome
from gateway_runtime.identity import Reason, Rejection
from gateway_runtime.ledger.usd import format_usd

_NAMED_MODELS: Final = 20
"""More would bury the sentence; GET /v1/models has them all."""


_RECOVERING_S: Final = 5
"""Gateways that live have told theirs in less time than a request waits for it; one that does not is waited
for during ten seconds at least. A guess.
"""
_LONGEST_ID: Final = 250
"""Of what is repeated to a caller. Ours are shorter."""


def refuse_missing_key() -> GatewayError:
    return GatewayError(
        ErrorCode.MISSING_KEY, "No API key was sent. Send yours in the header `Authorization: Bearer <key>`."
    )


def refuse_unknown_key() -> GatewayError:
    return GatewayError(
        ErrorCode.UNKNOWN_KEY,
        "This API key is not known here. Check that it was copied whole and is meant for this gateway; "
        "if so, it may have been withdrawn.",
    )


_TOKEN_WORDS: Final = {
    Reason.TOO_LONG: "It is too long: 16,384 characters are the most. Have its issuer put less into it.",
    Reason.MALFORMED: "It cannot be read. Check that it was copied whole; if so, its issuer makes tokens "
    "that are not understood here.",
    Reason.UNSIGNED: "It is not signed (its algorithm is `none`), so anybody could have made it.",
    Reason.ALGORITHM: "Its algorithm is not accepted. Those that are: RS256, RS384, RS512, PS256, PS384, "
    "PS512, ES256, ES384, ES512 and EdDSA.",
    Reason.UNKNOWN_ISSUER: "Its issuer is not known here. Get one from an issuer that this gateway trusts.",
    Reason.UNKNOWN_SIGNER: "It names a key that its issuer does not publish. Get a new one.",
    Reason.BAD_SIGNATURE: "Its signature is not that of its issuer.",
    Reason.WITHOUT_END: "It has no claim `exp`, and tokens without an end are not accepted.",
    Reason.EXPIRED: "It has expired. Get a new one.",
    Reason.NOT_YET: "It does not hold yet. Wait, or check the clock of its issuer.",
    Reason.WRONG_AUDIENCE: "It is meant for another audience. Ask its issuer for one with this gateway's.",
    Reason.NO_TENANT: "It is good, but its claims belong to no tenant of this gateway. Ask whoever writes "
    "the quotas which claims they want.",
}


def refuse_caller(rejection: Rejection) -> GatewayError:
    reason = rejection.reason
    match reason:
        case Reason.NO_KEY:
            return refuse_missing_key()
        case Reason.UNKNOWN_KEY:
            return refuse_unknown_key()
        case Reason.KEY_ENDED | Reason.KEY_NOT_YET:
            return _refuse_out_of_term(rejection)
        case Reason.NO_KEYS:
            return GatewayError(
                ErrorCode.ISSUER_UNAVAILABLE,
                "This token cannot be verified now: its issuer's keys could not be fetched. Try again in a "
                "few seconds; if it stays so, the gateway's log says why.",
                retry_after_s=2,
            )
    return GatewayError(ErrorCode.INVALID_TOKEN, f"This token is not accepted. {_TOKEN_WORDS[reason]}")


def _refuse_out_of_term(rejection: Rejection) -> GatewayError:
    moment = datetime.fromtimestamp(rejection.unix_s, UTC).isoformat(timespec="seconds")
    told = moment.replace("+00:00", "Z")
    if rejection.reason is Reason.KEY_ENDED:
        sentence = f"This API key ended at {told}. Ask whoever gave it to you for a new one."
    else:
        sentence = f"This API key does not hold before {told}."
    return GatewayError(ErrorCode.KEY_OUT_OF_TERM, sentence)


def refuse_unknown_model(model: str, usable: Sequence[str]) -> GatewayError:
    if not usable:
        remedy = "This key may use no model by name; ask whoever gave it to you."
    elif len(usable) <= _NAMED_MODELS:
        remedy = f"Models that it may use: {', '.join(usable)}."
    else:
        named = ", ".join(usable[:_NAMED_MODELS])
        remedy = (
            f"Models that it may use: {named} and {len(usable) - _NAMED_MODELS} more; see GET /v1/models."
        )
    return GatewayError(ErrorCode.UNKNOWN_MODEL, f'Model "{model}" is not served to this key. {remedy}')


def refuse_unknown_id(what: str, kept_id: str) -> GatewayError:
    """what: `Response`. In the words of OpenAI, which programs look for."""
    return GatewayError(
        ErrorCode.UNKNOWN_ID,
        f"{what} with id '{kept_id[:_LONGEST_ID]}' not found. It was never given to this key, or its "
        "provider is gone.",
    )


def refuse_scattered(param: str) -> GatewayError:
    return GatewayError(
        ErrorCode.UNKNOWN_ID,
        f"`{param}` is kept by another endpoint than what the request names before it. One request can name "
        "the things of one endpoint.",
    )


def refuse_elsewhere(route: Route, model: str) -> GatewayError:
    return GatewayError(
        ErrorCode.UNKNOWN_ID,
        f'What the request refers to is kept by an endpoint that does not serve "{model}" '
        f"(route {route.id}). Ask for the model that made it, or send the whole conversation.",
    )


def refuse_list(path: str) -> GatewayError:
    return GatewayError(
        ErrorCode.UNSUPPORTED,
        f"{path} has no list here: a provider's holds what all who share its key have put there, and the "
        "gateway keeps none. Keep the ids that you are given; each is served by itself.",
    )


def refuse_batch() -> GatewayError:
    return GatewayError(
        ErrorCode.UNSUPPORTED,
        "This key may use some models only, and a batch names its models inside its file, where nobody "
        "looks. Send the requests one by one, or have the key's quota allow every model.",
    )


def refuse_query(path: str, name: str, known: Sequence[str]) -> GatewayError:
    names = ", ".join(known) or "none"
    return GatewayError(
        ErrorCode.MALFORMED_BODY,
        f"{path} takes no query parameter `{name[:50]}` here. Those that pass: {names}.",
    )


def refuse_unnamed_provider(asked: str | None, choices: Sequence[str]) -> GatewayError:
    what = "Several providers could keep it" if asked is None else f'No provider "{asked[:100]}" can keep it'
    if not choices:
        return GatewayError(
            ErrorCode.PROVIDER_NEEDED,
            "No provider that this key reaches speaks OpenAI's API, so none can keep it.",
        )
    return GatewayError(
        ErrorCode.PROVIDER_NEEDED,
        f"{what}. Name one in the header `x-headgate-provider`: {', '.join(choices)}.",
    )


def refuse_over_limit(rule: Limit | None, refused: Refused, unix_s: float) -> GatewayError:
    """rule: the limit that refused. None: it has left the table. unix_s: now, for overrides."""
    standing = refused.standing
    name = f'Limit "{standing.name}" of {refused.owner}'
    if refused.unpriced:
        return GatewayError(
            ErrorCode.UNPRICED,
            f"{name} counts US dollars, and what this model costs is not known. Ask for another model; "
            "whoever owns the provider can write its price down, or the quota can say `onUnpriced: Allow`.",
        )
    if refused.never:
        most = _describe_amount(refused.resource, standing.limit)
        needs = _describe_amount(refused.resource, refused.needed)
        return GatewayError(
            ErrorCode.OVER_LIMIT,
            f"{name} has {most} at this gateway, and this request may need {needs}. Send less, or allow a "
            "shorter answer with `max_tokens`.",
        )
    told = "" if rule is None else f": {_describe_rule(rule, unix_s)}"
    return GatewayError(
        ErrorCode.RATE_LIMITED,
        f"{name} is spent{told}. Try again in {refused.retry_after_s:.1f} s.",
        retry_after_s=refused.retry_after_s,
    )


def refuse_without_store(refused: Refused, *, is_recovering: bool) -> GatewayError:
    """is_recovering: it answers, and grants nothing yet; else it does not answer."""
    shared = f'Limit "{refused.standing.name}" of {refused.owner} is shared by all gateways through a store'
    spent = "what this gateway was granted before is used up"
    if is_recovering:
        return GatewayError(
            ErrorCode.LIMIT_STORE_AWAY,
            f"{shared} that is recovering: it grants nothing until every gateway has told it what was used, "
            f"or two minutes have passed, and {spent}. Try again in {_RECOVERING_S} seconds.",
            retry_after_s=_RECOVERING_S,
        )
    return GatewayError(
        ErrorCode.LIMIT_STORE_AWAY,
        f"{shared} that does not answer now, and {spent}. Try again in a few seconds.",
        retry_after_s=1,
    )


_WORDS: Final = {
    "Requests": "requests",
    "InputTokens": "input tokens",
    "OutputTokens": "output tokens",
    "TotalTokens": "tokens",
    "Concurrency": "requests at once",
}


_SCOPES: Final = {
    "Tenant": "",
    "PerUser": " for each user",
    "PerKey": " for each key",
    "PerModel": " for each model",
}


def _describe_rule(limit: Limit, unix_s: float) -> str:
    """As the quota has it: of all gateways together."""
    rule = _describe_amount(limit.resource, find_amount(limit, unix_s))
    if limit.calendar is not None:
        rule += f" a {limit.calendar} ({limit.zone})"
    elif limit.resource != "Concurrency":
        rule += f" in any {limit.window_s:g} s"
    return rule + _SCOPES[limit.scope]


def _describe_amount(resource: LimitResource, amount: int) -> str:
    return f"{format_usd(amount)} US dollars" if resource == "USD" else f"{amount} {_WORDS[resource]}"


def refuse_without_targets(route: Route) -> GatewayError:
    return GatewayError(
        ErrorCode.NO_TARGET,
        f"Route {route.id} has no target that exists. Its owner in namespace {route.namespace} must mend "
        "its targets; its status names what is missing.",
    )


def refuse_with_open_circuits(route: Route, retry_after_s: float | None) -> GatewayError:
    return GatewayError(
        ErrorCode.NO_TARGET,
        f"Every endpoint behind route {route.id} failed lately and its circuit is open. "
        "Try again in a few seconds.",
        retry_after_s=retry_after_s,
    )


def refuse_without_table() -> GatewayError:
    return GatewayError(
        ErrorCode.NO_TABLE,
        "This gateway has no routing table yet; it waits for its operator. Try again in a few seconds.",
        retry_after_s=1,
    )


def refuse_while_draining() -> GatewayError:
    return GatewayError(
        ErrorCode.DRAINING,
        "This gateway is shutting down and takes no more requests. Send it again on a new connection.",
        retry_after_s=1,
    )


def refuse_when_busy(clause: str) -> GatewayError:
    return GatewayError(
        ErrorCode.OVERLOADED,
        f"This gateway has too much to do: {clause}. Try again in a moment; if it stays so, it needs more "
        "replicas.",
        retry_after_s=1,
    )


def refuse_large_head(limit_bytes: int) -> GatewayError:
    return GatewayError(
        ErrorCode.HEAD_TOO_LARGE,
        f"A line of the request's head is longer than {limit_bytes} bytes. Send fewer or shorter headers.",
    )


def refuse_large_body(limit_bytes: int) -> GatewayError:
    return GatewayError(
        ErrorCode.BODY_TOO_LARGE,
        f"The request body is larger than the {limit_bytes} bytes that this gateway takes. Send less, "
        "or have its limit raised.",
    )


def refuse_unkept_form(missing: Sequence[str]) -> GatewayError:
    names = ", ".join(f"`{name}`" for name in missing)
    return GatewayError(
        ErrorCode.BODY_TOO_LARGE,
        f"The form is too large for a gateway without a disk to keep it on until {names} comes. Send {names} "
        "before the file, or have the gateway given a volume for temporary files.",
    )


def refuse_unreadable_body(problem: str) -> GatewayError:
    return GatewayError(
        ErrorCode.MALFORMED_BODY, f"The request could not be read: {problem}. Send it again, whole."
    )


def refuse_unknown_path(method: str, path: str, served: Sequence[str]) -> GatewayError:
    return GatewayError(
        ErrorCode.UNKNOWN_PATH, f"There is no {method} {path} here. Served: {', '.join(served)}."
    )


def refuse_method(method: str, path: str, allowed: str) -> GatewayError:
    return GatewayError(ErrorCode.METHOD_NOT_ALLOWED, f"{path} takes {allowed}, not {method}.")


def refuse_after_bug(request_id: str) -> GatewayError:
    return GatewayError(
        ErrorCode.INTERNAL,
        f"The gateway failed on this request by a bug of its own. Its log tells more under {request_id}.",
    )


def refuse_after_failure(endpoint: str, outcome: Outcome, reason: str, attempts: int) -> GatewayError:
    """The last attempt ended without an answer that could be passed on."""
    made = "1 attempt was made" if attempts == 1 else f"{attempts} attempts were made"
    match outcome:
        case Outcome.TIMEOUT:
            return GatewayError(
                ErrorCode.UPSTREAM_TIMEOUT,
                f"Endpoint {endpoint} was too slow: {reason}; {made}. Try again, or have the timeouts of the "
                "route or the provider raised.",
            )
        case Outcome.MALFORMED:
            return GatewayError(
                ErrorCode.UPSTREAM_MALFORMED,
                f"Endpoint {endpoint} gave an answer that cannot be used: {reason}; {made}. Check that its "
                "URL is that of an OpenAI-compatible API; such URLs mostly end in /v1.",
            )
        case Outcome.SATURATED:
            return GatewayError(
                ErrorCode.OVERLOADED,
                f"Endpoint {endpoint} gets no more requests from this gateway for now: {reason}; {made}. "
                "Try again in a moment; if it stays so, the limits of its provider are too low or it needs "
                "more endpoints.",
                retry_after_s=1,
            )
    return GatewayError(
        ErrorCode.UPSTREAM_UNREACHABLE,
        f"Endpoint {endpoint} could not be reached: {reason}; {made}. Try again; if it stays so, "
        "the provider is down or its URL is wrong.",
    )


def refuse_in_other_shape(endpoint: str, status: int) -> GatewayError:
    """Goes out with the provider's own status."""
    return GatewayError(
        ErrorCode.UPSTREAM_MALFORMED,
        f"Endpoint {endpoint} answered with status {status} and no error in OpenAI's shape, "
        "so its words are not passed on.",
    )


def refuse_without_credential(provider: Provider, credentials: Sequence[str], status: int) -> GatewayError:
    """A provider's 401 or 403 must not look like one of ours: the caller's key is fine."""
    if credentials:
        names = ", ".join(f'"{name}"' for name in credentials)
        what, remedy = f"refused credential {names}", "put a valid key into the Secret behind it"
    else:
        what, remedy = "wants a credential and has none", "add one to its credentials"
    return GatewayError(
        ErrorCode.CREDENTIAL_REFUSED,
        f"Provider {provider.id} {what} (status {status}). Your own key is fine; whoever owns "
        f"the provider must {remedy}.",
    )


def interrupt_stream(endpoint: str, reason: str) -> GatewayError:
    return GatewayError(
        ErrorCode.STREAM_INTERRUPTED,
        f"The answer of endpoint {endpoint} broke off: {reason}. What came so far is not whole; "
        "send the request again.",
    )
