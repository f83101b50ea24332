"""The certificates in CERTS_PATH that HAProxy can use. Edge.

A bad file in a certificate directory is fatal for a whole configuration, so each is tried before it is named in one.
"""

import logging
import ssl
from pathlib import Path

log = logging.getLogger("proxy-api")


class Certificates:
    """Lists the usable PEM files of a directory; a file is tried again only when it changes."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._tried: dict[str, tuple[tuple[int, int], bool]] = {}

    def usable(self) -> tuple[str, ...]:
        """The paths of the files that hold a certificate and its key, by name."""
        try:
            files = sorted(p for p in self._directory.iterdir() if p.is_file() and not p.name.startswith("."))
        except OSError:
            return ()
        return tuple(str(p) for p in files if self._works(p))

    def _works(self, path: Path) -> bool:
        try:
            stat = path.stat()
        except OSError:
            return False
        mark = (stat.st_mtime_ns, stat.st_size)
        known = self._tried.get(path.name)
        if known is None or known[0] != mark:
            self._tried[path.name] = known = (mark, self._try(path))
        return known[1]

    @staticmethod
    def _try(path: Path) -> bool:
        try:
            # An empty password keeps an encrypted key from asking for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password="")
        except (OSError, ValueError) as fault:
            log.warning('event=certificate-unusable file=%s reason="%s"', path, type(fault).__name__)
            return False
        return True
