"""Where photographs come from, and where in them to look.

A *spec* names the sources, joined with `+`:

    photos          the photographs inside the scikit-image and scikit-learn packages
    scenes:N        N synthetic scenes with the statistics of photographs, endless by seed
    folder:PATH     every image below a folder
    imagenet:PATH   an ImageNet folder, PATH/<class>/<image> or PATH/val/<class>/<image>
    imagenet_samples        1,000 photographs, one of each class of ImageNet, downloaded once
    imagenet_samples:PATH   the same from a folder at hand

A photograph is listed once, whatever its file is called and says beside its pixels: a copy could be
held out while the photograph is trained on (`gc_utils.images.copies` says what counts as one).
Hidden files and folders below PATH are passed over (`.ipynb_checkpoints`, `__MACOSX`, `@eaDir`,
`._name`), and so are run folders. Nothing is kept in memory before `Photograph.load()`, and nothing
is downloaded but `imagenet_samples`.
"""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from gc_utils.errors import UserError, brief, choose
from gc_utils.files import is_hidden, is_run
from gc_utils.images.copies import Copies
from gc_utils.images.decoding import READ, Unreadable, upright_look, upright_pixels, upright_size
from gc_utils.images.downloads import imagenet_samples
from gc_utils.images.listing import Tree, image_tree, shown_name, typed_folder
from gc_utils.images.scenes import render_scene

SOURCES = (
    *("photos", "scenes:N", "folder:PATH", "imagenet:PATH"),
    *("imagenet_samples", "imagenet_samples:PATH"),
)
WITH_PATHS = ("folder", "imagenet", "imagenet_samples")
OURS = ("photos", "scenes")
"""Sources whose images may be shown by anybody: freely licensed, or made here."""
SCENE_SIZE = 512
MOST_SCENES = 1_000_000  # listing them takes half a gigabyte, and more show nothing new
LARGEST_SHORT_SIDE = 1024
"""Larger photographs are reduced to this: a crop of theirs would show a blur of a few objects."""
# Looked at one by one. Left out: drawings, masks, logos and phantoms (chessboard, color, horse,
# logo, phantom), text (page, text), and what shows next to nothing (cell, clock_motion, lfw_subset,
# microaneurysms). Of the stereo pair, one side is kept: the other shows the same things.
BUNDLED = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "hubble_deep_field": ("skimage", "data/hubble_deep_field.jpg"),
    "ihc": ("skimage", "data/ihc.png"),
    "moon": ("skimage", "data/moon.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}


@dataclass(frozen=True)
class Photograph:
    """One image, still on disk or not yet rendered.

    Attributes:
        name: unique in its image set; it can be printed and drawn, whatever the file is called.
        source: "photos", "scenes", "folder", "imagenet" or "imagenet_samples".
        height: of what `load` returns, in pixels.
        width: of what `load` returns, in pixels.
        path: the file; None for a scene.
        seed: of a scene; empty for a file.
    """

    name: str
    source: str
    height: int
    width: int
    path: Path | None = None
    seed: tuple[int, ...] = ()

    def load(self) -> torch.Tensor:
        """Decode or render: float32 (3, height, width), RGB in [0, 1].

        Raises:
            UserError: the file went or broke since it was listed.
        """
        if self.path is None:
            return torch.from_numpy(render_scene(self.seed, self.height))
        try:
            return upright_pixels(self.path, self.height, self.width)
        except Unreadable as error:
            raise UserError(f"cannot read image {str(self.path)!r}: {error}.") from error


@dataclass(frozen=True)
class ImageSet(Sequence):
    """The photographs a spec stands for, and the files that could not be used.

    Attributes:
        spec: as given.
        photographs: in a fixed order.
        skipped: (name, reason) of every unusable file.
    """

    spec: str
    photographs: tuple[Photograph, ...]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.photographs)

    def __getitem__(self, index):
        return self.photographs[index]

    def summary(self, show: int = 5) -> str:
        """What is there and what was skipped, in a sentence or two; names the first `show`."""
        count = {s: sum(p.source == s for p in self) for s in dict.fromkeys(p.source for p in self)}
        text = f"{len(self)} images (" + ", ".join(f"{n} {s}" for s, n in count.items()) + ")"
        if self.skipped:
            some = "; ".join(f"{name}: {reason}" for name, reason in self.skipped[:show])
            more = len(self.skipped) - show
            text += f"; skipped {len(self.skipped)}: {some}" + (f"; {more} more" * (more > 0))
        return text + "."


