"""The command itself: exit statuses, --once, --dry-run, the status page."""

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
from importlib.metadata import version

import pytest

from deploy.local import ROOT, Container, RegistrarProcess, child_environment, free_port, wait_until


def registrar(*words, env=None):
    done = subprocess.run([sys.executable, "-m", "registrar", *words], capture_output=True, text=True, timeout=60,
                          cwd=ROOT, env=child_environment(env))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [[], ["-ip"], ["-nonsense", "consul://"], ["-tags", "{{x}}", "consul://"]])
def test_a_usage_error_exits_2_with_one_line_for_each_fault_and_nothing_on_stdout(words):
    status, out, err = registrar(*words)
    assert status == 2 and not out and err.startswith("registrar: ") and "Traceback" not in err


def test_help_and_version_exit_0():
    assert registrar("--help")[0] == 0 and "--node-id" in registrar("-help")[1]
    assert registrar("--version")[1].startswith("registrar ")


def test_without_a_default_route_an_address_has_to_be_given():
    # A network namespace of its own has loopback only.
    isolated = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    done = subprocess.run([*isolated, sys.executable, "-m", "registrar", "consul://"], capture_output=True,
                          text=True, timeout=30, cwd=ROOT, env=child_environment())
    assert done.returncode == 2 and "Give -ip" in done.stderr


def test_an_address_given_by_hand_is_taken_with_a_warning_if_it_is_loopback(consul, engine):
    _, _, err = registrar("-ip", "127.0.0.1", "--once", "--only-label", "none=such", f"consul://{consul.address}")
    assert "WARNING" in err and "loopback" in err


def test_the_first_line_says_which_version_runs_where_and_every_line_has_one_form(consul, engine):
    with RegistrarProcess(consul.address, "n1", "10.0.0.5", "--ip6", "fd00::7", "--only-label", "none=such",
                          http=True) as process:
        process.wait_ready()
        lines = process.output().splitlines()
        fields = dict(word.split("=", 1) for word in lines[0].split()[2:])
        assert fields == {"event": "start", "version": version("portbook"), "registry": "consul",
                          "consul": consul.address, "node-id": "n1", "ip": "10.0.0.5", "ip6": "fd00::7",
                          "http": process.http, "interval": "15s"}
        form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (DEBUG|INFO|WARNING|ERROR) event=\S+( |$)")
        assert [line for line in lines if not form.match(line)] == []


def test_once_exits_1_when_consul_is_away_after_the_retries_asked_for(engine):
    nowhere = f"consul://127.0.0.1:{free_port()}"
    status, _, err = registrar("-ip", "10.0.0.5", "--once", "-retry-attempts", "2", "-retry-interval", "50", nowhere)
    assert status == 1 and err.count("event=pass-failed") == 3


def test_a_dry_run_prints_the_plan_and_writes_nothing(consul, go_demo_image):
    label = {"portbook.test": secrets.token_hex(6)}
    only = "=".join(*label.items())
    words = ("--node-id", "n1", "-ip", "10.0.0.5", "--only-label", only, f"consul://{consul.address}")
    stale = {"registrar-owner": "n1", "registrar-container": "f" * 64}
    consul.register("old", "10.0.0.5", 1, id="n1:old:1", meta=stale)
    with Container(labels=label, env={"SERVICE_NAME": "web", "SERVICE_TAGS": "a"}, exposed=["9999"]) as web:
        status, out, _ = registrar("--dry-run", *words)
        assert status == 0 and set(consul.services()) == {"old"}
        assert f"register   n1:{web.name}:8080 name=web address=10.0.0.5:{web.port()} tags=a" in out
        assert "remove     n1:old:1" in out
        assert f"skip       {web.name} 9999/tcp: exposed but not published" in out
        assert registrar("--once", *words)[0] == 0
        assert set(consul.services()) == {"web"}
        status, out, _ = registrar("--dry-run", *words)
        assert f"unchanged  n1:{web.name}:8080" in out and "0 to register, 0 to remove" in out


