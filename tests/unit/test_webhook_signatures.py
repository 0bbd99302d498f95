import base64
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tailrace.webhooks.errors import (
    MalformedDelivery,
    MalformedKey,
    NoMatchingSignature,
    SignatureError,
    TimestampTooNew,
    TimestampTooOld,
)
from tailrace.webhooks.keys import Scheme, make_secret
from tailrace.webhooks.signing import Signer, sign
from tailrace.webhooks.verifying import Verifier, parse_timestamp, split_signatures, verify

NOW = 1_790_000_000
ID = "003-01KAN2Z6V3C0M5N4Q8R7S9T1WX"
BODY = '{"type":"prediction.succeeded","data":{"note":"grüße"}}'.encode()


def key_pair(scheme: Scheme) -> tuple[str, str]:
    """What signs, and what verifies."""
    secret, public = make_secret(scheme)
    return secret, public or secret


@pytest.fixture(params=list(Scheme), ids=lambda scheme: scheme.name)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    chosen: Scheme = request.param
    return chosen


def test_hmac_signatures_satisfy_the_reference_library() -> None:
    secret, _ = make_secret(Scheme.HMAC_SHA256)
    now = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(secret, ID, now, BODY),
    }

    assert Webhook(secret).verify(BODY, headers)["type"] == "prediction.succeeded"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)


def test_signatures_of_the_reference_library_are_verified() -> None:
    secret, _ = make_secret(Scheme.HMAC_SHA256)
    signature = Webhook(secret).sign(ID, datetime.fromtimestamp(NOW, UTC), BODY.decode())

    verify([secret], ID, NOW, BODY, [signature], NOW)
    with pytest.raises(NoMatchingSignature):
        verify([secret], ID, NOW, BODY + b" ", [signature], NOW)


def test_ed25519_signatures_satisfy_an_independent_verifier() -> None:
    secret, public = make_secret(Scheme.ED25519)

    version, _, text = sign(secret, ID, NOW, BODY).partition(",")

    assert version == "v1a"
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    key.verify(base64.b64decode(text), b".".join([ID.encode(), str(NOW).encode(), BODY]))


def test_ed25519_signatures_of_an_independent_signer_are_verified() -> None:
    private = Ed25519PrivateKey.generate()
    content = b".".join([ID.encode(), str(NOW).encode(), BODY])
    signature = "v1a," + base64.b64encode(private.sign(content)).decode()
    public = "whpk_" + base64.b64encode(private.public_key().public_bytes_raw()).decode()

    verify([public], ID, NOW, BODY, [signature], NOW)
    with pytest.raises(NoMatchingSignature):
        verify([public], ID, NOW, BODY + b" ", [signature], NOW)


def test_a_known_hmac_signature_is_made_again() -> None:
    # The worked example of the Standard Webhooks specification.
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    body = b'{"test": 2432232314}'

    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    expected = Webhook(secret).sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), body.decode()
    )
    assert signature == expected
    verify([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, [signature], 1614265330)


ALTERATIONS: dict[str, Callable[[str, int, bytes], tuple[str, int, bytes]]] = {
    "another id": lambda delivery, at, body: (delivery[:-1] + "Y", at, body),
    "another time": lambda delivery, at, body: (delivery, at + 1, body),
    "another body": lambda delivery, at, body: (delivery, at, body[:-1] + b"]"),
    "a longer body": lambda delivery, at, body: (delivery, at, body + b"\0"),
    "an empty body": lambda delivery, at, body: (delivery, at, b""),
}


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS.keys())
def test_what_was_altered_is_rejected(
    scheme: Scheme, alteration: Callable[[str, int, bytes], tuple[str, int, bytes]]
) -> None:
    secret, key = key_pair(scheme)
    signature = sign(secret, ID, NOW, BODY)
    verify([key], ID, NOW, BODY, [signature], NOW)

    with pytest.raises(NoMatchingSignature):
        verify([key], *alteration(ID, NOW, BODY), [signature], NOW)


def test_a_replay_is_rejected_once_it_is_too_old(scheme: Scheme) -> None:
    secret, key = key_pair(scheme)
    signatures = [sign(secret, ID, NOW, BODY)]

    verify([key], ID, NOW, BODY, signatures, NOW + 300)
    with pytest.raises(TimestampTooOld):
        verify([key], ID, NOW, BODY, signatures, NOW + 300.1)
    verify([key], ID, NOW, BODY, signatures, NOW - 300)
    with pytest.raises(TimestampTooNew):
        verify([key], ID, NOW, BODY, signatures, NOW - 300.1)
    verify([key], ID, NOW, BODY, signatures, NOW + 900, tolerance_s=900)


