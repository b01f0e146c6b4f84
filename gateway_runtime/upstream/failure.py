"""What went wrong on a socket, in one clause for a person: an OSError in, `no route to host` out.

`dial` and `connection` put it into an UpstreamFailure. No text of the other side's is in it, and no address:
the caller knows the endpoint, and asyncio's texts name addresses that change.
"""

import os
import ssl


def describe_error(error: OSError) -> str:
    """Most specific first: ssl's errors are OSErrors too."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {(error.reason or 'unknown reason').replace('_', ' ').lower()}"
        case ConnectionResetError():
            return "connection reset"
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
