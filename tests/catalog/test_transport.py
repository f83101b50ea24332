"""The conversation with Consul where what lies between the two fails."""

from __future__ import annotations

import ctypes
import socket
import ssl
import struct
import subprocess
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catalog.address import Endpoint, parse_endpoints
from catalog.errors import CatalogDenied, CatalogUnavailable
from catalog.transport import MAX_CONNECTIONS, Access, Transport
from deploy.local import wait_until
from tests.catalog.listener import OK, Listener

_SO_ATTACH_FILTER = 26


def _drop_everything(connection: socket.socket) -> None:
    """A black hole: the kernel drops whatever arrives on this connection, and acknowledges none of it."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0 bytes of any packet
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


def test_a_peer_that_is_cut_off_in_a_long_poll_is_noticed_within_14_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            _drop_everything(connection)
            held.append(connection)

        thread = threading.Thread(target=take)
        thread.start()
        transport = Transport(parse_endpoints(f"127.0.0.1:{server.getsockname()[1]}"), Access())
        begun = time.monotonic()
        with pytest.raises(CatalogUnavailable, match="no answer in time"):
            transport.request("GET", "/v1/catalog/services", timeout=60)
        lasted = time.monotonic() - begun
        thread.join()
        held[0].close()
        assert 4 < lasted < 14


def test_a_missing_ca_file_is_a_catalog_that_is_unavailable(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    transport = Transport(parse_endpoints("https://127.0.0.1:1"), Access(ca=str(missing)))
    for method in ("GET", "PUT"):
        with pytest.raises(CatalogUnavailable, match=str(missing)):
            transport.request(method, "/v1/kv/x")
    missing.write_text("no certificate")
    with pytest.raises(CatalogUnavailable):
        transport.request("GET", "/v1/kv/x")


def test_one_connection_serves_call_after_call_and_a_lost_one_is_replaced_unnoticed() -> None:
    with Listener() as server:
        transport = Transport([server.endpoint], Access())
        for _ in range(5):
            assert transport.request("GET", "/v1/kv/x").body == "{}"
        assert server.connected == 1
        server.hang_up()
        wait_until(lambda: not server.open, 5)
        assert transport.request("PUT", "/v1/kv/x", data="y").code == 200
        assert server.connected == 2


def test_there_are_four_connections_at_most_whatever_the_number_of_threads_and_addresses() -> None:
    gate = threading.Semaphore(0)

    def answer(request: bytes) -> bytes:
        assert gate.acquire(timeout=10)
        return OK

    with Listener(answer) as first, Listener() as second:
        transport = Transport([first.endpoint, second.endpoint], Access())
        with ThreadPoolExecutor(12) as threads:
            calls = [threads.submit(transport.request, "GET", "/v1/kv/x") for _ in range(12)]
            wait_until(lambda: first.open == MAX_CONNECTIONS, 5)
            for _ in calls:
                gate.release()
            assert {call.result().code for call in calls} == {200}
        assert first.most == MAX_CONNECTIONS
        # The first one goes away, while its connections are kept: those to the second take their place.
        first.refuse()
        first.hang_up()
        assert transport.request("GET", "/v1/kv/x").code == 200
        assert (first.open, second.open) == (0, 1)


def test_kept_connections_to_one_address_make_room_for_those_to_another() -> None:
    at_once = threading.Barrier(MAX_CONNECTIONS)

    def together(request: bytes) -> bytes:
        at_once.wait(10)
        return OK

    # The first hangs up on the last request, so that the transport moves on with connections kept to it.
    with Listener(lambda request: b"" if b"/last" in request else together(request)) as first, \
            Listener(lambda request: together(request) if b"/many" in request else OK) as second:
        transport = Transport([first.endpoint, second.endpoint], Access())
        with ThreadPoolExecutor(MAX_CONNECTIONS) as threads:
            list(threads.map(lambda _: transport.request("GET", "/v1/kv/x"), range(MAX_CONNECTIONS)))
            assert first.open == MAX_CONNECTIONS
            transport.request("GET", "/v1/kv/last")
            wait_until(lambda: (first.open, second.open) == (0, 1), 5)
            list(threads.map(lambda _: transport.request("GET", "/v1/kv/many"), range(MAX_CONNECTIONS)))
        wait_until(lambda: (first.open, second.open) == (0, MAX_CONNECTIONS), 5)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_a_write_that_was_sent_is_not_sent_to_another_address(method: str) -> None:
    with Listener(lambda request: b"") as first, Listener() as second:
        transport = Transport([first.endpoint, second.endpoint], Access())
        with pytest.raises(CatalogUnavailable, match=f"{first.port}: connection closed without an answer"):
            transport.request(method, "/v1/kv/x", data="y")
        assert (len(first.requests), len(second.requests)) == (1, 0)
        # A read may go anywhere, and whoever answered it is asked first from then on.
        assert transport.request("GET", "/v1/kv/x").code == 200
        assert transport.request(method, "/v1/kv/x", data="y").code == 200
        assert (len(first.requests), len(second.requests)) == (2, 2)


def test_a_write_goes_to_the_next_address_where_nothing_could_be_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    nobody = Endpoint("http", "127.0.0.1", free)
    with Listener() as second:
        for first in (nobody, Endpoint("http", "no.such.name.invalid", 1), Endpoint("http", "x" * 70, 1)):
            assert Transport([first, second.endpoint], Access()).request("PUT", "/v1/kv/x", data="y").code == 200
    with pytest.raises(CatalogUnavailable, match=f"^http://127.0.0.1:{free}: connection refused$"):
        Transport([nobody], Access()).request("PUT", "/v1/kv/x")


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_what_is_no_answer_is_a_catalog_that_is_unavailable(said: bytes) -> None:
    hung: list[Listener] = []

    def answer(request: bytes) -> bytes:
        hung[0]._connections[-1].sendall(said)
        return b""

    with Listener(answer) as server:
        hung.append(server)
        with pytest.raises(CatalogUnavailable, match="answer"):
            Transport([server.endpoint], Access()).request("GET", "/v1/kv/x")


def test_the_request_is_what_consul_expects() -> None:
    with Listener() as server:
        transport = Transport([server.endpoint], Access(token="secret", basic_auth="user:pass"))
        transport.request("PUT", "/v1/kv/a b/é?#%2F", [("cas", 7), ("flags", None), ("dc", "x&y")], "wert ü")
        transport.request("GET", "/v1/kv/x", {"recurse": "1"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    assert line == "PUT /v1/kv/a%20b/%C3%A9%3F%23%252F?cas=7&dc=x%26y HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}", "X-Consul-Token: secret", "Content-Length: 7",
            "Authorization: Basic dXNlcjpwYXNz"} <= set(headers)
    assert body.decode() == "wert ü"
    assert server.requests[1].startswith(b"GET /v1/kv/x?recurse=1 HTTP/1.1\r\n")
    assert b"Content-Length" not in server.requests[1]


@pytest.mark.parametrize("token", ["geheim\nX-Other: 1", "geheim\r", "gehe\x00im", "geheimé"])
def test_a_token_that_no_header_can_carry_is_told_without_showing_it(token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token + "x")
    with Listener() as server:
        for access in (Access(token=token), Access(token_file=str(file))):
            with pytest.raises(CatalogDenied, match="the token holds characters") as refused:
                Transport([server.endpoint], access).request("GET", "/v1/kv/x")
            assert "gehe" not in "".join(traceback.format_exception(refused.value))
    assert not server.requests


def _certificate(directory: Path, name: str, *options: str) -> tuple[str, str]:
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate,
                    *(options or ("-nodes",))], check=True, capture_output=True)
    return str(certificate), str(key)


def test_tls_proves_who_both_ends_are(tmp_path: Path) -> None:
    server_pair, client_pair = _certificate(tmp_path, "server"), _certificate(tmp_path, "client")
    locked = _certificate(tmp_path, "locked", "-passout", "pass:x")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_pair)
    context.load_verify_locations(client_pair[0])
    context.verify_mode = ssl.CERT_REQUIRED
    with Listener(tls=context) as server:
        def ask(access: Access) -> str:
            return Transport([server.endpoint], access).request("PUT", "/v1/kv/x").body

        good = Access(ca=server_pair[0], client_cert=client_pair)
        assert ask(good) == "{}"
        assert ask(Access(ca=False, client_cert=client_pair)) == "{}"
        for access, why in (
            (Access(client_cert=client_pair), "TLS could not be agreed on .*self-signed"),
            (Access(ca=client_pair[0], client_cert=client_pair), "TLS could not be agreed on"),
            (Access(ca=server_pair[0]), "TLS failed: (TLSV13_ALERT_CERTIFICATE_REQUIRED|EOF)|connection reset|closed"),
            (Access(ca=server_pair[0], client_cert=locked), "locked.pem or .*locked.key cannot be used"),
            (Access(ca=server_pair[0], client_cert=(client_pair[0], "/none.key")), "/none.key cannot be used: No such"),
        ):
            with pytest.raises(CatalogUnavailable, match=why):
                ask(access)
        before = server.connected
        transport = Transport([server.endpoint], good)
        for _ in range(3):
            transport.request("GET", "/v1/kv/x")
        assert server.connected == before + 1


def test_another_name_than_the_certificates_is_refused(tmp_path: Path) -> None:
    pair = _certificate(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    with Listener(tls=context) as server:
        elsewhere = Endpoint("https", "localhost", server.port)
        with pytest.raises(CatalogUnavailable, match="Hostname mismatch"):
            Transport([elsewhere], Access(ca=pair[0])).request("GET", "/v1/kv/x")


def test_no_proxy_of_the_environment_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Listener() as server:
        assert Transport([server.endpoint], Access()).request("GET", "/v1/kv/x").code == 200


def test_another_name_may_be_said_to_be_in_the_certificate(tmp_path: Path) -> None:
    pair = _certificate(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    with Listener(tls=context) as server:
        elsewhere = Endpoint("https", "localhost", server.port)
        found = Transport([elsewhere], Access(ca=pair[0], server_name="127.0.0.1")).request("GET", "/v1/kv/x")
        assert found.code == 200
        with pytest.raises(CatalogUnavailable, match="mismatch"):
            Transport([server.endpoint], Access(ca=pair[0], server_name="a.example")).request("GET", "/v1/kv/x")


@pytest.mark.parametrize(("there", "why"), [(False, "No such file"), (True, "connection refused")])
def test_a_socket_where_nobody_listens(tmp_path: Path, there: bool, why: str) -> None:
    path = tmp_path / "consul.sock"
    if there:
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
    with pytest.raises(CatalogUnavailable, match=f"unix://{path}: {why}"):
        Transport([Endpoint("unix", str(path), 0)], Access()).request("PUT", "/v1/kv/x")
