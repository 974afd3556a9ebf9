"""Products in bfloat16, where the hardware has them: twice as fast, and exact to three digits."""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def low_precision(device: torch.device, *, wanted: bool | None = None) -> torch.autocast:
    """A block whose products are made in bfloat16.

    Args:
        device: where the products are made.
        wanted: whether to; None for where the hardware has it.
    """
    low = has_bfloat16(device) if wanted is None else wanted
    return torch.autocast(device.type, torch.bfloat16, enabled=low)
