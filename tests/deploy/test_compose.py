"""docker-compose.consul.yml as Compose itself reads it, and the Dockerfile that it builds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from deploy.local import ROOT

FILE = "docker-compose.consul.yml"


def compose_command() -> list[str]:
    """Compose v2 as a plugin where there is one, else the program that `make install` installs."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False).returncode == 0:
        return ["docker", "compose"]
    program = shutil.which("docker-compose")
    assert program, "there is no Compose here; run: make install"
    return [program]


def compose(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("HOST_IP", "CONSUL_IMAGE")}
    return subprocess.run(
        [*compose_command(), "-f", FILE, *arguments],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def config_of(service: str) -> str:
    """One service's part of what `config` prints, which is YAML of two blanks a level in all versions."""
    shown = compose("config", HOST_IP="192.0.2.10")
    assert shown.returncode == 0, shown.stderr
    part = re.search(rf"^  {service}:\n((?:   .*\n)+)", shown.stdout, re.MULTILINE)
    assert part, f"no service {service} in:\n{shown.stdout}"
    return part[1]


def test_compose_accepts_the_file_without_a_word_of_complaint() -> None:
    listed = compose("config", "--services", HOST_IP="192.0.2.10")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert set(listed.stdout.split()) == {"consul", "registrar", "proxy-api"}


def test_the_address_of_the_host_must_be_given() -> None:
    refused = compose("config")
    assert refused.returncode != 0
    assert "HOST_IP" in refused.stderr


def test_consul_is_the_image_of_today_and_can_be_another() -> None:
    assert "image: hashicorp/consul\n" in config_of("consul")
    assert "image: consul:1.8.7" in compose("config", HOST_IP="192.0.2.10", CONSUL_IMAGE="consul:1.8.7").stdout


def test_the_registrar_reads_the_docker_socket_and_knows_the_host() -> None:
    registrar = config_of("registrar")
    assert re.search(r"-ip[\s-]+192\.0\.2\.10[\s-]+consul://consul:8500", registrar)
    assert re.search(r"docker\.sock:ro|read_only: true", registrar)


@pytest.mark.parametrize("port", [80, 443, 8080])
def test_the_proxy_is_reached_on_its_three_ports(port: int) -> None:
    assert re.search(rf"""published: ['"]?{port}['"]?\n""", config_of("proxy-api"))


def test_what_the_dockerfile_copies_is_in_the_repository_and_in_the_build_context() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    sources = {word for line in copied for word in line.split()}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == sent
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []
