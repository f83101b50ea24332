"""A dry run says what the call would do, and nothing anywhere is another for it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from deploy.local import Answer, ConsulServer, ProxyProcess, child_environment, loopback_address, wait_until
from deploy.origin import Origin
from proxy_api.haproxy.control import Haproxy
from tests.consul_gate import Gate
from tests.instances import add
from tests.patched import patched

DRY_KEYS = {"DryRun", "Commands", "Diff"}


@pytest.fixture
def proxy(consul: ConsulServer) -> Iterator[ProxyProcess]:
    with ProxyProcess(consul.address) as running:
        yield running


def write(proxy: ProxyProcess, name: str, text: str) -> str:
    (proxy.templates_path / name).write_text(text)
    return name


def look(proxy: ProxyProcess, call: str = "reconfigure", **parameters: object) -> Answer:
    return proxy.api(call, **parameters, dryRun=True)


def waiting(proxy: ProxyProcess, service: str) -> int:
    return int(proxy.api("state").json["Services"][service]["Waiting"])


# --- everything that could be another afterwards ---------------------------------------------------------------------


def disk(proxy: ProxyProcess) -> dict[str, object]:
    """The whole of CONFIGS_PATH: what each name is, and holds."""
    base = proxy.configs_path
    return {str(path.relative_to(base)):
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else path.stat().st_mode
            for path in base.rglob("*")}


def running(proxy: ProxyProcess) -> dict[str, object]:
    """What HAProxy has: processes, servers without their ages, the entries of every map with their addresses."""
    haproxy = Haproxy(str(proxy.configs_path))
    maps = re.findall(r"\((\S+\.map)\)", haproxy.runtime.ask("show map"))
    servers = [line.split() for line in haproxy.runtime.ask("show servers state").splitlines()[2:]]
    return {
        "processes": (haproxy.master.processes(), proxy.haproxy_pids()),
        "servers": [field[:9] + field[18:19] for field in servers if field],
        "maps": {name: haproxy.runtime.ask(f"show map {name}") for name in sorted(maps)},
    }


def world(consul: ConsulServer, proxy: ProxyProcess) -> dict[str, object]:
    keys = consul.request("GET", "/v1/kv/?recurse")
    counted = [line for line in proxy.call("GET", "/metrics").json.splitlines()
               if line.startswith(("portbook_reloads", "portbook_runtime", "portbook_changes"))
               and "_created" not in line]
    return {"keys": json.loads(keys.body), "index": keys.headers["X-Consul-Index"], "disk": disk(proxy),
            "state": proxy.api("state"), "ready": proxy.api("/ready"), "counted": counted, **running(proxy)}


def test_after_any_number_of_dry_runs_the_world_is_what_it_was(
        consul: ConsulServer, proxy: ProxyProcess, a: Origin, b: Origin) -> None:
    add(consul, "one", a)
    add(consul, "two", a)
    proxy.api("reconfigure", serviceName="one", servicePath="/one")
    proxy.api("reconfigure", serviceName="two", servicePath="/two", follow="all")
    add(consul, "one", b)
    add(consul, "three", b)
    wait_until(lambda: waiting(proxy, "one") == 1, 5, "the proxy has seen the new instance")
    good = write(proxy, "good", "backend t-be\n"
                 '    {{range service "three" "any"}}server s {{.Address}}:{{.Port}}{{end}}\n')
    bad = write(proxy, "bad", "backend t-be\n    nonsense on stilts\n")
    fe = write(proxy, "fe", "use_backend t-be if { path /t }\n")
    before = world(consul, proxy)
    for _ in range(3):
        statuses = [look(proxy, **parameters).status for parameters in (  # type: ignore[arg-type]
            {"serviceName": "one", "servicePath": "/one"},
            {"serviceName": "one", "servicePath": "/elsewhere", "follow": "never", "serviceDomain": "*.acme.com"},
            {"serviceName": "two", "servicePath": "/two", "follow": "all"},
            {"serviceName": "three", "servicePath": "/three", "pathType": "path_reg"},
            {"serviceName": "t", "consulTemplateFePath": fe, "consulTemplateBePath": good},
            {"serviceName": "nobody", "servicePath": "/nobody"},
            {"serviceName": "t", "consulTemplateFePath": fe, "consulTemplateBePath": bad},
            {"serviceName": "three", "servicePath": "no path"},
            {"serviceName": "three", "servicePath": "(", "pathType": "path_reg"},
            {"call": "remove", "serviceName": "one"},
            {"call": "remove", "serviceName": "nobody"},
        )]
        assert statuses == [200] * 6 + [400] * 3 + [200, 404]
    assert world(consul, proxy) == before
    assert proxy.instances("/one") == {"a"}, "an instance that was only looked at gets no request"
    assert proxy.get("/three").status == proxy.get("/t").status == 503
    assert proxy.log.read_text().count("event=applied") == 2


# --- the same as the call --------------------------------------------------------------------------------------------


class Tap:
    """Between proxy-api and HAProxy's socket: `commands` are the lines that went through."""

    def __init__(self, path: Path) -> None:
        self.commands: list[str] = []
        self._path, self._behind = path, path.with_name("behind.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path.with_name("tap.sock")))
        self._listener.listen(64)

    def __enter__(self) -> Self:
        self._path.rename(self._behind)
        self._path.with_name("tap.sock").rename(self._path)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._behind.rename(self._path)
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(str(self._behind))
            except FileNotFoundError:
                server.connect(str(self._path))  # it came while this was taken away again
            back = threading.Thread(target=self._copy, args=(server, client, False), daemon=True)
            back.start()
            self._copy(client, server, True)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket, noted: bool) -> None:
        try:
            while data := source.recv(65536):
                if noted:
                    self.commands += data.decode().splitlines()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has closed it already


