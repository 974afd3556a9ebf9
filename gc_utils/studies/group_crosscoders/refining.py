"""Notebook 02: dictionaries before and after they are refined."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pandas as pd
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.families.distance import orbit_similarity
from gc_utils.figures.methods import BEFORE
from gc_utils.studies.group_crosscoders.folds import (
    ENCODERS,
    Coders,
    Folds,
    FoldTrainer,
    compare,
    crosscoder_name,
)


def refine_all(trainer: FoldTrainer, plain: Coders) -> dict[tuple[str, int], GroupCrosscoder]:
    """The refined form of every dictionary, in the same order.

    Args:
        trainer: has trained them, and says over how many passes they are refined.
        plain: by encoder (or `"sae"`) and the fold left out.

    Returns:
        The same keys. Tied crosscoders, and all if there are no passes, are the plain ones.
    """
    as_they_are = set(ENCODERS) if trainer.tied else set()
    found = {}
    for key, coder in plain.items():
        if trainer.passes and key[0] not in as_they_are:
            found[key] = trainer.refined(*key)
        else:
            trainer.forget_refined(*key)  # of an earlier training: it would be taken for this one
            found[key] = coder
    return found


def reproducibility(coders: Coders) -> pd.DataFrame:
    """How far features are found again in the dictionaries that have not seen another fold.

    A feature's reproducibility is its cosine with the nearest feature of another fold's dictionary,
    up to the group, in the mean over those dictionaries.

    Args:
        coders: by encoder and the fold left out.

    Returns:
        One row a dictionary: `encoder`, `fold`, the median over features, and the `share` of
        features at 0.9 or more.
    """
    rows = []
    for encoder in dict.fromkeys(encoder for encoder, _ in coders):
        folds = sorted(fold for e, fold in coders if e == encoder)
        again: dict[int, list[torch.Tensor]] = {fold: [] for fold in folds}
        for first, second in combinations(folds, 2):
            one, other = coders[encoder, first], coders[encoder, second]
            near = orbit_similarity(one.V.detach(), one.group, other=other.V.detach())
            again[first].append(near.amax(1))
            again[second].append(near.amax(0))
        for fold, found in again.items():
            mean = torch.stack(found).mean(0)
            rows.append(
                {
                    "encoder": encoder,
                    "fold": fold,
                    "reproducibility": float(mean.median()),
                    "share": float((mean >= 0.9).float().mean()),
                }
            )
    return pd.DataFrame(rows)


def dictionary_name(encoder: str) -> str:
    """What the dictionaries with this encoder are called in tables; `"sae"` the autoencoders."""
    return "sparse autoencoder" if encoder == "sae" else crosscoder_name(encoder)


def before_and_after(plain: Coders, refined: Coders) -> pd.DataFrame:
    """Reproducibility of plain and refined dictionaries, for `figures.dot_panels`-like figures.

    Args:
        plain: by encoder and the fold left out.
        refined: the same keys; those that are the plain ones appear once.

    Returns:
        Columns `method`, `fold`, `reproducibility` and `share`.
    """
    parts = [reproducibility(refined).assign(suffix="")]
    if before := _changed(plain, refined):
        parts.append(reproducibility(before).assign(suffix=BEFORE))
    table = pd.concat(parts, ignore_index=True)
    order = {encoder: i for i, encoder in enumerate(dict.fromkeys(table.encoder))}
    table = table.sort_values("encoder", key=lambda e: e.map(order), kind="stable")
    method = table.encoder.map(dictionary_name) + table.suffix
    return table.assign(method=method)[["method", "fold", "reproducibility", "share"]]


def compared(
    refined: Coders, plain: Coders, data: Folds, k: int
) -> tuple[pd.DataFrame, Mapping[str, object]]:
    """`folds.compare` of the refined crosscoders, with the plain ones as further methods.

    Args:
        refined: by encoder and the fold left out.
        plain: the same keys, and perhaps others; left out where they are the refined ones.
        data: the folds.
        k: principal components, as many as the code has active features.

    Returns:
        As `folds.compare`.
    """
    table, by_element = compare(refined, data, k)
    if changed := _changed(plain, refined):
        before, _ = compare(changed, data, k, baselines=False)
        before = before.assign(method=before.method + BEFORE)
        table = pd.concat([table, before], ignore_index=True)
        # Each beside what it was before, and the baselines after them.
        place = {name: i for i, name in enumerate(dict.fromkeys(table.method))}
        place |= {name: place[name.removesuffix(BEFORE)] + 0.5 for name in before.method}
        table = table.sort_values("method", key=lambda m: m.map(place), kind="stable")
    return table.reset_index(drop=True), by_element


def _changed(plain: Coders, refined: Coders) -> dict[tuple[str, int], GroupCrosscoder]:
    """The plain dictionaries of which there is another, refined one."""
    return {key: plain[key] for key in refined if refined[key] is not plain[key]}
