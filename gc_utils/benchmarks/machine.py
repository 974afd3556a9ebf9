"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
import time

import torch

from gc_utils.precision import has_bfloat16

SIDE = 1024  # of the matrices whose product measures a peak


def processor() -> str:
    """Name of the processor, as the system knows it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def peak(dtype: torch.dtype = torch.float32, seconds: float = 1.0) -> float:
    """Operations a second of large matrix products, two for each multiplication.

    Args:
        dtype: of the matrices.
        seconds: how long to measure.
    """
    a = torch.randn(SIDE, SIDE).to(dtype)
    b = torch.randn(SIDE, SIDE).to(dtype)
    a @ b
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best


def describe_machine() -> dict[str, str]:
    """Processor, threads, versions and the peak of matrix products, in words."""
    cpu = torch.device("cpu")
    found = {
        "processor": processor(),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "torch": torch.__version__,
        "float32 products": f"{peak() / 1e9:.0f} GFLOP/s",
    }
    if has_bfloat16(cpu):
        found["bfloat16 products"] = f"{peak(torch.bfloat16) / 1e9:.0f} GFLOP/s"
    if torch.cuda.is_available():
        found["GPU"] = torch.cuda.get_device_name()
    return found
