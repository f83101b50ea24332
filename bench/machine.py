"""What the figures were measured on, in words."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from deploy.local import child_environment, consul_binary


def described() -> list[tuple[str, str]]:
    """Name and value: processor, memory, kernel, versions, and what the machine did besides."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return [
        ("processor", f"{cpu[1] if cpu else platform.processor() or platform.machine()}, {os.cpu_count()} cores"),
        ("memory", f"{int(memory[1]) / 1024 ** 2:.0f} GB" if memory else "not known"),
        ("system", f"{_distribution()}, Linux {platform.release()}"),
        ("HAProxy", _version(["haproxy", "-v"], r"version (\S+)")),
        ("Consul", _version([consul_binary(), "version"], r"Consul v?(\S+)") + ", one server, in memory"),
        ("Python", sys.version.split()[0]),
        ("load before the run", f"{os.getloadavg()[0]:.1f}"),
        ("day", time.strftime("%Y-%m-%d", time.gmtime())),
    ]


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def _version(words: list[str], pattern: str) -> str:
    said = subprocess.run(words, capture_output=True, text=True, check=False, env=child_environment()).stdout
    found = re.search(pattern, said)
    return found[1] if found else "not known"
