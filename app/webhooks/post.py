"""One POST to one address of a URL's host. Knows nothing of jobs."""

import ssl
from collections.abc import Mapping

import httpx

from app.webhooks.address import ascii_host


async def post(
    url: httpx.URL,
    address: str,
    body: bytes,
    headers: Mapping[str, str],
    certificates: ssl.SSLContext,
    connect_s: float,
) -> int:
    """The status of the answer; its body is left unread, and a redirect is not followed.

    Connects to this address and asks no one for another; the Host header and the name that the
    certificate must have are those of the URL. A connection is for one POST: another host at the
    same address would have to show its own certificate. Its opening and its TLS handshake may take
    connect_s each; what follows may take for ever.
    Raises: httpx.TransportError.
    """
    request = httpx.Request(
        "POST",
        url.copy_with(host=address),
        content=body,
        headers={**headers, "Host": url.netloc.decode("ascii"), "Connection": "close"},
        # The caller's own time limit would not do: a handshake that is cancelled stays connected.
        extensions={"sni_hostname": ascii_host(url), "timeout": {"connect": connect_s}},
    )
    # Not a client: that keeps cookies, and logs the URL.
    async with httpx.AsyncHTTPTransport(verify=certificates, trust_env=False) as transport:
        response = await transport.handle_async_request(request)
        await response.aclose()
    return response.status_code
