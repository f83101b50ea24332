"""Where Consul is: what is understood, and what is said of the rest."""

import pytest

from catalog.address import Endpoint, parse_endpoints
from catalog.errors import InvalidAddress

URLS = {
    "a": "http://a:8500", "a:1": "http://a:1", "https://a": "https://a:8500", "[::1]:1": "http://[::1]:1",
    "unix:///run/consul.sock": "unix:///run/consul.sock",
    f"unix:///{'x' * 106}": f"unix:///{'x' * 106}",
}


@pytest.mark.parametrize(("text", "url"), URLS.items())
def test_an_address(text: str, url: str) -> None:
    assert [endpoint.url for endpoint in parse_endpoints(text)] == [url]


def test_several_addresses_of_different_kinds() -> None:
    assert parse_endpoints("a:1, unix:///x") == (Endpoint("http", "a", 1), Endpoint("unix", "/x", 0))


@pytest.mark.parametrize("text", ["", ",", "ftp://a", "a:x", "a:99999", "http://", "a/b", "user:x@a", "unix://",
                                  "unix:///", "unix://a/b", "unix:///a\nb", f"unix:///{'ü' * 54}"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_endpoints(text)
