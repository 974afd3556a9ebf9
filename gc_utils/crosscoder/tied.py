"""A crosscoder whose dictionary is closed under the group: features are translates of templates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gc_utils.crosscoder.base import Config, Crosscoder
from gc_utils.crosscoder.untied import GroupCrosscoder, written_out
from gc_utils.errors import UserError, brief, choose
from gc_utils.groups import Group
from gc_utils.groups import group as group_named

MOST_FAMILIES = 1_000_000
MERGED = 0.95  # autocorrelation at which translates of a tied template count as the same


class TiedCrosscoder(Crosscoder):
    """A crosscoder whose dictionary is closed under the group.

    A family is a template `T[k]`, `(|G|, C)`, and its features are the template's translates:
    `V_(k,h)[g] = T[k][g·h]`, with one bias a family and a decoder bias that is the same for all
    `g`. The orbit encoder is tied likewise, `W_enc,(k,h)[g] = E[k][g·h]`, and then
    `f_(k,a·h)(R_a A) = f_(k,h)(A)`: the code of a transformed image is the same, with orientations
    permuted. The identity encoder reads `A[e]` through `E[k][h]`, which is not equivariant by
    construction: it has to learn what a transformed view looks like.

    A template with a symmetry has fewer distinct translates: with stabiliser `S`, one for each
    coset `h·S`. So that these are neither paid for nor fired `|S|` times, template and reader of a
    family live on the cosets of its subgroup (are averaged over it), and the family has `|G|/|S|`
    features. Subgroups are chosen (`stabilisers`) or learnt: every family starts without
    symmetry, and `merge` gives it the subgroup under which its template has become the same.

    A file holds all features written out, with `family` and `element`; `GroupCrosscoder.load` reads
    it.

    Args:
        group: name of the group of the orbits.
        channels: channels `C` of the activations.
        families: number of templates.
        sparsity, k, encode_from: as for `GroupCrosscoder`; `k` counts features, not families.
        stabilisers: name of the subgroup of every family (`"C1"`, `"D2@45"`, `"G"`), or one for
            all.
        seed: of the initial templates.

    Attributes:
        template: `(families, |G|, C)`.
        reader: encoder `E`, `(families, |G|, C)`.
        b_enc: `(families,)`.
        b_dec: `(C,)`.
        V, W_enc, encoder_bias, decoder_bias, family, element: computed from these, see
            `Crosscoder`; gradients reach templates and readers through them.
        subgroup: index among `group.subgroups()` of every family's stabiliser.

    Example:
        >>> coder = TiedCrosscoder("D4", channels=16, families=4, k=2, stabilisers="D1@0")
        >>> coder.config.features  # 4 translates of each template
        16
    """

    def __init__(
        self,
        group: str,
        channels: int,
        families: int,
        *,
        sparsity: str = "batchtopk",
        k: int = 32,
        encode_from: str = "identity",
        stabilisers: str | Sequence[str] = "C1",
        seed: int = 0,
    ) -> None:
        super().__init__(channels)
        if families < 1:
            raise UserError(f"{families} families: expected 1 or more.")
        self._settings = (group, channels, sparsity, k, encode_from)
        self._computed: dict[tuple[str, bool], Any] | None = None
        names = [stabilisers] * families if isinstance(stabilisers, str) else list(stabilisers)
        if len(names) != families:
            raise UserError(f"{len(names)} stabilisers for {families} families: give one for each.")
        g = group_named(group)
        known = [s.name for s in g.subgroups()]
        chosen = [known.index(choose(name, known, "stabiliser")) for name in names]
        self.register_buffer("subgroup", torch.tensor(chosen))
        draw = torch.Generator().manual_seed(seed)
        T = torch.randn(families, g.order, channels, generator=draw)
        self.template = nn.Parameter(T / T.flatten(1).norm(dim=1)[:, None, None])
        self.reader = nn.Parameter(self.template.detach().clone())
        self.b_enc = nn.Parameter(torch.zeros(families))
        self.b_dec = nn.Parameter(torch.zeros(channels))
        self.config  # noqa: B018  checks what was asked for

    @property
    def group(self) -> Group:
        """The group of the orbits."""
        return group_named(self._settings[0])

    @property
    def starts(self) -> int:
        """How many directions `start` takes: one a family."""
        return len(self.template)

    @property
    def config(self) -> Config:
        """As of an untied crosscoder; `features` follows from the subgroups."""
        return _config(self._settings, self._subgroups)

    @property
    def _subgroups(self) -> tuple[int, ...]:
        return self._once("subgroups", lambda: tuple(self.subgroup.tolist()))

    @property
    def stabilisers(self) -> list[str]:
        """Name of every family's subgroup."""
        subgroups = self.group.subgroups()
        return [subgroups[i].name for i in self.subgroup.tolist()]

    @property
    def features(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Family and element of every feature, int `(m,)` each."""
        return self.family, self.element

    @property
    def family(self) -> torch.Tensor:
        """Family of every feature, int `(m,)`."""
        return _layout(self.group, self._subgroups)[0].to(self.device)

    @property
    def element(self) -> torch.Tensor:
        """Element by which the template of every feature is translated, int `(m,)`."""
        return _layout(self.group, self._subgroups)[1].to(self.device)

    @property
    def V(self) -> torch.Tensor:
        """All translates of all templates, `(m, |G|, C)`."""
        return self._once("V", lambda: self._translates(self.template, self.group.order))

    @property
    def W_enc(self) -> torch.Tensor:
        """The same of the readers, of the views that the encoder reads, `(m, E, C)`."""
        return self._once("W_enc", lambda: self._translates(self.reader, self.views))

    @property
    def encoder_bias(self) -> torch.Tensor:
        """The bias of every feature's family, `(m,)`."""
        return self.b_enc[self.family]

    @property
    def decoder_bias(self) -> torch.Tensor:
        """`b_dec` for every element, `(|G|, C)`."""
        return self.b_dec.expand(self.group.order, -1)

    def _translates(self, T: torch.Tensor, views: int) -> torch.Tensor:
        """The first blocks of the distinct translates of templates, `(m, views, C)`."""
        rows = _layout(self.group, self._subgroups)[2][:, :views].to(self.device)
        average = self._once("average", lambda: _averages(self.group).to(T)[self.subgroup])
        with torch.autocast(T.device.type, enabled=False):  # features are as exact as parameters
            return F.embedding(rows, torch.bmm(average, T).flatten(0, 1))

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        """What `compute` returns; within `fixed`, computed once with and once without gradient."""
        if self._computed is None:
            return compute()
        key = name, torch.is_grad_enabled()
        if key not in self._computed:
            self._computed[key] = compute()
        return self._computed[key]

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """A block within which no weight changes, so that `V` and `W_enc` are computed once."""
        if self._computed is not None:  # within another such block
            yield
            return
        self._computed = {}
        try:
            yield
        finally:
            self._computed = None

    def untied(self) -> GroupCrosscoder:
        """All features written out, as a copy that training does not change, detached."""
        return written_out(self)

    @torch.no_grad()
    def start(self, V: torch.Tensor) -> None:
        """Begin with templates `(families, |G|, C)`, and readers along them."""
        self.template.copy_(V)
        norm = V.flatten(1).norm(dim=1)[:, None, None].clamp_min(1e-6)
        # What one view is read with is one row of a reader: give rows a norm of about 1.
        self.reader.copy_(V / norm * (1.0 if self.views > 1 else self.group.order**0.5))

    @torch.no_grad()
    def stretch_encoder(self, factor: torch.Tensor | float) -> None:
        """Multiply the encoder's weights."""
        self.reader.mul_(factor)

    @torch.no_grad()
    def merge(self, threshold: float = MERGED) -> int:
        """Make one feature of a family's translates that have become the same.

        A family gets the largest subgroup on which its template's autocorrelation
        `⟨T, R_s T⟩ / ‖T‖²` reaches the threshold, if that contains the one it has. Where copies
        fired together and shared a code between them, training has to stretch it again.

        Args:
            threshold: least autocorrelation, in (0, 1].

        Returns:
            How many families have been given a larger subgroup.
        """
        g, subgroups = self.group, self.group.subgroups()
        T = torch.bmm(_averages(g).to(self.template)[self.subgroup], self.template)
        products = T @ T.transpose(1, 2)
        rho = products.gather(2, g.table.to(T.device).expand_as(products)).sum(1)
        chosen, _, _ = g.largest_subgroups((rho / rho[:, :1].clamp_min(1e-12)).cpu(), threshold)
        merged = 0
        for k, (now, best) in enumerate(zip(self.subgroup.tolist(), chosen.tolist(), strict=True)):
            if best >= 0 and set(subgroups[now].elements) < set(subgroups[best].elements):
                self.subgroup[k] = best
                merged += 1
        return merged


@lru_cache(maxsize=8)
def _config(settings: tuple, subgroups: tuple[int, ...]) -> Config:
    name, channels, sparsity, k, encode_from = settings
    features = len(_layout(group_named(name), subgroups)[0])
    return Config(name, channels, features, sparsity, k, encode_from, len(subgroups))


@lru_cache(maxsize=8)
def _layout(
    g: Group, subgroups: tuple[int, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Family and element of every feature `(m,)`, and for each `g` the row `g·h` of its family's
    template, all templates below each other, `(m, |G|)`."""
    cosets = [g.cosets(g.subgroups()[i]) for i in subgroups]
    counts = torch.tensor([len(some) for some in cosets])
    family = torch.repeat_interleave(torch.arange(len(cosets)), counts)
    element = torch.tensor([h for some in cosets for h in some])
    return family, element, g.table[:, element].T + g.order * family[:, None]


def parse_families(text: str) -> list[str]:
    """Stabilisers of a tied crosscoder's families from a text.

    Args:
        text: how many (`"24"`, none of which has symmetry yet), or how many of each stabiliser
            (`"C1:14 D1@0:8 G:64"`).

    Raises:
        UserError: for any other text.

    Example:
        >>> parse_families("C1:2 G:1")
        ['C1', 'C1', 'G']
    """
    chosen = []
    for part in str(text).replace(",", " ").split():
        name, _, count = part.rpartition(":")
        if not count.isdecimal():
            raise UserError(
                f"families {brief(repr(text))}: expected a number, or numbers by stabiliser as in "
                "'C1:14 G:64'."
            )
        if len(count) > 9 or len(chosen) + int(count) > MOST_FAMILIES:
            raise UserError(
                f"families {brief(repr(text))}: expected {MOST_FAMILIES:,} or fewer in all."
            )
        chosen += [name or "C1"] * int(count)
    if not chosen:
        raise UserError(f"families {brief(repr(text))}: expected 1 or more.")
    return chosen


@lru_cache
def _averages(g: Group) -> torch.Tensor:
    """For every subgroup, the average of a function over it: `T[g] -> mean_s T[g·s]`."""
    found = torch.zeros(len(g.subgroups()), g.order, g.order)
    for i, subgroup in enumerate(g.subgroups()):
        for s in subgroup.elements:
            found[i, torch.arange(g.order), g.table[:, s]] += 1 / subgroup.order
    return found
