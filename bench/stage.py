"""The parts of one run: Consul with so many services, an origin, a proxy, and the calls that all figures make."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from typing import Any, Self

from bench import figures, filling
from bench.client import Client
from bench.filling import Raw
from bench.quick_origin import QuickOrigin
from catalog.model import Instance
from deploy.local import Answer, ConsulServer, ProxyProcess, http_get

# Lines of the proxy's log that no run should see.
_BAD = re.compile(r"Traceback|event=(?:pass-failed|defect|runtime-failed|drift|apply-failed|rollback-failed)")


# More than the default, because a hundred reloads in a row would end the streams that are to outlive them.
MAX_OLD_WORKERS = "250"


class Stage:
    """`with Stage(1000) as stage:` has a proxy that serves 1,000 services, three instances each."""

    def __init__(self, services: int) -> None:
        self.services = services
        self.spread = filling.nodes(services)
        self.turns = 15 if services <= 1000 else 5
        self._stack = ExitStack()
        self._fresh = services

    def __enter__(self) -> Self:
        try:
            self.consul = self._stack.enter_context(ConsulServer())
            self.origin = self._stack.enter_context(QuickOrigin())
            filling.fill(self.consul, self.services, self.origin.host, self.origin.ports)
            self.raw = Raw(self.consul)
            self._stack.callback(self.raw.close)
            self.proxy = ProxyProcess(self.consul.address, tls=True, env={"MAX_OLD_WORKERS": MAX_OLD_WORKERS})
            self._stack.callback(self.proxy.close)
            self.certify()
            self.proxy.start().wait_ready(120)
            self.client = Client(self.proxy.address, self.proxy.port)
            self._stack.callback(self.client.close)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        bad = [line for line in self.proxy.process.output().splitlines() if _BAD.search(line)]
        if bad:
            figures.trouble(f"the proxy's log has {len(bad)} lines like: {bad[0][:400]}")
        self._stack.close()

    def certify(self) -> None:
        """A certificate of one's own, so that the proxy binds its TLS port."""
        path = self.proxy.certs_path / "bench.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", path, "-out", f"{path}.crt", "-days", "2", "-subj", "/CN=bench"],
                       check=True, capture_output=True)
        certificate = path.with_name("bench.pem.crt")
        path.write_text(path.read_text() + certificate.read_text())
        certificate.unlink()

    # --- calls -----------------------------------------------------------------------------------------------------

    def call(self, call: str, **parameters: object) -> dict[str, Any]:
        """One call of the API that has to succeed; its answer."""
        answer = self.try_call(call, **parameters)
        if answer.status != 200:
            raise RuntimeError(f"{call} {parameters}: {answer.status} {str(answer.json)[:500]}")
        return dict(answer.json)

    def try_call(self, call: str, **parameters: object) -> Answer:
        return self.proxy.call("GET", call, parameters, timeout=150)

    def again(self, number: int) -> dict[str, Any]:
        """One of the services that are there anyway, configured as it is."""
        return self.call("reconfigure", **filling.parameters(number))

    # --- the catalog -----------------------------------------------------------------------------------------------

    def instance(self, service: str, k: int, port: int | None = None) -> Instance:
        """An instance of a service that is not one of the many."""
        ports = self.origin.ports if port is None else [port]
        return filling.instance(self.services, k, self.spread, self.origin.host, ports, service)

    def new_service(self) -> str:
        """A name that nobody has used, with three instances in the catalog."""
        name = f"fresh-{self._fresh}"
        self._fresh += 1
        for k in range(filling.INSTANCES):
            self.raw.register(self.instance(name, k))
        return name

    def right(self, number: int) -> bool:
        """Whether one of the many is answered by one of its own instances."""
        mine = {str(filling.instance(number, k, self.spread, self.origin.host, self.origin.ports).port)
                for k in range(filling.INSTANCES)}
        status, instance = self.client.ask(f"/s{number}/")
        if status == 0:  # nobody asked for a while, or the connection was to a proxy that was killed
            status, instance = self.client.ask(f"/s{number}/")
        return status == 200 and instance in mine

    # --- what the proxy says of itself -----------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """Reloads and runtime changes so far."""
        text = http_get(f"{self.proxy.api_url}/metrics", timeout=60).body
        found = dict(re.findall(r"^portbook_(\w+)_total (\S+)$", text, re.MULTILINE))
        return int(float(found["reloads"])), int(float(found["runtime_changes"]))
