"""The gallery of a run: every feature with its patches, its full turn, and who is like it.

A folder of files that a browser opens from disk, or any server of files shows: `index.html`, the
numbers of all features for it (`features.js`), a strip of patches a feature (`strips/`), and the
same numbers as one JSON a feature (`features/`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.families.distance import orbit_similarity
from gc_utils.files import write_json, write_whole
from gc_utils.groups import Group, translate
from gc_utils.inspection import top_samples
from gc_utils.progress import progress_bar
from gc_utils.reporting.columns import read_manifest, subject
from gc_utils.reporting.rendering import render
from gc_utils.symmetry import autocorrelation, block_profile

STRONGEST = 6  # patches that excite a feature most
QUANTILES = (0.9, 0.7, 0.5, 0.3, 0.1)  # of a feature's positive codes, a patch each
SIDE = 88  # pixels of a patch at most
QUALITY = 80  # of the JPEGs
RELATIVES = 8  # features shown as nearest, and as members of a family
AT_ONCE = 512  # orbits encoded together
COLUMNS = ("label", "stabiliser", "axis_degrees", "period_degrees", "family", "confidence")
COLUMNS += ("reproducibility", "p_value", "rho_180", "rho_180_low", "rho_180_high", "fires_on")


def write_gallery(
    run_dir: str | os.PathLike, folder: str | os.PathLike | None = None, *, progress: bool = True
) -> Path:
    """Write the gallery of a run in which notebooks 01 to 04 are done.

    Args:
        run_dir: The run folder.
        folder: Where the gallery goes, `gallery` in the run folder if None; a gallery that is there
            is replaced.
        progress: Show a bar.

    Returns:
        The path of `index.html`.

    Raises:
        UserError: The run lacks a product, which is named with the notebook that makes it.
    """
    run_dir = Path(run_dir)
    folder = run_dir / "gallery" if folder is None else Path(folder)
    manifest = read_manifest(run_dir)
    for name, notebook in (
        ("activations.zarr", "01_extract"),
        ("crosscoder.safetensors", "02_train"),
        ("features.csv", "04_symmetry"),
    ):
        if not (run_dir / name).exists():
            raise UserError(
                f"{run_dir.resolve()} has no {name}: run the notebook {notebook} first."
            )
    store = ActivationStore.open(run_dir / "activations.zarr")
    coder = GroupCrosscoder.load(run_dir / "crosscoder.safetensors")
    report = pd.read_csv(run_dir / "features.csv")
    if len(report) != len(coder.V):
        raise UserError(
            f"{run_dir.resolve()}: features.csv has {len(report)} features, the crosscoder "
            f"{len(coder.V)}: run the notebook 04_symmetry again."
        )
    features = feature_entries(store, coder, report, progress=progress)
    for sub in ("strips", "features"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
        for old in (folder / sub).glob("*"):
            old.unlink()
    for entry in progress_bar(features, desc="gallery", unit="feature", disable=not progress):
        _write_strip(store.patches, entry, folder / "strips" / f"{entry['feature']}.jpg")
        write_json(folder / "features" / f"{entry['feature']}.json", entry)
    there = subject(manifest["parameters"])
    data = {
        "group": group_entry(store.group),
        "network": there["network"],
        "images": there["images"],
        "side": SIDE,
        "features": features,
    }
    with write_whole(folder / "features.js") as draft:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
        draft.write_text(f"const GALLERY = {text};\n", encoding="utf-8")
    with write_whole(folder / "index.html") as draft:
        page = render("gallery.html", network=there["network"], images=there["images"])
        draft.write_text(page, encoding="utf-8")
    return folder / "index.html"


def group_entry(g: Group) -> dict[str, Any]:
    """What the page needs to know of a group: its size, and each element's angle and mirror."""
    return {
        "name": g.name,
        "n": g.n,
        "order": g.order,
        "angles": [round(float(a), 3) for a in g.angles],
        "mirrored": [bool(m) for m in g.mirrored],
    }


