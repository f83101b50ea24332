"""The certificates in CERTS_PATH that HAProxy can use. Edge.

A bad file in a certificate directory is fatal for a whole configuration, so each is tried before it is named in one.
"""

import hashlib
import logging
import re
import ssl
from pathlib import Path

log = logging.getLogger("proxy-api")

_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Certificates:
    """Lists the usable PEM files of a directory; a file is tried again only when it changes."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._tried: dict[str, tuple[tuple[int, int, int], str]] = {}
        self._told: set[str] = set()

    def usable(self) -> tuple[tuple[str, str], ...]:
        """The files that hold a certificate and its key, by name: path and a digest of the content.

        The digest makes a certificate that was renewed in place another one.
        """
        try:
            files = sorted(p for p in self._directory.iterdir() if p.is_file() and not p.name.startswith("."))
        except OSError:
            return ()
        return tuple((str(p), digest) for p in files if self._is_named_well(p) and (digest := self._digest(p)))

    def _is_named_well(self, path: Path) -> bool:
        """Whether the name can stand in HAProxy's list: a blank or a bracket in one would end every change."""
        if _NAME.fullmatch(path.name):
            return True
        if path.name not in self._told:
            self._told.add(path.name)
            log.warning("event=certificate-unusable file=%s reason=%s", path,
                        "its name has other characters than letters, digits, '.', '_' and '-'")
        return False

    def _digest(self, path: Path) -> str:
        """"" for a file that cannot be used."""
        try:
            stat = path.stat()
        except OSError:
            return ""
        mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._tried.get(path.name)
        if known is None or known[0] != mark:
            self._tried[path.name] = known = (mark, self._try(path))
        return known[1]

    @staticmethod
    def _try(path: Path) -> str:
        try:
            # An empty password keeps an encrypted key from asking for one on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password="")
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        except (OSError, ValueError) as fault:
            log.warning("event=certificate-unusable file=%s reason=%s", path, type(fault).__name__)
            return ""
