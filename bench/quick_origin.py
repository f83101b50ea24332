"""An origin that is never what is measured: a HAProxy that answers by itself, on many ports of one address."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Self

from deploy.local import free_port, http_get, loopback_address, run, wait_until

_PORTS = 128

_TEXT = """\
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 5s
    timeout http-keep-alive 300s
frontend origin
    bind {host}:{first}-{last} backlog 4096
    http-request return status 200 content-type text/plain hdr X-Instance %[dst_port] string "hello, world!"
"""


class QuickOrigin:
    """`with QuickOrigin() as origin:` answers every path on each of `origin.ports`, with the port in X-Instance."""

    def __init__(self) -> None:
        self.host = loopback_address()
        first = free_port(self.host)
        self.ports = range(first, first + _PORTS)
        self._directory = Path(tempfile.mkdtemp(prefix="pb-origin-", dir="/tmp"))
        config = self._directory / "haproxy.cfg"
        config.write_text(_TEXT.format(host=self.host, first=first, last=self.ports[-1]))
        self._process = run(["haproxy", "-f", config], name="origin", log=self._directory / "log")

    def __enter__(self) -> Self:
        try:
            url = f"http://{self.host}:{self.ports[-1]}/"
            self._process.wait_until(lambda: http_get(url).status == 200, 10, "the origin answers")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        wait_until(lambda: not self._process.running, 5, "the origin has ended")
