"""Published families of units of InceptionV1's mixed3b, and features that write to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.families.labels import OTHER, unit_numbers

# Unit numbers of mixed3b in inception5h, hypothesised by looking: Olah et al., "An Overview of
# Early Vision in InceptionV1", Distill 2020.
PUBLISHED_FAMILIES: dict[str, tuple[int, ...]] = {
    name: unit_numbers(units)
    for name, units in {
        "curves": "379 406 385 343 342 388 340 330 349 324",
        "double curves": "359 337 380",
        "shallow curves": "403 353 355 336",
        "lines": "377 326 95 38 307 1 19 209 210",
        "brightness gradients": "0 317 136 455 417 469",
        "circle cluster": "446 462 82",
        "eyes": "370 352 363 322 83 199",
        "divots": "395 159 237 409 357 190 212 211 198 218",
        "cross/corner": "108 47 339 344 374 99 369 236 408",
        "oriented fur": "57 387 404 333 375 381 335 378 62 52",
        "circles/loops": "389 384 346 323",
        "evolute": "373",
        "curve shapes": "325 338 327 347",
        "curves misc.": "348 407 365 367",
        "square/grid": "392 361 401 68 341 382 397 66 125",
        "line gradient": "21 63 102 423 175",
        "double boundary": "318 332 286 258 229 138 314",
        "proto-head": "362 413 334 331 174 225 393 185 435 180 441 163",
        "colour contrast": (
            "4 217 450 191 287 49 196 473 430 305 447 277 165 279 226 303 224 269 264 189 156 463 "
            "270 272"
        ),
        "colour centre-surround": (
            "285 451 208 122 93 75 46 294 44 247 91 14 10 271 60 80 84 70 202 422 48 436 65 300 "
            "105 34 121 424 457 186 23 479 89 283 22 124 6 9 50 5 71 59 182 87 308 428 109 141 12 "
            "474 112 192 2 177 249 281 284 30 27 255 53 432 475 79 67 25 351 420 152 26 193 448 "
            "153 164 113 216 259"
        ),
        "boundary": (
            "220 402 364 293 356 151 203 394 376 400 328 219 320 313 329 321 251 298 257 143 366 "
            "345 405 414 301 368 398 383 396 261 184 144 360 183 239 386"
        ),
    }.items()
}
PUBLISHED_CHANNELS = 480  # of mixed3b
# Preferred orientations (degrees) of the ten curve units, from the radial tuning curves published
# with the Distill article.
CURVE_ORIENTATIONS: dict[int, float] = {
    379: 243.0,
    406: 268.5,
    385: 290.0,
    343: 358.0,
    342: 22.5,
    388: 66.5,
    324: 91.5,
    340: 110.0,
    330: 145.0,
    349: 181.0,
}


def published_family(
    V: torch.Tensor,
    *,
    families: Mapping[str, Sequence[int]] = PUBLISHED_FAMILIES,
    share: float = 1 / 3,
    ratio: float = 2.0,
) -> pd.DataFrame:
    """The hypothesised family of inception5h's `mixed3b` units that holds a feature's power.

    A feature takes the family that holds the largest share of `Σ_g V[i,g,c]²`, if that is at
    least `share` and `ratio` times the next one's.

    Args:
        V: transform blocks `(m, |G|, 480)`, or decoder vectors `(m, 480)`.
        families: unit numbers by family.
        share: smallest share of the power.
        ratio: how clearly a family has to win.

    Returns:
        One row a feature: `feature`, `label` ("other" if none won), `family` (the largest whether
        or not it won), `share`, `family2`, `share2`.

    Raises:
        UserError: if `V` has another number of channels than `mixed3b`.
    """
    V = torch.as_tensor(V).detach().cpu().double()
    if V.ndim not in (2, 3) or V.shape[-1] != PUBLISHED_CHANNELS:
        raise UserError(
            f"blocks of shape {tuple(V.shape)}: the published families are of mixed3b with "
            f"{PUBLISHED_CHANNELS} channels."
        )
    power = V.reshape(len(V), -1, PUBLISHED_CHANNELS).square().sum(1)
    power = power / power.sum(1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    shares = torch.stack([power[:, list(units)].sum(1) for units in families.values()], 1)
    top, order = shares.topk(2, dim=1)
    names = np.array(list(families))[order.numpy()]
    won = (top[:, 0] >= share) & (top[:, 0] >= ratio * top[:, 1])
    return pd.DataFrame(
        {
            "feature": np.arange(len(V)),
            "label": np.where(won.numpy(), names[:, 0], OTHER),
            "family": names[:, 0],
            "share": top[:, 0].numpy(),
            "family2": names[:, 1],
            "share2": top[:, 1].numpy(),
        }
    )
