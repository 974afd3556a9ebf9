"""The explorer's panels below the rotating patch: each answers one question about the feature."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np

from gc_utils.explorer.drawing import tuning_drawing
from gc_utils.explorer.pieces import (
    MEANINGS,
    Picture,
    PictureRow,
    button,
    element_text,
    figure,
    html,
    named,
    row,
)
from gc_utils.figures.parts import label_text
from gc_utils.inspection.relations import Relation
from gc_utils.symmetry import PARTLY, SYMMETRIC

if TYPE_CHECKING:
    from gc_utils.explorer.panels import Explorer

ANY = "any"
STRONGEST = 6  # patches shown beside those at the quantiles
RELATIVES = 8
SORTS = {
    "as offered": (None, False),
    "confidence of the name": ("confidence", True),
    "reproducibility": ("reproducibility", True),
    "how often it fires": ("fires_on", True),
    "number": ("feature", False),
}
OPTIMISED_STEPS = 64


def kind_of(stabiliser: object) -> str:
    """A stabiliser's kind without its axis, such as `D1`; `invariant` for the whole group."""
    name = str(stabiliser).split("@")[0] if isinstance(stabiliser, str) else "unknown"
    return "invariant" if name == "G" else name


class WhichFeature:
    """*Which feature?* A number to go to; filters and an order for the list of features.

    Args:
        view: The explorer that it belongs to.

    Attributes:
        number, label, symmetry, family, confidence, sort: the controls.
        said: how many features match.
    """

    TITLE = "Which feature?"

    def __init__(self, view: Explorer) -> None:
        self.view, exhibit = view, view.exhibit
        self.every = list(view.features)
        rows = [exhibit.row(f) for f in self.every]
        most = len(exhibit.crosscoder.V) - 1
        self.number = widgets.BoundedIntText(
            value=self.every[0], min=0, max=most, description="number"
        )
        named(self.number, f"the number of a feature, 0 to {most}")
        self.label = self._choice("label", [label_text(r.get("label", "")) for r in rows])
        self.symmetry = self._choice("symmetry", [kind_of(r.get("stabiliser")) for r in rows])
        families = [str(r["family"]) for r in rows if r.get("family", -1) >= 0]
        self.family = self._choice("family", families)
        self.confidence = widgets.FloatSlider(
            value=0, min=0, max=1, step=0.05, description="confidence ≥", readout_format=".2f"
        )
        self.confidence.style.description_width = "90px"
        named(self.confidence, "least confidence of the symmetry's name")
        self.sort = widgets.Dropdown(options=list(SORTS), description="order by")
        for control in (self.label, self.symmetry, self.family, self.confidence, self.sort):
            control.observe(self._filter, "value")
        self.number.observe(self._go, "value")
        self.said = html()
        self.reset = button("all features", "take every filter away", self.clear)
        known = any(rows)
        filters = row(self.label, self.symmetry, self.family, self.confidence, self.sort)
        filters.layout.display = None if known else "none"
        self.box = widgets.VBox([row(self.number, self.reset, self.said), filters, html(MEANINGS)])
        self._quiet = False
        self._say(self.every)

    def _choice(self, name: str, values: list[str]) -> widgets.Dropdown:
        counts = Counter(value for value in values if value)
        options = [(f"{value} ({n})", value) for value, n in counts.most_common()]
        made = widgets.Dropdown(options=[(ANY, ANY), *options], value=ANY, description=name)
        return named(made, f"only features of this {name}")

    def _go(self, change: dict) -> None:
        if not self._quiet:
            self.view.choose(self.number.value)

    def clear(self) -> None:
        """Offer all features again, in their first order."""
        self._quiet = True
        for control in (self.label, self.symmetry, self.family):
            control.value = ANY
        self.confidence.value, self.sort.value = 0, next(iter(SORTS))
        self._quiet = False
        self._filter()

    def matching(self) -> list[int]:
        """The features that pass every filter, in the order asked for."""
        exhibit, found = self.view.exhibit, []
        for feature in self.every:
            r = exhibit.row(feature)
            passes = (
                self.label.value in (ANY, label_text(r.get("label", "")))
                and self.symmetry.value in (ANY, kind_of(r.get("stabiliser")))
                and self.family.value in (ANY, str(r.get("family", "")))
                and (not self.confidence.value or r.get("confidence", 0) >= self.confidence.value)
            )
            found += [feature] * bool(passes)
        column, falling = SORTS[self.sort.value]
        if column:
            worst = -np.inf if falling else np.inf

            def key(feature: int) -> float:
                value = exhibit.row(feature).get(column, feature if column == "feature" else worst)
                return (-1 if falling else 1) * (value if value == value else worst)

            found = sorted(found, key=key)
        return found

    def _filter(self, change: dict | None = None) -> None:
        if self._quiet:
            return
        found = self.matching()
        self._say(found)
        if found:
            self.view.offer(found)

    def _say(self, found: list[int]) -> None:
        text = f"{len(found)} of {len(self.every)} features are in the list above."
        if not found:
            text = "<b>No feature matches</b>: the list above stays as it was. Relax a filter."
        self.said.value = f"<div role='status'>{text}</div>"

    def refresh(self) -> None:
        """Show the feature's number."""
        self._quiet = True
        self.number.value = self.view.feature.value
        self._quiet = False


