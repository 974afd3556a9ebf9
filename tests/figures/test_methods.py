"""Every method has one look, the same in every figure, that can be told without colour."""

import pytest
from matplotlib.colors import to_rgb

from gc_utils.figures import METHODS, method_look
from gc_utils.figures.style import GREY, SMALL, STYLE
from gc_utils.inspection.decompositions import BASELINE
from gc_utils.inspection.decompositions import METHODS as DECOMPOSITIONS
from gc_utils.planted import METHODS as PLANTED
from gc_utils.studies.group_crosscoders.folds import ENCODERS, RIDGE, crosscoder_name, pca_name
from gc_utils.studies.group_crosscoders.refining import BEFORE, dictionary_name


def test_all_methods_of_the_package_are_in_the_table():
    assert set(PLANTED) | set(DECOMPOSITIONS) | {BASELINE} <= set(METHODS)


def test_methods_that_are_planted_together_differ_by_more_than_colour():
    looks = [METHODS[name] for name in PLANTED]
    assert len({(look.marker, look.filled) for look in looks}) == len(looks)
    assert len({look.name for look in looks}) == len(looks)


@pytest.mark.parametrize("encoder", [*ENCODERS, "sae"])
def test_refining_fills_the_mark_and_keeps_the_colour(encoder):
    name = dictionary_name(encoder)
    before, after = method_look(name + BEFORE), method_look(name, refined=True)
    assert not before.filled and after.filled
    assert (before.colour, before.marker) == (after.colour, after.marker)
    assert before.mark["mfc"] == "white" and after.mark["mfc"] == after.colour


def test_one_colour_a_method_whatever_the_table_calls_it():
    assert method_look(crosscoder_name("orbit")).colour == METHODS["crosscoder, refined"].colour
    identity = METHODS["refined, identity encoder"].colour
    assert method_look(crosscoder_name("identity")).colour == identity
    assert method_look(pca_name(32)).colour == METHODS["PCA"].colour
    assert method_look(RIDGE).colour == METHODS["ridge"].colour
    assert method_look(pca_name(32)).name == "PCA, 32 components"


def test_unknown_methods_are_told_apart():
    looks = [method_look(f"mine {i}", order=i) for i in range(4)]
    assert len({look.colour for look in looks}) == len({look.marker for look in looks}) == 4


def contrast(colour):
    """Contrast of a colour with white, as the WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 1.05 / (0.05 + sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))


def test_text_is_never_small_or_pale():
    sizes = [v for key, v in STYLE.items() if key.endswith(("labelsize", "fontsize", "font.size"))]
    assert min(sizes) >= SMALL
    assert contrast(GREY) >= 4.5 and contrast(STYLE["xtick.color"]) >= 7
