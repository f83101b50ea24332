"""A unix socket before the Docker engine's own, which can be cut, and whose event streams can be muted."""

import contextlib
import random
import socket
import threading
import time

ENGINE = "/var/run/docker.sock"


class SocketRelay:
    """`with SocketRelay(path) as relay:` passes everything on, until it is told otherwise."""

    def __init__(self, path):
        self._path, self._ends, self._streams, self._muted = path, [], set(), False

    def __enter__(self):
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen(50)
        self._start(self._serve)
        return self

    def __exit__(self, *_):
        self.cut()

    def mute_streams(self):
        """Event streams stay open and say nothing from now on."""
        self._muted = True

    def cut(self):
        """The socket goes away, and every connection with it."""
        self._path.unlink(missing_ok=True)
        for end in [self._listener, *self._ends]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends = []

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE)
            self._ends += [client, engine]
            self._start(self._copy_up, client, engine)
            self._start(self._copy_down, engine, client)

    def _copy_up(self, client, engine):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"/events" in data:
                    self._streams.add(engine)
                engine.sendall(data)
        self._hang_up(engine)

    def _copy_down(self, engine, client):
        with contextlib.suppress(OSError):
            while data := engine.recv(65536):
                if not (self._muted and engine in self._streams):
                    client.sendall(data)
        self._hang_up(client)

    @staticmethod
    def _hang_up(end):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _start(work, *arguments):
        threading.Thread(target=work, args=arguments, daemon=True).start()


class Babbler(SocketRelay):
    """A relay that can put an event into the streams that no engine would tell, and into each that begins meanwhile."""

    NONSENSE = b'{"Type":"container","Actor":[1]}\n'

    def __init__(self, path):
        super().__init__(path)
        self._babbles, self._listening = False, []

    def babble(self, on):
        self._babbles = on
        for client in list(self._listening) if on else ():
            self._say(client)

    def _copy_down(self, engine, client):
        with contextlib.suppress(OSError):
            while data := engine.recv(65536):
                client.sendall(data)
                if engine in self._streams and client not in self._listening:
                    self._listening.append(client)
                    if self._babbles:
                        self._say(client)
        self._hang_up(client)

    def _say(self, client):
        with contextlib.suppress(OSError):
            client.sendall(b"%x\r\n%s\r\n" % (len(self.NONSENSE), self.NONSENSE))


class BadNews(SocketRelay):
    """A relay that tells each of the engine's events once or twice, each time after a while: in any order."""

    LATE_S = 1.5

    def __init__(self, path):
        super().__init__(path)
        self._tellers = []

    def told(self):
        """Returns when all that has happened so far has been told."""
        for teller in list(self._tellers):
            teller.join()

    def _copy_down(self, engine, client):
        buffer, lock = b"", threading.Lock()
        with contextlib.suppress(OSError):
            while data := engine.recv(65536):
                if engine not in self._streams:
                    client.sendall(data)
                    continue
                buffer += data
                if buffer.startswith(b"HTTP/"):
                    head, sign, rest = buffer.partition(b"\r\n\r\n")
                    if not sign:
                        continue
                    client.sendall(head + sign)
                    buffer = rest
                # Each event is one chunk: its length in hexadecimal, a line's end, the event, a line's end.
                while b"\r\n" in buffer:
                    size, _, rest = buffer.partition(b"\r\n")
                    whole = len(size) + 2 + int(size, 16) + 2
                    if len(buffer) < whole:
                        break
                    for _ in range(random.choice((1, 2))):
                        teller = threading.Thread(target=self._tell, args=(client, buffer[:whole], lock), daemon=True)
                        self._tellers.append(teller)
                        teller.start()
                    buffer = buffer[whole:]
        self._hang_up(client)

    def _tell(self, client, chunk, lock):
        time.sleep(random.uniform(0, self.LATE_S))
        with lock, contextlib.suppress(OSError):
            client.sendall(chunk)
