"""Which host of a slice a machine is."""

import http.server
import threading

import pytest

from data.errors import UserError
from launch.slice.membership import Membership, find_membership

KUBERNETES = {"LAMBERT_SLICE_INDEX": "1", "LAMBERT_SLICE_HOSTS": "large-worker-0-0.large,b"}


def test_kubernetes_says_it_in_the_environment():
    membership = find_membership("v5e-8", 2, KUBERNETES)
    assert membership == Membership(index=1, addresses=("large-worker-0-0.large", "b"))
    assert membership.address == "b"
    assert membership.describe(0) == "host 0 (large-worker-0-0.large)"


def test_metadata_server_says_it():
    content = {
        "/attributes/agent-worker-number": b"2",
        "/attributes/worker-network-endpoints": b"unknown:unknown:10.0.0.1,a:b:10.0.0.2,:10.0.0.3",
    }

    class Metadata(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200 if self.path in content else 404)
            self.end_headers()
            self.wfile.write(content.get(self.path, b""))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environ = {"LAMBERT_METADATA_URL": f"http://localhost:{server.server_port}"}
        membership = find_membership("v5e-16", 3, environ)
        assert membership == Membership(index=2, addresses=("10.0.0.1", "10.0.0.2", "10.0.0.3"))
        content.clear()
        with pytest.raises(UserError, match=r"agent-worker-number: HTTP Error 404.*set LAMBERT_SL"):
            find_membership("v5e-16", 3, environ)
        server.shutdown()


@pytest.mark.parametrize(
    ("num_hosts", "index", "message"),
    [
        (4, "1", "LaunchConfig.accelerator='v5e-16' has 4 hosts, but this slice has 2"),
        (2, "2", "says that it is host '2' of a slice of 2 hosts"),
        (2, "", "says that it is host '' of a slice of 2 hosts"),
    ],
)
def test_wrong_number_is_an_error(num_hosts, index, message):
    with pytest.raises(UserError) as caught:
        find_membership("v5e-16", num_hosts, KUBERNETES | {"LAMBERT_SLICE_INDEX": index})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
