"""Sharpening a trained dictionary: exact sparse codes in place of the encoder's.

An encoder is one linear map and a threshold. It cannot separate two features that are nearly the
same, such as neighbouring orientations of one shape, and training has little reason to keep them
apart: on planted orbits a dictionary that merges neighbours in pairs reconstructs as well as the
true one *through such an encoder*. Codes that are solved for, sample by sample, do separate them.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from gc_utils.crosscoder.batches import ShuffledBatches
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.groups import translate
from gc_utils.linear import ridge

RIDGE = 0.1  # relative to the mean variance of what the encoder sees


def refine(
    coder: GroupCrosscoder,
    data: torch.Tensor,
    rows: np.ndarray,
    held_out: torch.Tensor,
    config: TrainConfig,
    *,
    passes: int = 6,
    penalty: float = 0.1,
    progress: bool = True,
) -> pd.DataFrame:
    """Dictionary learning from where training ended, then the encoder again.

    Online dictionary learning (Mairal et al. 2010, scikit-learn's) alternates between non-negative
    sparse codes of a batch, `min_f ½‖A - Σ_i f_i V_i‖² + λ Σ_i f_i`, and blocks that fit all codes
    so far best; features that no code uses are replaced by orbits. The blocks keep their lengths.
    The encoder starts anew, as the ridge regression of the codes on what it sees, and is trained,
    biases too, with the blocks as they are.

    Args:
        coder: a trained crosscoder that is not tied, changed in place.
        data, rows, held_out: as for `train`.
        config: of the encoder's training; `batch_size`, `translate` and `seed` also of the
            dictionary's.
        passes: over the training orbits; each pass sees them under new random elements.
        penalty: `λ`, relative to the mean norm of a normalised orbit.
        progress: show bars.

    Returns:
        The history of the encoder's training.

    Raises:
        UserError: for a tied crosscoder, a sparse autoencoder, or one that has not been trained.
    """
    if not isinstance(coder, GroupCrosscoder) or coder.family is not None:
        raise UserError("a tied crosscoder's features are not free to move: refine an untied one.")
    if coder.group.order == 1:
        raise UserError("a sparse autoencoder has no orbits to refine by: take a crosscoder.")
    if coder.fresh:
        raise UserError("this crosscoder has learned nothing yet: train it first.")
    if passes < 1 or not penalty > 0:
        raise UserError(f"passes = {passes}, penalty = {penalty}: expected 1 or more, more than 0.")
    batches = ShuffledBatches(data, rows, config.batch_size, config.seed)
    draw = torch.Generator().manual_seed(config.seed)
    start = coder.b_dec.detach().cpu().float()

    def transformed(step: int) -> torch.Tensor:
        """A batch as the dictionary sees it, in float64: in float32, coordinate descent stalls."""
        A = batches.batch(step)
        if config.translate:
            h = torch.randint(coder.group.order, (len(A),), generator=draw)
            A = translate(A, coder.group, h)
        return ((A - coder.mean.cpu()) / coder.scale.cpu() - start).double()

    norms = coder.norms.detach().cpu()
    unit = coder.V.detach().flatten(1).cpu().double() / norms.clamp_min(1e-12)[:, None]
    each = max(1, len(rows) // config.batch_size)
    count = passes * each
    learner = None
    bar = tqdm(total=count + each, desc="refining", unit="batch", disable=not progress)
    for step in range(count):
        x = transformed(step).flatten(1).numpy()
        if learner is None:
            learner = MiniBatchDictionaryLearning(
                len(unit),
                alpha=penalty * float(np.linalg.norm(x, axis=1).mean()),
                fit_algorithm="cd",
                positive_code=True,
                dict_init=unit.numpy(),
                batch_size=config.batch_size,
                random_state=config.seed,
            )
        with warnings.catch_warnings():  # a few codes of thousands miss the tolerance, by little
            warnings.simplefilter("ignore", ConvergenceWarning)
            learner.partial_fit(x)
        bar.update()
    blocks = learner.components_
    blocks = blocks / np.linalg.norm(blocks, axis=1, keepdims=True).clip(1e-12)
    gram, cross = 0, 0  # of views and codes, for the encoder
    for step in range(count, count + each):
        A = transformed(step)
        x = A.flatten(1).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            codes = sparse_encode(
                x, blocks, algorithm="lasso_cd", alpha=learner.alpha, positive=True
            )
        seen = torch.cat([A[:, : coder.views].flatten(1), torch.ones(len(A), 1).double()], 1)
        gram, cross = gram + seen.T @ seen, cross + seen.T @ torch.from_numpy(codes)
        bar.update()
    bar.close()
    read = ridge(gram, cross, RIDGE).T / norms.clamp_min(1e-12)[:, None]
    with torch.no_grad():
        coder.V.copy_((torch.from_numpy(blocks) * norms[:, None]).view_as(coder.V))
        coder.W_enc.copy_(read[:, :-1].reshape(coder.W_enc.shape))
        coder.b_enc.copy_(
            read[:, -1] - coder.W_enc.flatten(1).cpu() @ start[: coder.views].flatten()
        )
    coder.V.requires_grad_(False)
    try:
        return train(coder, data, rows, held_out, config, progress=progress, label="encoder")
    finally:
        coder.V.requires_grad_(True)
