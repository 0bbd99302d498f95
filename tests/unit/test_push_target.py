import pytest

from tailrace.runtime.errors import InvalidField, PermissionDenied
from tailrace.submissions.push.target import parse_target


def url(text: str) -> str:
    return parse_target(text, allow_plaintext=True).url


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("https://example.com", "https://example.com:443/"),
        ("HTTPS://Example.COM/Hook?a=%20b&c", "https://example.com:443/Hook?a=%20b&c"),
        ("https://example.com?a=1", "https://example.com:443/?a=1"),
        ("http://example.com.:8080/x", "http://example.com:8080/x"),
        ("grpcs://receiver.internal:50051", "grpcs://receiver.internal:50051"),
        ("grpc://localhost:1/", "grpc://localhost:1"),
        ("https://[2001:DB8:0::1]/x", "https://[2001:db8::1]:443/x"),
        ("https://[::ffff:127.0.0.1]/x", "https://[::ffff:7f00:1]:443/x"),
        ("https://192.0.2.7:8443/", "https://192.0.2.7:8443/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example:443/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example:443/"),
        ("https://under_score.example/", "https://under_score.example:443/"),
    ],
)
def test_a_target_is_called_as_it_is_written(text: str, called: str) -> None:
    assert url(text) == called


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https:/example.com/",
        "https://",
        "https:///path",
        "https://:443/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:443:1/",
        "https://example.com:/x",
        "https://example.com/#part",
        "https://example.com/a b",
        "https://example.com/\r\nX-Injected: 1",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/pfad/ü",
        "https://exa mple.com/",
        "https://-example.com/",
        "https://example..com/",
        "https://exa%6dple.com/",
        "https://[::1/",
        "https://::1/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[1.2.3.4]/",
        "grpc://example.com",
        "grpcs://example.com:443/path",
        "grpcs://example.com:443?x",
        # Other spellings of 127.0.0.1, by number, octal, hex, and in full-width digits.
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1.2/",
        "https://256.0.0.1/",
        "https://example.0x1/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        # Another name than is written.
        "https://faß.example/",
        "https://example.com/" + "x" * 2048,
    ],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_target(text, allow_plaintext=True, field="spec.target")
    assert caught.value.field == "spec.target"


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@example.com/",
        "https://hunter2@127.0.0.1/",
        "https://example.com:hunter2@evil.example/",
        "grpcs://hunter2@example.com:1",
    ],
)
def test_user_information_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidField, match="user information") as caught:
        parse_target(text, allow_plaintext=True)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["http://example.com/", "grpc://example.com:1"])
def test_plaintext_wants_a_setting(text: str) -> None:
    with pytest.raises(PermissionDenied, match="TAILRACE_CALLBACK_ALLOW_PLAINTEXT"):
        parse_target(text, allow_plaintext=False)
    assert not parse_target(text, allow_plaintext=True).is_tls


def test_an_address_is_told_from_a_name() -> None:
    assert parse_target("https://example.com", allow_plaintext=False).address is None
    assert str(parse_target("https://[::1]", allow_plaintext=False).address) == "::1"
    assert str(parse_target("https://10.0.0.1", allow_plaintext=False).address) == "10.0.0.1"
