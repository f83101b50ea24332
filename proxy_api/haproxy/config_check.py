"""HAProxy's own judgement of a configuration, before anything runs it. Edge."""

import re
import subprocess
from pathlib import Path

from proxy_api.core.errors import ApplyFailed, ConfigRejected
from proxy_api.core.render import MAIN_FILE, ConfigFiles
from proxy_api.haproxy.config_directory import ConfigDirectory
from proxy_api.haproxy.processes import environment

CHECK_TIMEOUT_S = 60


class ConfigCheck:
    """`haproxy -c`. Raises ConfigRejected with HAProxy's alert lines, ApplyFailed where it cannot be asked."""

    def __init__(self, files: ConfigDirectory, program: str) -> None:
        self._files, self._program = files, program

    def check(self, config: ConfigFiles) -> None:
        """Judge a configuration where it lies; one that is refused does not stay there."""
        directory = self._files.write(config)
        try:
            self._judge(directory)
        except ConfigRejected:
            if config.digest != self._files.current_digest():
                self._files.discard(config.digest)
            raise

    def try_out(self, config: ConfigFiles) -> None:
        """The same as `check`, on a copy that is gone afterwards."""
        with self._files.candidate(config) as directory:
            self._judge(directory)

    def _judge(self, directory: Path) -> None:
        try:
            result = subprocess.run(
                [self._program, "-c", "-f", str(directory / MAIN_FILE)], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=CHECK_TIMEOUT_S, check=False,
                env=environment())
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise ApplyFailed(f"HAProxy's check could not be run: {fault}") from None
        if result.returncode:
            raise ConfigRejected(_alerts(result.stderr, str(directory)))


def _alerts(stderr: str, directory: str) -> str:
    """HAProxy's own words, without the path of the candidate."""
    lines = [line.replace(directory + "/", "") for line in stderr.splitlines() if "[ALERT]" in line]
    lines = [re.sub(r"^\[ALERT\]\s+\(\d+\) : ", "", line) for line in lines]
    lines = [line for line in lines if "Fatal errors found" not in line and "Error(s) found" not in line] or lines
    return "HAProxy: " + "; ".join(lines[:10]) if lines else f"HAProxy refused it: {stderr.strip()[-500:]}"
