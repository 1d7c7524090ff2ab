"""Plans of the published run, of other machines, and of runs that do not fit."""

import json
import subprocess
import sys

import pytest

from data.errors import UserError
from data.manifest import Manifest
from launch.plan import __main__ as plan
from launch.plan import bench_results, micro_batch

LARGE = ["--gin_file", "gin/lambert_large.gin"]
SIXTEEN = ["--gin_param", "TrainConfig.micro_batch_size=16"]


def printed(capsys, *arguments: str) -> str:
    """Return the text of a plan with wrapped lines joined."""
    plan.main([*LARGE, *arguments])
    return capsys.readouterr().out.replace("\n    ", " ")


def read_json(tmp_path, *arguments: str) -> dict:
    plan.main([*LARGE, *arguments, "--json", str(tmp_path / "plan.json")])
    return json.loads((tmp_path / "plan.json").read_text())


def test_published_run(capsys):
    """Figures by hand from the compiled row: 435,859,362 cycles at 197e12 / 131,072 a second."""
    text = printed(
        capsys,
        *("--gin_file", "gin/data_lambert.gin", "--sequences", "8630000"),
        *("--accelerator", "v5e-256", "--price_per_chip_hour", "1.2"),
        *SIXTEEN,
    )
    for line in (
        "335,174,458 trained parameters",
        "v5e-256: 256 chips = 256 devices on 64 hosts; a device has 17.18 GB, 197 TFLOP/s",
        "8,192 = 256 devices x micro-batches of 8 x 4 accumulation steps; 8,106.6 TFLOP an update",
        "--gin_param TrainConfig.micro_batch_size=8 (configured: 16)",
        "budget: 15.46 of 17.18 GB, 10% is left free",
        "an update: 0.290 s on a device + 0.017 s for the all-reduce: 3.26 a second",
        "estimated cycles of the compiled step (bench/results/tpu.json), not measured on a TPU",
        "200,000 updates: 17.1 hours with failures, 4,379 chip-hours, 5,255 at 1.2 each",
        "8,630,000 training sequences: 189.8 passes; each of 100 masks of a sequence is seen 1.9 times",
        "storage: 8.85 GB packed (online masks); 2.96 TB more for masked copies of 3,434 bytes a record",
        "a checkpoint: 4.02 GB, 20.11 GB for the 5 that are kept",
        "notice of 30 s: a save fits with TrainConfig.steps_per_loop up to 28 (configured: 1)",
        "0.121 failures a day: TrainConfig.checkpoint_interval=1,000 loses 0.39% of the time",
    ):
        assert line in text
    assert "  8 x 4 " in text.replace("       ", " ")
    # Rematerialization keeps the inputs of 24 blocks and one whole block, for eight sequences.
    row = text.partition(" rematerialize_blocks=True:")[2].split()[:11]
    assert row == ["8", "x", "4", "1.34", "2.68", "1.34", "0.67", "0.40", "0.04", "0.00", "6.47"]


def test_machines_are_those_of_the_job_without_accelerator(capsys):
    job = ["--gin_param", "LaunchConfig.nodes = 4", "--gin_param"]
    text = printed(capsys, *job, "LaunchConfig.accelerator = 'nvidia-h100-80gb'")
    assert "machines: h100x32: 32 chips = 32 devices on 4 hosts" in text
    assert "v5e-64: 64 chips" in printed(capsys, *job[:2], "--accelerator", "v5e-64")
    with pytest.raises(UserError, match=r"LaunchConfig\.accelerator='nvidia-tesla-t4'"):
        plan.main([*LARGE, *job, "LaunchConfig.accelerator = 'nvidia-tesla-t4'"])


def test_a_gpu_is_described_by_its_numbers(tmp_path):
    """The numbers of an A100 give its plan; and one of them may differ."""
    numbers = ["--tflops", "312", "--memory_gb", "80", "--memory_gb_per_second", "2039"]
    numbers += ["--link_gb_per_second", "300", "--network_gb_per_second", "25"]
    named = read_json(tmp_path, "--accelerator", "a100x16")
    described = read_json(tmp_path, "--accelerator", "neux16", *numbers)
    assert described["accelerator"]["chip"]["name"] == "neu"
    assert described["hosts"] == 2
    for key in ("exchange_seconds", "update_seconds", "days"):
        assert described[key] == pytest.approx(named[key], rel=1e-12), key
    faster = read_json(tmp_path, "--accelerator", "a100x16", "--network_gb_per_second", "50")
    assert faster["exchange_seconds"] < named["exchange_seconds"]
    assert faster["chosen"]["seconds"] == named["chosen"]["seconds"]


