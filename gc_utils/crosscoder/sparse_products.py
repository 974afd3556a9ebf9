"""Matrix products with codes that are mostly zeros, on a processor.

A batch of codes has `k` of `m` features on, one in thirty. Of the five products of a training step
(encoder, its gradient, decoder, the gradients of blocks and codes) four have something as sparse as
codes on one side, and a dense product spends nearly all its time on zeros. On a GPU, and on
processors with matrix units for bfloat16, the dense product is faster all the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

DENSEST = 1 / 5  # share of entries that are not 0, above which a dense product is faster
LEAST = 2**21  # multiplications of a dense product below which it is faster
NARROWEST = 160  # columns of the product below which it is not worth looking for the zeros
COLUMNS = 512  # computed together, so that what is read again and again stays in the cache

_SUM = 0  # aten's number for embedding_bag's mode


def times(S: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    """`S @ X`, fast where `S` is mostly zeros.

    Args:
        S: `(N, m)`, dense in memory.
        X: `(m, D)`, of the same type.

    Returns:
        `(N, D)`: what `S @ X` is, but for rounding.
    """
    if not _pays(S, X):
        return S @ X
    _, where, starts, values = _on(S)
    made = S.new_empty(len(S), X.shape[1])
    for columns in _columns(X):
        # A "bag" is a row of S: the sum of the rows of X that it names, each times its value.
        made[:, columns] = F.embedding_bag(
            where, X[:, columns].contiguous(), starts, mode="sum", per_sample_weights=values
        )
    return made


def decode(f: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """`f @ V` in training: a code that is 0 gets no gradient.

    That is exact for codes that a ReLU or a choice of the strongest has set to 0, and gave no
    gradient to pass on anyway. For other codes write `f @ V`.

    Args:
        f: codes `(N, m)`.
        V: blocks `(m, D)`.

    Returns:
        `(N, D)`.
    """
    return _Decode.apply(f, V) if _pays(f, V) else f @ V


def linear(x: torch.Tensor, W: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`x Wᵀ + b`, with a backward pass that is fast where few outputs get a gradient.

    Args:
        x: `(N, D)`.
        W: `(m, D)`.
        b: `(m,)`.

    Returns:
        `(N, m)`.
    """
    return _Linear.apply(x, W, b) if _here(W) and W.requires_grad else F.linear(x, W, b)


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(f, V)
        return times(f, V)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        f, V = ctx.saved_tensors
        to_f = _where_on(f, grad, V) if ctx.needs_input_grad[0] else None
        to_V = times(f.T.contiguous(), grad) if ctx.needs_input_grad[1] else None
        return to_f, to_V


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, W: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, W)
        return F.linear(x, W, b)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, W = ctx.saved_tensors
        needs = ctx.needs_input_grad
        return (
            times(grad, W) if needs[0] else None,
            times(grad.T.contiguous(), x) if needs[1] else None,
            grad.sum(0) if needs[2] else None,
        )


def _where_on(f: torch.Tensor, grad: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """`grad @ Vᵀ` where `f` is not 0, and 0 elsewhere."""
    row, where, starts, values = _on(f)
    found = torch.zeros_like(values)
    for columns in _columns(V):
        found += torch.ops.aten._embedding_bag_per_sample_weights_backward(
            grad[:, columns].contiguous(), V[:, columns].contiguous(), where, starts, row, _SUM
        )
    made = torch.zeros_like(f)
    made[row, where] = found
    return made


def _on(S: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Row, column and value of all entries that are not 0; of each row, where it starts."""
    row, column = S.nonzero(as_tuple=True)
    starts = torch.searchsorted(row, torch.arange(len(S)))
    return row, column, starts, S[row, column]


def _columns(X: torch.Tensor) -> list[slice]:
    return [slice(start, start + COLUMNS) for start in range(0, X.shape[1], COLUMNS)]


def _pays(S: torch.Tensor, X: torch.Tensor) -> bool:
    """Whether the sparse product is the faster one."""
    if not _here(X) or S.dtype != X.dtype or X.shape[1] < NARROWEST:
        return False
    if S.numel() * X.shape[1] < LEAST:
        return False
    return int(torch.count_nonzero(S)) <= DENSEST * S.numel()


def _here(X: torch.Tensor) -> bool:
    """Whether a product would be made by the processor, in float32."""
    low = torch.is_autocast_enabled(X.device.type)
    return X.device.type == "cpu" and X.dtype == torch.float32 and not low
