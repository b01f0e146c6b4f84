"""Accepted and ResolvedRefs: what compile found, as conditions. Nothing that a gateway says comes in here."""

from collections.abc import Sequence
from typing import Final

from headgate_operator.api.reasons import ConditionType, Reason
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.verdict import Verdict
from headgate_operator.rollup.judgement import SHOWN, Judgement

_WATCHED_LABEL: Final = 'headgate.dev/watched: "true"'


def judge_accepted(verdict: Verdict) -> Judgement:
    findings = _of_condition(verdict, ConditionType.ACCEPTED)
    if not findings:
        return Judgement(ConditionType.ACCEPTED, "True", Reason.ACCEPTED, "the spec makes sense")
    match verdict.serving:
        case "Current" if verdict.models or verdict.refs_resolved:
            outcome = "The rest of it serves"
        case "LastGood":
            outcome = f"Generation {verdict.serving_generation} keeps serving"
        case _:
            outcome = "Until then nothing of it serves"
    message = f"{_join(verdict, findings)}. {outcome}"
    return Judgement(ConditionType.ACCEPTED, "False", findings[0].code.reason, message)


def judge_resolved_refs(verdict: Verdict) -> Judgement:
    if any(finding.code.reason is Reason.INVALID for finding in verdict.findings):
        message = "not judged while the spec makes no sense: see Accepted"
        return Judgement(ConditionType.RESOLVED_REFS, "Unknown", Reason.INVALID, message)
    findings = _of_condition(verdict, ConditionType.RESOLVED_REFS)
    if findings:
        message = _join(verdict, findings) + _note_unwatched(verdict) + _note_prices(verdict)
        return Judgement(ConditionType.RESOLVED_REFS, "False", findings[0].code.reason, message)
    message = "all references resolve" + _note_unwatched(verdict) + _note_prices(verdict)
    return Judgement(ConditionType.RESOLVED_REFS, "True", Reason.RESOLVED_REFS, message)


def _of_condition(verdict: Verdict, condition: ConditionType) -> list[Finding]:
    return [finding for finding in verdict.findings if finding.code.condition is condition]


def _join(verdict: Verdict, findings: Sequence[Finding]) -> str:
    texts = [finding.text(verdict.meta) for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        texts.append(f"{len(findings) - SHOWN} more of the same kind")
    return ". ".join(texts)


def _note_unwatched(verdict: Verdict) -> str:
    if not verdict.unwatched:
        return ""
    names = ", ".join(secret.name for secret in verdict.unwatched[:SHOWN])
    one = len(verdict.unwatched) == 1
    return (
        f". Secret{'' if one else 's'} {names} {'is' if one else 'are'} read again only every few minutes: "
        f"label {'it' if one else 'them'} {_WATCHED_LABEL} for changes at once"
    )


def _note_prices(verdict: Verdict) -> str:
    if not verdict.lacks_prices:
        return ""
    return (
        ". No target's model has a price, so that strategy Cost draws by weight: "
        "add price to the models in the providers' spec.models"
    )
