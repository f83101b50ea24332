"""The web pages that `httpGet` of a tag template asks for: fetched beside the loop, which never waits for one.

A page is asked for again when it is needed and older than a minute; meanwhile, and when that fails, what it was counts.
One that has never been had is tried for again and again. Whoever runs only once waits for the first answer.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests
import urllib3

from registrar.core.tag_templates import Page

FRESH_S = 60.0
TIMEOUT_S = 3.0  # for the connection, and for each piece of the answer
WHOLE_S = 10.0
MAX_BYTES = 1024 * 1024
RETRY_S = 5.0  # after the first failure; twice as long after each further one
MAX_RETRY_S = 60.0
FORGET_S = 3600.0  # a page that nobody has needed for so long
AT_ONCE = 4


@dataclass(slots=True)
class _Kept:
    """One page, and when it is to be fetched next."""

    page: Page = field(default_factory=Page)
    due: float = 0.0
    fetched: float = 0.0
    needed: float = 0.0
    failures: int = 0
    busy: bool = False


class Pages:
    """Pages by URL. `version` counts their changes; `changed` is called after each, from another thread."""

    def __init__(self, patient: bool = False) -> None:
        self._patient = patient
        self._kept: dict[str, _Kept] = {}
        self._news = threading.Condition()
        self._threads: list[threading.Thread] = []
        self.version = 0
        self.changed: Callable[[], None] = lambda: None

    def look_up(self, url: str) -> Page:
        """What is known of the page now; it is fetched if that is nothing, or old."""
        with self._news:
            self._start()
            kept, now = self._kept.setdefault(url, _Kept()), time.monotonic()
            kept.needed = now
            if kept.fetched and not kept.failures and now - kept.fetched > FRESH_S:
                kept.due = now
            self._news.notify_all()
            while self._patient and not kept.fetched:
                self._news.wait()
            return kept.page

    def _start(self) -> None:
        for number in range(len(self._threads), AT_ONCE):
            thread = threading.Thread(target=self._work, name=f"page-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while True:
            url, kept = self._next()
            text, fault = fetch(url)
            with self._news:
                before = kept.page
                kept.page = Page(before.text, fault) if text is None else Page(text)
                kept.failures = 0 if text is not None else kept.failures + 1
                kept.busy, kept.fetched = False, time.monotonic()
                pause = min(MAX_RETRY_S, RETRY_S * 2 ** min(kept.failures - 1, 10))
                kept.due = kept.fetched + pause if kept.failures else float("inf")
                changed = kept.page != before
                self.version += changed
                self._news.notify_all()
            if changed:
                self.changed()

    def _next(self) -> tuple[str, _Kept]:
        """Wait for a page that is due, and take it."""
        with self._news:
            while True:
                now = time.monotonic()
                self._kept = {url: kept for url, kept in self._kept.items()
                              if kept.busy or now - kept.needed < FORGET_S}
                idle = [(kept.due, url) for url, kept in self._kept.items() if not kept.busy]
                due, url = min(idle, default=(float("inf"), ""))
                if due <= now:
                    kept = self._kept[url]
                    kept.busy = True
                    return url, kept
                self._news.wait(min(due - now, FORGET_S))


def fetch(url: str) -> tuple[str | None, str]:
    """The text of the page, or None and why there is none, in words that are the same for the same cause."""
    began = time.monotonic()
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, "it is no address"
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # no password, and no query with a token
    try:
        with requests.get(url, timeout=TIMEOUT_S, stream=True, headers={"User-Agent": "registrar"}) as answer:
            if not answer.ok:
                return None, f"{where} answers {answer.status_code}"
            body = b""
            while piece := answer.raw.read1(65536, decode_content=True):
                body += piece
                if len(body) > MAX_BYTES:
                    return None, f"{where} has more than {MAX_BYTES} bytes"
                if time.monotonic() - began > WHOLE_S:
                    return None, f"{where} takes longer than {WHOLE_S:g} s"
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        return None, f"{where} does not answer within {TIMEOUT_S:g} s"
    except Exception as fault:  # a defect, too, costs no more than this page
        return None, f"{where} cannot be read: {type(fault).__name__}"
    return body.decode(errors="replace"), ""
