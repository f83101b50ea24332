"""Paths of Consul's HTTP API, made of names that may be anything. Pure.

Every segment is escaped. That is not enough for some: Consul's router takes a path apart only after it has undone the
escapes, and answers 301 to one with an empty segment, `.` or `..` in it. Of a name that contains one there is no path.
"""

from urllib.parse import quote

from catalog.errors import NotAddressable

_GONE = ("", ".", "..")


class Path(str):
    """A path that is escaped already."""

    __slots__ = ()


def path(base: str, *names: str) -> Path:
    """`base`, which is ours, with names behind it. Raises NotAddressable.

    >>> path("/v1/catalog/node", "a b/c")
    '/v1/catalog/node/a%20b%2Fc'
    """
    for name in names:
        if any(part in _GONE for part in name.split("/")):
            raise NotAddressable(f"Consul's API has no path for the name {name[:64]!a}")
    return Path("/".join([base, *(quote(name, safe="") for name in names)]))


def key_path(key: str) -> Path:
    """The path of a key, or of a prefix that ends in a slash. Raises NotAddressable."""
    parts = key.removesuffix("/").split("/")
    if any(part in _GONE for part in parts):
        raise NotAddressable(f"Consul's API has no path for the key {key[:64]!a}")
    return Path("/v1/kv/" + quote(key, safe="/"))