def test_hopper_gpus_are_planned_with_the_kernels_that_a_run_uses(tmp_path, capsys):
    def activations(*arguments: str) -> float:
        return read_json(tmp_path, "--accelerator", *arguments)["chosen"]["bytes"]["activations"]

    by_xla = ["--gin_param", "TrainConfig.attention = 'xla'"]
    as_configured = ["h100x64", "--as_configured"]
    with_kernels = activations(*as_configured)
    assert "attention by kernels" in capsys.readouterr().out
    # The scores of 23 blocks: 16 heads, 512 x 512 numbers of 2 bytes, for 8 sequences, times 1.4.
    scores = 1.4 * 8 * 23 * 16 * (512 * 512 * 2 - 512 * 4)
    assert activations(*as_configured, *by_xla) - with_kernels == pytest.approx(scores, rel=1e-6)
    assert activations("a100x64", "--as_configured") == activations(*as_configured, *by_xla)
    kernels = ["--gin_param", "TrainConfig.attention = 'kernel'"]
    with pytest.raises(UserError, match="'kernel' on a TPU v5e: kernels compute in"):
        plan.main([*LARGE, *kernels, "--gin_param", "TrainConfig.precision = 'float32'"])


def test_a_cpu_has_the_share_of_its_own_matrix_product(tmp_path, monkeypatch):
    """An update of bench.step on a CPU as fast as that of the rows takes the measured time."""
    rows = bench_results.load_rows("step")
    rates = {
        row["precision"]: 1e9 * row["gflop_per_second"]
        for row in rows
        if row["implementation"] == "tf.matmul"
    }
    measured = []
    monkeypatch.setattr(
        micro_batch,
        "matmul_flops_per_second",
        lambda precision: measured.append(precision) or rates[precision],
    )
    sizes = {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
    sizes |= {"num_hidden_layers": 4}
    params = [f"EncoderConfig.{name} = {value}" for name, value in sizes.items()]
    params += ["TrainConfig.global_batch_size = 8", "TrainConfig.micro_batch_size = 8"]
    params += ["OptimizerConfig.peak_learning_rate = 1e-3", "TrainConfig.precision = 'float32'"]
    flags = [part for param in params for part in ("--gin_param", param)]
    found = read_json(tmp_path, "--accelerator", "cpu", *flags)
    (row,) = [
        row
        for row in rows
        if row["implementation"] == "lambert"
        and (row["precision"], row["setting"][:5]) == ("float32", "H=512")
        and "jit" not in row["what"]
    ]
    assert found["update_seconds"] == pytest.approx(row["seconds"], rel=1e-6)
    assert set(measured) == {"float32"}


def test_plan_fits_on_a_screen(capsys):
    plan.main([*LARGE, "--accelerator", "v5e-256"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 110
    plan.main([*LARGE, "--accelerator", "v5e-256", *SIXTEEN])
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.endswith("<- configured")
    ]
    assert line.split()[:3] == ["16", "x", "2"] and len(line) <= 110


def test_json_has_the_figures_of_the_plan(tmp_path):
    found = read_json(tmp_path, "--accelerator", "v5e-256")
    chosen = found["chosen"]
    assert (chosen["micro_batch_size"], chosen["accumulated"], chosen["source"]) == (
        8,
        4,
        "compiled",
    )
    assert chosen["total_bytes"] == 4_628_698_624 + 5_315_477_504
    assert chosen["seconds"] == pytest.approx(435_843_642 * 131_072 / 197e12, rel=1e-12)
    # A ring sends 2 x 255 / 256 times the gradients, at 0.8 of 200 GB/s.
    allreduce = 2 * 255 / 256 * 4 * 335_174_458 / 160e9
    assert found["exchange_seconds"] == pytest.approx(allreduce, rel=1e-12)
    assert found["update_seconds"] == pytest.approx(chosen["seconds"] + allreduce, rel=1e-12)
    seconds = 200_000 * found["update_seconds"] / (1 - found["saving"]["lost_share"])
    assert found["days"] == pytest.approx(seconds / 86_400, rel=1e-9)
    assert found["storage"] is None and found["cost"] is None
    assert found["error_of_seconds"] == 0


def test_keys_of_the_json_stay_as_they_are(tmp_path):
    """Other programs read them."""
    found = read_json(tmp_path, "--accelerator", "v5e-256")
    assert list(found) == [
        *("accelerator", "devices", "hosts", "room_bytes_per_device", "settings", "parameters"),
        *("flops_per_update", "chosen", "configured", "ways", "savings", "exchange_seconds"),
        *("update_seconds", "error_of_seconds", "sequences_per_second", "peak_share", "days"),
        *("chip_hours", "cost", "storage", "saving", "assumptions"),
    ]
    assert list(found["accelerator"]["chip"]) == [
        *("name", "peak_flops_per_second", "memory_bytes", "memory_bytes_per_second"),
        *("link_bytes_per_second", "network_bytes_per_second", "devices", "counted", "sizes"),
        *("most_chips", "chips_per_host", "torus_chips"),
    ]
    assert list(found["chosen"]) == [
        *("micro_batch_size", "accumulated", "rematerialize_blocks", "logits_chunk_size"),
        *("total_bytes", "fits", "seconds", "source", "bytes"),
    ]


def test_as_configured_takes_the_configured_micro_batch(tmp_path):
    found = read_json(tmp_path, "--accelerator", "v5e-256", "--as_configured", *SIXTEEN)
    assert found["chosen"] == found["configured"]
    assert found["chosen"]["micro_batch_size"] == 16
    assert (found["chosen"]["source"], found["error_of_seconds"]) == ("formula", 0.1)


def test_run_never_ends_if_failures_come_faster_than_checkpoints(tmp_path, capsys):
    # A failure every 300 s, and a restart takes as long.
    found = read_json(tmp_path, "--accelerator", "v5e-256", "--failures_per_day", "288")
    assert (found["days"], found["chip_hours"], found["cost"]) == (None, None, None)
    text = capsys.readouterr().out.replace("\n    ", " ")
    assert "200,000 updates: never, since failures come faster than checkpoints" in text
    assert "no interval loses only 1.0%" in text


def test_other_encoder_sizes_have_a_larger_error(tmp_path):
    base = ["--gin_param", "EncoderConfig.hidden_size=768"]
    base += ["--gin_param", "EncoderConfig.num_attention_heads=12"]
    assert read_json(tmp_path, "--accelerator", "v5e-256", *base)["error_of_seconds"] == 0.25


def test_rows_of_v4_are_for_a_chip_with_both_cores(tmp_path):
    found = read_json(
        tmp_path, "--accelerator", "v4-2048", "--gin_param", "TrainConfig.micro_batch_size=8"
    )
    assert found["devices"] == 1024
    assert found["chosen"]["micro_batch_size"] == 8
    assert found["chosen"]["source"] == "compiled"
    (row,) = [
        row
        for row in bench_results.load_rows("tpu")
        if (row["implementation"], row["chip"], row["batch_per_core"]) == ("lambert", "v4", 8)
    ]
    assert found["chosen"]["seconds"] == pytest.approx(row["estimated_cycles"] / 1.05e9, rel=2e-3)


def test_plan_without_compiled_rows_is_by_formulas(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_results, "_RESULTS", tmp_path / "nothing")
    text = printed(capsys, "--accelerator", "v5e-256")
    assert "by formulas, within 10%; the compiled rows (bench/results/tpu.json) are not" in text
    assert "sequences/s; one core reads" not in text


def test_sequences_and_vocabulary_are_those_of_the_build(small_build, tmp_path, capsys):
    manifest = Manifest.load(small_build)
    arguments = ["--gin_file", "gin/lambert_tiny.gin", "--accelerator", "cpu"]
    arguments += ["--data_dir", str(small_build), "--json", str(tmp_path / "plan.json")]
    plan.main(arguments)
    assert "tiny" not in capsys.readouterr().err
    found = json.loads((tmp_path / "plan.json").read_text())
    assert found["settings"]["encoder"]["vocab_size"] == manifest.vocab_pieces
    storage, unique = found["storage"], manifest.num_sequences("train")
    assert storage["sequences"] == unique
    assert storage["passes"] == 1500 * 4 / unique
    train = manifest.split("train")
    headers = 128 * 2 * len(train)  # of numpy files, packed and sources
    on_disk = sum(shard.packed.bytes + shard.sources.bytes for shard in train)
    assert storage["packed_bytes"] == on_disk - headers
    masked = sum(file.bytes for shard in train for file in shard.masked)
    assert storage["masked_bytes"] == masked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--accelerator", "v5e-256", "--gin_param", "TrainConfig.global_batch_size=100"],
            "TrainConfig.global_batch_size=100 is not a multiple of 256 replicas; try 256",
        ),
        (
            ["--accelerator", "v5e-256", "--gin_param", "TrainConfig.micro_batch_size=5"],
            "TrainConfig.micro_batch_size=5 does not divide the 32 sequences of a replica",
        ),
        (
            ["--accelerator", "v5e-256", "--gin_param", "EncoderConfig.vocab_size=0"],
            "EncoderConfig.vocab_size=0 takes the vocabulary of the data: give --data_dir, or",
        ),
        (
            ["--accelerator", "v5e-256", "--gin_param", "BuildConfig.max_seq_length=1024"],
            "max_seq_length=1024 is more than EncoderConfig.max_position_embeddings=512",
        ),
        (
            ["--accelerator", "t4x8", "--tflops", "65"],
            "--accelerator t4x8: t4 is none of a100, a100-40g, h100, h200, b200, l4, a10g, rtx4090,"
            " v100; give also --memory_gb, --memory_gb_per_second",
        ),
        (
            ["--accelerator", "cpu", "--tflops", "1"],
            "--accelerator cpu: only GPUs are described by",
        ),
        (
            ["--accelerator", "v5e-8", "--memory_gb", "9"],
            "v5e-8: only GPUs are described by numbers",
        ),
        (["--tflops", "65"], "name them with --accelerator, such as l40sx8"),
        (["--accelerator", "t4x8"], "others by their numbers: --tflops, --memory_gb"),
        (["--accelerator", "v5e-256", "--sequences", "0"], "--sequences 0: must be at least 1"),
        (
            ["--accelerator", "v5e-256", "--sequences", "5", "--data_dir", "D"],
            "--sequences 5 and --data_dir D: the build has its own number of sequences",
        ),
        (["--accelerator", "v9-8"], "--accelerator v9-8: must be a TPU like v5e-256"),
        # 40 layers take 7.4 GB of weights, copies and moments, and 6.5 GB of activations with 8 sequences.
        (
            [
                *("--accelerator", "v5e-256", "--as_configured"),
                *("--gin_param", "EncoderConfig.num_hidden_layers=40"),
            ],
            "an update with micro-batches of 8 needs 16.31 GB of 15.46 GB (17.18 GB less 10%): set"
            " TrainConfig.micro_batch_size=4",
        ),
        (
            ["--accelerator", "v5e-256", "--gin_param", "EncoderConfig.num_hidden_layers=64"],
            "an update with micro-batches of 1 needs 16.43 GB of 15.46 GB (17.18 GB less 10%): set"
            " TrainConfig.rematerialize_blocks=True; or take v4, v5p, v6e, a100, a100-40g, h100",
        ),
        (
            [
                *("--accelerator", "v5e-8", "--headroom", "0.15"),
                *("--gin_param", "EncoderConfig.num_hidden_layers=60"),
                *("--gin_param", "TrainConfig.global_batch_size=256"),
                *("--gin_param", "TrainConfig.eval_batch_size=64"),
            ],
            "TrainConfig.rematerialize_blocks=True; or take 256 chips, which need not accumulate; or take v4",
        ),
        (
            ["--accelerator", "v5e-256", "--gin_param", "EncoderConfig.num_hidden_layers=999"],
            "take a smaller encoder: no device listed here holds this one",
        ),
    ],
)
def test_invalid_settings_and_too_large_runs_are_errors(arguments, message):
    with pytest.raises(UserError) as error:
        plan.main([*LARGE, *arguments])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--headroom", "1", "--headroom: 1: must be at least 0 and below 1"),
        ("--price_per_chip_hour", "-2", "--price_per_chip_hour: -2: must be above 0"),
        ("--grace_seconds", "nan", "--grace_seconds: nan: must be above 0"),
        ("--restart_seconds", "soon", "--restart_seconds: soon: must be above 0"),
    ],
)
def test_invalid_numbers_on_the_command_line_are_errors(option, value, message):
    with pytest.raises(UserError, match=message):
        plan.main([*LARGE, "--accelerator", "v5e-256", option, value])


def test_planning_loads_no_tensorflow():
    code = (
        "import sys; from launch.plan import __main__ as plan;"
        "plan.main(['--gin_file', 'gin/lambert_large.gin', '--accelerator', 'v5e-256']);"
        "sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_speed_of_gpus_is_near_the_published_speed(tmp_path):
    """BERT-large at 512 tokens on 8 A100: 649.69 sequences/s (NVIDIA, DeepLearningExamples)."""
    found = read_json(tmp_path, "--accelerator", "a100x8")
    assert found["sequences_per_second"] == pytest.approx(649.69, rel=0.1)
