"""Images and files that a caller names by URL, fetched by us for providers that do not fetch.

    ChatRequest -> MediaFetcher.inline (fetcher) -> download -> http -> network: ChatRequest with data: URLs

In: a chat as the hub knows it. Out: the same chat with the data in it, or a GatewayError that names the place
in the caller's request. `server` enters, through MediaFetcher; and through DocumentFetcher for the URLs that
quotas name, which are strangers' as much.

The one subtle rule: the URL is a stranger's, and we stand inside a network. What may be reached is decided at
the address that a socket connects to (`network`), so no name, no redirect and no second answer of a name
server leads anywhere else.
"""

from gateway_runtime.media.document import DocumentFetcher
from gateway_runtime.media.failure import Unfetchable
from gateway_runtime.media.fetcher import MediaFetcher

__all__ = ["DocumentFetcher", "MediaFetcher", "Unfetchable"]
