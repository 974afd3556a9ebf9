from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gc_utils.errors import UserError
from gc_utils.images import (
    BUNDLED,
    LARGEST_SHORT_SIDE,
    Photograph,
    assign_folds,
    image_files,
    load_images,
    sample_points,
)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)


def save(array, path, mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def only(folder, **options):
    (photograph,) = load_images(f"folder:{folder}", **options)
    return photograph.load()


# Photographs in the packages


def test_every_bundled_photograph_loads_as_rgb():
    images = load_images("photos")
    assert [p.name for p in images] == list(BUNDLED) and images.skipped == []
    for photograph in images:
        x = photograph.load()
        assert x.shape == (3, photograph.height, photograph.width) and x.dtype == torch.float32
        assert 0 <= x.min() and x.max() <= 1 and x.std() > 0.02
    assert len({p.path.name.split("_")[0] for p in images}) == len(images)  # one of the stereo pair


def test_a_greyscale_photograph_has_three_equal_channels():
    camera = next(p for p in load_images("photos") if p.name == "camera").load()
    assert torch.equal(camera[0], camera[1]) and torch.equal(camera[0], camera[2])


# Scenes


def test_scenes_are_endless_lazy_and_seeded():
    few, many = load_images("scenes:2", seed=3), load_images("scenes:500", seed=3)
    assert len(many) == 500 and list(few) == list(many[:2])
    x = few[1].load()
    assert x.shape == (3, 512, 512) and x.dtype == torch.float32
    assert 0 <= x.min() and x.max() <= 1
    assert torch.equal(x, many[1].load())
    unseen = load_images("scenes:2", seed=4)
    assert not {p.seed for p in few} & {p.seed for p in unseen}
    assert not torch.equal(x, unseen[1].load())


def test_scenes_have_the_amplitude_spectrum_of_photographs():
    """About 1/f: the slope of log amplitude over log frequency is near -1."""
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    edges = np.geomspace(4 / 512, 0.35, 14)
    window = np.outer(np.hanning(512), np.hanning(512))
    for photograph in load_images("scenes:4", seed=1):
        luminance = photograph.load().mean(0).numpy()
        amplitude = np.abs(np.fft.fft2((luminance - luminance.mean()) * window))
        mean = [
            amplitude[(f >= a) & (f < b)].mean() for a, b in zip(edges, edges[1:], strict=False)
        ]
        slope = np.polyfit(np.log(edges[:-1]), np.log(mean), 1)[0]
        assert -1.6 < slope < -0.8


# Folders


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "jpg"), ("CMYK", "jpg"), ("L", "jpg"), ("L", "png"), ("1", "png"), ("P", "gif")],
)
def test_pixel_formats_become_rgb(tmp_path, noise, mode, suffix):
    smooth = np.array(Image.fromarray(noise).resize((10, 8)).resize((80, 64)))
    save(smooth, tmp_path / f"a.{suffix}", mode)
    x = only(tmp_path)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        expected = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    assert x.shape == (3, 64, 80)
    np.testing.assert_allclose(x.permute(1, 2, 0), expected, atol=1e-6)


def test_sixteen_bit_images_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    save(ramp.astype(np.uint16), tmp_path / "a.png")
    np.testing.assert_allclose(only(tmp_path)[1], ramp / 65535, atol=1 / 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparency_lies_over_mid_grey(tmp_path, noise, suffix):
    alpha = np.zeros((64, 80, 1), np.uint8)
    alpha[:32] = 255
    save(np.concatenate([noise, alpha], 2), tmp_path / f"a.{suffix}")
    x = only(tmp_path).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(x[:32], noise[:32] / 255, atol=1e-6)
    np.testing.assert_allclose(x[32:], 128 / 255, atol=1e-6)


def test_a_palette_with_a_transparent_entry_lies_over_mid_grey(tmp_path, noise):
    index = np.zeros((64, 64), np.uint8)
    index[:, 32:] = 1
    image = Image.fromarray(index)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png", transparency=1)
    x = only(tmp_path)
    assert x[:, 0, 0].tolist() == [1, 0, 0]
    np.testing.assert_allclose(x[:, 0, 40], 128 / 255, atol=1e-6)


def test_a_camera_held_upright_is_turned(tmp_path, noise):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    save(noise, tmp_path / "a.png", exif=exif)
    (photograph,) = load_images(f"folder:{tmp_path}")
    assert (photograph.height, photograph.width) == (80, 64)
    upright = np.rot90(noise, -1) / 255
    np.testing.assert_allclose(photograph.load().permute(1, 2, 0), upright, atol=1e-6)


def test_a_large_photograph_is_reduced(tmp_path):
    y, x = np.mgrid[:1500, :3000]
    ramp = np.stack([x / 3000, y / 1500, 0 * x], 2)
    save((ramp * 255).astype(np.uint8), tmp_path / "a.jpg", quality=95)
    (photograph,) = load_images(f"folder:{tmp_path}")
    assert (photograph.height, photograph.width) == (LARGEST_SHORT_SIDE, 2 * LARGEST_SHORT_SIDE)
    picture = photograph.load()
    assert picture.shape == (3, photograph.height, photograph.width)
    np.testing.assert_allclose(picture[0, 500], np.linspace(0, 1, 2048), atol=0.03)


def test_broken_and_small_files_are_skipped_and_named(tmp_path, noise):
    save(noise, tmp_path / "deep" / "er" / "good.jpg")
    save(noise[::-1], tmp_path / "ünïcode name.PNG")
    save(noise[:20, :20], tmp_path / "small.png")
    for name in ("cut.jpg", "cut.png"):
        data = save(noise, tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])  # the header is whole
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("no one says that this is an image")
    (tmp_path / "._good.jpg").write_text("a file system's side file")
    images = load_images(f"folder:{tmp_path}", min_size=32)
    assert [p.name for p in images] == ["ünïcode name.PNG", "deep/er/good.jpg"]
    reasons = dict(images.skipped)
    assert set(reasons) == {"cut.jpg", "cut.png", "empty.png", "small.png", "text.jpg"}
    assert reasons["small.png"] == "too small: 20x20 pixels, at least 32 wanted"
    assert "truncated" in reasons["cut.jpg"]
    assert images.summary(show=1).startswith("2 images (2 folder); skipped 5: cut.jpg: ")
    assert images.summary(show=1).endswith("; 4 more.")


HIDDEN = (".ipynb_checkpoints/{}", "__MACOSX/deep/{}", "@eaDir/{}", "sub/.hidden/{}", "sub/._{}")


def test_copies_in_hidden_folders_are_not_held_out_from_themselves(tmp_path, noise):
    root = tmp_path / ".cache" / "photos"  # where a person's folder lies is up to them
    for name, one in (("a.png", noise), ("sub/b.png", noise[::-1])):
        save(one, root / name)
        for place in HIDDEN:
            save(one, root / place.format(Path(name).name))
    images = load_images(f"folder:{root}")
    assert [p.name for p in images] == ["a.png", "sub/b.png"] and not images.skipped
    assert image_files(f"photos+folder:{root}") == [root / "a.png", root / "sub" / "b.png"]


def test_hidden_classes_and_files_of_an_imagenet_tree_are_not_read(tmp_path, noise):
    root = tmp_path / ".data"
    for place in HIDDEN:
        save(noise, root / "train" / "n01" / place.format("a.png"))
        save(noise, root / "train" / place.format("b.png"))
    save(noise, root / "train" / "n01" / "c.png")
    save(noise, root / "val" / ".ipynb_checkpoints" / "d.png")  # which is no class
    images = load_images(f"imagenet:{root}")
    assert [p.name for p in images] == ["n01/c.png"] and not images.skipped
    with pytest.raises(UserError, match="no class folders"):
        load_images(f"imagenet:{root}/val")


