"""The group crosscoder as the paper has it: every feature has parameters of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from gc_utils.crosscoder.base import FORMAT, SPARSITY, Config, Crosscoder
from gc_utils.errors import Damaged, UserError

__all__ = ["SPARSITY", "Config", "GroupCrosscoder", "written_out"]


class GroupCrosscoder(Crosscoder):
    """A sparse dictionary that reconstructs a whole orbit of activations from one code.

    Args:
        group: name of the group of the orbits; `"C1"` makes it a sparse autoencoder.
        channels: channels `C` of the activations.
        features: size `m` of the dictionary.
        sparsity: `"batchtopk"`, `"topk"` or `"l1"`.
        k: active features a sample, for the first two.
        encode_from: `"identity"` reads the unturned view, `"orbit"` reads all of them.
        seed: of the initial decoder.

    Attributes:
        V: transform blocks, `(m, |G|, C)`.
        W_enc: encoder, `(m, E, C)` with `E` = 1 or `|G|` views read.
        b_enc: `(m,)`.
        b_dec: `(|G|, C)`.
        mean, scale, threshold, family, element, fresh: see `Crosscoder`.

    Raises:
        UserError: for an unknown group, sparsity or encoder, or sizes that make no sense.

    Example:
        >>> coder = GroupCrosscoder("D4", channels=16, features=64, k=8)
        >>> A = torch.randn(10, 8, 16)
        >>> coder.calibrate(A)
        >>> coder.decode(coder.encode(A)).shape
        torch.Size([10, 8, 16])
    """

    def __init__(
        self,
        group: str,
        channels: int,
        features: int,
        *,
        sparsity: str = "batchtopk",
        k: int = 32,
        encode_from: str = "identity",
        seed: int = 0,
    ) -> None:
        super().__init__(channels)
        self.config = Config(group, channels, features, sparsity, k, encode_from)
        order = self.group.order
        draw = torch.Generator().manual_seed(seed)
        V = torch.randn(features, order, channels, generator=draw)
        V /= V.flatten(1).norm(dim=1)[:, None, None]
        self.V = nn.Parameter(V)
        self.W_enc = nn.Parameter(V[:, : self.views].clone())
        self.b_enc = nn.Parameter(torch.zeros(features))
        self.b_dec = nn.Parameter(torch.zeros(order, channels))
        self.register_buffer("family", None)  # of each feature, if it was tied
        self.register_buffer("element", None)

    @property
    def encoder_bias(self) -> torch.Tensor:
        """`b_enc`."""
        return self.b_enc

    @property
    def decoder_bias(self) -> torch.Tensor:
        """`b_dec`."""
        return self.b_dec

    @property
    def starts(self) -> int:
        """How many directions `start` takes: one a feature."""
        return self.config.features

    @torch.no_grad()
    def start(self, V: torch.Tensor) -> None:
        """Begin with decoder blocks `(m, |G|, C)`, and an encoder of unit rows along them."""
        self.V.copy_(V)
        W = V[:, : self.views]
        self.W_enc.copy_(W / W.flatten(1).norm(dim=1)[:, None, None].clamp_min(1e-6))

    @torch.no_grad()
    def stretch_encoder(self, factor: torch.Tensor | float) -> None:
        """Multiply the encoder's weights."""
        self.W_enc.mul_(factor)

    def untied(self) -> GroupCrosscoder:
        """A copy, detached."""
        return written_out(self)

    @torch.no_grad()
    def only(self, features: Sequence[int]) -> GroupCrosscoder:
        """A copy of some features, detached, that gives them the same codes in a fraction of time.

        Args:
            features: which ones.

        Raises:
            UserError: for `"topk"`, where a code depends on all features.
        """
        if self.config.sparsity == "topk":
            raise UserError("the codes of a topk crosscoder depend on all of its features.")
        config = replace(self.config, features=len(features), k=1)
        names = ("group", "channels", "features", "sparsity", "k", "encode_from")
        made = GroupCrosscoder(**{name: getattr(config, name) for name in names}).to(self.device)
        for name in ("V", "W_enc", "b_enc"):
            getattr(made, name).copy_(getattr(self, name)[list(features)])
        for name in ("b_dec", "mean", "scale", "threshold"):
            getattr(made, name).copy_(getattr(self, name))
        return made

    @classmethod
    def load(
        cls, path: str | Path, device: str = "cpu", *, normalised: bool = False
    ) -> GroupCrosscoder:
        """Read a file written by `save`.

        Args:
            path: the file.
            device: where the crosscoder goes.
            normalised: with normalisation beside the weights, as training has it, and not folded
                into them.

        Raises:
            UserError: if there is no such file or it is something else.
        """
        if not Path(path).is_file():
            raise UserError(f"no crosscoder at {Path(path).absolute()}; `save` one there first.")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
        except SafetensorError as error:
            raise Damaged(
                f"{path} is not a safetensors file: {error}; delete it, and train it again."
            ) from error
        if metadata.get("format") != FORMAT:
            raise UserError(
                f"{path} is no crosscoder: its format is {metadata.get('format')!r}, "
                f"expected {FORMAT!r}."
            )
        config = Config(**json.loads(metadata["config"]))
        coder = cls(**{k: v for k, v in asdict(config).items() if k != "families"})
        coder.config = config
        coder.family, coder.element = tensors.get("family"), tensors.get("element")
        weights = {k: v for k, v in tensors.items() if not k.startswith("normalisation.")}
        missing, unexpected = coder.load_state_dict(weights, strict=False)
        if unexpected or set(missing) != {"mean", "scale"}:
            raise UserError(f"{path} lacks {missing} or has unknown {unexpected}.")
        coder.fresh = False
        if normalised:
            coder.renormalise(tensors["normalisation.mean"], tensors["normalisation.scale"])
        return coder.to(device)


@torch.no_grad()
def written_out(coder: Crosscoder) -> GroupCrosscoder:
    """A copy of any crosscoder in which every feature has parameters of its own.

    Args:
        coder: the crosscoder; later changes of its weights do not change the copy.

    Returns:
        The same function, on the same device.
    """
    settings = asdict(coder.config)
    del settings["families"]
    copy = GroupCrosscoder(**settings).to(coder.device)
    copy.config, copy.fresh = coder.config, coder.fresh
    with coder.fixed():
        copy.V.copy_(coder.V)
        copy.W_enc.copy_(coder.W_enc)
        copy.b_enc.copy_(coder.encoder_bias)
        copy.b_dec.copy_(coder.decoder_bias)
        copy.family, copy.element = coder.family, coder.element
    for name in ("mean", "scale", "threshold"):
        getattr(copy, name).copy_(getattr(coder, name))
    return copy
