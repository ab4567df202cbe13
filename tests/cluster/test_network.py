"""Beyond loopback only with certificates, or by a flag that says what it is."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from localprompt.cluster import network
from localprompt.cluster.network import (
    Network,
    check_address,
    check_called_back,
    is_loopback,
    listening_host,
    no_scheduler,
    security,
)
from localprompt.errors import InputError, MachineError
from tests import needs
from tests.cluster.harness import ClusterLab, figures, rows


def test_loopback_needs_nothing() -> None:
    for address in ("tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"):
        check_address(address, Network())
    assert listening_host(Network()) == "127.0.0.1"


def test_beyond_it_certificates_are_asked_for_or_a_flag_is_typed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs certificates") as caught:
        check_address("tcp://192.0.2.7:8786", Network())
    assert "--insecure-network" in str(caught.value.next_step)
    check_address("tcp://192.0.2.7:8786", Network(insecure=True))
    check_address("tls://192.0.2.7:8786", Network(tls=tmp_path))


def test_a_worker_on_loopback_is_told_that_a_scheduler_elsewhere_cannot_call_it_back() -> None:
    with pytest.raises(InputError, match="calls its workers back") as caught:
        check_called_back("192.0.2.7", 8786, Network(insecure=True))
    assert "--interface NAME, of: " in str(caught.value.expected)
    check_called_back("192.0.2.7", 8786, Network(insecure=True, interface="eth0"))
    check_called_back("127.0.0.1", 8786, Network())


def test_why_no_scheduler_answers_is_said_in_words_with_what_to_change() -> None:
    certificate = ssl.SSLCertVerificationError()
    certificate.verify_message = "certificate has expired"
    encrypted = ssl.SSLError()
    encrypted.reason = "WRONG_VERSION_NUMBER"
    for address, error, found, next_step in (
        ("tcp://127.0.0.1:1", ConnectionRefusedError(), "nobody listens", "cluster scheduler, on"),
        ("tcp://192.0.2.7:1", ConnectionRefusedError(), "nobody", "scheduler --interface NAME, on"),
        ("tls://192.0.2.7:1", TimeoutError(), "no reply", "--interface NAME --tls FOLDER, on"),
        ("tls://127.0.0.1:1", certificate, "does not fit: certificate has expired", "same ca.pem"),
        ("tls://127.0.0.1:1", encrypted, "not encrypted", "tcp:// for tls://"),
        ("tcp://127.0.0.1:1", ConnectionResetError("reset"), "reset", "tls:// and --tls FOLDER"),
        ("tcp://x.invalid:1", socket.gaierror(-2, "not known"), "no such name", "in numbers"),
    ):
        said = no_scheduler(address, RuntimeError("as Dask says it"))
        assert said.found == "RuntimeError: as Dask says it"
        outer = OSError("as Dask says it")
        outer.__cause__ = error
        said = no_scheduler(address, outer)
        assert found in str(said.found)
        assert next_step in str(said.next_step)


def test_an_address_where_nobody_is_is_refused_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network, "SECONDS_REFUSED", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        network.check_reachable(f"tcp://127.0.0.1:{port}", Network())
    with pytest.raises(MachineError, match="no scheduler of a cluster answers"):
        network.check_reachable(f"tcp://127.0.0.1:{port}", Network())


def test_a_name_that_cannot_be_looked_up_is_not_loopback() -> None:
    assert not is_loopback("no-such-host.invalid")
    for name in ("a" * 300, "é" * 200, "a..b", "\udcff"):
        assert not is_loopback(name)
    assert is_loopback("127.0.0.2")


def test_tls_and_the_address_have_to_agree(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="asks for certificates"):
        check_address("tls://127.0.0.1:8786", Network())
    with pytest.raises(InputError, match="begins with tls"):
        check_address("tcp://127.0.0.1:8786", Network(tls=tmp_path))


def test_missing_and_broken_certificates_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="certificate is missing") as caught:
        security(Network(tls=tmp_path))
    assert str(caught.value.where).endswith("ca.pem")
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text("nonsense")
    with pytest.raises(InputError, match="cannot be used"):
        security(Network(tls=tmp_path))


def test_an_interface_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InputError, match="no such interface") as caught:
        listening_host(Network(interface="nowhere9"))
    assert "lo" in str(caught.value.expected)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A certificate that signs itself, good for every role."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-subj", "/CN=cluster", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(needs.OPENSSL)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    return folder


@pytest.mark.slow
def test_an_encrypted_cluster_works_and_lets_nobody_in_without_a_certificate(
    lab: ClusterLab, certificates: Path
) -> None:
    from localprompt.cluster.hands import ClusterHands, connect

    lab.write("cases.csv", rows(40))
    tls = ("--tls", str(certificates))
    command = ("-m", "localprompt", "cluster")
    _, address = lab.start(*command, "scheduler", "--port", "0", *tls, until="^tls://")
    lab.start(*command, "worker", address, "--name", "one", *tls, until="works for")
    with ClusterHands(connect(address, Network(tls=certificates))) as hands:
        spread = lab.carry_out(lab.plan(), hands)
    assert figures(spread) == figures(lab.here(lab.plan()))
    with pytest.raises(MachineError, match="no scheduler"):
        connect(address.replace("tls://", "tcp://"), Network())
