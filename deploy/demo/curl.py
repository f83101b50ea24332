"""As much of curl as the demo and the README type, for a machine without it. Runs with any Python, alone."""

from __future__ import annotations

import http.client
import sys
import urllib.parse


def main(words: list[str]) -> int:
    """-i, -s, -S, -f, -X METHOD, -H HEADER, -o FILE, -D -, and one URL; exit codes as curl's."""
    headers: dict[str, str] = {"User-Agent": "curl", "Accept": "*/*"}
    show_head = fail = quiet = False
    method, output, url = "GET", "", ""
    rest = iter(words)
    for word in rest:
        match word:
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "-X":
                method = next(rest)
            case "-o":
                output = next(rest)
            case "-D":
                show_head = next(rest) == "-"
            case _ if word.startswith("-"):
                show_head = show_head or "i" in word
                fail = fail or "f" in word
                quiet = quiet or ("s" in word and "S" not in word)
            case _:
                url = word
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    host, port = parts.hostname or "", parts.port or 80
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as fault:
        if not quiet:
            print(f"curl: (7) Failed to connect to {host} port {port}: {fault}", file=sys.stderr)
        return 7
    finally:
        connection.close()
    if fail and answer.status >= 400:
        return 22
    if show_head:
        sys.stdout.write(f"HTTP/1.1 {answer.status} {answer.reason}\r\n")
        sys.stdout.write("".join(f"{name}: {value}\r\n" for name, value in answer.getheaders()) + "\r\n")
    sys.stdout.flush()
    if not output:
        sys.stdout.buffer.write(body)
    elif output != "/dev/null":
        with open(output, "wb") as file:
            file.write(body)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
