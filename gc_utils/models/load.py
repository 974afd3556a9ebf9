"""Names become models with weights: ours, torchvision's, timm's, or a person's own.

    model = load_model("inceptionv1", weights="demo")
    model.unit(crops, "mixed3b")          # (B, 480), from crops of model.crop_size("mixed3b")
    model.activations(images, "mixed3b")  # (B, 480, H/8, W/8)

All models take RGB images in [0, 1] and scale them themselves. Parameters are frozen and modules in
evaluation mode, but nothing is hidden from autograd: a gradient flows to any image that asks for
one. Without one, nothing is recorded.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch

from gc_utils.errors import UserError, choose
from gc_utils.files import git_blob_id
from gc_utils.models import weights as _weights
from gc_utils.models.architecture import ARCHITECTURES, BVLC_GOOGLENET, Architecture, Norm
from gc_utils.models.base import Model, pick_device
from gc_utils.models.filter_bank import FilterBank, FilterBankModel
from gc_utils.models.inception import InceptionModel, InceptionV1, PartwiseInception
from gc_utils.models.own import load_own, meant_name
from gc_utils.models.raw_files import bvlc_googlenet
from gc_utils.models.timm import PREFIX, load_timm
from gc_utils.models.torchvision import load_torchvision, torchvision_file, torchvision_names

OWN = ("inceptionv1", "filter_bank")
OTHERS = ("timm:NAME", "MODULE:FACTORY")
INCEPTION_WEIGHTS = ("demo", "inception5h", "bvlc_googlenet", "random")


def load_model(
    name: str = "inceptionv1",
    weights: str | None = None,
    weights_file: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    *,
    group: str | None = None,
    **options: Any,
) -> Model:
    """A model by name.

    Args:
        name: `"inceptionv1"`, `"filter_bank"`, a torchvision classifier such as `"googlenet"`, a
            network of timm such as `"timm:resnet18"`, or `"MODULE:FACTORY"` for a network of your
            own, as `"nets:make"`: `nets` is imported from the folder that the command runs in,
            and its function `make` is executed, see `load_own`.
        weights: for InceptionV1 `"demo"` (in the package; its first layers, through mixed3b),
            `"inception5h"` (downloaded when first asked for), `"bvlc_googlenet"` (downloaded as far
            as a layer that is asked for needs it) or `"random"`; for torchvision `"DEFAULT"`, the
            name of an entry of its weights (`"IMAGENET1K_V1"`), or `"random"`; for timm
            `"DEFAULT"`, the tag of its weights (`"a1_in1k"`), or `"random"`; for a network of your
            own `"own"`, or `"random"` to initialise it anew; for the filter bank `"analytic"`. The
            first of these is the default.
        weights_file: for InceptionV1, a copy of inception5h.pth, the folder with BVLC GoogLeNet's
            files, or a `.safetensors` (see `weights.from_file`); for timm and for a network of your
            own, a `.safetensors` or a `.pth` that `torch.load` opens with `weights_only=True`. It
            takes the place of `weights`; with a copy of published weights, `weights` is their name
            or None.
        device: `"auto"`, or a name that torch knows.
        group: what the filter bank is closed under (D16 unless given); other models ignore it.
        options: `seed=0` for random weights; `norm=Norm(…)` for InceptionV1's response
            normalisation, where the weights do not say which they were trained with.

    Raises:
        UserError: unknown name, weights, device or option; weights that cannot be had or read, or
            that belong to another network or normalisation than was asked for.

    Example:
        >>> model = load_model("filter_bank", group="D4")
        >>> model.unit(torch.rand(5, 3, 35, 35), "filters").shape
        torch.Size([5, 24])
    """
    if ":" not in name:
        known = (*OWN, *OTHERS, *torchvision_names()) if name not in OWN else OWN
        if name not in known and (meant := meant_name(name)):
            raise UserError(
                f"unknown model {name!r}; did you mean {meant!r}? A network of your own is named "
                "MODULE:FACTORY, with the function in its file that makes it, as 'nets:make'."
            )
        choose(name, known, "model")
    taken = {"inceptionv1": ("seed", "norm"), "filter_bank": ("group",)}.get(name, ("seed",))
    for option in options:
        choose(option, taken, f"{name} option")
    target = pick_device(device)
    if ":" in name:
        load = load_timm if name.startswith(PREFIX) else load_own
        return load(name, weights, weights_file, target, **options)
    if name == "inceptionv1":
        return _load_inception(weights, weights_file, target, **options)
    if weights_file is not None:
        raise UserError(
            f"weights_file is for 'inceptionv1', {' and '.join(OTHERS)}, not for {name!r}."
        )
    if name == "filter_bank":
        choose(weights or "analytic", ["analytic"], f"{name} weights")
        bank = FilterBank(group) if group else FilterBank()
        return FilterBankModel(
            name, "analytic", _weights.state_sha256(bank.state_dict()), bank, target
        )
    return load_torchvision(name, weights or "DEFAULT", target, **options)


def _load_inception(
    weights: str | None,
    file: str | os.PathLike[str] | None,
    device: torch.device,
    seed: int = 0,
    norm: Norm | None = None,
) -> Model:
    asked = weights or None
    weights = choose(asked or "demo", INCEPTION_WEIGHTS, "inceptionv1 weights")
    folder = Path(file).expanduser() if file is not None else None
    if folder is not None and folder.is_dir():
        _check_asked(weights, BVLC_GOOGLENET, str(folder))
        model = _load_raw(folder, norm, device)
        _check_recorded(asked, model.weights, f"folder {str(folder)!r}")
        return model
    if file is None and weights == "bvlc_googlenet":
        return _load_raw(None, norm, device)
    if file is None and weights == "random":
        network = InceptionV1(norm=norm, seed=seed)
        checksum = _weights.state_sha256(network.state_dict())
        return InceptionModel("inceptionv1", "random", checksum, network, device)
    if file is not None:
        found = _weights.from_file(file, asked)
        _check_asked(weights, found.architecture, str(file))
        _check_recorded(asked, found.name, f"file {str(file)!r}")
    else:
        found = _weights.demo() if weights == "demo" else _weights.inception5h()
    norm = _agreed(norm, found.norm, found.name)
    network = InceptionV1.from_state_dict(found.state, architecture=found.architecture, norm=norm)
    return InceptionModel("inceptionv1", found.name, found.sha256, network, device)


def _load_raw(folder: Path | None, norm: Norm | None, device: torch.device) -> Model:
    published = bvlc_googlenet()
    name = published.architecture.name
    _agreed(norm, published.architecture.norm, name)

    def parts(layer: str) -> dict[str, torch.Tensor]:
        if folder is None:
            return published.from_cache(layer, _weights.cache_folder() / f"{name}.safetensors")
        return published.from_folder(folder, layer)

    model = PartwiseInception(name, published.checksum, published.architecture, parts, device)
    if folder is not None:
        model.prepare("conv2d0")  # whether it is such a folder
    return model


def _check_asked(weights: str, found: Architecture, file: str) -> None:
    """Refuse a file of other weights than those that were named beside it."""
    if weights in ARCHITECTURES and weights != found.name:
        raise UserError(
            f"the weights file {file!r} is of {found.name!r}, and the weights asked for are "
            f"{weights!r}: name {found.name!r}, or give another file."
        )


def _check_recorded(asked: str | None, found: str, what: str) -> None:
    """Refuse published weights under another's name: a run records the weights asked for."""
    if asked is not None and asked != found and found in ARCHITECTURES:
        raise UserError(
            f"the {what} holds the weights {found!r}, and the weights asked for (or the preset's) "
            f"are {asked!r}: give -p weights {found} with this {what.split()[0]}."
        )


