import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tailrace.webhooks.errors import MalformedKey
from tailrace.webhooks.keys import (
    Scheme,
    check_secret,
    ed25519_bytes,
    hmac_key,
    make_secret,
    public_key_of,
)


def encoded(prefix: str, size: int) -> str:
    return prefix + base64.b64encode(bytes(range(size))).decode()


def test_a_new_hmac_secret_is_random_and_has_no_public_key() -> None:
    first, public = make_secret(Scheme.HMAC_SHA256)
    second, _ = make_secret(Scheme.HMAC_SHA256)

    assert public == ""
    assert first != second
    assert len(hmac_key(first)) == 32
    assert check_secret(first) is Scheme.HMAC_SHA256


def test_a_new_ed25519_secret_is_a_seed_with_its_public_key() -> None:
    secret, public = make_secret(Scheme.ED25519)

    private = Ed25519PrivateKey.from_private_bytes(ed25519_bytes(secret, "whsk_"))
    assert ed25519_bytes(public, "whpk_") == private.public_key().public_bytes_raw()
    assert public_key_of(secret) == public
    assert check_secret(secret) is Scheme.ED25519


def test_there_is_no_third_scheme() -> None:
    with pytest.raises(MalformedKey, match="scheme 3"):
        make_secret(3)


@pytest.mark.parametrize("size", [24, 64])
def test_the_shortest_and_the_longest_hmac_secret_are_taken(size: int) -> None:
    assert hmac_key(encoded("whsec_", size)) == bytes(range(size))


def test_padding_may_be_left_out() -> None:
    assert hmac_key(encoded("whsec_", 25).rstrip("=")) == bytes(range(25))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        encoded("whsec_", 23),
        encoded("whsec_", 65),
        encoded("", 32),
        encoded("whsk_", 31),
        encoded("whsk_", 64),
        encoded("whpk_", 32),
        encoded("whsec_", 32) + "\n",
        encoded("whsec_", 32).replace("A", "*"),
        encoded("whsec_", 32).replace("A", "é"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_quoted(secret: str) -> None:
    with pytest.raises(MalformedKey) as caught:
        check_secret(secret)

    content = secret.partition("_")[2]
    assert not content or content not in str(caught.value)
    assert caught.value.__cause__ is None