def load_images(
    spec: str, *, seed: int = 0, limit: int | None = None, min_size: int = 0
) -> ImageSet:
    """List the photographs that a spec stands for.

    Files are checked here, once: those of a folder that `limit` lets through are decoded
    (JPEG at an eighth of its size), so that a truncated file is found now and not in the middle
    of an extraction.

    Args:
        spec: sources joined with `+`, such as "photos+scenes:64".
        seed: which scenes, and which images `limit` draws.
        limit: the most images of each source, drawn at random; None for all.
        min_size: images whose shorter side has fewer pixels are skipped.

    Raises:
        UserError: an unknown source, a path that is no folder, a download that failed, or no
            usable image.
    """
    photographs: list[Photograph] = []
    skipped: list[tuple[str, str]] = []
    if limit is not None and limit < 1:
        raise UserError(f"limit must be at least 1, not {limit}")
    known: Copies[Photograph] = Copies()
    for kind, value in _parse(spec):
        if kind == "scenes":
            side = max(SCENE_SIZE, min_size)
            count = min(_scene_count(value), limit or np.inf)
            found = [
                Photograph(f"scene-{seed}-{i}", kind, side, side, seed=(seed, i))
                for i in range(int(count))
            ]
        else:
            tree = _files(kind, value)
            found, bad = _usable(kind, tree.files, seed, limit, min_size, known)
            bad = tree.skipped + bad
            skipped += bad
            if not found:
                wanted = f" of at least {min_size} pixels" if min_size else ""
                where = f" in folder {value!r}" if value else ""
                why = "; ".join(f"{name}: {reason}" for name, reason in bad[:3])
                count = len(tree.files) + len(tree.skipped)
                raise UserError(
                    f"no usable image{wanted}{where}: {len(bad)} of {count} image files "
                    f"skipped" + (f" ({why})" if why else "") + f". {READ}."
                )
        photographs += found
    names = [p.name for p in photographs]
    if len(set(names)) < len(names):
        photographs = [
            Photograph(f"{i}:{p.name}", p.source, p.height, p.width, p.path, p.seed)
            for i, p in enumerate(photographs)
        ]
    return ImageSet(spec, tuple(photographs), skipped)


def image_files(spec: str) -> list[Path]:
    """The files that a spec's `folder:` and `imagenet:` sources would read, unchecked.

    Those of `imagenet_samples` are left out: they are always the same.

    Args:
        spec: sources joined with `+`.

    Returns:
        Their paths in a fixed order; empty without such sources.

    Raises:
        UserError: an unknown source, or a path that is no folder.
    """
    kinds = ("folder", "imagenet")
    listed = [_files(kind, value).files for kind, value in _parse(spec) if kind in kinds]
    return [path for source in listed for _, path in source]


def decode_image(data: bytes, name: str) -> torch.Tensor:
    """An image from the bytes of a file, as a person may choose one in a browser.

    Args:
        data: The file's content.
        name: The file's name, for messages.

    Returns:
        float32 `(3, height, width)`, RGB in [0, 1]; the shorter side has 1,024 pixels at most.

    Raises:
        UserError: The file is no image, damaged or far too large.
    """
    try:
        height, width = upright_size(io.BytesIO(data), LARGEST_SHORT_SIDE)
        return upright_pixels(io.BytesIO(data), height, width)
    except Unreadable as error:
        raise UserError(
            f"{name!r} cannot be read ({error}): choose a photograph, such as a JPEG or PNG file."
        ) from error


def is_scene(name: str) -> bool:
    """Whether the name of an image in a set is that of a drawn scene."""
    return re.fullmatch(r"(\d+:)?scene-\d+-\d+", name) is not None


def ours_to_show(spec: str) -> bool:
    """Whether all images of a spec are bundled or made here, so that anybody may show them.

    Args:
        spec: sources joined with `+`; empty for no images.

    Raises:
        UserError: an unknown source.
    """
    return all(kind in OURS for kind, _ in _parse(spec)) if spec else True


def without_paths(spec: str) -> str:
    """A spec as another person can use it: the folders of one machine are left out.

    Args:
        spec: sources joined with `+`; empty for no images.

    Returns:
        The spec with `PATH` for each path; of `imagenet_samples`, which anybody can have, without.

    Raises:
        UserError: an unknown source.

    Example:
        >>> without_paths("imagenet_samples:/home/me/in+scenes:8+folder:/home/me/mine")
        'imagenet_samples+scenes:8+folder:PATH'
    """
    plain = {"photos": "photos", "imagenet_samples": "imagenet_samples"}
    parts = _parse(spec) if spec else []
    return "+".join(
        plain.get(kind) or f"{kind}:{value if kind == 'scenes' else 'PATH'}"
        for kind, value in parts
    )


