"""The conversation with Consul where what lies between the two fails."""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from catalog.address import parse_endpoints
from catalog.errors import CatalogUnavailable
from catalog.transport import Access, Transport

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
