"""What `test_ranks.py` has one process do, and two that torchrun starts: extract and train."""

from __future__ import annotations

import sys
from pathlib import Path

from gc_utils.activations import extract
from gc_utils.crosscoder import (
    GroupCrosscoder,
    RefineConfig,
    TiedCrosscoder,
    TrainConfig,
    fit,
    fit_refined,
)
from gc_utils.images import load_images
from gc_utils.models import load_model, pick_device

# Odd numbers, which two processes cannot halve; dead features come soon, and are revived.
STEPS, SAMPLES, LAYER = 50, 181, "filters"
HOW = {"steps": STEPS, "batch_size": 33, "warmup": 5, "merge_every": 10, "evaluate_every": 25}
HOW |= {"dead_window": 200, "precision": "float32"}


def make(folder: Path) -> None:
    """Fill a folder with a store, trained crosscoders of every kind, and a refined one."""
    model = load_model("filter_bank", group="D4", device=pick_device())
    images = load_images("scenes:5", min_size=model.crop_size(LAYER))
    path = folder / "activations.zarr"
    store = extract(path, model, LAYER, "D4", images, samples=SAMPLES, progress=False)
    rows, held_out = (store.fold != 0).nonzero()[0], store[store.fold == 0]
    config, C = TrainConfig(**HOW), store.channels
    coders = {
        "batchtopk": GroupCrosscoder("D4", C, 60, k=5),
        "orbit": GroupCrosscoder("D4", C, 60, k=5, encode_from="orbit"),
        "topk": GroupCrosscoder("D4", C, 60, k=5, sparsity="topk"),
        "l1": GroupCrosscoder("D4", C, 60, sparsity="l1"),
        "sae": GroupCrosscoder("C1", C, 60, k=5),
        "tied": TiedCrosscoder("D4", C, 12, k=5, encode_from="orbit"),
    }
    said = {"progress": False, "data_checksum": store.checksum()}
    for name, coder in coders.items():
        fit(folder / f"{name}.safetensors", coder, store, rows, held_out, config, **said)
    how = RefineConfig(passes=2, encoder=TrainConfig(**HOW | {"steps": 20}), together=10)
    plain, path = folder / "orbit.safetensors", folder / "refined.safetensors"
    fit_refined(path, plain, store, rows, held_out, how, progress=False)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
