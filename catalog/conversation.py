"""Requests and answers over one open connection: Python's own HTTP client on a socket that we opened. Edge.

`requests` takes seven times the processor time for the same, most of it to prepare and to merge what nobody looks at;
where hundreds of short calls are made in a row, that is most of what they take (`python -m bench`).
"""

import select
import socket
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPConnection, HTTPException, IncompleteRead, InvalidURL, RemoteDisconnected
from typing import NamedTuple


class BadAnswer(ConnectionError):
    """The peer has closed the connection too early, or it speaks something else. The text says which."""


class Answer(NamedTuple):
    """What the peer has answered, read to its end. The names of headers have no case."""

    code: int
    headers: Message
    content: bytes


class Conversation:
    """Requests and answers over one connection, one after the other. Used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._http = HTTPConnection("localhost")  # never resolved: the connection is there already
        self._http.sock = connection
        self._http.auto_open = 0
        self.reusable = True

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes, timeout: float) -> Answer:
        """Send a request and read the answer. Raises OSError; TimeoutError after so many seconds of silence.

        ValueError where the target, which is quoted already, or a header would break out of the request.
        """
        # Whatever goes wrong on the way leaves a conversation that nothing can be read from.
        self.reusable = False
        self._connection.settimeout(timeout)
        try:
            self._http.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        except InvalidURL as fault:
            raise ValueError(str(fault)) from None
        for name, value in headers.items():
            self._http.putheader(name, value)
        if body or method != "GET":
            self._http.putheader("Content-Length", str(len(body)))
        self._http.endheaders(body or None)
        try:
            answer = self._http.getresponse()
            content = answer.read()
        except RemoteDisconnected:
            raise BadAnswer("connection closed without an answer") from None
        except IncompleteRead:
            raise BadAnswer("connection closed in the middle of an answer") from None
        except (HTTPException, ValueError):  # ValueError: a number that is none
            raise BadAnswer("its answer is not HTTP") from None
        self.reusable = not answer.will_close
        return Answer(answer.status, answer.headers, content)

    @property
    def is_open(self) -> bool:
        """Whether another request can be sent: a peer that has closed an idle connection has made it readable."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._http.close()
        self._connection.close()
