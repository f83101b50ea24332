"""HTTP/1.1 over one open connection, no more of it than talking to Consul and to a Docker engine takes. Edge.

A request leaves in one piece, an answer is read whole. `http.client` takes four times the processor time for the same,
most of it for headers that nobody looks at, and urllib3 and requests add to that; where hundreds of short calls are
made in a row, that time is most of what they take (`python -m bench`). Any answer that is not plain enough is an error.
"""

import select
import socket
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

MAX_LINE = 65536
MAX_HEADERS = 200


class BadAnswer(ConnectionError):
    """The peer has closed the connection too early, or it speaks something else. The text says which."""


class Headers(Mapping[str, str]):
    """Headers by name, whatever its case."""

    def __init__(self, by_lower_name: Mapping[str, str]) -> None:
        self._found = by_lower_name

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Answer(NamedTuple):
    """What the peer has answered, read to its end."""

    code: int
    headers: Headers
    content: bytes


class Conversation:
    """Requests and answers over one connection, one after the other. Used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file: BinaryIO = connection.makefile("rb")
        self.reusable = True

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
        """Send a request and read the answer. Raises OSError; TimeoutError after so many seconds of silence."""
        # Whatever goes wrong on the way leaves a conversation that nothing can be read from.
        self.reusable = False
        self._connection.settimeout(timeout)
        self._connection.sendall(request_bytes(method, target, headers, body))
        answer, self.reusable = read_answer(self._file)
        return answer

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent: a peer that has closed an idle connection has made it readable."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._file.close()
        self._connection.close()


def request_bytes(method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """A request as it goes over the wire. `target` is quoted already; a header that would break out is refused."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or target.count(" "):
        raise ValueError("a request's target or headers hold a line break or a space")
    return head.encode("latin-1") + b"\r\n\r\n" + body


def read_answer(file: BinaryIO) -> tuple[Answer, bool]:
    """One answer, and whether the connection can be used again. Raises BadAnswer."""
    code, version, headers = *_status(_line(file)), _headers(file)
    while code < 200:  # said in between, of no interest
        code, version, headers = *_status(_line(file)), _headers(file)
    closing = version == 0 or "close" in headers.get("connection", "").lower()
    if code in (204, 304):
        return Answer(code, headers, b""), not closing
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise BadAnswer("its answer has an unknown coding")
        return Answer(code, headers, b"".join(_chunks(file))), not closing and length is None
    if length is None:
        return Answer(code, headers, file.read()), False
    return Answer(code, headers, _exactly(file, _number(length.encode(), 10))), not closing


def _status(line: bytes) -> tuple[int, int]:
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or len(code) < 3 or rest[3:4].strip():
        raise BadAnswer("its answer is not HTTP")
    return int(code), int(version == b"HTTP/1.1")


def _headers(file: BinaryIO) -> Headers:
    found: dict[str, str] = {}
    for _ in range(MAX_HEADERS):
        line = _line(file)
        if not line:
            return Headers(found)
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or name != name.strip():
            raise BadAnswer("its answer is not HTTP")
        name, value = name.lower(), value.strip()
        found[name] = f"{found[name]}, {value}" if name in found else value
    raise BadAnswer("its answer has too many headers")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while size := _number(_line(file).partition(b";")[0].strip(), 16):
        yield _exactly(file, size)
        if _line(file):
            raise BadAnswer("its answer is not HTTP")
    while _line(file):
        pass  # trailers


def _number(digits: bytes, base: int) -> int:
    if not digits.isalnum():  # int() takes signs, spaces and underscores as well
        raise BadAnswer("its answer is not HTTP")
    try:
        return int(digits, base)
    except ValueError:
        raise BadAnswer("its answer is not HTTP") from None


def _line(file: BinaryIO) -> bytes:
    line = file.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        raise BadAnswer("its answer is not HTTP" if len(line) == MAX_LINE else "connection closed without an answer")
    return line.rstrip(b"\r\n")


def _exactly(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise BadAnswer("connection closed in the middle of an answer")
    return content
