"""HTTP/1.1 as far as it is needed, judged by Python's own client: what both read must be the same."""

from __future__ import annotations

import http.client
import io
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.http1 import BadAnswer, Conversation, read_answer, request_bytes

WORD = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-", min_size=1, max_size=12)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)
OWN = {"content-length", "transfer-encoding", "connection"}
HEADERS = st.lists(st.tuples(WORD.filter(lambda name: name.lower() not in OWN), VALUE), max_size=8,
                   unique_by=lambda pair: pair[0].lower())


class _Socket:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def _by_python(content: bytes) -> tuple[int, dict[str, str], bytes, bool]:
    answer = http.client.HTTPResponse(_Socket(content), method="GET")  # type: ignore[arg-type]
    answer.begin()
    closing = answer.will_close
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read(), not closing


@st.composite
def _answers(draw: st.DrawFn) -> bytes:
    code, body = draw(st.sampled_from([200, 204, 304, 404, 429, 500])), draw(st.binary(max_size=300))
    version = draw(st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]))
    reason = draw(st.sampled_from(["OK", "Not Found", ""]))
    headers = draw(HEADERS)
    if draw(st.booleans()):
        headers.append(("Connection", draw(st.sampled_from(["close", "Close", "keep-alive"]))))
    way = draw(st.sampled_from(["length", "chunked", "end"]))
    if code in (204, 304):
        body, way = b"", "end"
    if way == "length":
        headers.append((draw(st.sampled_from(["Content-Length", "content-length"])), str(len(body))))
    elif way == "chunked":
        headers.append((draw(st.sampled_from(["Transfer-Encoding", "transfer-encoding"])),
                        draw(st.sampled_from(["chunked", "Chunked"]))))
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
        parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
        extension = draw(st.sampled_from(["", ";x=1"]))
        trailer = draw(st.sampled_from(["", "X-Sum: 1\r\n"]))
        body = b"".join(f"{len(p):x}{extension}\r\n".encode() + p + b"\r\n" for p in parts)
        body += f"0\r\n{trailer}\r\n".encode()
    before = draw(st.sampled_from(["", "HTTP/1.1 100 Continue\r\n\r\n"]))
    head = "\r\n".join([f"{version} {code} {reason}", *(f"{k}: {v}" for k, v in headers)])
    return f"{before}{head}\r\n\r\n".encode() + body


@given(_answers())
def test_an_answer_is_read_as_pythons_client_reads_it(content: bytes) -> None:
    answer, reusable = read_answer(io.BytesIO(content))
    code, headers, body, expected = _by_python(content)
    assert (answer.code, dict(answer.headers), answer.content) == (code, headers, body)
    # Whatever Python would not use again is not used again here.
    assert not reusable or expected


@given(_answers(), st.integers(0, 400))
def test_an_answer_that_is_cut_short_is_never_taken_for_a_whole_one(content: bytes, cut: int) -> None:
    whole, _ = read_answer(io.BytesIO(content))
    try:
        found, reusable = read_answer(io.BytesIO(content[:cut]))
    except BadAnswer:
        return
    assert found == whole or not reusable  # what ends with the connection has no other end


@given(st.binary(max_size=200))
def test_garbage_is_a_bad_answer(content: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_answer(io.BytesIO(content))


@pytest.mark.parametrize("content", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n0123456789",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/2 200\r\n\r\n",
    b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
])
def test_what_is_ambiguous_is_refused(content: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_answer(io.BytesIO(content))


def test_names_of_headers_have_no_case() -> None:
    headers = read_answer(io.BytesIO(b"HTTP/1.1 200 OK\r\nx-consul-index: 7\r\nContent-Length: 0\r\n\r\n"))[0].headers
    assert headers["X-Consul-Index"] == headers.get("x-CONSUL-index") == "7"
    assert headers.get("X-Other") is None
    assert "x-Consul-index" in headers


@pytest.mark.parametrize(("target", "headers"), [
    ("/a b", {}), ("/a\r\nX: y", {}), ("/a", {"X": "y\r\nZ: 1"}), ("/a", {"X": "y\nZ: 1"}), ("/a", {"X\r": "y"}),
])
def test_nothing_breaks_out_of_a_request(target: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="hold a line break or a space"):
        request_bytes("GET", target, headers, b"")


def test_a_conversation_goes_on_until_the_peer_has_hung_up() -> None:
    ours, theirs = socket.socketpair()
    received: list[bytes] = []

    def serve() -> None:
        with theirs:
            for _ in range(2):
                received.append(theirs.recv(65536))
                theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve)
    thread.start()
    conversation = Conversation(ours)
    assert conversation.ask("GET", "/x", {"Host": "h"}, b"", 5).content == b"ok"
    assert conversation.reusable
    assert conversation.ask("PUT", "/y", {"Host": "h"}, b"body", 5).content == b"ok"
    thread.join()
    assert received == [b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
                        b"PUT /y HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"]
    assert not conversation.is_open
    with pytest.raises(OSError):
        conversation.ask("GET", "/z", {}, b"", 5)
    assert not conversation.reusable
    conversation.close()
