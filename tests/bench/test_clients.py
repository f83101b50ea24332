"""That the clients of the bench notice what they are there to notice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from statistics import median

from bench.filling import Observer, fill, parameters
from bench.loss import H2Load
from bench.pings import Pinger
from bench.streams import Download, StreamOrigin, WebSocket
from deploy.local import ConsulServer, ProxyProcess, loopback_address, wait_until
from deploy.origin import Origin


@contextmanager
def relay(origin: StreamOrigin, limit: int, spoil: bool = False) -> Iterator[tuple[str, int]]:
    """Passes connections on, and ends them (or changes a byte) after so many bytes of the answer."""
    listener = socket.create_server((origin.host, 0))

    def serve() -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=pump, args=(client,), daemon=True).start()

    def pump(client: socket.socket) -> None:
        with client, socket.create_connection((origin.host, origin.port)) as upstream, suppress(OSError):
            threading.Thread(target=forward, args=(client, upstream), daemon=True).start()
            passed = 0
            while (got := upstream.recv(4096)) and (spoil or passed <= limit):
                if spoil and passed <= limit < passed + len(got):
                    place = limit - passed
                    got = got[:place] + bytes((got[place] ^ 1,)) + got[place + 1:]
                passed += len(got)
                client.sendall(got)
            client.shutdown(socket.SHUT_RDWR)  # a close would wait for the thread that reads from it

    def forward(client: socket.socket, upstream: socket.socket) -> None:
        with suppress(OSError):
            while got := client.recv(4096):
                upstream.sendall(got)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield origin.host, listener.getsockname()[1]
    finally:
        listener.close()


def test_streams_that_nothing_disturbs_are_whole() -> None:
    with StreamOrigin() as origin:
        download, echoes = (kind(origin.host, origin.port, "/x") for kind in (Download, WebSocket))
        wait_until(lambda: download.received > 5 and echoes.echoed > 5, 10)
        assert (download.finish(origin), echoes.finish()) == ("", "")


def test_a_download_that_is_cut_short_is_noticed() -> None:
    with StreamOrigin() as origin, relay(origin, 3000) as target:
        download = Download(*target, "/x")
        wait_until(lambda: download.fault, 10)
        assert download.finish(origin).startswith("IncompleteRead after")


def test_a_byte_that_was_changed_is_noticed() -> None:
    with StreamOrigin() as origin, relay(origin, 3000, spoil=True) as target:
        download = Download(*target, "/x")
        wait_until(lambda: download.fault, 10)
        assert download.finish(origin) == "piece 2 has other bytes"


def test_a_websocket_that_breaks_is_noticed() -> None:
    with StreamOrigin() as origin, relay(origin, 200) as target:
        echoes = WebSocket(*target, "/x")
        wait_until(lambda: echoes.fault, 10)
        assert "b'' came back for b'message" in echoes.finish()


def test_requests_that_were_not_answered_in_h2_are_lost() -> None:
    with Origin("a") as origin, H2Load(origin.host, origin.port, "/x", clients=1, rate=20) as load:
        wait_until(lambda: load.reports() > 2, 10)
    assert load.sent >= 2
    assert sum(load.lost.values()) >= load.sent


def test_what_is_filled_in_is_what_as_many_calls_would_have_left() -> None:
    with ConsulServer() as consul:
        fill(consul, 40, "127.0.0.1", range(1, 129))
        assert len({entry["ServicePort"] for entry in consul.instances("s39")}) == 3
        with ProxyProcess(consul.address) as proxy:
            assert len(proxy.api("state").json["Services"]) == 40
            status, answer = proxy.api("reconfigure", **parameters(39))
            assert (status, answer["Change"], answer["Servers"]) == (200, "nothing", 3)


def test_an_observer_wakes_up_when_its_key_moves() -> None:
    with ConsulServer() as consul:
        observer = Observer(consul, "/v1/catalog/services")
        consul.put("/v1/catalog/register", {"Node": "n", "Address": "127.0.0.1", "Service": {"Service": "new"}})
        assert observer.woke() > 0


def test_pings_that_have_to_wait_are_noticed_and_are_not_the_machines_fault() -> None:
    """Most of the idle server's are quicker however loaded the machine is; the slowest one may have had to wait too."""
    answered: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.5)
            answered.append(1)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer((loopback_address(), 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Pinger(str(server.server_address[0]), server.server_port) as pinger:
            wait_until(lambda: len(answered) >= 5, 60, "five pings have waited")
        server.shutdown()
    assert pinger.pings.took_ms[0] >= 500 > median(pinger.pings.floor_ms)