def _parse(spec: str) -> list[tuple[str, str]]:
    """Split "photos+scenes:8" into [("photos", ""), ("scenes", "8")]."""
    parts: list[tuple[str, str]] = []
    known = [s.split(":")[0] for s in SOURCES]
    if shown_name(spec := str(spec)).count("\\x") > spec.count("\\x"):
        raise UserError(
            f"images {shown_name(spec)!r}: a name that is no UTF-8 cannot be kept with a run; "
            "rename the folder, or make a link to it with a plain name."
        )
    for piece in _pieces(spec, known):
        kind, _, value = piece.partition(":")
        kind = kind.strip()
        if kind not in known:
            choose(piece.strip(), SOURCES, "images")
        if kind != "imagenet_samples" and (kind == "photos") == bool(value):
            form = next(s for s in SOURCES if s.startswith(kind))
            raise UserError(f"cannot read images {piece.strip()!r}: expected {form!r}")
        # In two folds, it would be held out from itself; 4 scenes are the first of 8, too.
        once = kind in ("imagenet_samples", "scenes") and kind in [k for k, _ in parts]
        if once or (kind, value) in parts:
            raise UserError(f"images {spec!r} name {piece.strip()!r} twice; once is enough.")
        parts.append((kind, value))
    return parts


def _pieces(spec: str, known: Sequence[str]) -> list[str]:
    """The sources of a spec as texts: a plus sign in a path divides nothing."""
    pieces: list[str] = []
    for piece in spec.split("+"):
        kind, colon, path = pieces[-1].partition(":") if pieces else ("", "", "")
        if kind.strip() in WITH_PATHS and path:
            longer = f"{path}+{piece}"
            inside = piece.partition(":")[0].strip() not in known or (
                not _is_there(path) and _is_there(longer, Path.is_dir)
            )
            if inside:
                pieces[-1] = f"{kind}{colon}{longer}"
                continue
        pieces.append(piece)
    return pieces


def _is_there(path: str, test: Callable[[Path], bool] = Path.exists) -> bool:
    with suppress(OSError, RuntimeError, ValueError):  # too long, or nobody's home folder
        return test(Path(path).expanduser())
    return False


def _scene_count(value: str) -> int:
    number = value.strip()
    if not number.isdecimal() or len(number) > 9 or not 1 <= int(number) <= MOST_SCENES:
        raise UserError(
            f"scenes:N takes a whole number from 1 to {MOST_SCENES:,}, not {brief(repr(value))}"
        )
    return int(number)


def _files(kind: str, value: str) -> Tree:
    """The image files of a source."""
    if kind == "photos":
        return Tree(list(_bundled()))
    if kind == "imagenet_samples":
        return Tree([(path.name, path) for path in imagenet_samples(value)])
    asked, root = f"images '{kind}:{value}'", typed_folder(value, f"images '{kind}:PATH': folder")
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"{asked}: folder {str(root)!r} {what}")
    try:
        if kind == "folder":
            return image_tree(root)
        # The usual tree has val/ and train/: the network was trained on the latter.
        parts = [root / "val", root / "train"]
        root = next((p for p in parts if p.is_dir() and _has_classes(p)), root)
        if not _has_classes(root):
            raise UserError(
                f"{asked}: no class folders in {str(root)!r}; "
                f"for images without classes use 'folder:{value}'"
            )
        tree = image_tree(root)
    except OSError as error:
        why = str(error.strerror).lower()
        raise UserError(f"{asked}: folder {str(root)!r} cannot be read ({why})") from error
    return Tree(*([item for item in some if "/" in item[0]] for some in (tree.files, tree.skipped)))


def _bundled() -> Iterable[tuple[str, Path]]:
    for name, (package, inside) in BUNDLED.items():
        module = importlib.util.find_spec(package)
        if module is None:
            distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
            raise UserError(f"images 'photos' need the Python package {distribution}")
        yield name, Path(module.origin).parent / inside


def _has_classes(folder: Path) -> bool:
    inside = (path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    return any(not is_run(path) for path in inside)


def _usable(
    kind: str,
    named: list[tuple[str, Path]],
    seed: int,
    limit: int | None,
    min_size: int,
    known: Copies[Photograph],
) -> tuple[list[Photograph], list[tuple[str, str]]]:
    """The first `limit` usable files in random order (all without a limit), and what was wrong."""
    order = np.arange(len(named))
    if limit is not None:
        order = np.random.default_rng(seed).permutation(len(named))
    found, bad = {}, {}
    for i in order:
        if len(found) == limit:
            break
        name, path = named[i]
        try:
            look = upright_look(path, max(LARGEST_SHORT_SIDE, min_size))
        except Unreadable as error:
            bad[i] = (name, shown_name(str(error)))
            continue
        height, width = look.height, look.width
        if min(height, width) < min_size:
            bad[i] = (name, f"too small: {width}x{height} pixels, at least {min_size} wanted")
            continue
        photograph = Photograph(name, kind, height, width, path)
        first = known.first(photograph, look)
        if first is photograph:
            found[i] = photograph
        else:
            bad[i] = (name, f"the same picture as {first.name!r}")
    return [found[i] for i in sorted(found)], [bad[i] for i in sorted(bad)]
