"""What httpx and the TLS library say of a connection, as sentences of ours. Here because both are met here only."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from hettui.domain.text import clean_line

if TYPE_CHECKING:
    pass


def certificates(base_url: str) -> ssl.SSLContext:
    """Whom an HTTPS server's certificate must come from: this system's authorities, and those of SSL_CERT_FILE."""
    if base_url.startswith("https:"):
        return ssl.create_default_context()
    # Trusts nobody, costs nothing, and is never asked.
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def sentence(error: Exception, where: str) -> str:
    """Why there is no answer."""
    import httpx

    said = clean_line(str(error), 200)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"the certificate of {where} is not trusted here: SSL_CERT_FILE names one that is ({said})"
    if "[SSL" in said or "TLS" in said:
        return f"{where} does not speak HTTPS: try http:// ({said})"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return f"llama-server does not answer at {where}: is the cluster running?"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        # What httpx says of a stream that just ends is about HTTP and helps nobody.
        reason = f" ({said})" if said and isinstance(error, httpx.ReadError) else ""
        return f"the connection to llama-server broke off{reason}: it has ended, or the line to it has"
    return f"the connection to llama-server broke off: {said or 'no reason given'}"
