"""The running parts of the demo: Consul, two registrars and a proxy, and what the steps call them."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from deploy import go_demo
from deploy.demo import kept
from deploy.demo.kept import LABEL
from deploy.local import (
    ConsulServer,
    Process,
    ProxyProcess,
    RegistrarProcess,
    http_get,
    loopback_address,
    wait_until,
)

TEMPLATES = Path(__file__).resolve().parent / "templates"
NODES = (1, 2)
# What the user's own curl configuration has, such as a proxy, is not for a walk on loopback addresses.
CURLRC = 'silent\nshow-error\nnoproxy = "*"\n'


class Stage:
    """`with Stage(print) as stage:` has everything running inside the block, and nothing left behind it.

    What there is stands in a file at every moment, for whoever has to end it when this process is killed.

    keep=True starts what may outlive this process; `hand_over` then leaves it running.
    """

    def __init__(self, tell: Callable[[str, str], None], keep: bool = False) -> None:
        self._tell = tell  # told a part's name, and the command that a user would start it with
        self._keep = keep
        self._parts = contextlib.ExitStack()
        self.demo = f"demo-{secrets.token_hex(3)}"
        self.labels = tuple(f"{self.demo}-node-{number}" for number in NODES)
        self.directory = Path(tempfile.mkdtemp(prefix="pb-demo-"))
        self.consul = ConsulServer(outlive=keep)
        self.registrars: list[RegistrarProcess] = []
        self.proxies: list[ProxyProcess] = []

    # --- its life --------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._parts.callback(lambda: self._record().forget())
            self._parts.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self._parts.callback(self.consul.close)
            self._record().write()
            self._prepare_commands()
            go_demo.build()
            self._tell("the image portbook/go-demo", "python -m deploy.go_demo")
            self.consul.start()
            self._record().write()
            self._tell("Consul", _shown(self.consul.process, "consul"))
            for number in NODES:
                self._start_registrar(number)
            self._parts.callback(kept.remove_containers, self.labels)
            self.start_proxy()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._parts.close()

    def hand_over(self, holds_engine: bool) -> Path:
        """Leave everything running and write down what that is; returns where."""
        path = replace(self._record(), holds_engine=holds_engine, shown_by=None).write()
        self._parts.pop_all()
        return path

    def _record(self) -> kept.Kept:
        """What there is by now."""
        parts = [("proxy-api", proxy.process.pid) for proxy in self.proxies if proxy.started]
        # It ends with the other one, unless somebody has killed that.
        parts += [("HAProxy", pid) for proxy in self.proxies for pid in proxy.haproxy_pids()[:1]]
        parts += [(process.name, process.pid) for process in self.registrars]
        parts += [("consul", self.consul.process.pid)] if self.consul.started else []
        return kept.Kept(
            self.demo,
            tuple(kept.running(*part) for part in parts),
            self.labels,
            (*(str(proxy.directory) for proxy in self.proxies), str(self.consul.directory), str(self.directory)),
            shown_by=kept.running("demo", os.getpid()),
        )

    # --- its parts -------------------------------------------------------------------------------------------------

    @property
    def proxy(self) -> ProxyProcess:
        """The latest."""
        return self.proxies[-1]

    def start_proxy(self) -> None:
        """A proxy on an address, ports and a directory of its own, as on a node of its own."""
        proxy = ProxyProcess(self.consul.address, tls=True, outlive=self._keep)
        self._parts.callback(proxy.close)
        self.proxies.append(proxy)
        self._record().write()
        _write_templates(proxy)
        proxy.start()
        self._record().write()
        proxy.wait_ready()
        self._record().write()
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in proxy.env.items())
        self._tell("proxy-api with its HAProxy", f"{settings} \\\nproxy-api serve")

    # --- what the walk asks for, between its commands --------------------------------------------------------------

    def containers_answer(self) -> None:
        """Wait until every container of the demo takes requests: `docker run` returns a moment earlier."""
        for port in kept.published_ports(self.labels):
            wait_until(functools.partial(_answers, port), 20, f"a go-demo answers on port {port}")

    def start_elsewhere(self) -> None:
        """Another proxy, as on another node."""
        self.start_proxy()

    def lose_proxy(self) -> None:
        """See to it that nothing of the proxy is left that a step has killed, not even a child born meanwhile."""
        self.proxy.kill9()
        shutil.rmtree(self.proxy.directory, ignore_errors=True)

    def logs(self) -> str:
        """The ends of the logs, for a step that failed."""
        processes = [p.process for p in self.proxies[-1:]] + [*self.registrars]
        return "\n".join(process.tail(15) for process in processes)

    def variables(self) -> dict[str, str]:
        """What the commands of the steps may use."""
        return {
            "DEMO": self.demo,
            "CONSUL": self.consul.address,
            "API": self.proxy.api_url.removeprefix("http://"),
            "PROXY": self.proxy.url.removeprefix("http://"),
            "TEMPLATES": str(self.proxy.templates_path),
            "PIDS": " ".join(map(str, self._proxy_pids())),
            "CONFIGS_PATH": str(self.proxy.configs_path),
        }

    def environment(self) -> dict[str, str]:
        """The variables, and what makes the commands at home here."""
        return {
            **self.variables(),
            # As our own programs: the default socket or DOCKER_HOST, whatever context the user's CLI has chosen.
            "DOCKER_CONTEXT": "default",
            "CURL_HOME": str(self.directory),
            "PATH": f"{os.environ.get('PATH', '/usr/bin:/bin')}:{self.directory / 'bin'}",
        }

    def _proxy_pids(self) -> list[int]:
        """The supervisor first, so that it starts nothing again when they are killed in turn."""
        return sorted(self.proxy.pids(), key=lambda pid: pid != self.proxy.process.pid)

    def _start_registrar(self, number: int) -> None:
        label = self.labels[number - 1]
        log = self.directory / f"registrar-{number}.log"
        process = RegistrarProcess(
            self.consul.address,
            f"node-{number}",
            loopback_address(),
            "--only-label",
            f"{LABEL}={label}",
            http=True,
            log=log,
            outlive=self._keep,
        )
        self._parts.enter_context(process)
        self.registrars.append(process)
        self._record().write()
        process.wait_ready()
        self._tell(f"registrar of node {number}", _shown(process, "registrar"))

    def _prepare_commands(self) -> None:
        """curl's configuration, and a stand-in after everything else on the PATH where there is no curl."""
        (self.directory / ".curlrc").write_text(CURLRC)
        stand_in = self.directory / "bin" / "curl"
        stand_in.parent.mkdir()
        stand_in.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {Path(__file__).parent / "curl.py"} "$@"\n')
        stand_in.chmod(0o755)


def _answers(port: int) -> bool:
    return http_get(f"http://127.0.0.1:{port}/demo").status == 200


def _write_templates(proxy: ProxyProcess) -> None:
    """The operator's template files; the article's binds are this proxy's ports, so that 80 and 443 stay alone."""
    ports: Mapping[str, int] = {"bind *:80\n": proxy.port, "bind *:443\n": proxy.tls_port}
    folder = proxy.templates_path / "tmpl"
    folder.mkdir(exist_ok=True)
    for source in TEMPLATES.iterdir():
        text = source.read_text()
        for bind, port in ports.items():
            text = text.replace(bind, f"bind *:{port}\n")
        (folder / source.name).write_text(text)


def _shown(process: Process, program: str) -> str:
    """The command line as a user would type it: without the interpreter."""
    words = process.argv[3:] if process.argv[0] == sys.executable else process.argv[1:]
    return shlex.join([program, *words])
