"""Which of Google's two APIs is spoken: what differs between their bodies."""

from typing import Final, NamedTuple


class Api(NamedTuple):
    name: str
    """For people."""
    reads_buckets: bool
    """It takes media from Cloud Storage: `gs://...`."""
    keeps_files: bool
    """It has a Files API, whose files a request may name: https://ai.google.dev/gemini-api/docs/files."""
    has_tiers: bool
    """`serviceTier` in the body: https://ai.google.dev/api/generate-content. Vertex AI sells throughput by
    headers.
    """
    validates_calls: bool
    """It has the mode `VALIDATED` of function calling: https://ai.google.dev/api/caching#Mode. Vertex AI has
    it in v1beta1 alone.
    """


GEMINI: Final = Api(
    "Google Gemini", reads_buckets=False, keeps_files=True, has_tiers=True, validates_calls=True
)
VERTEX: Final = Api(
    "Google Vertex AI", reads_buckets=True, keeps_files=False, has_tiers=False, validates_calls=False
)
