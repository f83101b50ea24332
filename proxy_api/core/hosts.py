"""What a hosts file says: the address of a name, without DNS. Core."""

import ipaddress


def parse_hosts(text: str) -> tuple[tuple[str, str], ...]:
    """Names, in lower case, and the first address that the text has for each. Lines that make no sense count for
    nothing, as they do for the system.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        # HAProxy takes no zone (`fe80::1%eth0`).
        if names and "%" not in address and _is_address(address):
            for name in names:
                found.setdefault(name.lower().removesuffix("."), address)
    return tuple(sorted(found.items()))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
