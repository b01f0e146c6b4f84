"""How issuers' keys are fetched: `media` knows how to ask a stranger's server, `identity` what to ask for.

`main` hands `fetch` to the Authenticator.
"""

from gateway_runtime.identity import Document, Unfetched
from gateway_runtime.media import DocumentFetcher, Unfetchable


class IssuerDocuments:
    def __init__(self, documents: DocumentFetcher) -> None:
        self._documents = documents

    async def fetch(self, url: str, limit_bytes: int, /) -> Document:
        """See `identity.document.Fetch`."""
        try:
            body, cache_control = await self._documents.fetch(url, limit_bytes)
        except Unfetchable as error:
            raise Unfetched(error.reason) from error
        return Document(body, cache_control)

    async def close(self) -> None:
        await self._documents.close()