class WhatItSees:
    """*What does it see?* Patches from strongest to weakest, and an optimised image.

    Args:
        view: The explorer that it belongs to.

    Attributes:
        strip: the pictures of patches; a click takes one.
        optimised: the optimised images.
    """

    TITLE = "What does it see?"

    def __init__(self, view: Explorer) -> None:
        self.view = view
        self.patches = PictureRow(STRONGEST + 5, self._take)
        self.strip = self.patches.box
        text = (
            "The patches that excite the feature most, then one at each quantile of its positive "
        )
        text += "codes. Click one to rotate it; the slider has more of the strongest."
        self.explained = html(text)
        self.compute = button(
            "optimise images", "compute images that excite the feature", self._optimise
        )
        self.optimised = html()
        self._images: dict[int, str] = {}
        self._shown: list[int] = []
        model = view.exhibit.model
        optimise = widgets.VBox([self.compute, self.optimised])
        optimise.layout.display = None if model is not None else "none"
        self.box = widgets.VBox([self.explained, self.strip, view.patch, optimise])

    def refresh(self) -> None:
        """Show the feature's patches."""
        view, feature = self.view, self.view.feature.value
        exhibit = view.exhibit
        self.strip.layout.display = None if exhibit.codes is not None else "none"
        self.explained.layout.display = self.strip.layout.display
        if exhibit.codes is not None:
            codes = exhibit.codes[:, feature]
            strongest = [int(p) for p in view.ranked[:STRONGEST]]
            items = [(p, f"no. {k + 1}") for k, p in enumerate(strongest)]
            items += [(p, f"{100 * q:.0f} %") for q, p in exhibit.quantiles(feature).items()]
            self._shown = [p for p, _ in items]
            pictures = [
                Picture(
                    exhibit.patches[p],
                    f"{name}\n{float(codes[p]):.2f}",
                    f"patch {p}, {name} of its activation, code {float(codes[p]):.2f}: rotate it",
                )
                for p, name in items
            ]
            self.patches.show(pictures, self._on())
        self.optimised.value = self._images.get(feature, "")

    def _on(self) -> int | None:
        shown = self.view.shown_patch
        return self._shown.index(shown) if shown in self._shown else None

    def mark(self) -> None:
        """Mark the patch that is shown."""
        self.patches.mark(self._on())

    def _take(self, k: int) -> None:
        self.view.take(self._shown[k])

    def _optimise(self) -> None:
        view, feature = self.view, self.view.feature.value
        if feature not in self._images:
            g = view.exhibit.group
            elements = sorted({round(k * g.n / 4) % g.n for k in range(4)})
            with view.busy("Optimising images: about ten seconds on a CPU"):
                images = view.exhibit.optimised(feature, elements, OPTIMISED_STEPS)
            angles = [f"{float(g.angles[e]):g}°" for e in elements]
            self._images[feature] = "".join(
                figure(image, f"image optimised for the block at {a}", f"for the block at {a}")
                for image, a in zip(images, angles, strict=True)
            )
        self.optimised.value = self._images[feature]


