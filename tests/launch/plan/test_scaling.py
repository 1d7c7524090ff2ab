"""Scaling curves, and the page that shows them."""

import html.parser
import re

import pytest

from launch.accelerators.costs import Step, device_of_chip, memory, update_seconds
from launch.accelerators.gpus import GPUS
from launch.accelerators.tpus import TPUS
from launch.plan import __main__ as plan
from launch.plan import scaling
from model.config import EncoderConfig
from tests.support.browser import page_layout

STEP = Step(
    encoder=EncoderConfig(
        vocab_size=30_522,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
    ),
    batch=32,
    micro_batch=8,
)


def test_slices_are_those_of_one_job():
    assert [a.chips for a in scaling.slices(TPUS["v5e"])] == [1, 4, 8, 16, 32, 64, 128, 256]
    assert [a.devices for a in scaling.slices(TPUS["v3"])] == [8, 32, 64, 128, 256, 512, 1024, 2048]
    assert [a.chips for a in scaling.slices(TPUS["v4"])] == [2**n for n in range(2, 13)]
    assert scaling.slices(GPUS["h100"])[-1].chips == 4096


def test_weak_scaling_loses_only_the_allreduce():
    updates = scaling.weak_scaling(STEP, TPUS["v5e"], sequences=32)
    assert [u.batch for u in updates] == [32 * u.devices for u in updates]
    computation = update_seconds(STEP, device_of_chip(TPUS["v5e"], parts=1))
    assert {u.device_seconds for u in updates} == {computation}
    efficiency = dict(scaling.efficiency(updates))
    assert efficiency[1] == 1
    assert efficiency[256] == pytest.approx(
        computation / (computation + updates[-1].allreduce_seconds)
    )


def test_strong_scaling_ends_at_one_sequence_per_device():
    updates = scaling.strong_scaling(STEP, TPUS["v4"], batch=1024)
    assert [u.devices for u in updates] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    # The optimizer and the all-reduce do not get faster.
    efficiency = [share for _, share in scaling.efficiency(updates)]
    assert efficiency[-1] < 0.5 < efficiency[3]


def test_sharding_divides_moments_and_update():
    whole, sharded = (
        scaling.strong_scaling(STEP, TPUS["v5e"], batch=8192, sharded=sharded)[-1]
        for sharded in (False, True)
    )
    parameters, kernels = 335_174_458, 303_038_464
    # Each device keeps a part of the kernels besides the whole ones.
    saved = memory(STEP).moments * 255 / 256 - 4 * kernels / 256
    assert whole.memory_bytes - sharded.memory_bytes == pytest.approx(saved, abs=1)
    saved = whole.device_seconds - sharded.device_seconds
    traffic = 44 * 255 / 256 * parameters - 10 * (parameters - kernels)
    assert saved == pytest.approx(traffic / (0.85 * 819e9))
    # The new weights are exchanged, too: kernels in bfloat16.
    exchanged = 2 * kernels + 4 * (parameters - kernels)
    assert sharded.allreduce_seconds == pytest.approx(
        (1 + exchanged / (8 * parameters)) * whole.allreduce_seconds
    )


def test_lost_share_is_smallest_between_short_and_long_intervals():
    minutes, shares = zip(
        *scaling.lost_shares(
            512, save_seconds=1, restart_seconds=300, intervals=[60, 600, 1200, 6000, 60_000]
        ),
        strict=True,
    )
    assert minutes == (1, 10, 20, 100, 1000)
    assert shares[0] > shares[1] and shares[-1] > shares[1]


def page(path, accelerator: str) -> str:
    plan.main(
        [
            "--gin_file",
            "gin/lambert_large.gin",
            "--accelerator",
            accelerator,
            "--scaling",
            str(path),
        ]
    )
    return path.read_text()


class Outline(html.parser.HTMLParser):
    """Open tags, references to other files, and the number of figures."""

    VOID = ("meta", "rect", "path", "br", "wbr", "i")

    def __init__(self):
        super().__init__()
        self.open, self.references, self.figures = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.figures += tag == "figure"
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "path", "wbr", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("accelerator", ["v5e-256", "h100x64", "cpu"])
def test_page_is_well_formed_and_refers_to_no_other_file(tmp_path, accelerator):
    text = page(tmp_path / "page.html", accelerator)
    outline = Outline()
    outline.feed(text)
    assert (outline.open, outline.references, outline.figures) == ([], [], 11)
    assert "419 unexpected interruptions in 54 days on 16,384 chips" in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_chips_whose_smallest_slice_has_more_devices_than_sequences_are_left_out(tmp_path):
    """The smallest slices of v4 and v5p have four devices."""
    path = tmp_path / "page.html"
    arguments = ["--gin_file", "gin/lambert_tiny.gin", "--accelerator", "h100x1"]
    for setting in (
        *("EncoderConfig.vocab_size=8000", "TrainConfig.global_batch_size=1"),
        "TrainConfig.eval_batch_size=1",
    ):
        arguments += ["--gin_param", setting]
    plan.main([*arguments, "--scaling", str(path)])
    days = path.read_text().partition("Days for 1,500 updates of 1")[2].partition("</p>")[0]
    assert re.findall(r"</i>(\w+)</span>", days) == ["h100", "v5e"]


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_screen_in_a_browser(tmp_path, width):
    """The page must not scroll sideways."""
    path = tmp_path / "page.html"
    page(path, "v5e-256")
    content_width, plots = page_layout(tmp_path, path, width)
    assert content_width == width
    assert min(plots) > 200
