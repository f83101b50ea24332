"""What has to be so before anything is started: a directory of our own, HAProxy, addresses, a configuration. Edge."""

import errno
import fcntl
import logging
import os
import re
import subprocess
import time
from pathlib import Path

from proxy_api.core import render
from proxy_api.core.errors import Fault
from proxy_api.core.render import Surroundings
from proxy_api.core.settings import Settings
from proxy_api.core.state import ProxyState
from proxy_api.haproxy import bind_probe
from proxy_api.haproxy.config_directory import ConfigDirectory
from proxy_api.haproxy.control import Haproxy
from proxy_api.haproxy.global_config import GlobalConfig, text_environment
from proxy_api.haproxy.processes import environment

log = logging.getLogger("proxy-api")

FLOOR = (2, 6)
PATIENCE_S = 3.0  # for what a supervisor that was killed left behind


class CannotStart(Exception):
    """Something that the operator has to put right first; the text says what, `status` is the exit status."""

    status = 2


class CannotBind(CannotStart):
    """Addresses that are somebody else's, or that nobody may have."""

    status = 1


def prepare(settings: Settings, haproxy: Haproxy) -> int:
    """See to it; the descriptor of the lock on CONFIGS_PATH, which ends with the process. Raises CannotStart."""
    base = Path(settings.configs_path)
    os.umask(0o077)  # what is written here, by us or a child, is for this user alone
    lock = _lock(base)
    _require_version(settings.haproxy_bin)
    try:
        global_config = GlobalConfig(settings, haproxy.runtime.path)
        _claim(settings, haproxy, global_config)
        _mend(haproxy.files, global_config())
    except OSError as fault:
        raise CannotStart(f"CONFIGS_PATH: {base} cannot be written: {fault.strerror}") from None
    return lock


def bind_faults(settings: Settings, tls: bool, beside_haproxy: bool) -> list[Fault]:
    """What HAProxy and the API could not bind now. `tls`: there are certificates."""
    wanted = [listener for listener in settings.listeners() if tls or not listener.tls]
    return bind_probe.faults(wanted, settings.haproxy_bin, beside_haproxy)


def _lock(base: Path) -> int:
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(base / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as fault:
        raise CannotStart(f"CONFIGS_PATH: {base} cannot be used: {fault.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotStart(f"CONFIGS_PATH: {base} is in use by another proxy-api; give each its own") from None
    return lock


def _require_version(program: str) -> None:
    try:
        text = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=True,
                              env=environment()).stdout
    except (OSError, subprocess.SubprocessError) as fault:
        raise CannotStart(f"HAPROXY_BIN: {program} cannot be run: {fault}; install HAProxy 2.6 or later") from None
    found = re.search(r"version (\d+)\.(\d+)\S*", text)
    if not found or (int(found[1]), int(found[2])) < FLOOR:
        raise CannotStart(f"HAPROXY_BIN: {program} is not HAProxy 2.6 or later")
    log.info("event=haproxy-found program=%s version=%s", program, found[0].removeprefix("version "))


def _claim(settings: Settings, haproxy: Haproxy, global_config: GlobalConfig) -> None:
    """See to it that every address can be had. Raises CannotBind."""
    adopted = haproxy.master.remembered() is not None
    until = time.monotonic() + PATIENCE_S
    told = False
    while faults := bind_faults(settings, bool(global_config().certificates), adopted):
        text = "\n".join(str(fault) for fault in faults)
        if os.strerror(errno.EADDRINUSE) not in text or time.monotonic() > until:
            raise CannotBind(text)
        if not told:
            log.warning("event=waiting reason=%s", text)
            told = True
        time.sleep(0.1)


def _mend(files: ConfigDirectory, surroundings: Surroundings) -> None:
    """See to it that there is a configuration to start with. Raises OSError."""
    if done := files.mend():
        log.warning("event=configuration-mended what=%s", done)
    if files.current_digest() is None:
        empty = render.render(ProxyState(), surroundings, text_environment())
        files.write(empty.config)
        files.swap(empty.config)