class HowSure:
    """*How sure are we?* The numbers that say how far the feature and its name can be trusted.

    Args:
        view: The explorer that it belongs to.
    """

    TITLE = "How sure are we?"
    EXPLAINED = {
        "reproducibility": "cosine, up to the group, with the nearest feature of dictionaries "
        "trained on other photographs: 1 if they find the same one",
        "confidence": "share of its rotated siblings and counterparts that have the same symmetry; "
        "½ is doubt",
        "p": "share of features without symmetry that look as symmetric by chance",
        "ρ(180°)": "noise-corrected similarity to itself after half a turn, 95 % interval: "
        f"{SYMMETRIC:g} or more counts as the same; unknown without a counterpart in another "
        "dictionary",
        "repeats after 180°": "what the whole interval decides: yes from "
        f"{SYMMETRIC:g}, in part from {PARTLY:g}, no below",
    }
    COLUMNS = {"reproducibility": "reproducibility", "confidence": "confidence"}

    def __init__(self, view: Explorer) -> None:
        self.view = view
        self.said = html()
        self.box = widgets.VBox([self.said])

    def refresh(self) -> None:
        """Write the feature's numbers, beside those of the others."""
        exhibit, feature = self.view.exhibit, self.view.feature.value
        rows = []
        for name, value in exhibit.trust(feature).items():
            rank = self._rank(name, feature)
            rows.append(
                f"<tr><th scope='row'>{name}</th><td><b>{escape(value)}</b>{rank}</td>"
                f"<td>{self.EXPLAINED[name]}</td></tr>"
            )
        table = f"<table class='gc-facts'>{''.join(rows)}</table>"
        self.said.value = table + f"<p>{escape(self.others(feature))}</p><p>{MEANINGS}</p>"

    def _rank(self, name: str, feature: int) -> str:
        """How many of the other features have a lower value."""
        column = self.COLUMNS.get(name)
        value = self.view.exhibit.row(feature).get(column) if column else None
        if value is None or not np.isfinite(value):
            return ""
        rest = [self.view.exhibit.row(f).get(column, np.nan) for f in self.view.features]
        rest = [v for f, v in zip(self.view.features, rest, strict=True) if f != feature]
        if not len(rest):
            return ""
        return f" (above {100 * np.mean(np.array(rest, dtype=float) < value):.0f} % of the others)"

    def others(self, feature: int) -> str:
        """A sentence: how the features of the same label behave after half a turn."""
        exhibit = self.view.exhibit
        label = exhibit.row(feature).get("label")
        if not isinstance(label, str):
            return ""
        same = [r for f in self.view.features if (r := exhibit.row(f)).get("label") == label]
        rho = np.array([r.get("rho_180", np.nan) for r in same], dtype=float)
        known = rho[np.isfinite(rho)]
        kind = f"Of {len(same)} feature{'s' * (len(same) > 1)} with the label {label_text(label)}"
        if not len(known):
            return f"{kind} none has a known ρ(180°)."
        repeat = int((known >= SYMMETRIC).sum())
        return (
            f"{kind}, {len(known)} have a known ρ(180°): {repeat} repeat after half a turn, "
            f"{len(known) - repeat} do not."
        )


