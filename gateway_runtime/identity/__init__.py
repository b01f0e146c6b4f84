"""Who a caller is: what it shows in, an Identity out, or the reason why it is nobody.

    Authenticator.recognize -> a key of the table | a remembered token (memory) | a proxy's word (proxies)
    Authenticator.identify  -> token -> key_store (discovery) -> subject (signature, claims)

`server` enters, through Authenticator: `recognize` at once and for every request, `identify` where that knows
nobody, which may wait for an issuer. Whom it refuses gets a Rejection; `server.refusal` has the words.

The one subtle rule: before its signature is verified, a token's content decides one thing only: whose keys
are asked. Nothing of it is trusted, repeated or logged.
"""

from gateway_runtime.identity.authenticator import Authenticator
from gateway_runtime.identity.document import Document, Unfetched
from gateway_runtime.identity.peer import Peer
from gateway_runtime.identity.proxies import read_network
from gateway_runtime.identity.rejection import Reason, Rejection

__all__ = ["Authenticator", "Document", "Peer", "Reason", "Rejection", "Unfetched", "read_network"]
