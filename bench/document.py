"""The results as a document: machine, command, tables, and the goals that were missed with their reasons. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.figures import Figure

_HEAD = """\
# Performance

Every figure is a ratio to a floor that the same run measured on the same machine: the least that the same thing costs
without Portbook. Ratios carry over to other machines, the absolute times beside them do not. This page is written by
the run itself:

```sh
{command}
```

`make bench` prints the same without writing. Medians, where nothing else is said.
"""
_HOW = """\
## How it is measured

- The many services are written to Consul as registrations and releases, then the proxy is started. They have no checks
  by HAProxy (`skipCheck`): at 30,000 instances one check every two seconds each would be what is measured. The
  services that come and go have them.
- *commit → served* ends with the first answer, through HAProxy, of the instance that moved, joined or was admitted; it
  begins when the write to the catalog returns or when the release is committed. Its floor is how long a client that
  already waits at Consul (a blocking query on the list of services) needs to hear of such a write.
- *A reload by hand* is `haproxy -c` on the same configuration and `reload` at the master's socket, until the new worker
  answers.
- *Requests lost* counts every request without a 200 from the right service, of clients that pause between requests:
  8 that keep their connection, 4 that make one for each request, and 4 `curl` over h2 and TLS. Of the 200 changes, or
  as many as fit into the time that the bench allows (the figure says how many), half are reloads; an instance of the
  service under load joins and leaves all the time. A download and a WebSocket that began before the first change are
  to outlive the last: for that, the proxy runs with `MAX_OLD_WORKERS=250`, where 20 is the default.
- *A ping* makes a connection of its own, and is sent by a process that does nothing else. An idle server in a third
  process is asked in turn with it: what takes long there is the machine's.
- *Throughput* is `wrk` with 32 connections through the last of so many routes of Portbook, and in turn through a
  configuration with one route written by hand; the origin is a HAProxy that answers by itself. wrk, origin and proxy
  share the machine's cores.
- *The predecessor's way* is one file with a chain of ACLs, `haproxy -c`, and a new process with `-sf`.
"""


def written(figures: Sequence[Figure], troubles: Sequence[str], machine: Sequence[tuple[str, str]], command: str,
            plot: str, reasons: Mapping[str, str]) -> str:
    """The whole page; `plot` is the file name of the plots, "" where there are none."""
    parts = [_HEAD.format(command=command), _table(("machine", ""), machine)]
    if plot:
        parts.append(f"![Time per change and requests per second by number of services]({plot})\n")
    parts.append(_missed([f for f in figures if f.met is False], reasons))
    if troubles:
        parts.append("## What went wrong\n\n" + "".join(f"- {_cell(t)}\n" for t in troubles))
    for part in dict.fromkeys(f.part for f in figures):
        rows = [_row(f) for f in figures if f.part == part]
        parts.append(f"## {part}\n\n" + _table(("what", "ratio", "measured", "floor", "goal"), rows))
    return "\n".join([*parts, _HOW])


def _row(figure: Figure) -> tuple[str, ...]:
    floor = f"{figure.floor_name}: {figure.floor}" if figure.floor else ""
    verdict = {None: "", True: f"{figure.goal_text}, met", False: f"{figure.goal_text}, **missed**"}[figure.met]
    return figure.what, "" if figure.ratio is None else f"{figure.ratio:.2f} ×", figure.absolute, floor, verdict


def _missed(missed: Sequence[Figure], reasons: Mapping[str, str]) -> str:
    if not missed:
        return "## Goals that are missed\n\nNone.\n"
    rows = [(f.what, f.part, f"{f.amount if f.ratio is None else f.ratio:.2f}{'' if f.ratio is None else ' ×'}",
             f.goal_text, _why(f.what, reasons)) for f in missed]
    return "## Goals that are missed\n\n" + _table(("what", "where", "reached", "goal", "why"), rows)


def _why(what: str, reasons: Mapping[str, str]) -> str:
    return next((why for start, why in reasons.items() if what.startswith(start)), "not yet known")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
