"""Who the dashboard answers: this machine's own browser, and nobody else."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

OPENED, REFUSED = 101, 403


def shake(url: str, host: str | None, origin: str | None = None) -> int:
    """The status with which the server answers whoever wants to open a page's connection, without which it shows
    nothing and takes no click.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    headers = {"Host": host, "Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket"}
    headers |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
    for name, value in headers.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost."])
def test_this_machine_by_any_of_its_own_names_is_let_in(server: str, name: str):
    port = urlsplit(server).port
    assert shake(server, f"{name}:{port}", f"http://{name}:{port}") == OPENED
    assert shake(server, name) == OPENED


@pytest.mark.parametrize(
    "name",
    [
        *(
            "evil.example",
            "EVIL.example.",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
        ),
        *("127.0.0.1/evil.example", "192.168.0.1", "[::2]", "[::1", "", ":80", "localhost:port"),
    ],
)
def test_a_page_whose_name_was_bent_to_this_machine_is_refused(server: str, name: str):
    port = urlsplit(server).port
    for host in (name, f"{name}:{port}"):
        assert shake(server, host, f"http://{host}") in (400, REFUSED)
        assert shake(server, host) in (400, REFUSED)


def test_a_page_of_elsewhere_is_refused_whatever_host_it_asks(server: str):
    port = urlsplit(server).port
    assert shake(server, f"127.0.0.1:{port}", "http://evil.example") == REFUSED


def test_who_names_no_host_is_refused(server: str):
    assert shake(server, None) in (400, REFUSED)


def test_only_this_machine_can_reach_it(server: str):
    # On Linux all of 127.0.0.0/8 leads here: who listens to every interface answers, who listens to one does not.
    with socket.socket() as other:
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", urlsplit(server).port)) != 0
