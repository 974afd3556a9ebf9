"""What the units of mixed3b respond to, and how they turn: the scores of the demo weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gc_utils.groups import group
from gc_utils.images.orbits import orbit
from gc_utils.images.photographs import load_images
from gc_utils.images.points import assign_folds, sample_points
from gc_utils.images.stimuli import GREY, stimulus_bank
from gc_utils.models.architecture import INCEPTION5H
from gc_utils.models.inception import InceptionV1
from gc_utils.symmetry.variance import variance

CONTOURS = {"curve": 1, "line": 2, "edge": 1}  # and the harmonic of their tuning
FORMS = ("centre_surround", "circle", "corner", "grating")


def harmonic(tuning: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Length (as a share of the mean) and phase in degrees of a harmonic over 36 orientations.

    Args:
        tuning: responses (36, C) at 0, 10, … 350 degrees.
    """
    turn = torch.exp(-1j * order * torch.deg2rad(torch.arange(0.0, 360, 10)))
    total = (turn[:, None] * tuning).sum(0)
    phase = torch.rad2deg(-total.angle()) / order % (360 / order)
    return total.abs() / tuning.sum(0).clamp_min(1e-6), phase


def widest_gap(angles: Tensor, period: float) -> float:
    """Largest angle on the circle that holds none of the given ones."""
    if len(angles) == 0:
        return period
    ordered = angles.sort().values
    return float(torch.diff(ordered, append=ordered[:1] + period).max())


def stimulus_responses(network: InceptionV1) -> tuple[Tensor, pd.DataFrame]:
    """What the unit at the centre adds, for every drawing, to its response to plain grey (S, C)."""
    bank = stimulus_bank(INCEPTION5H.crop_size("mixed3b"), orientations=36)
    plain = torch.full((1, *bank.images.shape[1:]), GREY)
    with torch.no_grad():
        shown = torch.cat([network.unit(x, "mixed3b") for x in bank.images.split(64)])
        return (shown - network.unit(plain, "mixed3b")).clamp_min(0), bank.table


def preferences(responses: Tensor, table: pd.DataFrame, *, by: str = "shape") -> pd.DataFrame:
    """How many units prefer which kind of drawing, all of equal contrast.

    Args:
        responses: (S, C), one row a drawing.
        table: what the drawings are.
        by: `"shape"` takes the best drawing of a kind; `"radius"` the best mean over stroke widths,
            softness and polarities, which asks for a unit that answers to the contour whatever
            its rendering.

    Returns:
        One row a kind: the number of units for which it is at least 1.5 times, or just, as good
        as the best of curves, lines and edges (for colour, as all that is grey). Curves, lines and
        edges count only if the tuning to orientation has a first (for lines second) harmonic of
        0.3 of its mean; how many units do, whatever they prefer, is in `tuned`. A gap is the widest
        angle in degrees that none of the units counted prefers.
    """
    nothing = torch.zeros(responses.shape[1])
    best: dict[str, Tensor] = {}
    tuning = {kind: torch.zeros(36, len(nothing)) for kind in CONTOURS}
    for (kind, _), rows in table.fillna({"radius": 0}).groupby(["kind", by]):
        response = responses[torch.tensor(rows.index)]
        if kind in CONTOURS:
            response = response.view(-1, 36, len(nothing)).mean(0)
            better = response.amax(0) > best.get(kind, nothing)
            tuning[kind] = torch.where(better, response, tuning[kind])
        best[kind] = torch.maximum(response.amax(0), best.get(kind, nothing))
    live = responses.amax(0) > 0.02 * responses.max()
    scores = []
    for kind in (*CONTOURS, *FORMS, "colour_contrast"):
        others = (*CONTOURS, *FORMS[1:]) if kind == "colour_contrast" else CONTOURS
        rival = torch.stack([best[other] for other in others if other != kind]).amax(0)
        score, chosen = {"kind": kind}, live
        if kind in CONTOURS:
            length, phase = harmonic(tuning[kind], CONTOURS[kind])
            chosen = live & (length >= 0.3)
            score["tuned"] = int(chosen.sum())
        for name, margin in (("1.5 times", 1.5), ("best", 1.0)):
            units = chosen & (best[kind] >= margin * rival)
            score[name] = int(units.sum())
            if kind in CONTOURS:
                score[f"{name}: gap"] = widest_gap(phase[units], 360 / CONTOURS[kind])
        scores.append(score)
    columns = ["1.5 times", "1.5 times: gap", "best", "best: gap", "tuned"]
    return pd.DataFrame(scores).set_index("kind")[columns]


def orbit_scores(network: InceptionV1, points: int) -> dict[str, float]:
    """Invariant share, and how well a turn of the picture is a linear map of the channels.

    Measured on the photographs that the package evaluates on; nothing was trained on them.
    """
    rng = np.random.default_rng(0)
    g = group("D16")
    A, fold = [], []
    photographs = load_images("photos")
    folds = assign_folds(photographs, 4)
    for photograph, f in zip(photographs, folds, strict=True):
        image = photograph.load()
        at, scales = sample_points(image, points, scales=(1.0, 2.0), rng=rng)
        with torch.no_grad():
            for p, s in zip(at.split(2), scales.split(2), strict=True):
                crops = orbit(image, p, s, g, INCEPTION5H.crop_size("mixed3b")).flatten(0, 1)
                A.append(network.unit(crops, "mixed3b").view(len(p), g.order, -1))
        fold += [f] * len(at)
    A, fold = torch.cat(A), torch.as_tensor(np.array(fold))
    per_channel = variance(A, g).per_channel
    result = {
        "invariant share of a channel's variance, mean": float(np.mean(per_channel)),
        "invariant share of all variance": variance(A, g).invariant_share,
        "channels at or under 0.7": int((per_channel <= 0.7).sum()),
    }
    # R_h: from A[g] to A[g·h], all g; oriented part (without the orbit mean) apart.
    for part in ("all", "oriented"):
        B = A - A.mean(1, keepdim=True) if part == "oriented" else A - A.mean((0, 1))
        explained, total = 0.0, 0.0
        for h in (1, 4, 8, 16, 21):
            for f in range(4):
                x, y = B[fold != f].flatten(0, 1), B[fold != f][:, g.right(h)].flatten(0, 1)
                gram = x.T @ x
                ridge = 0.1 * gram.diagonal().mean() * torch.eye(len(gram))
                linear = torch.linalg.solve(gram + ridge, x.T @ y)
                x, y = B[fold == f].flatten(0, 1), B[fold == f][:, g.right(h)].flatten(0, 1)
                explained += (y - x @ linear).square().sum().item()
                total += y.square().sum().item()
        result[f"R² of R_h as a linear map, {part}"] = 1 - explained / total
    return result