@torch.no_grad()
def feature_entries(
    store: ActivationStore,
    coder: GroupCrosscoder,
    report: pd.DataFrame,
    *,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """What the gallery says of every feature that fires, a dictionary each that JSON can hold.

    Args:
        store: The orbits.
        coder: The crosscoder.
        report: One row a feature, from notebook 04.
        progress: Show a bar.

    Returns:
        For each feature its number (`feature`) and row of the report; `strip`, the samples of its
        patches, the `strongest` first, then one at each quantile of its code, with their `codes`;
        `turn`, over the elements of the group, the code measured (`measured`, of the strongest
        patch, from its stored responses), what the blocks predict (`predicted`, that code times
        the autocorrelation `ρ`), and the cosine of each block with the first (`profile`); `pose`,
        the element that brings it to the pose of its family; `relatives` and `members`, features
        with the similarity and the element that maps each to this one.
    """
    g, V = store.group, coder.V.detach()
    A = store.read()
    codes = torch.cat([coder.encode(part.float()) for part in A.split(AT_ONCE)])
    rho, profile = (x.float().numpy() for x in (autocorrelation(V, g), block_profile(V)))
    similarity, element = (x.numpy() for x in orbit_similarity(V, g, return_element=True))
    np.fill_diagonal(similarity, 0)
    photograph = np.asarray(store.samples["photograph"])
    families = _families(report, similarity)
    found = []
    for i in progress_bar(range(len(V)), desc="features", unit="feature", disable=not progress):
        values = codes[:, i].numpy()
        strongest = top_samples(values, STRONGEST, photograph)
        if not len(strongest):
            continue
        strip = [*strongest, *_at_quantiles(values)]
        first = A[int(strongest[0])].float()
        moved = translate(first.expand(g.order, -1, -1), g, torch.arange(g.order))
        measured = coder.encode(moved)[:, i].numpy()
        members = families.get(report.family.iloc[i], [i]) if families else [i]
        medoid = members[0]
        found.append(
            {
                "feature": i,
                **{name: _plain(report[name].iloc[i]) for name in COLUMNS if name in report},
                "strip": [int(n) for n in strip],
                "strongest": len(strongest),
                "codes": _rounded(values[strip]),
                "turn": {
                    "measured": _rounded(measured),
                    "predicted": _rounded(np.clip(values[strongest[0]] * rho[i], 0, None)),
                    "profile": _rounded(profile[i]),
                },
                "pose": 0 if medoid == i else int(element[medoid, i]),
                "relatives": _related(i, similarity, element),
                "members": [
                    _relation(i, j, similarity, element) for j in members[:RELATIVES] if j != i
                ],
            }
        )
    return found


def _families(report: pd.DataFrame, similarity: np.ndarray) -> dict[Any, list[int]]:
    """The members of every family of two or more, the one nearest to the others first."""
    if "family" not in report:
        return {}
    found = {}
    for number, rows in report[report.family >= 0].groupby("family"):
        members = rows.index.to_numpy()
        if len(members) > 1:
            among = similarity[np.ix_(members, members)]
            medoid = int(among.mean(1).argmax())
            among[medoid, medoid] = 2
            found[number] = [int(m) for m in members[np.argsort(-among[medoid], kind="stable")]]
    return found


def _at_quantiles(values: np.ndarray) -> list[int]:
    """Samples whose codes lie at the quantiles of the positive ones."""
    on = np.flatnonzero(values > 0)
    order = on[np.argsort(values[on], kind="stable")]
    return [int(order[round(q * (len(order) - 1))]) for q in QUANTILES]


def _related(i: int, similarity: np.ndarray, element: np.ndarray) -> list[dict[str, Any]]:
    nearest = np.argsort(-similarity[i], kind="stable")[:RELATIVES]
    return [_relation(i, int(j), similarity, element) for j in nearest if similarity[i, j] > 0]


def _relation(i: int, j: int, similarity: np.ndarray, element: np.ndarray) -> dict[str, Any]:
    """Another feature, how similar it is, and the element under which it looks like this one."""
    return {
        "feature": j,
        "similarity": round(float(similarity[i, j]), 3),
        "element": int(element[i, j]),
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.3g}") for value in values]


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it; None for one that is missing."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return None
    if isinstance(value, (np.floating, float)):
        return float(f"{value:.4g}")
    return value.item() if isinstance(value, np.generic) else value


def _write_strip(patches: np.ndarray, entry: dict[str, Any], path: Path) -> None:
    """The patches of a feature side by side, as one JPEG."""
    tiles = [Image.fromarray(patches[n]) for n in entry["strip"]]
    strip = Image.new("RGB", (SIDE * len(tiles), SIDE))
    for k, tile in enumerate(tiles):
        strip.paste(tile.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (k * SIDE, 0))
    with write_whole(path) as draft:
        strip.save(draft, "JPEG", quality=QUALITY, optimize=True)