def same(proxy: ProxyProcess, call: str = "reconfigure", **parameters: object) -> dict[str, Any]:
    """A dry run and then the call, which has to be answered alike; the dry run's answer."""
    old = {path.name: path.read_text().splitlines() for path in (proxy.configs_path / "current").iterdir()}
    dry, real = look(proxy, call, **parameters), proxy.api(call, **parameters)
    assert dry.status == real.status, (dry, real)
    given = {key: value for key, value in dry.json.items() if key not in DRY_KEYS}
    differs = {key for key in real.json if real.json[key] != given.get(key)}
    assert differs <= ({"Version"} if real.json["Change"] != "nothing" else set()), (dry.json, real.json)
    assert list(dry.json)[:len(given)] == list(real.json), "the keys of the call come first, in their order"
    assert not DRY_KEYS & set(real.json)
    if real.status == 200:
        assert dry.json["DryRun"] is True
        new = {path.name: path.read_text().splitlines() for path in (proxy.configs_path / "current").iterdir()}
        assert applied(old, dry.json["Diff"]) == {name: lines for name, lines in new.items() if name != "portbook.map"}
    return dict(dry.json)


def applied(old: Mapping[str, list[str]], diff: str) -> dict[str, list[str]]:
    """The files that a difference makes of these."""
    files = {name: lines for name, lines in old.items() if name != "portbook.map"}
    one_file = r"^--- (\S+)\n\+\+\+ (\S+)\n((?:[@ +-](?!--|\+\+).*\n)*)"
    for before, after, hunks in re.findall(one_file, diff, re.MULTILINE):
        made = patched(files.pop(before, []), hunks.splitlines())
        if after != "/dev/null":
            files[after] = made
    return files


def test_a_new_service_is_a_reload_with_its_text(consul: ConsulServer, proxy: ProxyProcess, a: Origin) -> None:
    add(consul, "go-demo", a)
    answer = same(proxy, serviceName="go-demo", servicePath="/demo", unknown="x")
    assert (answer["Change"], answer["Reason"], answer["Servers"]) == ("reload", "go-demo added", 1)
    assert (answer["Version"], answer["Commands"]) == (0, [])
    assert "+backend go-demo-be\n" in answer["Diff"]
    assert "--- /dev/null\n+++ routes-prefix.map\n@@ -0,0 +1,1 @@\n+/demo 5|go-demo-be\n" in answer["Diff"]
    assert any("'unknown' is not a known parameter" in warning for warning in answer["Warnings"])


