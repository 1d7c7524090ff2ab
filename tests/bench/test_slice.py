"""Benchmark of the host side of a slice, on one small run and on literal marks."""

import json

import pytest

from bench.slice import __main__ as main
from bench.slice.watched import Mark, sent_bytes

# Host 0 is the coordinator 11 and the server 22 on port 8470; the server 33 is another host's.
LISTING = """State Recv-Q Send-Q Local Address:Port Peer Address:Port Process
ESTAB 0 0 127.0.0.1:5001 127.0.0.1:8470 users:(("python",pid=11,fd=9))
\t cubic wscale:7,7 rto:201 bytes_sent:1000 bytes_acked:1000 bytes_received:5 segs_out:20
ESTAB 0 0 [::ffff:127.0.0.1]:8470 [::ffff:127.0.0.1]:5001 users:(("python",pid=22,fd=9))
\t cubic wscale:7,7 rto:201 bytes_sent:5 bytes_acked:5 bytes_received:1000 segs_out:20
ESTAB 0 0 127.0.0.1:5002 127.0.0.1:8471 users:(("python",pid=11,fd=10))
\t cubic wscale:7,7 rto:201 bytes_sent:200 bytes_acked:200 bytes_received:7 segs_out:20
ESTAB 0 0 127.0.0.1:5003 127.0.0.1:8471 users:(("python",pid=22,fd=11))
\t cubic wscale:7,7 rto:201 bytes_sent:30 bytes_acked:30 bytes_received:7 segs_out:20
ESTAB 0 0 127.0.0.1:8471 127.0.0.1:5002 users:(("python",pid=33,fd=10))
\t cubic wscale:7,7 rto:201 bytes_sent:7 bytes_acked:7 bytes_received:200 segs_out:20
"""


def test_bytes_from_one_host_to_others():
    assert sent_bytes(LISTING, {11, 22}) == 230
    assert sent_bytes(LISTING, {33}) == 7
    assert sent_bytes("", {11}) == 0


def test_figures_of_a_run():
    """A step takes 0.1 s and 0.02 s of CPU, a save 0.3 s of CPU; the first step came after 30 s."""
    marks = {}
    for step in range(5, 51, 5):
        saves = (step - 1) // 10
        marks[step] = Mark(
            seconds=30 + 0.1 * (step - 1) + saves,
            cpu_seconds=20 + 0.02 * (step - 1) + 0.3 * saves + (9 if step > 10 else 0),
            sent_bytes=1000 * step,
        )
    assert main.figures(marks) == pytest.approx(
        {
            "first_step_seconds": 30,
            "cpu_seconds_at_start": 20,
            "sent_bytes_at_start": 5000,
            "cpu_seconds_of_a_step": 0.02,
            "cpu_seconds_of_a_save": 0.3,
            "step_seconds": 0.1,
        }
    )


def test_growth_is_a_line_in_the_number_of_replicas():
    rows = [
        {"replicas": r, "shard": False, **dict.fromkeys(main.FIGURES, 3 + 0.5 * r)}
        for r in (4, 8, 16)
    ]
    laws = main.extrapolate([*rows, {"shard": True}])
    assert laws.keys() == set(main.FIGURES)
    assert laws["cpu_seconds_at_start"] == pytest.approx(
        {"constant": 3, "per_replica": 0.5, "largest_error": 0, "extrapolated": 131}
    )
    falling = [{**row, "cpu_seconds_of_a_step": 1 / row["replicas"]} for row in rows]
    law = main.extrapolate(falling)["cpu_seconds_of_a_step"]
    assert law["extrapolated"] == pytest.approx((1 / 4 + 1 / 8 + 1 / 16) / 3)
    assert "64 hosts: 131" in main.describe({"hosts": 64, "laws": laws})


@pytest.mark.slow
def test_rows_and_lines(tmp_path, capsys):
    results = tmp_path / "slice.json"
    flags = ["--hosts", "1", "2", "--steps", "35", "--work", str(tmp_path / "w")]
    main.main([*flags, "--results", str(results)])
    *rows, law = json.loads(results.read_text())
    assert [(row["hosts"], row["replicas"], row["shard"]) for row in rows] == [
        (1, 4, False),
        (2, 8, False),
        (2, 8, True),
    ]
    for row in rows:
        assert 0 < row["cpu_seconds_of_a_step"] < row["cpu_seconds_at_start"]
    assert rows[0]["sent_bytes_at_start"] < 10_000 < rows[1]["sent_bytes_at_start"]
    assert law["laws"].keys() == set(main.FIGURES)
    assert "2 hosts, 8 replicas, sharded: " in capsys.readouterr().out
