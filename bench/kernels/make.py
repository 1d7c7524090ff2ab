"""Write the texts of model/kernels from the sources in this folder.

    .venv-kernels/bin/python bench/kernels/make.py
    .venv-kernels/bin/python bench/kernels/make.py --check

`make kernels` runs it. With --check nothing is written: it is an error if a text differs.

A kernel is lowered for sizes that occur nowhere else in it, which are then replaced by placeholders. A
second lowering, for real sizes, proves that all of them were found. Needs jax alone, and no device. Its
version is old, because the compilers of TensorFlow 2.20 (XLA for GPUs, libtpu) read what was written
before they were built.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import string
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import gpu
import jax
import jaxlib
import tpu
from jax._src.lib.mlir import ir
from jax._src.pallas.triton.lowering import tt_dialect

FOLDER = Path(__file__).resolve().parents[2] / "model/kernels"
POSITIONS = (512, 1024, 2048)
# Sizes that no kernel contains. For GPUs also so small that 32 bits address all elements.
_STRANGE_TPU = {"batch": 7919, "heads": 2 * 6101}
_STRANGE_GPU = {"batch": 31, "heads": 2 * 53}
_REAL = {"batch": 8, "heads": 16}


def custom_call(function, shapes, platform: str) -> ir.Operation:
    """Lower a kernel and return the call of it."""
    lowered = jax.jit(lambda *a: function(*a)).trace(*shapes).lower(lowering_platforms=(platform,))
    found = []

    def visit(operation):
        if operation.name == "stablehlo.custom_call":
            found.append(operation)
        return ir.WalkResult.ADVANCE

    lowered.compiler_ir().operation.walk(visit)
    (call,) = found
    return call


def tpu_text(name: str, positions: int, *, batch: int, heads: int) -> str:
    """Return a kernel for TPUs, in the stable form of Mosaic's dialect."""
    function, shapes = tpu.kernels(batch, positions, heads * tpu.SIZE)[name]
    call = custom_call(function, shapes, "tpu")
    config = json.loads(ir.StringAttr(call.attributes["backend_config"]).value)
    body = config["custom_call_config"].pop("body")
    # model/kernels/texts.py writes these.
    known = {"serialization_format": 1, "needs_layout_passes": True}
    assert config == {"custom_call_config": known}, config
    context = ir.Context()
    context.allow_unregistered_dialects = True
    with context:
        return ir.Module.parse(base64.b64decode(body)).operation.get_asm() + "\n"


def gpu_text(name: str, positions: int, *, batch: int, heads: int) -> str:
    """Return a kernel for GPUs, in Triton's dialect."""
    function, shapes = gpu.kernels(batch, positions, heads * gpu.SIZE)[name]
    config = custom_call(function, shapes, "cuda").attributes["mhlo.backend_config"]
    fields = {field.name: field.attr for field in config}
    # model/kernels/texts.py writes these, from index.json.
    grid = [ir.IntegerAttr(fields[f"grid_{axis}"]).value for axis in "xyz"]
    launch = [
        fields["name"].value,
        *(ir.IntegerAttr(fields[n]).value for n in ("num_warps", "num_stages")),
    ]
    tiling = gpu.TILINGS[name]
    assert grid == [positions // tiling.block, heads, batch], grid
    assert launch == [f"_{name}", tiling.warps, tiling.stages], launch
    context = ir.Context()
    tt_dialect.register_dialect(context)
    with context:
        text = ir.Module.parse(fields["ir"].value_bytes).operation.get_asm() + "\n"
    # The names of constants contain their values, which are to be filled in.
    names = {old: f"%c{i}" for i, old in enumerate(dict.fromkeys(re.findall(r"%c[\w\-]+", text)))}
    return re.sub(r"%c[\w\-]+", lambda match: names[match[0]], text)


def template(text: str, sizes: dict[str, int]) -> str:
    """Return the text with names in place of sizes."""
    assert "$" not in text
    for name, size in sizes.items():
        text = re.sub(rf"(?<![\w.%#]){size}(?=x|\b)", f"${{{name}}}", text)
    return text


def texts() -> Iterator[tuple[str, str, dict]]:
    """Yield name, text and launch of every kernel."""
    for positions in POSITIONS:
        for device, make in {"tpu": tpu_text, "gpu": gpu_text}.items():
            strange = {"tpu": _STRANGE_TPU, "gpu": _STRANGE_GPU}[device]
            for kernel in KERNELS[device]:
                lowered = make(kernel, positions, **strange)
                text = template(lowered, sizes(device, positions, **strange))
                filled = string.Template(text).substitute(sizes(device, positions, **_REAL))
                assert filled == make(kernel, positions, **_REAL), "a size is missing"
                yield f"{device}-{positions}-{kernel}", text, LAUNCH[device](kernel, positions)


def sizes(device: str, positions: int, *, batch: int, heads: int) -> dict[str, int]:
    """Return the numbers that the text of a kernel lacks, largest first."""
    if device == "tpu":
        return {"batch": batch, "pairs": heads // 2}
    hidden = heads * gpu.SIZE
    return {"sequence": positions * hidden, "statistics": positions * heads, "hidden": hidden}


def launch_gpu(kernel: str, positions: int) -> dict:
    """Return how to start a kernel for GPUs."""
    tiling = gpu.TILINGS[kernel]
    blocks = positions // tiling.block
    return {
        "function": f"_{kernel}",
        "blocks": blocks,
        "warps": tiling.warps,
        "stages": tiling.stages,
    }


KERNELS = {
    "tpu": ("forward", "backward"),
    "gpu": ("forward", "backward_queries", "backward_keys"),
}
LAUNCH = {"tpu": lambda kernel, positions: {}, "gpu": launch_gpu}


def main() -> None:
    """Write the texts and their index, or compare them with those that exist."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    args = parser.parse_args()
    kernels, wrong = {}, []
    for name, text, launch in texts():
        path, content = FOLDER / f"{name}.mlir", text.encode()
        kernels[name] = {"sha256": hashlib.sha256(content).hexdigest(), **launch}
        if args.check and (not path.exists() or path.read_bytes() != content):
            wrong.append(path.name)
        elif not args.check:
            path.write_bytes(content)
        print(f"{name}: {len(content):,} bytes", flush=True)
    versions = {"jax": jax.__version__, "jaxlib": jaxlib.__version__}
    index = {"command": "make kernels", "versions": versions, "kernels": kernels}
    content = (json.dumps(index, indent=1) + "\n").encode()
    path = FOLDER / "index.json"
    if not args.check:
        path.write_bytes(content)
    elif not path.exists() or path.read_bytes() != content:
        wrong.append(path.name)
    if wrong:
        sys.exit(f"kernels: {', '.join(wrong)} differ from the sources; run make kernels")


if __name__ == "__main__":
    main()
