"""A configuration brought to HAProxy, or left alone for a while where HAProxy does not take it. Shell."""

import logging
import time
from typing import Protocol

from proxy_api.errors import ApplyFailed
from proxy_api.plan import Nothing, Plan, Runtime, plan
from proxy_api.render import ConfigFiles, Rendered

log = logging.getLogger("proxy-api")

MAX_BACKOFF_S = 30.0


class Proxy(Protocol):
    """HAProxy, as it is changed."""

    def check(self, config: ConfigFiles) -> None: ...
    def write(self, config: ConfigFiles) -> object: ...
    def swap(self, config: ConfigFiles) -> str | None: ...
    def swap_back(self, digest: str | None) -> None: ...
    def serving(self) -> str | None: ...
    def current_digest(self) -> str | None: ...
    def reload(self, digest: str) -> None: ...


class Applier:
    """Applies what is wanted; remembers what failed, and until when not to try it again unasked."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._faults = 0
        self._again_at = 0.0
        self.fault = ""
        self.reloads = 0

    def apply(self, before: Rendered | None, wanted: Rendered, asked: bool) -> Plan | None:
        """Bring HAProxy from `before` to `wanted`; None where it is too early to try again. Raises ApplyFailed.

        When it raises, HAProxy runs what it ran, and the disk says so too.
        """
        config = wanted.config
        step = plan(self._proxy.serving(), before, wanted)
        if not isinstance(step, Nothing) and not asked and time.monotonic() < self._again_at:
            return None
        try:
            self._proxy.write(config)
            last = self._proxy.swap(config) if self._proxy.current_digest() != config.digest else config.digest
        except OSError as fault:
            raise ApplyFailed(f"the configuration cannot be written: {fault.strerror}") from None
        if not isinstance(step, Nothing):
            try:
                self._proxy.reload(config.digest)
            except ApplyFailed:
                self._proxy.swap_back(last)
                raise
            self.reloads += 1
            log.info('event=applied change=%s digest=%s services=%d reason="%s"', word(step), config.digest,
                     len(wanted.state.services), step.reason)
        self.fault, self._faults = "", 0
        return step

    def failed(self, fault: Exception) -> None:
        """Note that what is wanted is not served."""
        self.fault = str(fault)
        self._faults += 1
        self._again_at = time.monotonic() + min(MAX_BACKOFF_S, 2.0 ** self._faults)
        log.error('event=apply-failed reason="%s"', fault)


def word(step: Plan) -> str:
    """A plan in one word, as answers and logs have it."""
    return "nothing" if isinstance(step, Nothing) else "runtime" if isinstance(step, Runtime) else "reload"
