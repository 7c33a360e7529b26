"""An empty data root, and what can be reached from it: nothing, or a server of our own."""

import http.server
import threading

import pytest

from dlcore.catalogue.datasets import base


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty data root; data sets that other tests loaded are forgotten."""
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    monkeypatch.setattr(base, "_loaded", type(base._loaded)())
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    import requests

    def refuse(*_, **__):
        raise requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", refuse)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine, the files that it has, and what was asked of it."""
    files, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            asked.append(self.path)
            if self.path.startswith("/broken/") or name not in files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[name])))
            self.end_headers()
            self.wfile.write(files[name])

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}", files, asked
        web.shutdown()
        thread.join()
