"""SIGTERM and SIGINT as an event that any thread can wait for. Edge."""

import os
import signal
import threading


def stop_on_signal() -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets. To be called in the main thread.

    The kernel may give a signal to any thread, and Python then leaves it to the main thread's next step; but that one
    may be waiting for this very event. Only the wake-up descriptor is written to at once, whoever got the signal:
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    stop = threading.Event()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        os.read(woken, 1)
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop
