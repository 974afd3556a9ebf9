import numpy as np
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.images import GREY, KINDS, LUMA, draw, stimulus_bank
from gc_utils.images.stimuli import highest_contrast

ORIENTED = [k for k in KINDS if k not in ("circle", "centre_surround")]
VARIANTS = [
    *((kind, {}) for kind in KINDS),
    ("curve", {"radius": 9.0, "width": 5.0, "span": 120.0, "polarity": -1}),
    ("line", {"length": 20.0}),
    ("corner", {"width": 3.0, "angle": 60.0}),
    ("grating", {"phase": 90.0, "envelope": 6.0}),
    ("texture", {"style": "fur"}),
    ("texture", {"style": "hatch", "seed": 3}),
    ("centre_surround", {"hue": 200.0}),
]
every_variant = pytest.mark.parametrize(("kind", "parameters"), VARIANTS)


def rms_contrast(images):
    """Root mean square deviation from grey over disc and channels: `(..., 3, S, S)` to `(...)`."""
    at = torch.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    inside = torch.hypot(at[:, None], at[None]) < images.shape[-1] / 2
    return (images[..., inside].double() - GREY).square().mean((-1, -2)).sqrt().float()


@every_variant
@pytest.mark.parametrize("size", [32, 47])
def test_a_quarter_turn_of_the_picture_is_a_quarter_turn_of_the_orientation(kind, parameters, size):
    at_20, at_110 = draw(kind, size, orientation=[20, 110], **parameters)
    torch.testing.assert_close(torch.rot90(at_20, 1, (-2, -1)), at_110, atol=1e-6, rtol=0)


@every_variant
def test_the_mirror_image_at_t_is_the_mirrored_drawing_at_180_minus_t(kind, parameters):
    flipped = draw(kind, 47, orientation=20, **parameters).flip(-1)
    mirrored = draw(kind, 47, orientation=160, mirror=True, **parameters)
    torch.testing.assert_close(flipped, mirrored, atol=1e-6, rtol=0)
    if kind != "texture":  # all others are symmetric about the axis that they point along
        plain = draw(kind, 47, orientation=160, **parameters)
        torch.testing.assert_close(plain, mirrored, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_any_turn_leaves_energy_and_gradient_energy_alone(kind):
    """No orientation is sharper than another, or a false 4-fold symmetry would be measured."""
    parameters = {"span": 90.0, "radius": 15.0} if kind == "curve" else {}
    x = draw(kind, 64, orientation=np.arange(0, 90, 7.5), **parameters) - GREY
    gradient = torch.diff(x, dim=-1).square().sum((1, 2, 3))
    gradient = gradient + torch.diff(x, dim=-2).square().sum((1, 2, 3))
    for energy in (x.square().sum((1, 2, 3)), gradient):
        assert energy.std() / energy.mean() < 0.02


@pytest.mark.parametrize("angle", [0, 45, 90, 200])
def test_orientation_points_where_it_says(angle):
    """Counter-clockwise from the right, y up."""
    size = 61
    at = torch.arange(size) - (size - 1) / 2
    ahead = np.cos(np.deg2rad(angle)) * at[None, :] - np.sin(np.deg2rad(angle)) * at[:, None]

    def lean(kind, **parameters):
        light = draw(kind, size, orientation=angle, **parameters).mean(0) - GREY
        return float((light * ahead).sum())

    assert lean("edge") > 100 and lean("gradient") > 100  # to the bright side
    assert lean("curve", radius=15.0) > 100  # the arc's ends lean to its centre of curvature
    assert lean("corner") > 100  # from the apex into the opening
    line = draw("line", size, orientation=angle).mean(0) - GREY
    assert float((line * ahead**2).sum()) > 0.9 * float((line * (at**2 + at[:, None] ** 2)).sum())


def test_an_arc_passes_through_the_middle_with_its_radius():
    radius = 12.0
    picture = draw("curve", 61, radius=radius, span=180.0)[0] - GREY
    assert picture[30, 30] > 0.4
    y, x = torch.nonzero(picture > 0.25, as_tuple=True)
    distance = torch.hypot(x - (30 + radius), y - 30.0)
    assert (distance - radius).abs().max() < 2
    assert x.max() <= 30 + radius + 1  # half a circle, no more


@pytest.mark.parametrize("hue", [0, 75, 180, 300])
def test_colours_have_no_luma_contrast_and_opposite_hues_are_opponents(hue):
    picture = draw("colour_contrast", 41, hue=hue).double()
    luma = torch.einsum("c,chw->hw", LUMA, picture)
    assert (luma - GREY).abs().max() < 1e-6
    opponent = draw("colour_contrast", 41, hue=hue + 180).double()
    torch.testing.assert_close(picture + opponent, torch.ones_like(picture))
    grey = rms_contrast(draw("edge", 41))
    torch.testing.assert_close(rms_contrast(picture), grey, atol=1e-5, rtol=1e-4)


def test_hue_zero_is_red_and_hue_270_is_blue():
    for hue, channel in ((0, 0), (270, 2)):
        assert draw("colour_contrast", 41, hue=hue)[:, 20, 35].argmax() == channel


@pytest.mark.parametrize("kind", ["line", "edge", "grating", "corner", "colour_contrast"])
def test_contrast_is_the_step_between_light_and_dark(kind):
    wide = {"width": 8.0} if kind == "line" else {}
    picture = draw(kind, 61, contrast=0.3, **wide)
    # In channel root mean square, which for greys is the luminance itself.
    deviation = (picture - GREY).square().mean(0).sqrt()
    one_sided = kind == "line"
    assert float(deviation.max()) == pytest.approx(0.3 if one_sided else 0.15, rel=0.02)


def test_polarity_exchanges_light_and_dark():
    light, dark = draw("curve", 41), draw("curve", 41, polarity=-1)
    torch.testing.assert_close(light + dark, torch.ones_like(light))
    assert light.max() > 0.9 and light.min() >= GREY - 1e-6


def test_the_bank_holds_every_kind_at_equal_contrast_and_says_what_it_is():
    bank = stimulus_bank(48, orientations=8)
    table = bank.table
    assert len(bank.images) == len(table) and bank.images.dtype == torch.float32
    assert bank.images.min() >= 0 and bank.images.max() <= 1
    assert list(table.kind.unique()) == list(KINDS)
    for _, rows in table.groupby("shape"):
        oriented = rows.kind.iloc[0] in ORIENTED and rows["style"].iloc[0] != "noise"
        assert list(rows.orientation) == (list(np.arange(8) * 45.0) if oriented else [0.0])
    i = table.index[(table.kind == "curve") & (table.orientation == 135)][5]
    row = table.loc[i]
    again = draw(
        "curve",
        48,
        orientation=row.orientation,
        radius=row.radius,
        width=row.width,
        polarity=row.polarity,
    )
    torch.testing.assert_close(bank.images[i], again)


@pytest.mark.parametrize("measure", ["range", "rms"])
@pytest.mark.parametrize("size", [7, 15])
def test_the_highest_contrast_is_what_all_drawings_can_have(size, measure):
    most = highest_contrast(size, measure)
    images = stimulus_bank(size, orientations=1, contrast=most, measure=measure).images
    assert float((images - 0.5).abs().max()) == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(UserError, match="the most that it can have"):
        stimulus_bank(size, orientations=1, contrast=most * 1.01, measure=measure)


def test_the_bank_can_equalise_root_mean_square_contrast():
    kinds = ["curve", "line", "edge", "texture", "colour_contrast"]
    bank = stimulus_bank(95, orientations=2, kinds=kinds, contrast=0.035, measure="rms")
    torch.testing.assert_close(
        rms_contrast(bank.images), torch.full((len(bank.images),), 0.035), atol=1e-5, rtol=0
    )


def test_the_bank_is_small_enough_and_textures_follow_the_seed():
    def count(kind):
        return len(stimulus_bank(32, orientations=24, kinds=[kind]).images)

    assert sum(count(kind) for kind in KINDS) <= 2500
    one, same, other = (stimulus_bank(32, 2, s, ["texture"]).images for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        ("curv", {}, "did you mean 'curve'"),
        ("line", {"widht": 3}, "did you mean 'width'"),
        ("texture", {"style": "furr"}, "did you mean 'fur'"),
        ("edge", {"measure": "peak"}, "range, rms"),
        ("line", {"contrast": 0.3, "measure": "rms"}, "the most that it can have is 0.12"),
    ],
)
def test_mistakes_are_named(kind, parameters, says):
    with pytest.raises(UserError, match=says):
        draw(kind, 48, **parameters)
    with pytest.raises(UserError, match="did you mean 'grating'"):
        stimulus_bank(48, kinds=["gratings"])