def test_an_instance_is_commands_and_the_call_sends_these_very_ones(
        consul: ConsulServer, proxy: ProxyProcess, a: Origin, b: Origin) -> None:
    add(consul, "go-demo", a)
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    add(consul, "go-demo", b)
    wait_until(lambda: waiting(proxy, "go-demo") == 1, 5, "the proxy has seen the new instance")
    with Tap(proxy.configs_path / "haproxy.sock") as tap:
        answer = same(proxy, serviceName="go-demo", servicePath="/demo,/more")
        sent = [line for line in tap.commands if line.split()[0] not in ("prompt", "show", "get")]
    assert answer["Change"] == "runtime"
    assert answer["Reason"] == "go-demo: servers changed from 1 to 2, go-demo: route changed"
    assert any(command.startswith("add server go-demo-be/") for command in answer["Commands"])
    assert any(command.startswith("add map routes-prefix.map /more ") for command in answer["Commands"])
    assert sent == answer["Commands"]
    assert proxy.instances("/more") == {"a", "b"}


def test_nothing_is_nothing_and_a_removal_a_reload(consul: ConsulServer, proxy: ProxyProcess, a: Origin) -> None:
    add(consul, "go-demo", a)
    made = proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo").json
    answer = same(proxy, serviceName="go-demo", servicePath="/demo")
    assert (answer["Change"], answer["Commands"], answer["Diff"]) == ("nothing", [], "")
    assert answer["Version"] == made["Version"]
    answer = same(proxy, "remove", serviceName="go-demo")
    assert (answer["Change"], answer["Reason"]) == ("reload", "go-demo removed")
    assert "-backend go-demo-be\n" in answer["Diff"]
    assert "--- routes-prefix.map\n+++ /dev/null\n" in answer["Diff"]


def test_what_is_refused_is_refused_in_the_same_words(consul: ConsulServer, proxy: ProxyProcess, a: Origin) -> None:
    gone = add(consul, "go-demo", a)
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    taken = ThreadingHTTPServer((loopback_address(), 0), BaseHTTPRequestHandler)
    bind = "{}:{}".format(*taken.server_address)
    write(proxy, "fe", "use_backend t-be if { path /t }\n")
    write(proxy, "good", "backend t-be\n    server s 127.0.0.1:1\n")
    write(proxy, "bad", "backend t-be\n    nonsense on stilts\n")
    write(proxy, "broken", "backend t-be\n    {{ range }}\n")
    write(proxy, "bound", f"frontend t\n    bind {bind}\nbackend t-be\n    server s 127.0.0.1:1\n")
    write(proxy, "long", "backend t-be\n    server s 127.0.0.1:1\n" + "#x\n" * 80_000)
    write(proxy, "long-fe", "#x\n" * 80_000)
    for status, word, parameters in (
        (400, "nonsense", {"serviceName": "t", "consulTemplateFePath": "fe", "consulTemplateBePath": "bad"}),
        (400, "is missing", {"serviceName": "t", "consulTemplateFePath": "fe", "consulTemplateBePath": "broken"}),
        (400, "no file", {"serviceName": "t", "consulTemplateFePath": "fe", "consulTemplateBePath": "absent"}),
        (400, "cannot be bound", {"serviceName": "t", "consulTemplatePath": "bound"}),
        (400, "begin it with '/'", {"serviceName": "go-demo", "servicePath": "demo", "strict": "perhaps"}),
        (400, "HAProxy", {"serviceName": "go-demo", "servicePath": "(", "pathType": "path_reg"}),
        (413, "Consul takes", {"serviceName": "t", "consulTemplateFePath": "long-fe", "consulTemplateBePath": "long"}),
    ):
        assert word in same(proxy, **parameters)["Message"], parameters
        assert look(proxy, **parameters).status == status
    assert same(proxy, "remove", serviceName="nobody", strict="true")["Status"] == "NOK"
    consul.deregister(gone)
    assert "use remove" in same(proxy, serviceName="go-demo", servicePath="/demo")["Message"]
    consul.kill()
    assert look(proxy, serviceName="go-demo", servicePath="/demo").status == 503
    taken.server_close()


