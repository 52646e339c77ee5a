"""Signatures by the Standard Webhooks specification, with a secret of its own for every owner."""

import hmac
from base64 import b64encode
from dataclasses import dataclass, field


@dataclass(frozen=True)
class OwnerSecret:
    """What an owner's webhooks are signed with. str() is how the owner is told it."""

    key: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"whsec_{_base64(self.key)}"

    def headers(self, message_id: str, sent_at_s: int, body: bytes) -> dict[str, str]:
        """The headers that sign a body. sent_at_s: unix time of this attempt."""
        signed = f"{message_id}.{sent_at_s}.".encode() + body
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(sent_at_s),
            "webhook-signature": f"v1,{_base64(_hmac(self.key, signed))}",
        }


def owner_secret(service_secret: bytes, owner: str) -> OwnerSecret:
    """Derived from the service's, so that it needs no record, and none tells another's."""
    return OwnerSecret(_hmac(service_secret, f"webhook:{owner}".encode()))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")