class WhoIsLike:
    """*Who is like it?* Family and nearest features, aligned; a pair; a family's radial tuning.

    Args:
        view: The explorer that it belongs to.

    Attributes:
        other: the other feature of the pair that is compared, or None.
    """

    TITLE = "Who is like it?"

    def __init__(self, view: Explorer) -> None:
        self.view = view
        self.members = PictureRow(RELATIVES, lambda k: self.compare(self._members[k]))
        self.nearest = PictureRow(RELATIVES, lambda k: self.compare(self._nearest[k]))
        self._members: list[Relation] = []
        self._nearest: list[Relation] = []
        self.other: Relation | None = None
        self.family_said, self.nearest_said = html(), html()
        self.pair, self.tuning = html(), html()
        self.go = button("show this feature", "show the other feature of the pair", self._go)
        self.box = widgets.VBox(
            [
                *(self.family_said, self.members.box, self.nearest_said, self.nearest.box),
                *(self.pair, self.go, self.tuning),
            ]
        )

    def refresh(self) -> None:
        """Show the feature's relatives."""
        view, feature = self.view, self.view.feature.value
        exhibit = view.exhibit
        with view.busy("Comparing with all features"):
            members, cut = exhibit.members(feature), exhibit.cut
            self._nearest = exhibit.related(feature)[:RELATIVES]
            self._members = members[:RELATIVES]
            self.members.show([self._picture(one) for one in self._members])
            self.nearest.show([self._picture(one) for one in self._nearest])
        family = exhibit.row(feature).get("family", -1)
        text = "It is in no family with others."
        if members:
            shown = f"; the {len(self._members)} nearest are shown" * (len(members) > RELATIVES)
            text = (
                f"<b>Its family</b> ({family}) has {len(members)} other members{shown}. Each patch "
            )
            text += "is the member's strongest, under the element that maps the member to this "
            text += "feature, so that alike features look alike."
        self.family_said.value = text
        text = "<b>The most similar features</b>, in a family with it or not, aligned in the same "
        text += "way; click one to see both side by side."
        if np.isfinite(cut):
            text += f" Unrelated features reach a similarity of {cut:.2f} one time in a hundred."
        self.nearest_said.value = text
        self.other = None
        self.compare(next(iter(self._members or self._nearest), None))
        self._tune()

    def _picture(self, one: Relation) -> Picture:
        exhibit = self.view.exhibit
        label = label_text(exhibit.row(one.feature).get("label", ""))
        how = element_text(exhibit.group, one.element)
        tip = f"feature {one.feature} {label}: similarity {one.similarity:.2f} when {how}; compare"
        image = exhibit.aligned(one)
        return Picture(image, f"{one.feature} {label}\n{one.similarity:.2f}", tip)

    def compare(self, other: Relation | None) -> None:
        """Show another feature beside this one, with the element that maps one to the other."""
        self.other = other
        self.go.layout.display = None if other else "none"
        for shown, pictures in ((self._members, self.members), (self._nearest, self.nearest)):
            pictures.mark(shown.index(other) if other in shown else None)
        if other is None:
            self.pair.value = ""
            return
        exhibit, feature = self.view.exhibit, self.view.feature.value
        how = element_text(exhibit.group, other.element)
        mine = exhibit.patches[exhibit.ranked(feature)[0]]
        its = exhibit.patches[exhibit.ranked(other.feature)[0]]
        titles = [exhibit.card(f).title for f in (feature, other.feature)]
        sure = [
            "; ".join(f"{k} {v}" for k, v in exhibit.trust(f).items() if v != "unknown")
            for f in (feature, other.feature)
        ]
        captions = [f"<b>{escape(t)}</b><br>{s}" for t, s in zip(titles, sure, strict=True)]
        self.pair.value = (
            f"<p><b>Feature {other.feature} {how} is most like feature {feature}</b>: similarity "
            f"{other.similarity:.2f}.</p>"
            + figure(mine, f"strongest patch of feature {feature}", captions[0])
            + figure(its, f"strongest patch of feature {other.feature}", captions[1])
            + figure(
                exhibit.aligned(other),
                f"strongest patch of feature {other.feature}, {how}",
                f"that of feature {other.feature}, {how}",
            )
        )

    def _go(self) -> None:
        if self.other is not None:
            self.view.choose(self.other.feature)

    def _tune(self) -> None:
        """Radial tuning: the codes of the family as the patch that is shown rotates."""
        view = self.view
        codes, n = view.codes, view.exhibit.fine.n
        feature = view.feature.value
        others = [one.feature for one in (self._members or self._nearest)[:6]]
        curves = {f"feature {f}": codes[:n, f] for f in (feature, *others)}
        whose = "Its family" if self._members else "The most similar features"
        self.tuning.value = (
            f"<p><b>Radial tuning.</b> {whose} while the patch shown above rotates: radius is the "
            "code relative to the feature's largest over the turn, angle the rotation in degrees "
            f"counter-clockwise.</p>{tuning_drawing(curves)}"
        )