def test_settings_come_from_the_environment_too(consul, go_demo_image):
    label = {"portbook.test": secrets.token_hex(6)}
    env = {"REGISTRAR_IP": "10.0.0.6", "REGISTRAR_NODE_ID": "envy", "REGISTRAR_ONCE": "true",
           "REGISTRAR_ONLY_LABEL": "=".join(*label.items()), "CONSUL_HTTP_ADDR": consul.address}
    with Container(labels=label, env={"SERVICE_NAME": "web"}):
        status, _, err = registrar("consul://", env=env)
        assert status == 0, err
    assert [(i["ServiceAddress"], i["ServiceID"][:5]) for i in consul.instances("web")] == [("10.0.0.6", "envy:")]


def test_plan_tells_for_each_container_which_rule_keeps_it_out(consul, go_demo_image):
    label = {"portbook.test": secrets.token_hex(6)}
    words = ("--node-id", "n1", "-ip", "10.0.0.5", "--only-label", "=".join(*label.items()))
    flags = ("--exclude", "label=tier=batch", "--include", "image=go-demo", "--max-ports", "2", "--suffix", "always")
    with contextlib.ExitStack() as stack:
        def run(**changes):
            return stack.enter_context(Container(labels=label | changes.pop("labels", {}), **changes)).name

        web = run(env={"SERVICE_NAME": "web"})
        batch = run(labels={"tier": "batch"})
        once = run(labels={"com.docker.compose.oneoff": "True"})
        flood = run(ports={8080: None, 9001: None, 9002: None}, env={"SERVICE_9001_NAME": "one"})
        many = run(ports={8080: None, 9001: None, 9002: None})
        worker = run(ports={}, env={"SERVICE_PORT": "0", "SERVICE_NAME": "worker"})
        hosted = run(network="host", env={"PORT": str(free_port()), "SERVICE_PORT": "9123", "SERVICE_NAME": "hosted",
                                          "SERVICE_8080_IGNORE": "yes"})
        status, out, err = registrar("plan", "--json", *words, *flags, f"consul://{consul.address}")
        assert status == 0, err
        assert registrar("--once", *words, *flags, f"consul://{consul.address}")[0] == 0
    rows = {c["name"]: [(p["port"] if p.get("port") else "", p.get("code", p.get("service"))) for p in c["ports"]]
            for c in json.loads(out)["containers"]}
    assert rows == {
        web: [("8080/tcp", "web-8080")],
        batch: [("", "filtered")],
        once: [("", "one-off")],
        flood: [("8080/tcp", "go-demo-8080"), ("9001/tcp", "one"), ("9002/tcp", "go-demo-9002")],
        many: [("", "too-many-ports")],
        worker: [("0/tcp", "worker"), ("8080/tcp", "not-published")],
        hosted: [("8080/tcp", "ignored"), ("9123/tcp", "hosted-9123")],
    }
    assert [(i["ServiceAddress"], i["ServicePort"]) for i in consul.instances("worker")] == [("10.0.0.5", 0)]
    assert [i["ServicePort"] for i in consul.instances("hosted-9123")] == [9123]


def test_how_much_is_said(consul, go_demo_image):
    label = {"portbook.test": secrets.token_hex(6)}
    only = ("--only-label", "=".join(*label.items()))
    with RegistrarProcess(consul.address, "n1", "10.0.0.5", *only, "--log-level", "debug", http=True) as loud, \
            RegistrarProcess(consul.address, "n2", "10.0.0.5", *only, "--log-level", "error", http=True) as quiet:
        for process in (loud, quiet):
            process.wait_ready()
        with Container(labels=label, env={"SERVICE_CHECK_INTERVAL": "x", "SERVICE_CHECK_TCP": "1"}) as web:
            wait_until(lambda: len(consul.instances("go-demo")) == 2, 10)
            wait_until(lambda: "event=event" in loud.output() and web.id[:12] in loud.output(), 5)
    assert "WARNING event=metadata" in loud.output() and "event=pass kind=full registered=0" in loud.output()
    assert quiet.output() == ""