def test_while_a_secret_is_rotated_either_key_will_do(scheme: Scheme) -> None:
    old_secret, old_key = key_pair(scheme)
    new_secret, new_key = key_pair(scheme)
    both = [sign(secret, ID, NOW, BODY) for secret in (new_secret, old_secret)]

    for signatures in (both, both[::-1]):
        verify([old_key], ID, NOW, BODY, signatures, NOW)
        verify([new_key], ID, NOW, BODY, signatures, NOW)
    # The receiver has both keys while the sender has only the old, or the new secret.
    verify([old_key, new_key], ID, NOW, BODY, both[:1], NOW)
    verify([old_key, new_key], ID, NOW, BODY, both[1:], NOW)
    with pytest.raises(NoMatchingSignature):
        verify([new_key], ID, NOW, BODY, both[1:], NOW)


def test_a_key_of_one_kind_does_not_take_signatures_of_the_other() -> None:
    hmac_secret, _ = make_secret(Scheme.HMAC_SHA256)
    secret, public = make_secret(Scheme.ED25519)

    with pytest.raises(NoMatchingSignature):
        verify([public], ID, NOW, BODY, [sign(hmac_secret, ID, NOW, BODY)], NOW)
    with pytest.raises(NoMatchingSignature):
        verify([hmac_secret], ID, NOW, BODY, [sign(secret, ID, NOW, BODY)], NOW)
    both = [sign(hmac_secret, ID, NOW, BODY), sign(secret, ID, NOW, BODY)]
    verify([public], ID, NOW, BODY, both, NOW)
    verify([hmac_secret], ID, NOW, BODY, both, NOW)


def test_unknown_versions_and_rubbish_are_passed_over(scheme: Scheme) -> None:
    secret, key = key_pair(scheme)
    signature = sign(secret, ID, NOW, BODY)
    rubbish = ["", ",", "v2,AAAA", "v1,", "v1a,", "v1,é", "v1,****", "v1a,AAAA", signature[:-4]]

    verify([key], ID, NOW, BODY, [*rubbish, signature], NOW)
    with pytest.raises(NoMatchingSignature):
        verify([key], ID, NOW, BODY, rubbish, NOW)
    with pytest.raises(NoMatchingSignature):
        verify([key], ID, NOW, BODY, ["v2," + signature.partition(",")[2]], NOW)


def test_no_more_than_sixteen_signatures_are_looked_at(scheme: Scheme) -> None:
    secret, key = key_pair(scheme)
    signature = sign(secret, ID, NOW, BODY)

    verify([key], ID, NOW, BODY, ["v1,AAAA"] * 15 + [signature], NOW)
    with pytest.raises(NoMatchingSignature):
        verify([key], ID, NOW, BODY, ["v1,AAAA"] * 16 + [signature], NOW)


def test_ids_that_would_blur_into_the_timestamp_are_refused(scheme: Scheme) -> None:
    secret, key = key_pair(scheme)

    for bad in ("", "a.1"):
        with pytest.raises(ValueError, match="full stop"):
            sign(secret, bad, NOW, BODY)
        with pytest.raises(MalformedDelivery):
            verify([key], bad, NOW, BODY, ["v1,AAAA"], NOW)


def test_what_is_missing_is_told_apart(scheme: Scheme) -> None:
    _, key = key_pair(scheme)

    with pytest.raises(MalformedDelivery):
        verify([key], ID, NOW, BODY, [], NOW)
    with pytest.raises(MalformedKey):
        verify([], ID, NOW, BODY, ["v1,AAAA"], NOW)
    with pytest.raises(MalformedKey):
        verify(["whsk_" + "A" * 43], ID, NOW, BODY, ["v1,AAAA"], NOW)


@pytest.mark.parametrize("text", ["", "-1", "1.5", " 1", "1e9", "٣", "1" * 13, "now"])
def test_a_timestamp_that_is_no_whole_number_is_malformed(text: str) -> None:
    with pytest.raises(MalformedDelivery):
        parse_timestamp(text)


def test_headers_are_read() -> None:
    assert parse_timestamp("1790000000") == NOW
    assert split_signatures("v1,a v1a,b") == ["v1,a", "v1a,b"]
    assert split_signatures("") == []


def test_all_failures_are_signature_errors() -> None:
    for failure in (MalformedDelivery, NoMatchingSignature, TimestampTooNew, TimestampTooOld):
        assert issubclass(failure, SignatureError)


def test_signers_and_verifiers_do_not_show_their_secrets() -> None:
    secret, _ = make_secret(Scheme.HMAC_SHA256)

    for shown in (Signer(secret), Verifier([secret])):
        assert secret.removeprefix("whsec_") not in repr(shown)


def test_hmac_needs_nothing_but_the_standard_library() -> None:
    program = """
import sys
from tailrace.webhooks.keys import make_secret
from tailrace.webhooks.signing import sign
from tailrace.webhooks.verifying import verify
secret, _ = make_secret(1)
verify([secret], "a", 5, b"body", [sign(secret, "a", 5, b"body")], 5)
outside = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(sorted(name for name in outside if name in ("cryptography", "google", "grpc", "aiohttp")))
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout == "[]\n"