def test_limit_draws_usable_images_by_seed(tmp_path, noise):
    for i in range(12):
        save(noise + np.uint8(i), tmp_path / f"{i:02}.png")
        (tmp_path / f"bad{i:02}.png").write_text("broken")
    names = [
        [p.name for p in load_images(f"folder:{tmp_path}", limit=6, seed=seed)]
        for seed in (0, 0, 1)
    ]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == 6 and names[0] == sorted(names[0])
    assert len(load_images("photos+scenes:9", limit=3)) == 6  # of each source


def test_a_file_that_breaks_later_is_a_user_error(tmp_path, noise):
    path = save(noise, tmp_path / "a.png")
    (photograph,) = load_images(f"folder:{tmp_path}")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot read image .*a.png"):
        photograph.load()


def test_an_imagenet_tree_is_read_by_class_validation_first(tmp_path, noise):
    for part, names in {"train": "ab", "val": "cd"}.items():
        for name in names:
            save(noise + np.uint8(ord(name)), tmp_path / part / f"n0{name}" / f"{name}.JPEG")
    assert [p.name for p in load_images(f"imagenet:{tmp_path}")] == ["n0c/c.JPEG", "n0d/d.JPEG"]
    train = load_images(f"imagenet:{tmp_path}/train", limit=1)
    assert len(train) == 1 and train[0].load().shape == (3, 64, 80)
    with pytest.raises(UserError, match="no class folders .* use 'folder:"):
        load_images(f"imagenet:{tmp_path}/val/n0c")


# Specs


def test_sources_are_joined_and_a_path_may_hold_a_plus(tmp_path, noise):
    save(noise, tmp_path / "a+b" / "x.png")
    images = load_images(f"photos+folder:{tmp_path}/a+b+scenes:2")
    assert [p.source for p in images][-3:] == ["folder", "scenes", "scenes"]
    with pytest.raises(UserError, match="a[+]b' twice"):  # in two folds, it would be its own test
        load_images(f"folder:{tmp_path}/a+b+folder:{tmp_path}/a+b")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("photo", "did you mean 'photos'"),
        ("photos+scnes:3", "unknown images 'scnes:3'.*'scenes:N'.*folder:PATH, imagenet:PATH"),
        ("", "unknown images ''"),
        ("scenes", "expected 'scenes:N'"),
        ("scenes:-1", "from 1 to 1,000,000, not '-1'"),
        ("photos:3", "expected 'photos'"),
        ("folder:", "expected 'folder:PATH'"),
        ("folder:/does/not/exist", "folder '/does/not/exist' does not exist"),
    ],
)
def test_unknown_images_are_named_with_the_choices(spec, says):
    with pytest.raises(UserError, match=says):
        load_images(spec)


def test_a_folder_without_usable_images_is_a_user_error(tmp_path, noise):
    with pytest.raises(UserError, match="no usable image in folder .* 0 of 0"):
        load_images(f"folder:{tmp_path}")
    file = save(noise, tmp_path / "a.png")
    with pytest.raises(UserError, match=r"of at least 99 pixels .* 1 of 1 .*\(a.png: too small"):
        load_images(f"folder:{tmp_path}", min_size=99)
    with pytest.raises(UserError, match="is not a folder"):
        load_images(f"folder:{file}")
    with pytest.raises(UserError, match="limit must be at least 1"):
        load_images("photos", limit=0)


# Folds


@pytest.mark.parametrize("seed", range(5))
def test_folds_hold_whole_photographs_of_every_source_evenly(seed):
    images = load_images("photos+scenes:7")
    fold = assign_folds(images, 4, seed)
    np.testing.assert_array_equal(fold, assign_folds(images, 4, seed))
    for source in ("photos", "scenes"):
        count = np.bincount(fold[[p.source == source for p in images]], minlength=4)
        assert count.max() - count.min() <= 1
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 1
    area = np.array([p.height * p.width for p in images])
    share = np.bincount(fold, weights=area) / area.sum()
    assert share.max() < 0.36  # retina or hubble_deep_field alone are a sixth of all


