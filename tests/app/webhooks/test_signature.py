"""Signatures, as the specification's own example and its own package have them."""

import time
from base64 import b64decode

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from app.webhooks.signature import OwnerSecret, owner_secret

SERVICE_SECRET = bytes(range(32))


def test_the_example_of_the_specification() -> None:
    secret = OwnerSecret(b64decode("plJ3nmyCDGBKInavdOK15jsl"))
    body = b'{"event_type":"ping","data":{"success":true}}'
    assert str(secret) == "whsec_plJ3nmyCDGBKInavdOK15jsl"
    assert secret.headers("msg_loFOjxBNrRLzqYUf", 1_731_705_121, body) == {
        "webhook-id": "msg_loFOjxBNrRLzqYUf",
        "webhook-timestamp": "1731705121",
        "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }


def test_who_has_the_secret_can_verify() -> None:
    secret = owner_secret(SERVICE_SECRET, "ada")
    body = '{"prompt": "a café in the ☔"}'
    headers = secret.headers("msg_1", round(time.time()), body.encode())
    assert Webhook(str(secret)).verify(body, headers) == {"prompt": "a café in the ☔"}
    with pytest.raises(WebhookVerificationError):
        Webhook(str(secret)).verify(body + " ", headers)


def test_no_owner_can_sign_for_another() -> None:
    ada, bob = (owner_secret(SERVICE_SECRET, owner) for owner in ("ada", "bob"))
    with pytest.raises(WebhookVerificationError):
        Webhook(str(ada)).verify("{}", bob.headers("msg_1", round(time.time()), b"{}"))
    assert owner_secret(SERVICE_SECRET[::-1], "ada") != ada
    assert owner_secret(SERVICE_SECRET, "ada") == ada


def test_a_secret_is_as_long_as_the_specification_asks_and_is_not_shown_by_accident() -> None:
    secret = owner_secret(SERVICE_SECRET, "ada")
    assert 24 <= len(secret.key) <= 64
    assert str(secret.key) not in repr(secret)
    assert str(secret) not in repr(secret)