def test_the_status_page(consul, engine):
    flags = ("--only-label", "none=such")
    with RegistrarProcess(consul.address, "n1", "10.0.0.5", *flags, http=True).wait_ready() as process:
        assert process.get("/health").json() == {"status": "ok"}
        assert process.get("/ready").json() == {"status": "ready", "reasons": {}}
        text = process.get("/metrics").body
        for name in ("registrar_events_total", "registrar_pass_seconds_sum", "registrar_owned_services",
                     "registrar_failing_services", "registrar_retries_total", "registrar_passes_total",
                     "registrar_wanted_services", "registrar_last_contact_timestamp_seconds"):
            assert name in text
        assert process.get("/nothing").status == 404
        taken = RegistrarProcess(consul.address, "n2", "10.0.0.5", *flags, "--http", process.http)
        with taken:
            assert taken.wait(10) == 1 and process.http in taken.output()


def test_a_plan_says_what_and_why_as_a_table_and_as_json_and_the_status_page_says_the_same(consul, go_demo_image):
    label = {"portbook.test": secrets.token_hex(6)}
    only = "=".join(*label.items())
    words = ("--node-id", "n1", "-ip", "10.0.0.5", "--only-label", only, f"consul://{consul.address}")
    stale = {"registrar-owner": "n1", "registrar-container": "f" * 64}
    consul.register("old", "10.0.0.5", 1, id="n1:old:1", meta=stale)
    with Container(labels=label, env={"SERVICE_NAME": "web", "SERVICE_9999_IGNORE": "yes"}, exposed=["9999"]) as web, \
            Container(labels=label, ports={8080: ("127.0.0.1", None)}) as inner:
        status, out, _ = registrar("plan", *words)
        lines = {tuple(line.split()[:3]): line for line in out.splitlines()}
        assert status == 0 and set(consul.services()) == {"old"}
        assert f"10.0.0.5:{web.port()}" in lines[web.name, "8080/tcp", "register"]
        assert "SERVICE_9999_IGNORE is set" in lines[web.name, "9999/tcp", "skipped"]
        assert "published on loopback only" in lines[inner.name, "8080/tcp", "skipped"]
        assert "n1:old:1" in lines["-", "-", "remove"]
        plan = json.loads(registrar("plan", "--json", *words)[1])
        assert plan["register"] == [f"n1:{web.name}:8080"] and plan["remove"] == ["n1:old:1"]
        flags = ("--only-label", only)
        with RegistrarProcess(consul.address, "n1", "10.0.0.5", *flags, http=True).wait_ready() as process:
            found = process.get("/containers").json()
            ports = {(c["name"], p["port"]): p for c in found["containers"] for p in c["ports"]}
            assert ports[web.name, "8080/tcp"]["state"] == "registered"
            assert ports[web.name, "8080/tcp"]["address"] == f"10.0.0.5:{web.port()}"
            assert ports[web.name, "9999/tcp"] | {"reason": ""} == {
                "port": "9999/tcp", "state": "skipped", "code": "ignored", "reason": ""}
            assert ports[inner.name, "8080/tcp"]["code"] == "loopback"
            assert found["register"] == found["remove"] == []
            text = process.get("/metrics").body
            assert 'registrar_skipped{reason="loopback"} 1.0' in text and "registrar_wanted_services 1.0" in text


def test_an_interrupt_ends_it_too(consul, engine):
    with RegistrarProcess(consul.address, "n1", "10.0.0.5", "--only-label", "none=such", http=True) as process:
        process.wait_ready()
        process.signal(2)
        assert process.wait(2) == 0
