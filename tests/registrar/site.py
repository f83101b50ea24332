"""A web site for tests of httpGet: each path answers what it is told to, or holds its answer back."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.local import free_port, loopback_address


class Site:
    """`with Site({"/": "text"}) as site:` answers there. A path with an int answers with that status."""

    def __init__(self, answers=()):
        self.answers, self.asked = dict(answers), []
        self.open = threading.Event()  # while it is not set, no answer is given
        self.open.set()
        host = loopback_address()
        self.address = f"http://{host}:{free_port(host)}"
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                site.open.wait(60)
                answer = site.answers.get(self.path, 404)
                body = answer if isinstance(answer, bytes) else b"" if isinstance(answer, int) else answer.encode()
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass  # whoever asked did not wait

        self._server = ThreadingHTTPServer((host, int(self.address.rpartition(":")[2])), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
