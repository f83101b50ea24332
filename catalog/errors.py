"""What can go wrong with the catalog, named by whose problem it is.

Every text here is fit to be shown: it never carries a token or the userinfo of a URL.
"""


class CatalogError(Exception):
    """Anything that Consul, or the way to it, did not do."""


class CatalogUnavailable(CatalogError):
    """Consul could not be asked, or could not answer: the state of the world is unknown, not empty."""


class CatalogDenied(CatalogError):
    """The token is missing, unknown or too narrow (Consul's 403, or its 500 that says the same)."""


class CatalogRejected(CatalogError):
    """Consul understood the request and refused it for good (4xx): repeating it is pointless."""


class NotAddressable(CatalogRejected):
    """A name that no path of Consul's API can hold. Nothing was sent."""


class NotRegistered(CatalogError):
    """The agent does not have the service or the check: it never had it, or it has lost it."""


class Conflict(CatalogError):
    """A check-and-set lost: somebody else changed the key since it was read."""


class InvalidAddress(ValueError):
    """An address of Consul that is not one; the text says what would be right."""
