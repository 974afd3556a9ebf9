"""Folders as people have them: copies, links, runs, hidden places, odd names."""

import os
import stat

import numpy as np
import pytest
from PIL import Image, features

from gc_utils.errors import UserError
from gc_utils.figures import save_figure
from gc_utils.images import image_files, load_images
from gc_utils.images.listing import shown_name


def draw(path, seed=0, size=(24, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def names(spec, **options):
    return [p.name for p in load_images(spec, **options)]


def link(path, target, folder=False):
    try:
        path.symlink_to(target, target_is_directory=folder)
    except OSError:  # Windows, without the right to
        pytest.skip("links cannot be made here")


# One photograph, once


def test_a_picture_under_two_names_is_read_once_and_the_other_is_named(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    draw(a / "one.png", 1), draw(a / "two.png", 2)
    (a / "copy of one.png").write_bytes((a / "one.png").read_bytes())
    (a / "zwei.jpg").write_bytes((a / "two.png").read_bytes())
    draw(b / "three.png", 3)
    (b / "another one.png").write_bytes((a / "one.png").read_bytes())
    images = load_images(f"folder:{a}+folder:{b}")
    assert [p.name for p in images] == ["copy of one.png", "two.png", "three.png"]
    assert dict(images.skipped) == {
        "one.png": "the same picture as 'copy of one.png'",
        "zwei.jpg": "the same picture as 'two.png'",
        "another one.png": "the same picture as 'copy of one.png'",
    }


@pytest.mark.parametrize("again", ["{0}", "{0}/", "{0}/.", "{0}/../pics", "{1}", "{0}/sub"])
def test_a_folder_named_twice_is_refused(tmp_path, again):
    folder = tmp_path / "pics"
    draw(folder / "a.png", 1), draw(folder / "sub" / "b.png", 2)
    link(tmp_path / "linked", folder, folder=True)
    again = again.format(folder, tmp_path / "linked")
    for kind in ("folder", "imagenet")[: 1 + ("sub" not in again)]:
        with pytest.raises(UserError, match="(twice; once is enough|the same picture as)"):
            load_images(f"folder:{folder}+{kind}:{again}")


def test_a_folder_with_a_plus_is_refused_twice_and_may_be_called_like_a_source(tmp_path):
    draw(tmp_path / "a+photos" / "x.png")
    assert names(f"folder:{tmp_path}/a+photos") == ["x.png"]
    draw(tmp_path / "a+b" / "y.png", 5)
    spec = f"folder:{tmp_path}/a+b"
    assert names(spec) == ["y.png"]
    with pytest.raises(UserError, match="twice"):
        load_images(f"{spec}+{spec}")
    with pytest.raises(UserError, match="twice"):
        load_images("scenes:4+scenes:8")  # whose first are the same


# Links


@pytest.mark.parametrize("kind", ["folder", "imagenet"])
def test_linked_folders_are_followed_once_and_loops_end(tmp_path, kind):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    draw(root / "n01" / "a.png", 1), draw(elsewhere / "b.png", 2)
    link(root / "n00", elsewhere, folder=True)
    link(root / "n01" / "up", root, folder=True)
    link(elsewhere / "round", elsewhere, folder=True)
    link(root / "n02", root / "n01", folder=True)
    images = load_images(f"{kind}:{root}")
    assert [p.name for p in images] == ["n01/a.png", "n00/b.png"]
    expected = {
        "n01/up": "the same folder as '.'",
        "n00/round": "the same folder as 'n00'",
        "n02": "the same folder as 'n01'",
    }
    if kind == "imagenet":
        del expected["n02"]  # a class
    assert {n: r for n, r in images.skipped if n in expected} == expected
    assert len(image_files(f"{kind}:{root}")) == 2


def test_links_to_nothing_and_to_themselves_are_named(tmp_path):
    draw(tmp_path / "a.png")
    link(tmp_path / "gone.png", tmp_path / "nowhere")
    link(tmp_path / "self.png", tmp_path / "self.png")
    link(tmp_path / "text.txt", tmp_path / "nowhere")
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == ["a.png"]
    assert dict(images.skipped).keys() == {"gone.png", "self.png"}
    assert image_files(f"folder:{tmp_path}") == [tmp_path / "a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    draw(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    os.mkfifo(tmp_path / "noending")
    images = load_images(f"folder:{tmp_path}")
    assert images.skipped == [("b.png", "no file, but a pipe, socket or device")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="may read all")
def test_what_may_not_be_read_is_named(tmp_path):
    draw(tmp_path / "a.png", 1), draw(tmp_path / "deep" / "b.png", 2), draw(tmp_path / "c.png", 3)
    (tmp_path / "deep").chmod(0)
    (tmp_path / "c.png").chmod(0)
    try:
        images = load_images(f"folder:{tmp_path}")
        assert [p.name for p in images] == ["a.png"]
        assert dict(images.skipped) == {
            "deep": "a folder that cannot be read: Permission denied",
            "c.png": "permission denied",
        }
        with pytest.raises(UserError, match="cannot be read .permission denied"):
            load_images(f"folder:{tmp_path}/deep")
    finally:
        (tmp_path / "deep").chmod(stat.S_IRWXU)


def test_folders_that_refuse_to_be_listed_are_named(tmp_path, monkeypatch):
    """The same for whoever may read all, as the root user of a container."""
    draw(tmp_path / "a.png", 1), draw(tmp_path / "deep" / "b.png", 2)
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    images = load_images(f"folder:{tmp_path}")
    assert images.skipped == [("deep", "a folder that cannot be read: Permission denied")]


# Runs


@pytest.mark.parametrize("kind", ["folder", "imagenet"])
@pytest.mark.parametrize("mark", ["run.json", "activations.zarr/zarr.json", "results/01_x.json"])
def test_a_run_in_the_folder_of_its_pictures_is_not_read(tmp_path, kind, mark):
    import matplotlib.pyplot as plt

    draw(tmp_path / "n01" / "a.png", 1)
    run = tmp_path / "n01" / "out"
    (run / mark).parent.mkdir(parents=True)
    (run / mark).write_text("{}")
    save_figure(plt.figure(), run, "01_pictures", "Some images.")
    images = load_images(f"{kind}:{tmp_path}")
    assert [p.name for p in images] == ["n01/a.png"]
    assert images.skipped == [("n01/out", "a run folder")]
    assert image_files(f"{kind}:{tmp_path}") == [tmp_path / "n01" / "a.png"]
    plt.close("all")


def test_a_run_made_right_among_the_pictures_leaves_them_to_be_read(tmp_path):
    draw(tmp_path / "a.png", 1), draw(tmp_path / "holiday" / "b.png", 2)
    draw(tmp_path / "figures" / "01_orbit.png", 3), draw(tmp_path / "gallery" / "c.png", 4)
    (tmp_path / "run.json").write_text("{}")
    assert names(f"folder:{tmp_path}") == ["a.png", "holiday/b.png"]


def test_a_figure_that_a_notebook_made_by_hand_is_no_photograph(tmp_path):
    """No `run.json` is written then, and the first figure comes before the activations."""
    import matplotlib.pyplot as plt

    draw(tmp_path / "a.png", 1)
    save_figure(plt.figure(), tmp_path, "01_pictures", "Some images.")
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == ["a.png"]
    assert images.skipped == [("figures/01_pictures.png", "a figure that a notebook made")]
    plt.close("all")


@pytest.mark.parametrize(
    "place",
    [
        ".thumbnails",
        ".AppleDouble",
        "@eaDir",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
    ]
    + ["#recycle", "@Recycle", "#snapshot", "lost+found", ".Trash-1000"],
)
def test_what_systems_keep_beside_pictures_is_not_read(tmp_path, place):
    for root in (tmp_path, tmp_path / "n01"):
        draw(root / place / "x.png", 7)
    draw(tmp_path / "n01" / "a.png", 1)
    for kind in ("folder", "imagenet"):
        assert names(f"{kind}:{tmp_path}") == ["n01/a.png"]
        assert load_images(f"{kind}:{tmp_path}").skipped == []


def test_what_a_person_put_into_a_folder_that_runs_make_is_said(tmp_path):
    draw(tmp_path / "a.png", 1), draw(tmp_path / "b.png", 2)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "01_x.json").write_text("{}")
    draw(tmp_path / "figures" / "c.png", 3)
    draw(tmp_path / "gallery" / "deep" / "d.png", 4), draw(tmp_path / "gallery" / "e.JPG", 5)
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == ["a.png", "b.png"]
    left = "in a folder that notebooks make; put photographs into another one"
    assert images.skipped == [
        ("figures", f"1 image file {left}"),
        ("gallery", f"2 image files {left}"),
    ]


# Paths that lead nowhere


@pytest.mark.parametrize("kind", ["folder", "imagenet", "imagenet_samples"])
def test_paths_that_cannot_be_are_refused_by_name(kind):
    with pytest.raises(UserError, match="'~nosuchuser/x': there is no such home folder"):
        load_images(f"{kind}:~nosuchuser/x")
    for long in ("a" * 300, "a/" * 3000, "a" * 300 + "+b", "a+photos" * 50):
        with pytest.raises(UserError, match="folder 'a.*cannot be looked for .file name too long"):
            load_images(f"{kind}:{long}")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such long paths")
def test_folders_nested_hundreds_deep_are_listed_in_order(tmp_path):
    draw(tmp_path / "a.png", 1), draw(tmp_path / "z" / "b.png", 2)
    here = tmp_path / "d"
    for _ in range(700):
        os.mkdir(here)
        here /= "d"
    draw(here.parent / "c.png", 3)
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == ["a.png", "d/" * 700 + "c.png", "z/b.png"]
    assert images.skipped == []
    (here.parent / "c.png").unlink()
    while (here := here.parent) != tmp_path:  # what removes old test folders may recurse
        here.rmdir()


# Endings and names


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "tiff", "webp", "bmp", "jpeg2000", "avif"])
def test_images_with_endings_that_are_none_are_read(tmp_path, kind):
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    odd = ["2019-05-01 12.30.45", "IMG_0001.jpg ", "IMG.jpg_large", "b.JPG.1", "photo.jpeg?w=3"]
    for i, name in enumerate(odd):
        with open(tmp_path / name, "wb") as file:
            Image.open(draw(tmp_path / "draft.png", i)).save(file, kind)
    (tmp_path / "draft.png").unlink()
    (tmp_path / "notes.draft").write_text("BMX bicycles, and no image")
    (tmp_path / "phone.heic.1").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == sorted(odd)
    why = "a HEIC image, which is not read; save it as JPEG"
    assert images.skipped == [("phone.heic.1", why)]


def test_images_that_are_not_read_are_named_with_what_is(tmp_path):
    for name in ("b.HEIC", "c.cr2", "d.svg"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match=r"3 of 3 .*b.HEIC: .heic files are not read.*JPEG, PNG"):
        load_images(f"folder:{tmp_path}")
    draw(tmp_path / "a.png").rename(tmp_path / "noending")
    (tmp_path / "LICENSE").write_text("no image")
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == ["noending"] and len(images.skipped) == 3


ODD = ("price $5_$.png", "$$cash$$.png", "a+b.png", "100%_#1 & <b>co.png", "party 🎉👩‍🔬.png")


def test_odd_names_are_read_and_kept_as_they_are(tmp_path):
    for i, name in enumerate(ODD):
        draw(tmp_path / name, i)
    assert names(f"folder:{tmp_path}") == sorted(ODD)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_are_no_text_are_shown_as_text(tmp_path):
    for i, name in enumerate((b"caf\xe9.png", b"two\nlines.png", b"\xe2\x80\xaegnp.png")):
        try:
            os.replace(draw(tmp_path / "a.png", i), os.fsencode(tmp_path) + b"/" + name)
        except OSError:
            pytest.skip("the file system takes UTF-8 names only")
    images = load_images(f"folder:{tmp_path}")
    assert {p.name for p in images} == {r"caf\xe9.png", r"two\nlines.png", r"\u202egnp.png"}
    for photograph in images:
        photograph.name.encode()
        assert photograph.load().shape == (3, 24, 30)
    images.summary().encode()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_skipped_files_and_refused_folders_can_be_printed(tmp_path):
    draw(tmp_path / "a.png")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:
        file.write(b"no image")
    images = load_images(f"folder:{tmp_path}")
    assert images.skipped == [(r"caf\xe9.png", "not an image, or damaged")]
    with pytest.raises(UserError, match="no UTF-8.*rename") as raised:
        load_images(f"folder:{tmp_path}/" + os.fsdecode(b"caf\xe9"))
    str(raised.value).encode()


def test_shown_names():
    assert shown_name("plain ünïcode 名前.png") == "plain ünïcode 名前.png"
    assert shown_name("a\tb\r\n\x1b[31m\x7f") == r"a\tb\r\n\x1b[31m\x7f"
