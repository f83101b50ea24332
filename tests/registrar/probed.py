"""Servers that Consul's checks find healthy: HTTP over TLS, and gRPC's health service, spoken by hand.

gRPC is HTTP/2 (RFC 9113) with a five-byte head before each message; the answer to any call is "serving".
"""

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from http.server import BaseHTTPRequestHandler

from deploy.local import free_port

HOST = "127.0.0.1"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1


class Fine(BaseHTTPRequestHandler):
    """200 to every GET."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def http(connection):
    Fine(connection, (HOST, 0), None)


def grpc(connection):
    """One connection of a gRPC client that asks for health."""
    read = connection.makefile("rb").read

    def send(kind, flags, stream, payload=b""):
        head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
        connection.sendall(head + payload)

    def literal(name, value):  # HPACK without index and without Huffman's code
        return bytes([0, len(name)]) + name + bytes([len(value)]) + value

    assert read(24).startswith(b"PRI * HTTP/2.0")
    send(SETTINGS, 0, 0)
    while head := read(9):
        kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
        payload = read(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & ACK:
            send(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            send(PING, ACK, 0, payload)
        elif kind in (DATA, HEADERS) and flags & END_STREAM:
            status = b"\x08\x01"  # HealthCheckResponse.status = SERVING
            send(HEADERS, END_HEADERS, stream, b"\x88" + literal(b"content-type", b"application/grpc"))  # :status 200
            send(DATA, 0, stream, b"\0" + struct.pack(">I", len(status)) + status)
            send(HEADERS, END_HEADERS | END_STREAM, stream, literal(b"grpc-status", b"0"))


@contextlib.contextmanager
def serving(speak, folder=None):
    """The port of 127.0.0.1 where `speak` talks to each connection; over TLS, with a certificate kept in `folder`."""
    context = None
    if folder is not None:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out",
                        "cert.pem", "-subj", "/CN=itself", "-days", "1"], check=True, capture_output=True, cwd=folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        context.set_alpn_protocols(["h2" if speak is grpc else "http/1.1"])
    listener = socket.create_server((HOST, free_port(HOST)))

    def talk(connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            with context.wrap_socket(connection, server_side=True) if context else connection as ready:
                speak(ready)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
