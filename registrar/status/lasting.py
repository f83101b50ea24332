"""A thread that is to live as long as the program: a defect of ours is told, and its work begins anew."""

import threading
import time

from registrar.status.journal import Journal, described

FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0
STEADY_AFTER_S = 30.0  # work that lasted so long did not end at its beginning


class LastingThread(threading.Thread):
    """Does its `work`, which returns only when the program ends.

    `down` is the defect that has ended the work, "" while it goes on; work that was begun anew says by `works` that it
    has got somewhere.
    """

    def __init__(self, name: str, journal: Journal, stop: threading.Event | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self._journal, self._stopping = journal, stop or threading.Event()
        self.down = ""

    def work(self) -> None:
        raise NotImplementedError

    @property
    def ill(self) -> str:
        """Why it does not do its work now, "" where it does."""
        return self.down or ("" if self.is_alive() else "it has ended")

    def works(self) -> None:
        """The work goes on."""
        if self.down:
            self.down = ""
            self._journal.over(self._trouble)

    def run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                return self.work()
            except Exception as fault:
                self.down = described(fault)
            self._journal.trouble(self._trouble, self.down)
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > STEADY_AFTER_S else min(MAX_PAUSE_S, 2 * pause_s)
            self._stopping.wait(pause_s)

    @property
    def _trouble(self) -> str:
        return f"thread {self.name}"