def _agreed(norm: Norm | None, declared: Norm | None, name: str) -> Norm | None:
    """The normalisation, where what is asked for and what the weights say do not contradict."""
    if norm is not None and declared is not None and norm != declared:
        raise UserError(
            f"the weights {name!r} were trained with the normalisation {declared}, not {norm}: "
            "leave 'norm' away."
        )
    return declared or norm


class AvailableWeights(NamedTuple):
    """One line of `python -m gc_utils weights`."""

    model: str
    weights: str
    status: str  # in the package, missing, cached, to download, made on the spot
    path: str  # where it is, or will be cached
    checksum: str  # what the file's is, or must be
    source: str
    licence: str = ""


def available_weights() -> list[AvailableWeights]:
    """Which weights there are, where they are cached, their checksums.

    Of torchvision's weights those that are cached are listed, and one line stands for the rest.
    """
    from gc_utils._torchvision import torchvision

    try:
        status, checksum = "in the package", f"sha256 {_weights.demo().sha256}"
    except UserError:
        status, checksum = "missing", ""
    path = _weights.cache_folder() / "inception5h.pth"
    cached = path.is_file() and git_blob_id(path.read_bytes()) == _weights.INCEPTION5H_BLOB
    rows = [
        ("inceptionv1", "demo", status, "", checksum, "trained for this project"),
        (
            "inceptionv1",
            "inception5h",
            "cached" if cached else "to download",
            str(path),
            f"git blob {_weights.INCEPTION5H_BLOB}",
            _weights.INCEPTION5H_URL,
        ),
        _raw_row(),
        ("inceptionv1", "random", "made on the spot", "", "", "He normal, by seed"),
        ("filter_bank", "analytic", "made on the spot", "", "", "formulas"),
    ]
    for name in torchvision_names():
        for entry in torchvision.models.get_model_weights(name):
            path = torchvision_file(entry)
            if path.is_file():
                checksum = f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
                rows.append((name, entry.name, "cached", str(path), checksum, entry.url))
    rows.append(
        (
            "any torchvision classifier",
            "DEFAULT, or random",
            "to download",
            str(_weights.cache_folder()),
            "sha256, its beginning in the file's name",
            "download.pytorch.org",
        )
    )
    rows += [
        (
            "timm:NAME",
            "DEFAULT, a tag, or random",
            "to download",
            "where huggingface_hub keeps them",
            "",
            "huggingface.co; --weights-file takes a copy at hand",
        ),
        ("MODULE:FACTORY", "own, or random", "made on the spot", "", "", "your code, executed"),
    ]
    return [AvailableWeights(*row) for row in rows]


def _raw_row() -> tuple[str, ...]:
    """The line of BVLC GoogLeNet, and how far it is cached."""
    published = bvlc_googlenet()
    name = published.architecture.name
    path = _weights.cache_folder() / f"{name}.safetensors"
    top = published.architecture.reaches(published.cached(path))
    status = {None: "to download", "logits": "cached"}.get(top, f"cached through {top}")
    checksum = f"sha256 of the table of its files' {published.checksum}"
    source = f"{published.url} ({len(published.sums)} files)"
    return "inceptionv1", name, status, str(path), checksum, source, published.licence
