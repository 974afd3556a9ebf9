"""What is measured of a crosscoder, also on a device that has no float64."""

from __future__ import annotations

import torch

from gc_utils.crosscoder.metrics import fvu


class Narrow(torch.Tensor):
    """A tensor as on Apple's GPUs: float32 at most until it is brought to the CPU."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        options = options or {}
        if function is torch.Tensor.cpu:
            return arguments[0].as_subclass(torch.Tensor)
        if function is torch.Tensor.double or options.get("dtype") is torch.float64:
            raise TypeError("the MPS framework has no float64")
        return super().__torch_function__(function, types, arguments, options)


def test_fvu_needs_no_float64_on_the_device():
    draw = torch.Generator().manual_seed(0)
    A, made = torch.randn(2, 50, 8, 6, generator=draw)
    mean = torch.zeros(6)
    plain = fvu(A, made, mean)
    there = fvu(A.as_subclass(Narrow), made.as_subclass(Narrow), mean)
    assert there.fvu == plain.fvu and (there.fvu_per_element == plain.fvu_per_element).all()
