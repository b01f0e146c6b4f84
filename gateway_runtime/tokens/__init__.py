"""Tokens for providers whose credential is not sent as it is: a service account's key, a client secret or the
pod's own identity in, what the provider takes for a while out.

    Tokens (cache) -> mint -> google | federation, entra, aws -> issuers -> Transport -> who issues

`server` enters, through `Tokens` alone. Nothing in here knows `server`, a wire or an endpoint: a token is a
Secret, and the provider's wire says how it is sent.

The one subtle rule: what a credential in the table says is a tenant's word, what the environment and the
files of the pod say is the operator's. A credential may name where its own key is sent, and that is all: no
file, no header, nothing of the pod's.
"""

from gateway_runtime.tokens.cache import Tokens
from gateway_runtime.tokens.token import TokenRefused

__all__ = ["TokenRefused", "Tokens"]
