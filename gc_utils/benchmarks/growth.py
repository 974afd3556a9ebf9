"""How time and memory grow with samples, group order and dictionary size."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.benchmarks.comparing import timed
from gc_utils.benchmarks.training import slow_orbits
from gc_utils.crosscoder import GroupCrosscoder, TrainConfig, train
from gc_utils.families.distance import orbit_similarity
from gc_utils.files import write_json
from gc_utils.groups import group
from gc_utils.progress import progress_bar

STEPS = 20
BASE = {"samples": 512, "rotations": 8, "features": 256}
GROWTH: dict[str, dict[str, tuple[int, ...]]] = {
    "small": {"samples": (256, 512, 1024), "rotations": (4, 8, 16), "features": (128, 256, 512)},
    "full": {
        "samples": (512, 1024, 2048, 4096),
        "rotations": (4, 8, 16, 32),
        "features": (256, 512, 1024, 2048),
    },
}


def one_point(samples: int, rotations: int, features: int, channels: int = 240) -> dict[str, float]:
    """Time and memory of a short training and of distances, in this process.

    Args:
        samples: orbits.
        rotations: of the dihedral group.
        features: size of the dictionary.
        channels: channels `C`.

    Returns:
        `training`, seconds of `STEPS` steps with a basis; `distances`, seconds; `memory`, what the
        process has needed at most beyond what it had before, in GiB.
    """
    import resource

    g = group(f"D{rotations}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    A = slow_orbits(g, channels, samples)
    coder = GroupCrosscoder(g.name, channels, features, encode_from="orbit")
    config = TrainConfig(steps=STEPS, evaluate_every=10 * STEPS, keep=0.9)
    rows = np.arange(len(A) - 1)
    seconds, _ = timed(lambda: train(coder, A, rows, A[-1:], config, progress=False))
    apart, _ = timed(lambda: orbit_similarity(coder.V.detach(), g))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return {"training": seconds, "distances": apart, "memory": (after - before) / unit}


def grow(size: str = "small", along: Sequence[str] = tuple(BASE)) -> pd.DataFrame:
    """One point after another, each in a process of its own, whose memory is its own.

    Args:
        size: of `GROWTH`.
        along: what grows, the others being as in `BASE`.

    Returns:
        One row a point: `along`, `value`, and what `one_point` measures.
    """
    points = [(name, value) for name in along for value in GROWTH[size][name]]
    rows = []
    for name, value in progress_bar(points, desc="growth"):
        settings = BASE | {name: value}
        rows.append({"along": name, "value": value} | _apart(settings))
    return pd.DataFrame(rows)


def _apart(settings: dict[str, int]) -> dict[str, float]:
    import json
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "point.json"
        words = [str(torch.get_num_threads()), str(path)]
        words += [f"{name}={value}" for name, value in settings.items()]
        subprocess.run([sys.executable, "-m", __name__, *words], check=True)
        return json.loads(path.read_text("utf-8"))


if __name__ == "__main__":
    threads, path, *words = sys.argv[1:]
    torch.set_num_threads(int(threads))
    write_json(path, one_point(**{n: int(v) for n, v in (word.split("=") for word in words)}))
