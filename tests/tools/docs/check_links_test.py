import http.server
import threading

import pytest

from tools.docs import check_links


@pytest.mark.parametrize("address", sorted(check_links.external_links()))
def test_external_links_are_well_formed(address):
    assert check_links.problem(address) is None


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://keras.io/api/#part", None),
        ("http://127.0.0.1:8080/ping", None),
        ("mailto:a@example.com", None),
        ("mailto:a", "not an address"),
        ("http://keras.io", "expected https"),
        ("ftp://keras.io", "expected https"),
        ("https://keras", "expected a host"),
        ("https:///api", "expected a host"),
    ],
)
def test_problem(address, problem):
    assert check_links.problem(address) == problem


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/page" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


def test_ask():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            assert check_links.ask(f"{address}/page#part") is None
            assert check_links.ask(f"{address}/other") == "HTTP status 404"
        finally:
            server.shutdown()
            thread.join()
    assert check_links.ask(f"{address}/page").startswith("not reached: ")
