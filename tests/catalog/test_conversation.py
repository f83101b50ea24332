"""What a conversation makes of a peer's answers, good and bad."""

from __future__ import annotations

import socket
import threading

import pytest

from catalog.conversation import Answer, BadAnswer, Conversation


def asked(said: bytes, target: str = "/x", headers: dict[str, str] | None = None) -> tuple[Answer, bool]:
    """What comes of a request that is answered so, by a peer that then hangs up; and whether it could go on."""
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    conversation = Conversation(ours)
    try:
        return conversation.ask("GET", target, headers or {}, b"", 5), conversation.reusable
    finally:
        conversation.close()
        theirs.close()


WHOLE = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1;x=1\r\no\r\n1\r\nk\r\n0\r\n\r\n"


@pytest.mark.parametrize(("said", "code", "content", "reusable"), [
    (WHOLE, 200, b"ok", True),
    (CHUNKED, 404, b"ok", True),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, 200, b"ok", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", 200, b"ok", False),
    (b"HTTP/1.0 500 x\r\n\r\nok", 500, b"ok", False),
])
def test_an_answer_is_read_to_its_end(said: bytes, code: int, content: bytes, reusable: bool) -> None:
    answer, again = asked(said)
    assert (answer.code, answer.content, again) == (code, content, reusable)


@pytest.mark.parametrize("whole", [WHOLE, CHUNKED])
def test_an_answer_that_is_cut_short_is_never_taken_for_a_whole_one(whole: bytes) -> None:
    for cut in range(len(whole)):
        try:
            answer, reusable = asked(whole[:cut])
        except BadAnswer:
            continue
        assert answer.content == b"ok" or not reusable, whole[:cut]  # what ends with the connection has no other end


@pytest.mark.parametrize("said", [
    b"", b"\0\1\2", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\na\r\n0\r\n\r\n",
])
def test_garbage_is_a_bad_answer(said: bytes) -> None:
    with pytest.raises(BadAnswer):
        asked(said)


def test_names_of_headers_have_no_case() -> None:
    headers = asked(WHOLE)[0].headers
    assert headers["x-consul-index"] == headers.get("X-CONSUL-INDEX") == "7"
    assert headers.get("X-Other") is None


@pytest.mark.parametrize(("target", "headers"), [
    ("/a b", {}), ("/a\r\nX: y", {}), ("/a", {"X": "y\r\nZ: 1"}), ("/a", {"X": "y\nZ: 1"}), ("/a", {"X\r": "y"}),
])
def test_nothing_breaks_out_of_a_request(target: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"control characters|Invalid header"):
        asked(WHOLE, target, headers)


def test_a_conversation_goes_on_until_the_peer_has_hung_up() -> None:
    ours, theirs = socket.socketpair()
    received: list[bytes] = []

    def serve() -> None:
        with theirs:
            for end in (b"\r\n\r\n", b"body"):
                said = b""
                while not said.endswith(end):
                    said += theirs.recv(65536)
                received.append(said)
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
