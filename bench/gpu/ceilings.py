"""Measure what the device reaches: a matrix product, and a copy.

    python3 -m bench.gpu.ceilings

Prints one line of JSON. The shares of the peak in the table are relative to the product.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.gpu import process


def measured(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the fields of the row; on a CPU, of much smaller work."""
    import torch

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    rows, copied_bytes = (8192, 1 << 30) if on_gpu else (512, 1 << 22)
    process.wait_for_turn(args)

    def median_seconds(work: Callable[[], Any]) -> float:
        seconds = []
        for _ in range(3 + 2 * args.steps):
            if on_gpu:
                torch.cuda.synchronize()
            started = time.perf_counter()
            work()
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[3:])

    # Random data: products of zeros draw less power and run faster.
    a, b = (torch.randn(rows, rows, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.randint(0, 255, (copied_bytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    yield {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "platform": "gpu" if on_gpu else "cpu",
        "versions": {"torch": torch.__version__},
        "product_rows": rows,
        "product_tflop_per_second": 2 * rows**3 / median_seconds(lambda: a @ b) / 1e12,
        # Bytes read and bytes written.
        "copy_tb_per_second": 2
        * copied_bytes
        / median_seconds(lambda: target.copy_(source))
        / 1e12,
    }


def main() -> None:
    """Measure and leave a row."""
    args = process.parser(__doc__).parse_args()
    process.leave_row(args, {"what": "ceilings"}, lambda: measured(args))


if __name__ == "__main__":
    main()
