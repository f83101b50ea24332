"""The HAProxy of one CONFIGS_PATH, whoever started it: its parts, joined. Edge."""

import os

from proxy_api.haproxy.config_check import ConfigCheck
from proxy_api.haproxy.config_directory import ConfigDirectory
from proxy_api.haproxy.processes import Master
from proxy_api.haproxy.reload import Reloader
from proxy_api.haproxy.runtime_socket import RuntimeSocket


class Haproxy:
    """`files` on disk, the `check` of a candidate, the worker's `runtime` API, the `master`, and `reloader`."""

    def __init__(self, configs_path: str, program: str = "haproxy") -> None:
        self.files = ConfigDirectory(configs_path)
        self.config_check = ConfigCheck(self.files, program)
        self.runtime = RuntimeSocket(os.path.join(configs_path, "haproxy.sock"))
        self.master = Master(configs_path, program, self.files.main_file)
        self.reloader = Reloader(self.master, self.runtime)