def test_a_template_is_worked_out_and_shown(consul: ConsulServer, proxy: ProxyProcess, a: Origin, b: Origin) -> None:
    add(consul, "go-demo", a)
    write(proxy, "fe", "use_backend t-be if { path_beg /t }\n")
    write(proxy, "be", "backend t-be\n"
                       '{{range service "go-demo" "any"}}server {{.Node}}_{{.Port}} {{.Address}}:{{.Port}}\n{{end}}')
    asked = {"serviceName": "t", "consulTemplateFePath": "fe", "consulTemplateBePath": "be"}
    assert same(proxy, **asked)["Reason"] == "t added"
    add(consul, "go-demo", b)
    answer = same(proxy, **asked)
    assert (answer["Change"], answer["Reason"]) == ("reload", "t: rendered templates changed")
    assert answer["Diff"].count("\n+ ") == 1
    assert proxy.instances("/t") == {"a", "b"}


def test_no_secret_is_shown(consul: ConsulServer, a: Origin) -> None:
    secrets = {"API_TOKEN": "tok-4711-en", "STATS_PASS": "pw-4711-stats"}
    add(consul, "go-demo", a)
    consul.kv_put("secret/k", "kv-4711-value")
    proxy = ProxyProcess(consul.address)
    proxy.env |= {**secrets, "STATS_PORT": f"{proxy.address}:{proxy.tls_port}", "STATS_USER": "ops"}
    write(proxy, "t", 'userlist u\n    user bob insecure-password bob-4711\nbackend t-be\n'
                      '    http-request set-header X-Origin {{key "secret/k"}}\n    server s 127.0.0.1:1\n')
    asked = {"serviceName": "t", "consulTemplatePath": "t", "dryRun": "true"}
    with proxy:
        assert proxy.call("POST", "reconfigure", asked).status == 401
        answer = proxy.call("POST", "reconfigure", asked, {"Authorization": "Bearer tok-4711-en"})
        assert answer.status == 200
        assert "+    user bob <hidden>\n" in answer.json["Diff"]
        assert "+    http-request set-header X-Origin <hidden>\n" in answer.json["Diff"]
        assert "4711" not in json.dumps(answer.json)
        told = plan(proxy, *(f"{name}={value}" for name, value in asked.items()), env=secrets)
        assert (told.returncode, "4711" in told.stdout + told.stderr) == (0, False)
        assert "tok-4711-en" not in proxy.log.read_text()


# --- beside changes --------------------------------------------------------------------------------------------------


def test_looks_and_changes_at_once_do_not_disturb_each_other(
        consul: ConsulServer, proxy: ProxyProcess, a: Origin) -> None:
    names = [f"s{n}" for n in range(6)]
    for name in (*names, "looked-at"):
        add(consul, name, a)
    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(look, proxy, serviceName="looked-at", servicePath=f"/looked-at/{n}") for n in range(8)]
        changes = [proxy.api("reconfigure", serviceName=name, servicePath=f"/{name}") for name in names]
        assert {answer.status for answer in changes} == {200}
        answers = [future.result() for future in looks]
    assert {(answer.status, answer.json["Change"]) for answer in answers} == {(200, "reload")}
    assert set(proxy.api("state").json["Services"]) == set(names)
    assert {proxy.get(f"/{name}").status for name in names} == {200}
    assert proxy.get("/looked-at/1").status == 503


def test_a_look_at_one_replica_knows_what_another_has_committed(consul: ConsulServer, a: Origin) -> None:
    add(consul, "go-demo", a)
    told = threading.Event()

    def deafen(method: str, path: str) -> None:
        """Nobody tells the second one that a record moved: it has to find out by itself."""
        if path.startswith("/v1/kv/docker-flow/?keys") and "index=0" not in path:
            told.wait(60)

    with Gate(consul.address) as gate:
        gate.before = deafen
        try:
            with ProxyProcess(consul.address) as one, ProxyProcess(gate.address) as two:
                for n in range(3):
                    made = one.api("reconfigure", serviceName="go-demo", servicePath=f"/{n}").json
                    seen = look(two, serviceName="go-demo", servicePath=f"/{n}").json
                    assert (seen["Version"], seen["Change"]) == (made["Version"], "nothing")
        finally:
            told.set()


