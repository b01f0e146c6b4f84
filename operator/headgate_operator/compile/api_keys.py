"""An API key or another credential read out of a Secret: the text, or a finding that says why there is none.

The providers pass reads credentials with it, the quotas pass the keys of callers. White space around the text
is dropped, since editors and `echo` add line ends; what may be inside, its form says: `credentials` has them.
"""

from collections.abc import Mapping
from typing import TypeAlias

from gateway_runtime.contract.secret import Secret
from headgate_operator.api.fields import SecretKeyRef
from headgate_operator.compile import findings
from headgate_operator.compile.credentials import API_KEY, CredentialForm
from headgate_operator.compile.findings import Finding
from headgate_operator.compile.resources import AnyManifest, SecretData, SecretId, referenced_secrets

SecretsRead: TypeAlias = tuple[tuple[SecretId, SecretData | None], ...]
"""The Secrets that a manifest names, as they were when it was compiled; None for one that did not exist."""


def read_api_key(
    ref: SecretKeyRef,
    namespace: str,
    secrets: Mapping[SecretId, SecretData],
    field: str,
    form: CredentialForm = API_KEY,
) -> Secret | Finding:
    """`field`: path of the `secretRef`."""
    data = secrets.get(SecretId(namespace, ref.name))
    if data is None:
        return findings.secret_not_found(field, namespace, ref.name, ref.key)
    value = data.values.get(ref.key)
    if value is None:
        return findings.secret_key_not_found(field, ref.name, ref.key, sorted(data.values))
    text = value.reveal()
    key = text.strip()
    problem = form.find_problem(key)
    if problem is not None:
        return findings.malformed_secret(field, ref.name, ref.key, problem, form.what, form.remedy)
    return value if key == text else Secret(key)


def read_secrets(manifest: AnyManifest, secrets: Mapping[SecretId, SecretData]) -> SecretsRead:
    return tuple((identity, secrets.get(identity)) for identity in sorted(referenced_secrets(manifest)))


def still_read(read: SecretsRead, secrets: Mapping[SecretId, SecretData]) -> bool:
    """Whether each of these Secrets is what it was."""
    for identity, data in read:
        now = secrets.get(identity)
        if now is not data and now != data:
            return False
    return True


def find_unwatched(read: SecretsRead) -> tuple[SecretId, ...]:
    return tuple(identity for identity, data in read if data is not None and not data.watched)
