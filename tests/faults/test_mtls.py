"""Mutual TLS between all processes and their callers."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from tailrace.runtime.config import IngestSettings, SettingsError, load_settings
from tailrace.v1 import prediction_service_pb2_grpc
from tests.support.requests import predict_request

ECHO = predict_request("echo", {"x0": 1.0, "account": "account-1"})


@dataclass(frozen=True)
class Identity:
    """A certificate, its key, and the authority its peers must be signed by."""

    certificate: Path
    key: Path
    ca: Path

    def settings(self) -> dict[str, str]:
        return {
            "TAILRACE_TLS_CERTIFICATE_FILE": str(self.certificate),
            "TAILRACE_TLS_KEY_FILE": str(self.key),
            "TAILRACE_TLS_CA_FILE": str(self.ca),
        }

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(), self.key.read_bytes(), self.certificate.read_bytes()
        )


def _identity(authority: trustme.CA, trusted: trustme.CA, folder: Path, name: str) -> Identity:
    identity = Identity(*(folder / f"{name}.{part}" for part in ("pem", "key", "ca")))
    issued = authority.issue_cert("127.0.0.1", "localhost")
    identity.certificate.write_bytes(b"".join(p.bytes() for p in issued.cert_chain_pems))
    identity.key.write_bytes(issued.private_key_pem.bytes())
    trusted.cert_pem.write_to_path(str(identity.ca))
    return identity


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start_secure_mesh(
    start_mesh: Any, redis_server: Any, triton_server: Any, authority: trustme.CA, tmp_path: Path
) -> Any:
    identity = _identity(authority, authority, tmp_path, "mesh")
    settings = {
        "all": identity.settings(),
        "inference": {"TAILRACE_TRITON_PLAINTEXT": "true"},
    }

    def start(workers: int) -> Any:
        return start_mesh(
            redis_server,
            triton_server,
            settings,
            credentials=identity.credentials(),
            workers=workers,
        )

    return start


@pytest.fixture
def secure_mesh(start_secure_mesh: Any) -> Any:
    return start_secure_mesh(workers=1)


def _predict(channel: grpc.Channel) -> Any:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(ECHO, timeout=5)


@pytest.fixture
def foreign(authority: trustme.CA, tmp_path: Path) -> Iterator[grpc.ChannelCredentials]:
    yield _identity(trustme.CA(), authority, tmp_path, "foreign").credentials()


def test_only_callers_with_a_certificate_of_ours_are_served(
    secure_mesh: Any, authority: trustme.CA, foreign: grpc.ChannelCredentials, tmp_path: Path
) -> None:
    with secure_mesh.channel("gateway") as channel:
        assert _predict(channel).prediction["score"].double_value == 4301.0
    ca = tmp_path / "ca-only.pem"
    authority.cert_pem.write_to_path(str(ca))
    strangers = {
        "plaintext": grpc.insecure_channel(secure_mesh.target),
        "no certificate": grpc.secure_channel(
            secure_mesh.target, grpc.ssl_channel_credentials(ca.read_bytes())
        ),
        "another authority": grpc.secure_channel(secure_mesh.target, foreign),
    }
    for name, channel in strangers.items():
        with channel, pytest.raises(grpc.RpcError) as caught:
            _predict(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE, name
    with secure_mesh.channel("gateway") as channel:
        assert _predict(channel).prediction["score"].double_value == 4301.0


def test_half_a_tls_setting_stops_the_start(tmp_path: Path, authority: trustme.CA) -> None:
    identity = _identity(authority, authority, tmp_path, "half")
    with pytest.raises(SettingsError, match="go together"):
        load_settings(IngestSettings, tls_ca_file=identity.ca)
    with pytest.raises(SettingsError, match="is not there"):
        load_settings(
            IngestSettings,
            tls_ca_file=identity.ca,
            tls_key_file=identity.key,
            tls_certificate_file=tmp_path / "nowhere.pem",
        )


@pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux")
def test_workers_speak_mtls_on_the_shared_port_and_on_their_own(start_secure_mesh: Any) -> None:
    mesh = start_secure_mesh(workers=2)
    for name in ("gateway", "gateway-1", "gateway-2"):
        with mesh.channel(name) as channel:
            assert _predict(channel).prediction["score"].double_value == 4301.0
    worker = mesh.processes["gateway"].workers[1]
    with grpc.insecure_channel(worker.target) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            _predict(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