# --- the command -----------------------------------------------------------------------------------------------------


def plan(proxy: ProxyProcess, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`proxy-api plan` with the settings of a proxy."""
    return subprocess.run([sys.executable, "-m", "proxy_api", "plan", *words], capture_output=True, text=True,
                          timeout=60, env=child_environment({**proxy.env, **(env or {})}), check=False)


def test_the_command_prints_what_would_be_done(
        consul: ConsulServer, proxy: ProxyProcess, a: Origin, b: Origin) -> None:
    add(consul, "go-demo", a)
    asked = ("serviceName=go-demo", "servicePath=/demo")
    told = plan(proxy, *asked, "typo=1")
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("change: reload\nreason: go-demo added\nservers: 1\nwarning: 'typo' is not")
    assert "\n+backend go-demo-be\n" in told.stdout
    assert proxy.get("/demo").status == 503
    proxy.api("reconfigure", serviceName="go-demo", servicePath="/demo")
    add(consul, "go-demo", b)
    told = plan(proxy, *asked, "--address", proxy.api_url)
    assert "\ncommands:\n  set map portbook.map digest 0\n  add server go-demo-be/" in told.stdout
    address = f"{proxy.address}:{proxy.api_port}"
    raw = json.loads(plan(proxy, "--json", "--remove", "go-demo", "--address", address).stdout)
    assert raw == look(proxy, "remove", serviceName="go-demo").json
    assert proxy.instances("/demo") == {"a"}


def test_the_command_says_by_its_exit_code_whether_it_would_work(proxy: ProxyProcess) -> None:
    for words, code, text in (
        (("serviceName=x", "servicePath=x"), 1, "refused (400): servicePath: item 1, 'x' does not begin with '/'"),
        (("--remove", "nobody"), 1, "refused (404): nobody is not configured"),
        (("serviceName=x", "servicePath=/x", "--address", "127.0.0.1:1"), 1, "no answer from 127.0.0.1:1: "),
        ((), 2, "give the parameters"),
        (("serviceName",), 2, "'serviceName' is no parameter; write NAME=VALUE"),
        (("serviceName=x", "serviceName=y"), 2, "serviceName is given twice"),
        (("serviceName=x", "dryRun=false"), 2, "dryRun is always true here"),
        (("serviceName=x", "--address", "http://me:pa55@h"), 2, "it carries a user or password"),
        (("serviceName=x", "--address", "ftp://h"), 2, "give host:port or a URL"),
        (("serviceName=x", "--address", "h:99999"), 2, "give host:port or a URL"),
        (("serviceName=x", "--token-file", "/no/such"), 2, "/no/such cannot be read"),
    ):
        told = plan(proxy, *words)
        assert (told.returncode, told.stdout) == (code, ""), (words, told)
        assert text in told.stderr
        assert "pa55" not in told.stderr
        assert "Traceback" not in told.stderr


def test_the_command_takes_the_token_from_a_file(consul: ConsulServer, tmp_path: Path) -> None:
    with ProxyProcess(consul.address, env={"API_TOKEN": "tok-4711-en"}) as proxy:
        asked = ("serviceName=go-demo", "servicePath=/demo")
        refused = plan(proxy, *asked, env={"API_TOKEN": ""})
        assert refused.returncode == 1
        assert "refused (401)" in refused.stderr
        (tmp_path / "token").write_text("tok-4711-en\n")
        assert plan(proxy, *asked, "--token-file", str(tmp_path / "token"), env={"API_TOKEN": ""}).returncode == 0


@pytest.mark.parametrize(("body", "text"), [
    (b'{"Status": "OK"}', "does not know dry runs: it has MADE the change"),
    (b"<html>", "answers 200, and not as a proxy-api does"),
])
def test_something_else_that_answers_is_no_success(proxy: ProxyProcess, body: bytes, text: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((loopback_address(), 0), Handler) as other:
        threading.Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
        told = plan(proxy, "serviceName=x", "servicePath=/x", "--address", "{}:{}".format(*other.server_address))
        other.shutdown()
    assert told.returncode == 1
    assert text in told.stderr