def test_folds_depend_on_the_seed_and_are_no_more_than_photographs():
    images = [Photograph(str(i), "folder", 100, 100) for i in range(8)]
    assert any((assign_folds(images, 4, 0) != assign_folds(images, 4, s)).any() for s in (1, 2))
    assert sorted(assign_folds(images, 9)) == list(range(8))  # fewer photographs, fewer folds
    assert sorted(assign_folds(images[:3], 4)) == [0, 1, 2]
    assert assign_folds(images[:1], 1).tolist() == [0]
    with pytest.raises(UserError, match="at least 2 photographs are needed"):
        assign_folds(images[:1], 4)
    with pytest.raises(UserError, match="0 folds asked for"):
        assign_folds(images, 0)


# Points


def texture(height, width, strength, seed=0):
    noise = np.random.default_rng(seed).uniform(-1, 1, (height, width)) * strength
    return torch.from_numpy(0.5 + noise).float().expand(3, -1, -1)


def test_points_are_as_dense_as_contrast_is_high():
    image = torch.cat([texture(400, 300, 0.4), texture(400, 300, 0.1)], 2)
    points, _ = sample_points(image, 4000, scales=[1], crop_size=41, rng=np.random.default_rng(0))
    x = points[:, 0]
    strong, weak = ((x > 50) & (x < 250)).sum(), ((x > 350) & (x < 550)).sum()
    assert 3.6 < strong / weak < 4.4


def test_flat_sky_is_rare():
    sky, ground = texture(300, 500, 0.004), texture(200, 500, 0.4)
    image = torch.cat([sky, ground], 1)
    points, _ = sample_points(image, 2000, scales=[1, 2], rng=np.random.default_rng(0))
    assert (points[:, 1] < 250).float().mean() < 0.03
    rocket = next(p for p in load_images("photos") if p.name == "rocket").load()
    points, _ = sample_points(rocket, 1000, scales=[1], rng=np.random.default_rng(0))
    box = (points > torch.tensor([340.0, 50])) & (points < torch.tensor([410.0, 300]))
    room = (640 - 95) * (427 - 95)
    assert box.all(1).float().mean() < 0.3 * 70 * 250 / room  # of what its area would get


@pytest.mark.parametrize("shape", [(300, 451), (512, 384)])
def test_turned_crops_stay_inside_at_every_scale(shape):
    image = texture(*shape, 0.3)
    points, scales = sample_points(
        image, 301, scales=[1, 1.5, 2], crop_size=95, rng=np.random.default_rng(0)
    )
    assert points.shape == (301, 2) and scales.shape == (301,)
    assert sorted(np.unique(scales, return_counts=True)[1]) == [100, 100, 101]
    low = points - 47.5 * scales[:, None]
    high = points + 47.5 * scales[:, None]
    assert low.min() >= 0
    assert (high <= torch.tensor([shape[1] - 1.0, shape[0] - 1.0])).all()
    assert (points % 1 != 0).float().mean() > 0.9  # not on the pixel lattice
    half = sample_points(image, 50, scales=[1], margin=20, rng=np.random.default_rng(0))[0]
    assert half.min() >= 20 and half.min() < 47


def test_scales_that_do_not_fit_are_left_out():
    image = texture(200, 260, 0.3)
    _, scales = sample_points(image, 20, scales=[1, 2, 3], rng=np.random.default_rng(0))
    assert scales.unique().tolist() == [1, 2]
    points, scales = sample_points(image, 20, scales=[3, 4], rng=np.random.default_rng(0))
    assert scales.unique().tolist() == [3]
    torch.testing.assert_close(points, torch.tensor([129.5, 99.5]).expand(20, 2))


def test_points_follow_the_generator_and_a_blank_image_has_points_too():
    blank = torch.full((3, 150, 150), 0.5)
    a, b, c = (
        sample_points(blank, 30, scales=[1], rng=np.random.default_rng(s))[0] for s in (0, 0, 1)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert a.std(0).min() > 5
