"""Identity of the hosts of a slice."""

from launch.slice.identity import difference, identity_of, package_sha256
from tests.support.jobs import make_job


def test_difference_names_every_field():
    own = identity_of(make_job(), manifest_sha256="a" * 64, num_hosts=4)
    assert set(own) == {
        *("hosts", "package", "python", "tensorflow", "libtpu", "build", "settings"),
    }
    assert own["build"] == "a" * 12
    assert difference(own, own) == ""
    assert difference(own | {"hosts": "8", "build": "b"}, own) == (
        f"number of hosts 8, not 4, build sha256 b, not {'a' * 12}"
    )
    assert difference({}, {"python": "3.11.1"} | own).count("none, not") == 6


def test_digest_of_the_package_follows_its_modules(tmp_path):
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch/a.py").write_text("1")
    first = package_sha256(tmp_path)
    (tmp_path / "launch/a.py").write_text("2")
    second = package_sha256(tmp_path)
    (tmp_path / "launch/a.py").rename(tmp_path / "launch/b.py")
    assert len({first, second, package_sha256(tmp_path)}) == 3
