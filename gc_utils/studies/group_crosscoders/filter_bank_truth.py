"""The filter bank, whose symmetry is known: is it reported, and does a crosscoder learn it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gc_utils.activations import extract
from gc_utils.crosscoder import GroupCrosscoder, Metrics, TrainConfig, evaluate, fit
from gc_utils.families import orbit_distance
from gc_utils.images.photographs import Photograph
from gc_utils.models.filter_bank import FilterBank, FilterBankModel
from gc_utils.symmetry import symmetry_report

FOUND = 0.9  # least cosine, up to the group, of a filter that counts as recovered


def exact_symmetry(bank: FilterBank, threshold: float = 0.9) -> pd.DataFrame:
    """Compare the reported symmetry of every filter with the one it was drawn with.

    Args:
        bank: The filter bank; its own responses are the transform blocks, without noise.
        threshold: The least autocorrelation on a stabiliser, in (0, 1].

    Returns:
        One row a filter: `kind`, the stabilisers `expected` and `found` with their axes, and
        whether name and axis (degrees, to floating-point precision) are both `right`.
    """
    report = symmetry_report(bank.transform_blocks().cpu(), bank.group, threshold)
    axes = np.array(bank.axes, dtype=np.float64)
    same_axis = np.isclose(report.axis_degrees, axes, equal_nan=True)
    same_name = (report.stabiliser == list(bank.stabilisers)).to_numpy()
    return pd.DataFrame(
        {
            "kind": bank.kinds,
            "expected": bank.stabilisers,
            "found": report.stabiliser,
            "right": same_name & same_axis,
        }
    )


def right_by_kind(exact: pd.DataFrame) -> pd.DataFrame:
    """Count filters, and those reported rightly, by kind and stabiliser type.

    Args:
        exact: The table of `exact_symmetry`.

    Returns:
        The columns `filters` and `right`, a row a kind and stabiliser without its axis.
    """
    expected = exact.expected.str.split("@").str[0]
    grouped = exact.assign(expected=expected).groupby(["kind", "expected"]).right
    return grouped.agg(filters="size", right="sum")


@dataclass(frozen=True)
class BankRecovery:
    """What a crosscoder learned of the filter bank.

    Attributes:
        kinds: the kind of every filter.
        nearest: the cosine of every filter's blocks with the nearest feature's, up to the group,
            `(filters,)`.
        held_out: the crosscoder's metrics on held-out images.
    """

    kinds: Sequence[str]
    nearest: np.ndarray
    held_out: Metrics

    def by_kind(self) -> pd.DataFrame:
        """Filters, mean best cosine and share recovered, a row a kind."""
        cosines = pd.DataFrame({"kind": self.kinds, "cosine": self.nearest})
        grouped = cosines.groupby("kind").cosine
        table = grouped.agg(["size", "mean", lambda c: (c >= FOUND).mean()])
        return table.set_axis(["filters", "mean best cosine", f"recovered at {FOUND}"], axis=1)


def learn_bank(
    run_dir: Path,
    bank: FilterBankModel,
    images: Sequence[Photograph],
    *,
    samples: int,
    steps: int,
    seed: int = 0,
) -> BankRecovery:
    """Train a crosscoder on the bank's responses to images, and look for the filters in it.

    Args:
        run_dir: The run folder; responses and the trained crosscoder are kept there and reused.
        bank: The filter bank as a model.
        images: The images whose orbits are sampled.
        samples: The number of orbits.
        steps: The training steps.
        seed: The seed of samples, initial weights and batches.

    Returns:
        The cosine of every filter with its nearest feature, and the held-out metrics.
    """
    truth = bank.network
    store = extract(
        run_dir / "filter_bank.zarr",
        bank,
        bank.layers[-1],
        truth.group,
        images,
        samples=samples,
        seed=seed,
    )
    responses, inside, outside = store.read(), store.fold != 0, store.fold == 0
    size = 4 * store.channels
    fresh = GroupCrosscoder(
        truth.group.name, store.channels, size, k=16, encode_from="orbit", seed=seed
    )
    coder, _ = fit(
        run_dir / "checkpoints" / "filter_bank.safetensors",
        fresh,
        responses,
        np.flatnonzero(inside),
        responses[outside],
        TrainConfig(steps=steps, lr=1e-3, evaluate_every=max(1, steps // 4), seed=seed),
        data_checksum=store.checksum(),
        label="crosscoder on the filter bank",
    )
    mean = responses[inside].float().mean((0, 1))
    metrics = evaluate(coder, responses[outside].float(), mean)
    blocks = truth.transform_blocks().cpu()
    distance = orbit_distance(blocks, truth.group, other=coder.V.detach())
    return BankRecovery(truth.kinds, 1 - distance.min(1).values.numpy(), metrics)
