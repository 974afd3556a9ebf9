"""Make the demo weights: InceptionV1's stem through mixed3b, trained on free pictures and shapes.

    python make_demo.py gather   --data DIR     pictures, cut-outs and glyphs into arrays
    python make_demo.py train    --data DIR     train, and export every few minutes
    python make_demo.py evaluate --out FILE     what the units of mixed3b respond to
"""

from __future__ import annotations

import argparse
import io
import math
import string
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gc_utils.activations import variance
from gc_utils.groups import group
from gc_utils.images import assign_folds, load_images, sample_points
from gc_utils.inception import STEPS, InceptionV1, Norm, crop_size
from gc_utils.orbits import orbit
from gc_utils.stimuli import stimulus_bank

TILE = 128  # pixels across a stored picture, cut-out or glyph
CHARACTERS = string.ascii_letters + string.digits + "&?@$%αβγδεζλμπσφψω"
ROOT = Path("/usr/share")
PHOTOGRAPHS = [ROOT / "wallpapers", ROOT / "backgrounds"]
TEXTURES = [ROOT / "games/openarena/baseoa", ROOT / "games/ufoai/base"]
CUTOUTS = [ROOT / "openclipart/png", ROOT / "tuxpaint/stamps"]
FONTS = [ROOT / "fonts"]
Image.MAX_IMAGE_PIXELS = None


# ------------------------------------------------------------------------------------- gather


def tiles(source: tuple[str, str | None]) -> list[np.ndarray]:
    """Square tiles (TILE, TILE, 3) of one photograph at three scales, or of one texture at one."""
    path, member = source
    try:
        data = zipfile.ZipFile(path).read(member) if member else Path(path).read_bytes()
        picture = Image.open(io.BytesIO(data)).convert("RGB")
    except (OSError, ValueError):
        return []
    found, rng = [], np.random.default_rng(len(data))
    for short, count in ((160, 1),) if member else ((150, 2), (300, 5), (600, 9)):
        factor = short / min(picture.size)
        if factor > 1.3 or max(picture.size) > 4 * min(picture.size):
            continue
        small = picture.resize([round(s * factor) for s in picture.size], Image.Resampling.BOX)
        for _ in range(count):
            x, y = (int(rng.integers(0, s - TILE + 1)) for s in small.size)
            tile = np.asarray(small.crop((x, y, x + TILE, y + TILE)))
            if tile.std((0, 1)).mean() > 12:  # flat sky names no picture
                found.append(tile)
    return found


def cutout(path: str) -> list[np.ndarray]:
    """One RGBA cut-out, trimmed and centred so that it can be turned without being cropped."""
    try:
        picture = Image.open(path).convert("RGBA")
    except (OSError, ValueError):
        return []
    box = picture.getchannel("A").point(lambda a: 255 * (a > 20)).getbbox()
    if box is None or min(box[2] - box[0], box[3] - box[1]) < 24:
        return []
    picture = picture.crop(box)
    factor = 0.9 * TILE / max(picture.size)
    size = [max(1, round(s * factor)) for s in picture.size]
    frame = Image.new("RGBA", (TILE, TILE))
    frame.paste(
        picture.resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC),
        tuple((TILE - s) // 2 for s in size),
    )
    return [np.asarray(frame)]


def glyphs(path: str) -> list[tuple[int, np.ndarray]]:
    """(character, mask) of every CHARACTER that a font draws, scaled to fill the tile."""
    found = []
    try:
        font = ImageFont.truetype(path, TILE)
        missing = bytes(font.getmask("\U0010fffd"))
    except (OSError, ValueError):
        return []
    for index, character in enumerate(CHARACTERS):
        left, top, right, bottom = font.getbbox(character)
        width, height = right - left, bottom - top
        if width < 4 or height < 4 or bytes(font.getmask(character)) == missing:
            continue
        canvas = Image.new("L", (width, height))
        ImageDraw.Draw(canvas).text((-left, -top), character, font=font, fill=255)
        factor = 0.75 * TILE / max(width, height)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        mask = Image.new("L", (TILE, TILE))
        mask.paste(
            canvas.resize(size, Image.Resampling.BICUBIC),
            tuple((TILE - s) // 2 for s in size),
        )
        found.append((index, np.asarray(mask)))
    return found


def picture_files(folders: list[Path]) -> list[str]:
    """Picture files below the folders; of one wallpaper in many sizes only the largest file."""
    largest: dict[Path, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp") and path.is_file():
                path = path.resolve()
                if "screenshot" in path.name.lower():
                    continue
                key = path.parent if path.stem.replace("x", "").isdigit() else path
                if key not in largest or path.stat().st_size > largest[key].stat().st_size:
                    largest[key] = path
    return [str(p) for p in largest.values()]


def gather(args: argparse.Namespace) -> None:
    """Decode everything once into `pictures.npy`, `cutouts.npy`, `glyphs.npy`, `characters.npy`."""
    args.data.mkdir(parents=True, exist_ok=True)
    sources: list[tuple[str, str | None]] = [(p, None) for p in picture_files(args.photographs)]
    for archive in sorted(p for folder in args.textures for p in folder.glob("*.pk3")):
        names = zipfile.ZipFile(archive.resolve()).namelist()
        skip = ("_nm.", "_gm.", "_sm.", "_norm", "_gloss", "_spec", "_glow")  # maps, not pictures
        sources += [
            (str(archive.resolve()), n)
            for n in names
            if n.lower().endswith((".jpg", ".png", ".tga")) and not any(s in n for s in skip)
        ]
    stamps = [p for p in picture_files(args.cutouts) if "duplicates" not in p]
    fonts = sorted(str(p) for f in args.fonts for p in f.rglob("*") if p.suffix in (".ttf", ".otf"))
    with ProcessPoolExecutor() as pool:
        for name, work, items in (
            ("cutouts", cutout, stamps),
            ("pictures", tiles, sources),
            ("glyphs", glyphs, fonts),
        ):
            found = [x for group in pool.map(work, items, chunksize=16) for x in group]
            if name == "glyphs":
                np.save(args.data / "characters.npy", np.array([c for c, _ in found], np.int16))
                found = [mask for _, mask in found]
            np.save(args.data / f"{name}.npy", np.stack(found))
            print(f"{len(found)} {name} of {len(items)} files", flush=True)


# ------------------------------------------------------------------------------ what is shown

CROP = 64
BINS = 16  # orientations over 360 degrees


def uniform(count: int, low: float, high: float) -> Tensor:
    return torch.rand(count) * (high - low) + low


def log_uniform(count: int, low: float, high: float) -> Tensor:
    return torch.exp(uniform(count, math.log(low), math.log(high)))


def orientation_bin(angle: Tensor, bins: int, period: float = 2 * math.pi) -> Tensor:
    """Index of the bin, bin 0 being centred on angle 0."""
    return torch.round(angle / period * bins).long() % bins


def warp(
    pictures: np.ndarray, angle: Tensor, scale: Tensor, mirror: Tensor, shift: Tensor, mode: str
) -> Tensor:
    """Turned, mirrored, scaled crops of stored tiles.

    Args:
        pictures: (B, T, T, C) uint8, on or more than CROP pixels across.
        angle: turn, radians counter-clockwise.
        scale: tile pixels per crop pixel.
        mirror: bool, mirrored left-right before the turn.
        shift: (B, 2) tile pixels from the tile's centre.
        mode: what lies outside of the tile (`reflection`, `zeros`).

    Returns:
        (B, C, CROP, CROP) in [0, 1].
    """
    across = pictures.shape[1]
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    sign = 1.0 - 2.0 * mirror.float()
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack(
        [sign * cos, -sign * sin, shift[:, 0], sin, cos, shift[:, 1]], 1
    ).view(-1, 2, 3)
    matrix[:, :, :2] *= CROP / across
    matrix[:, :, 2] *= 2 / across
    grid = F.affine_grid(matrix, [len(x), 1, CROP, CROP], align_corners=False)
    return F.grid_sample(x, grid, padding_mode=mode, align_corners=False)


def recolour(x: Tensor) -> Tensor:
    """Random exposure, contrast, saturation and white balance; sometimes grey, some noise."""
    b = len(x)
    gain = torch.exp(0.15 * torch.randn(b, 3, 1, 1)) * log_uniform(b, 0.6, 1.4).view(-1, 1, 1, 1)
    saturation = torch.where(torch.rand(b) < 0.1, 0.0, uniform(b, 0.5, 1.3)).view(-1, 1, 1, 1)
    grey = x.mean(1, keepdim=True)
    x = grey + saturation * (x - grey)
    mean = x.mean((2, 3), keepdim=True)
    x = (mean + (x - mean) * gain) + 0.1 * torch.randn(b, 1, 1, 1)
    return (x + 0.03 * torch.rand(b, 1, 1, 1) * torch.randn_like(x)).clamp(0, 1)


def random_colour(count: int) -> Tensor:
    """(B, 3): half of them nearly grey."""
    level, colour = torch.rand(count, 1), torch.rand(count, 3)
    return torch.where(torch.rand(count, 1) < 0.5, level + 0.1 * (colour - 0.5), colour).clamp(0, 1)


class Data:
    """Everything gathered, and batches of it."""

    def __init__(self, folder: Path, seed: int, pictures: int = 2000, cutouts: int = 1000) -> None:
        rng = np.random.default_rng(seed)

        def some(name: str, count: int) -> np.ndarray:
            every = np.load(folder / f"{name}.npy", mmap_mode="r")
            return every[np.sort(rng.permutation(len(every))[:count])]

        self.pictures, self.cutouts = some("pictures", pictures), some("cutouts", cutouts)
        masks = np.load(folder / "glyphs.npy", mmap_mode="r")
        half = masks.reshape(len(masks), TILE // 2, 2, TILE // 2, 2)
        self.glyphs = np.concatenate(
            [half[i : i + 999].mean((2, 4), dtype=np.float32) for i in range(0, len(half), 999)]
        ).astype(np.uint8)[..., None]
        self.characters = torch.from_numpy(np.load(folder / "characters.npy")).long()
        self.instances = len(self.pictures) + len(self.cutouts)

    def background(self, count: int) -> Tensor:
        """Plain colours, ramps, and pictures of any contrast."""
        index = torch.randint(len(self.pictures), (count,)).numpy()
        turn, scale = uniform(count, 0, 2 * math.pi), log_uniform(count, 0.8, 1.8)
        x = warp(
            self.pictures[index], turn, scale, torch.rand(count) < 0.5,
            torch.zeros(count, 2), "reflection",
        )
        contrast = (uniform(count, -0.7, 1.0).clamp(min=0)).view(-1, 1, 1, 1)
        axis = torch.linspace(-1, 1, CROP)
        ramp = torch.cos(turn).view(-1, 1, 1) * axis + torch.sin(turn).view(-1, 1, 1) * axis[:, None]
        slope = (0.25 * torch.randn(count) * (torch.rand(count) < 0.5)).view(-1, 1, 1, 1)
        base = random_colour(count)[..., None, None] + slope * ramp[:, None]
        return (base * (1 - contrast) + x * contrast).clamp(0, 1)

    def turned_pictures(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Crops, which picture each is, whether mirrored, and by how many bins it is turned."""
        index = torch.randint(self.instances, (count,))
        mirror = torch.rand(count) < 0.5
        turn = torch.randint(BINS, (count,))
        angle = (turn + uniform(count, -0.4, 0.4)) * (2 * math.pi / BINS)
        shift = uniform(2 * count, -14, 14).view(-1, 2)
        x = torch.empty(count, 3, CROP, CROP)
        plain = index < len(self.pictures)
        i = index[plain].numpy()
        n = len(i)
        x[plain] = warp(
            self.pictures[i], angle[plain], log_uniform(n, 0.8, 1.6), mirror[plain],
            shift[plain], "reflection",
        )
        j = index[~plain].numpy() - len(self.pictures)
        n = len(j)
        rgba = warp(
            self.cutouts[j], angle[~plain], log_uniform(n, 1.3, 2.6), mirror[~plain],
            1.5 * shift[~plain], "zeros",
        )
        x[~plain] = torch.lerp(self.background(n), rgba[:, :3], rgba[:, 3:])
        return recolour(x), index, mirror.long(), turn

    def turned_glyphs(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Crops with a glyph on something, which character, and by how many bins it is turned."""
        index = torch.randint(len(self.glyphs), (count,))
        turn = torch.randint(BINS, (count,))
        angle = (turn + uniform(count, -0.5, 0.5)) * (2 * math.pi / BINS)
        mask = warp(
            self.glyphs[index.numpy()], angle, log_uniform(count, 0.75, 2.0),
            torch.zeros(count, dtype=torch.bool), uniform(2 * count, -8, 8).view(-1, 2), "zeros",
        )
        outline = torch.rand(count) < 0.25  # its contour only
        edge = (4 * (F.max_pool2d(mask, 3, 1, 1) + F.max_pool2d(-mask, 3, 1, 1))).clamp(0, 1)
        mask = torch.where(outline.view(-1, 1, 1, 1), edge, mask)
        ground = self.background(count)
        ink = self.contrasting(ground.mean((2, 3)))
        x = torch.lerp(ground, ink[..., None, None].expand_as(ground), mask)
        return recolour(x), self.characters[index], turn

    @staticmethod
    def contrasting(colour: Tensor) -> Tensor:
        """Of four random colours the one farthest from the given one, or any, at random."""
        options = torch.stack([random_colour(len(colour)) for _ in range(4)], 1)
        options[:, 2:] = options[torch.arange(len(colour)), torch.randint(2, (len(colour),))][:, None]
        far = (options - colour[:, None]).norm(dim=2).argmax(1)
        ink = options[torch.arange(len(colour)), far]
        same = (ink - ((ink - colour) @ LUMINANCE)[:, None]).clamp(0, 1)  # another hue, as light
        return torch.where(torch.rand(len(colour), 1) < 0.25, same, ink)


# A shape passes within NEAR pixels of a unit's centre: that is the unit's label. Farther than FAR
# from all shapes there is none; between the two the unit is not asked.
NEAR, FAR, IGNORE = 4.0, 8.0, -100
WAYS = 8  # orientations of a contour, over 360 degrees or, without an inside, over 180
CONTOURS = {  # kind: (variants, orientations, weight in the loss)
    "none": (1, 1, 0.1),
    "line": (4, WAYS, 1.5),  # light or dark, thin or thick
    "edge": (2, WAYS, 1.5),  # sharp or soft
    "colour edge": (4, WAYS, 1.5),  # between hues
    "curve": (3, WAYS, 0.6),  # three radii
    "curved edge": (2, WAYS, 0.7),  # light or dark inside
    "corner": (2, WAYS, 1.0),  # acute or obtuse
    "junction": (1, WAYS, 1.0),
    "crossing": (1, 1, 1.0),
    "blob": (16, 1, 3.0),  # light, dark or six hues; small or large
    "ring": (2, 1, 2.0),
    "grating": (2, WAYS, 0.7),  # fine or coarse
}
CLASSES = sum(variants * ways for variants, ways, _ in CONTOURS.values())
FIRST = dict(
    zip(CONTOURS, np.cumsum([0] + [v * w for v, w, _ in CONTOURS.values()]).tolist(), strict=False)
)
SHAPES = ("line", "curve", "edge", "curved edge", "corner", "open corner", "junction", "crossing",
          "blob", "ring", "grating")  # fmt: skip
SHARES = torch.tensor([2.0, 2.0, 2.2, 1.4, 0.7, 0.7, 0.5, 0.3, 1.2, 0.5, 0.7])
RADII = (8.0, 13.0, 21.0, 36.0)  # the three curvatures that are told apart
LUMINANCE = torch.tensor([0.3, 0.59, 0.11])


def scenes(data: Data, count: int, shapes: int = 4) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Crops with drawn shapes, and what passes the centre of each unit of mixed3b's grid.

    Each shape is the distance `d` to a circle through point `q` (a line is a very large one), or
    to two of them, painted as a stroke `|d| < width/2` or filled where `d < 0`; later ones hide
    earlier ones and their labels.

    Returns:
        images (B, 3, CROP, CROP), and for every unit (B, CROP/8, CROP/8) its class, IGNORE where
        not asked, the class of the next orientation, and how far the contour is turned towards it.
    """
    axis = torch.arange(CROP, dtype=torch.float32)
    px, py = axis.view(1, 1, -1), axis.view(1, -1, 1)
    canvas = data.background(count)
    label = torch.zeros(count, CROP // 8, CROP // 8, dtype=torch.long)
    following, towards = label.clone(), label.float()
    col = (-1, 1, 1)

    def at_units(field: Tensor) -> Tensor:
        return field[..., 7::8, 7::8]

    for number in range(shapes):
        kind = torch.multinomial(SHARES, count, replacement=True)
        skip = torch.rand(count) < (0.0 if number == 0 else 0.35)

        def those(*names: str, kind: Tensor = kind) -> Tensor:
            return sum(kind == SHAPES.index(n) for n in names).bool()

        qx, qy = uniform(count, 6, CROP - 6), uniform(count, 6, CROP - 6)
        normal = uniform(count, 0, 2 * math.pi)  # from q to the centre, clockwise (y is down)
        radius = torch.full((count,), 4000.0)
        radius = torch.where(those("curve", "curved edge"), log_uniform(count, *RADII[::3]), radius)
        radius = torch.where(those("blob"), uniform(count, 2, 7), radius)
        radius = torch.where(those("ring"), uniform(count, 4, 10), radius)
        small = those("blob", "ring")
        cx, cy = qx + radius * torch.cos(normal), qy + radius * torch.sin(normal)
        to_x, to_y = cx.view(col) - px, cy.view(col) - py
        d = torch.hypot(to_x, to_y) - radius.view(col)
        inward = torch.atan2(to_y, to_x)

        # The second line of corners and junctions, through the same point q.
        opening = torch.where(those("junction", "crossing"), uniform(count, 1.0, 2.1),
                              uniform(count, 0.6, 2.4))  # radians between the two normals
        second = normal + opening
        nx, ny = torch.cos(second).view(col), torch.sin(second).view(col)
        d2 = -((px - qx.view(col)) * nx + (py - qy.view(col)) * ny)
        corner = those("corner", "open corner").view(col)
        two_lines = those("junction", "crossing").view(col)
        from_q = torch.hypot(px - qx.view(col), py - qy.view(col))
        d2_inward = second.view(col).expand_as(d)
        on_second = torch.where(corner, d2 > d, two_lines & (d2.abs() < d.abs()))
        t_side = those("junction").view(col) & (d > 0)  # a T ends where it meets the other line
        on_second &= ~t_side
        inward = torch.where(on_second, d2_inward, inward)
        distance = torch.where(corner, torch.maximum(d, d2), d)
        distance = torch.where(on_second & two_lines, d2, distance)

        width = log_uniform(count, 1.5, 6.0).view(col)
        softness = torch.where(torch.rand(count) < 0.35, uniform(count, 2.5, 9), 0.5)
        softness = torch.where(those("edge"), softness, 0.5)
        length = torch.where(torch.rand(count) < 0.5, uniform(count, 14, 40), 200.0)
        length = torch.where(small, 200.0, length).view(col)
        stroke = (0.5 + width / 2 - distance.abs()).clamp(0, 1) * (0.5 + length - from_q).clamp(0, 1)
        filled = those("edge", "curved edge", "corner", "blob").view(col)
        alpha = torch.where(
            filled, (0.5 - distance / (2 * softness.view(col))).clamp(0, 1), stroke
        )
        wave = log_uniform(count, 3.5, 13.0).view(col)
        window = uniform(count, 14, 45).view(col)
        along = (px - qx.view(col)) * torch.cos(normal).view(col)
        along = along + (py - qy.view(col)) * torch.sin(normal).view(col)
        sine = 0.5 + 0.5 * torch.sin(2 * math.pi * along / wave)
        grating = those("grating").view(col)
        alpha = torch.where(grating, sine * (0.5 + window - from_q).clamp(0, 1), alpha)
        alpha = alpha * (~skip).view(col)

        ink = data.contrasting(canvas.mean((2, 3)))[..., None, None]
        gap = (ink - at_units(canvas)).permute(0, 2, 3, 1)  # what the shape changes, per unit
        bright = gap @ LUMINANCE
        canvas = torch.lerp(canvas, ink.expand_as(canvas), alpha[:, None])

        # Labels: a class, the next orientation's class, and how far towards it.
        inward, near, inside = at_units(inward), at_units(distance.abs()), at_units(distance) < 0
        q_near = at_units(from_q)
        new, other, share = torch.full_like(label, IGNORE), label.clone(), torch.zeros_like(near)

        def put(mask: Tensor, name: str, variant: Tensor | int = 0, angle: Tensor | None = None,
                period: float = 2 * math.pi, new: Tensor = new, other: Tensor = other,
                share: Tensor = share) -> None:  # fmt: skip
            ways = CONTOURS[name][1]
            first = FIRST[name] + ways * (variant + torch.zeros_like(new))
            turn = (torch.zeros_like(share) if angle is None else angle) / period * ways
            low = turn.floor().long()
            new[mask] = (first + low % ways + 0 * new)[mask]
            other[mask] = (first + (low + 1) % ways + 0 * new)[mask]
            share[mask] = (turn - low + 0 * share)[mask]

        on = (near < NEAR) & (q_near < at_units(length + 0 * from_q) - 5)
        dark = (bright < 0).long()
        hue = torch.atan2(gap[..., 2] - (gap[..., 0] + gap[..., 1]) / 2, gap[..., 0] - gap[..., 1])
        coloured = (gap - gap.mean(3, keepdim=True)).norm(dim=3) > 1.5 * bright.abs()
        tells = (bright.abs() > 0.08) & ~coloured
        to_light = inward + math.pi * dark
        thick = (width > 3).long()
        lined = on & those("line", "open corner", "junction", "crossing").view(col)
        put(lined, "line", 2 * thick + dark, inward, math.pi)
        straight = on & those("edge", "corner").view(col)
        put(straight & tells, "edge", (softness > 2).long().view(col), to_light)
        put(straight & coloured, "colour edge", torch.round(hue / math.pi * 2).long() % 4, inward)
        curvature = sum((radius > r).long() for r in RADII[1:3]).view(col)
        put(on & those("curve").view(col), "curve", curvature, inward)
        put(on & tells & those("curved edge").view(col), "curved edge", dark, inward)
        new[(q_near < 9) & (corner | two_lines)] = IGNORE
        at_q = q_near < NEAR + 1
        bisector = (normal + opening / 2).view(col)
        # Two half-planes whose normals differ by little meet at an obtuse angle.
        put(at_q & corner, "corner", (opening < 1.4).long().view(col), bisector)
        put(at_q & those("junction").view(col), "junction", 0, normal.view(col))
        put(at_q & those("crossing").view(col), "crossing")
        centre = at_units(torch.hypot(to_x, to_y)) < NEAR
        paint = torch.where(coloured, 2 + orientation_bin(hue, 6), dark)
        put(centre & those("blob").view(col), "blob", paint + 8 * (radius > 4).long().view(col))
        put(centre & those("ring").view(col), "ring", dark)
        in_window = grating & (q_near < at_units(window + 0 * from_q) - 8)
        put(in_window, "grating", (wave > 7).long(), normal.view(col), math.pi)
        new[gap.norm(dim=3) < 0.15] = IGNORE
        touched = torch.where(grating, q_near < at_units(window + 0 * from_q) + 4,
                              (near < FAR) & (q_near < at_units(length + 0 * from_q) + 6))
        hidden = filled & inside & ~touched & ~skip.view(col)  # painted over, far from the contour
        touched = touched & ~skip.view(col)
        label = torch.where(touched, new, label)
        following = torch.where(touched, other, following)
        towards = torch.where(touched, share, towards)
        label[hidden], following[hidden], towards[hidden] = 0, 0, 0.0
    return recolour(canvas), label, following, towards


# -------------------------------------------------------------------------------- the network

STEM = [step.name for step in STEPS.values()][: list(STEPS).index("mixed3b") + 1]
GAIN = {"conv2d0": 30.0, "conv2d2": 30.0}  # initial BatchNorm scale where normalisation follows


class Stem(nn.Module):
    """The first steps of InceptionV1 with a BatchNorm after each convolution, for training."""

    def __init__(self) -> None:
        super().__init__()
        for name in STEM:
            step = STEPS[name]
            if step.kind == "conv":
                source = STEPS[step.inputs[0]].channels if step.inputs[0] != "input" else 3
                conv = nn.Conv2d(source, step.channels, step.size, step.stride, bias=False)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                bn = nn.BatchNorm2d(step.channels, eps=1e-3)
                nn.init.constant_(bn.weight, GAIN.get(name, 1.0))
                self.add_module(name, nn.Sequential(conv, bn))
            elif step.kind == "norm":
                apart = torch.arange(step.channels)[:, None] - torch.arange(step.channels)
                band = (apart.abs() <= Norm().radius).float()[..., None, None]
                self.register_buffer(f"band_{name}", band)

    def forward(self, x: Tensor) -> Tensor:
        done = {"input": (255 * x - 117).contiguous(memory_format=torch.channels_last)}
        for name in STEM:
            step = STEPS[name]
            x = done[step.inputs[0]]
            if step.before == step.after:
                pad = step.before
            else:  # zeros do for the pools too, nothing below zero comes in
                x, pad = F.pad(x, (step.before, step.after) * 2), 0
            if step.kind == "conv":
                conv, bn = getattr(self, name)
                done[name] = F.relu(bn(F.conv2d(x, conv.weight, None, step.stride, pad)))
            elif step.kind == "maxpool":
                done[name] = F.max_pool2d(x, step.size, step.stride, pad)
            elif step.kind == "norm":
                power = F.conv2d(x * x, getattr(self, f"band_{name}"))
                done[name] = x * torch.rsqrt(Norm().bias + Norm().alpha * power)  # beta = 1/2
            else:
                done[name] = torch.cat([done[i] for i in step.inputs], 1)
        return done[name]

    def folded(self) -> dict[str, Tensor]:
        """Weights of the same function without BatchNorm, under InceptionV1's names."""
        state = {}
        for name in STEM:
            if STEPS[name].kind == "conv":
                conv, bn = getattr(self, name)
                scale = bn.weight / (bn.running_var + bn.eps).sqrt()
                state[f"{name}_pre_relu_conv.weight"] = conv.weight * scale.view(-1, 1, 1, 1)
                state[f"{name}_pre_relu_conv.bias"] = bn.bias - bn.running_mean * scale
        return {k: v.detach().contiguous() for k, v in state.items()}


class Turns(nn.Module):
    """By how much a known thing is turned: one template a thing, matched at all turns."""

    def __init__(self, features: int, things: int, width: int = 16) -> None:
        super().__init__()
        self.read = nn.Linear(features, BINS * width)
        self.template = nn.Embedding(things, BINS * width)
        nn.init.normal_(self.template.weight, std=0.1)

    def forward(self, x: Tensor, thing: Tensor) -> Tensor:
        seen = self.read(x).view(len(x), BINS, -1)
        template = self.template(thing).view(len(x), BINS, -1)
        match = torch.bmm(template.float(), seen.float().transpose(1, 2))  # (B, template, seen)
        bins = torch.arange(BINS)
        return match[:, bins[:, None], (bins[:, None] + bins) % BINS].sum(1)


class Heads(nn.Module):
    """What is asked of mixed3b: picture and turn, character and turn, contour at each unit."""

    def __init__(self, instances: int, features: int = 480) -> None:
        super().__init__()
        self.instance_hidden = nn.Sequential(nn.BatchNorm1d(5 * features), nn.Linear(5 * features, 384))
        self.instance = nn.Linear(384, instances)
        self.turn = Turns(5 * features, 2 * instances)  # mirror images apart
        self.character_hidden = nn.Sequential(nn.BatchNorm1d(5 * features), nn.Linear(5 * features, 256), nn.ReLU())
        self.character = nn.Linear(256, len(CHARACTERS))
        self.character_turn = Turns(5 * features, len(CHARACTERS))
        self.contour = nn.Conv2d(features, CLASSES, 1)
        nn.init.uniform_(self.contour.weight, 0, 0.05)

    @staticmethod
    def pooled(x: Tensor) -> Tensor:
        """The strongest response in each quarter of the crop, and the mean."""
        return torch.cat([F.adaptive_max_pool2d(x, 2).flatten(1), x.mean((2, 3))], 1)

    def non_negative(self) -> None:
        """Contours are read as sums of evidence: a unit may only speak for a class."""
        with torch.no_grad():
            self.contour.weight.clamp_(min=0)


def train(args: argparse.Namespace) -> None:
    """Train for a time that is known beforehand, exporting every so often."""
    torch.manual_seed(args.seed)
    data = Data(args.data, args.seed)
    stem = Stem().to(memory_format=torch.channels_last)
    heads = Heads(data.instances)
    decay = [p for p in [*stem.parameters(), *heads.parameters()] if p.ndim > 1]
    rest = [p for p in [*stem.parameters(), *heads.parameters()] if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    shares = [int(args.batch * s) for s in (0.5, 0.18, 0.32)]  # pictures, glyphs, scenes
    weight = torch.cat([torch.full((v * w,), importance) for v, w, importance in CONTOURS.values()])
    start = exported = time.time()
    step, seen, log = 0, 0, {}
    while (done := (time.time() - start) / (60 * args.minutes)) < 1 or args.steps:
        if args.steps:
            if step == args.steps:
                break
            done = step / args.steps
        rate = args.rate * min(1, done / 0.03) * (0.5 + 0.5 * math.cos(math.pi * done) + 0.005)
        for group in optimiser.param_groups:
            group["lr"] = rate
        began = time.time()
        x, picture, mirror, turn = data.turned_pictures(shares[0])
        y, character, character_turn = data.turned_glyphs(shares[1])
        z, *contour = scenes(data, shares[2])
        contour, following, towards = (c.flatten() for c in contour)
        prepared = time.time() - began
        with torch.autocast("cpu", torch.bfloat16):
            units = stem(torch.cat([x, y, z]))
            a, b, c = units.split(shares)
            a, b = heads.pooled(a), heads.pooled(b)
            guesses = {
                "picture": (heads.instance(heads.instance_hidden(a)), picture),
                "turn": (heads.turn(heads.instance_hidden[0](a), 2 * picture + mirror), turn),
                "character": (heads.character(heads.character_hidden(b)), character),
                "character turn": (
                    heads.character_turn(heads.character_hidden[0](b), character), character_turn
                ),
                "contour": (heads.contour(c).permute(0, 2, 3, 1).flatten(0, 2), contour),
            }
        loss = 0.0
        for name, (logits, target) in guesses.items():
            logits = logits.float()
            if name == "contour":
                nll = F.cross_entropy(logits, target, reduction="none")
                nll = torch.lerp(nll, F.cross_entropy(logits, following, reduction="none"), towards)
                asked = target != IGNORE
                importance = weight[target[asked]]
                part = (nll[asked] * importance).sum() / importance.sum()
            else:
                part = F.cross_entropy(logits, target)
            loss = loss + args.weights.get(name, 1.0) * part
            asked = target > 0 if name == "contour" else target >= 0
            right = (logits.argmax(1) == target)[asked].float().mean().item()
            log[name] = 0.98 * log.get(name, right) + 0.02 * right
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_([*decay, *rest], 5.0)
        optimiser.step()
        heads.non_negative()
        step, seen = step + 1, seen + args.batch
        if step % 50 == 0:
            shown = "  ".join(f"{k} {v:.3f}" for k, v in log.items())
            passed = time.time() - start
            print(f"{step} {done:.3f}  {seen / passed:.0f}/s (making {prepared / (time.time() - began):.2f})  "
                  f"loss {loss.item():.3f}  {shown}  on {(units > 0).float().mean():.2f}", flush=True)
        if time.time() - exported > 60 * args.every:
            exported = time.time()
            export(stem, args, step)
            torch.save({"stem": stem.state_dict(), "heads": heads.state_dict(), "step": step}, args.data / "checkpoint.pt")
    export(stem, args, step)
    torch.save({"stem": stem.state_dict(), "heads": heads.state_dict(), "step": step}, args.data / "checkpoint.pt")


def export(stem: Stem, args: argparse.Namespace, step: int) -> None:
    """Write the folded weights, all at once, and check that they make the same network."""
    stem.eval()
    state = stem.folded()
    with torch.no_grad():
        x = torch.rand(4, 3, CROP, CROP)
        error = (InceptionV1.from_state_dict(state)(x, "mixed3b") - stem(x)).abs().max() / stem(x).max()
    stem.train()
    if error > 1e-3:
        raise RuntimeError(f"the folded network differs by {error:.1e}")
    metadata = {"recipe": "make_demo.py", "seed": str(args.seed), "steps": str(step), "version": "1",
                "input": "255 x - 117, RGB", "layers": "InceptionV1 through mixed3b"}  # fmt: skip
    half = {name: value.to(torch.float16) for name, value in state.items()}
    temporary = args.out.with_suffix(".part")
    save_file(half, temporary, metadata)
    temporary.chmod(0o644)
    temporary.replace(args.out)
    print(f"exported after {step} steps, folding error {error:.1e}", flush=True)


# ----------------------------------------------------------------------------------- evaluate


def harmonic(tuning: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Length (as a share of the mean) and phase in degrees of a harmonic over 36 orientations.

    Args:
        tuning: responses (36, C) at 0, 10, … 350 degrees.
    """
    turn = torch.exp(-1j * order * torch.deg2rad(torch.arange(0.0, 360, 10)))
    total = (turn[:, None] * tuning).sum(0)
    phase = torch.rad2deg(-total.angle()) / order % (360 / order)
    return total.abs() / tuning.sum(0).clamp_min(1e-6), phase


def widest_gap(angles: Tensor, period: float) -> float:
    """Largest angle on the circle that holds none of the given ones."""
    if len(angles) == 0:
        return period
    ordered = angles.sort().values
    return float(torch.diff(ordered, append=ordered[:1] + period).max())


def tuned_units(network: InceptionV1) -> dict[str, float]:
    """How many units of mixed3b prefer what, from drawings of equal contrast at their centre.

    Twice: by the one best drawing of each kind, and by the mean over stroke widths and both
    polarities, which asks for a unit that answers to the contour and not to its rendering.
    """
    bank = stimulus_bank(crop_size("mixed3b"), orientations=36)
    with torch.no_grad():
        responses = torch.cat([network.unit(x, "mixed3b") for x in bank.images.split(64)])
        blank = network.unit(torch.full((1, 3, *bank.images.shape[2:]), 0.5), "mixed3b")
    # What a unit does without any stimulus is no preference for one.
    lift = (responses - blank).clamp_min(0)
    live = lift.amax(0) > 0.02 * lift.max()
    scores: dict[str, float] = {"units that respond": int(live.sum())}
    table = bank.table.assign(radius=bank.table.radius.fillna(0))
    for label, keys in (("", ["kind", "shape"]), (" by mean", ["kind", "radius"])):
        best: dict[str, Tensor] = {}
        tuning: dict[str, Tensor] = {}
        for (kind, _), rows in table.groupby(keys):
            response = lift[rows.index.to_numpy().copy()]
            if kind in ("curve", "line", "edge"):
                response = response.view(-1, 36, response.shape[1]).mean(0)
            peak = response.max(0).values
            if kind not in best:
                best[kind], tuning[kind] = torch.zeros_like(peak), torch.zeros_like(response)
            if len(response) == 36:
                tuning[kind] = torch.where(peak > best[kind], response, tuning[kind])
            best[kind] = torch.maximum(best[kind], peak)

        def prefers(kind: str, *others: str, times: float = 1.5, best: dict = best) -> Tensor:
            return live & (best[kind] >= times * torch.stack([best[o] for o in others]).amax(0))

        for kind, others, order in (
            ("curve", ("line", "edge"), 1),
            ("line", ("curve", "edge"), 2),
            ("edge", ("curve", "line"), 1),
        ):
            length, phase = harmonic(tuning[kind], order)
            for margin in (1.5, 1.0):
                good = prefers(kind, *others, times=margin) & (length >= 0.3)
                scores[f"{kind} units{label}, {margin} times the others"] = int(good.sum())
                if margin == 1.5:
                    scores[f"    their widest gap{label}, {kind}"] = widest_gap(
                        phase[good], 360 / order
                    )
            scores[f"{kind} units{label}, harmonic alone"] = int((live & (length >= 0.3)).sum())
        if not label:
            contours = ("curve", "line", "edge")
            grey = (*contours, "circle", "corner", "grating")
            scores["centre-surround units"] = int(prefers("centre_surround", *contours).sum())
            scores["circle units"] = int(prefers("circle", *contours).sum())
            scores["corner units"] = int(prefers("corner", *contours).sum())
            scores["grating units"] = int(prefers("grating", *contours).sum())
            scores["colour units"] = int(prefers("colour_contrast", *grey).sum())
    return scores


def orbit_scores(network: InceptionV1, points: int) -> dict[str, float]:
    """Invariant share, and how well a turn of the picture is a linear map of the channels.

    Measured on the photographs that the package evaluates on; nothing was trained on them.
    """
    rng = np.random.default_rng(0)
    g = group("D16")
    A, fold = [], []
    photographs = load_images("photos")
    folds = assign_folds(photographs, 4)
    for photograph, f in zip(photographs, folds, strict=True):
        image = photograph.load()
        at, scales = sample_points(image, points, scales=(1.0, 2.0), rng=rng)
        with torch.no_grad():
            for p, s in zip(at.split(2), scales.split(2), strict=True):
                crops = orbit(image, p, s, g, crop_size("mixed3b")).flatten(0, 1)
                A.append(network.unit(crops, "mixed3b").view(len(p), g.order, -1))
        fold += [f] * len(at)
    A, fold = torch.cat(A), torch.as_tensor(np.array(fold))
    per_channel = variance(A, g).per_channel
    result = {
        "invariant share of a channel's variance, mean": float(np.mean(per_channel)),
        "invariant share of all variance": variance(A, g).invariant_share,
        "channels at or under 0.7": int((per_channel <= 0.7).sum()),
    }
    # R_h: from A[g] to A[g·h], all g; oriented part (without the orbit mean) apart.
    for part in ("all", "oriented"):
        B = A - A.mean(1, keepdim=True) if part == "oriented" else A - A.mean((0, 1))
        explained, total = 0.0, 0.0
        for h in (1, 4, 8, 16, 21):
            for f in range(4):
                x, y = B[fold != f].flatten(0, 1), B[fold != f][:, g.right(h)].flatten(0, 1)
                gram = x.T @ x
                ridge = 1e-2 * gram.diagonal().mean() * torch.eye(len(gram))
                linear = torch.linalg.solve(gram + ridge, x.T @ y)
                x, y = B[fold == f].flatten(0, 1), B[fold == f][:, g.right(h)].flatten(0, 1)
                explained += (y - x @ linear).square().sum().item()
                total += y.square().sum().item()
        result[f"R² of R_h as a linear map, {part}"] = 1 - explained / total
    return result


def evaluate(args: argparse.Namespace) -> None:
    """Print the scores of exported weights."""
    network = InceptionV1("mixed3b") if args.untrained else InceptionV1.from_state_dict(load_file(args.out))
    scores = tuned_units(network)
    if args.points:
        scores |= orbit_scores(network, args.points)
    for name, value in scores.items():
        print(f"{name:50s} {value:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("gather", "train", "evaluate"))
    parser.add_argument("--data", type=Path, default=Path("demo-data"), help="folder for arrays")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("demo.safetensors"))
    for name, folders in (("photographs", PHOTOGRAPHS), ("textures", TEXTURES), ("cutouts", CUTOUTS), ("fonts", FONTS)):
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=folders)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps instead")
    parser.add_argument("--every", type=float, default=10, help="minutes between exports")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--points", type=int, default=10, help="looked at in each photograph")
    parser.add_argument("--untrained", action="store_true", help="evaluate random weights instead")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.weights = {"picture": 1.5, "turn": 0.7, "character turn": 0.5}
    {"gather": gather, "train": train, "evaluate": evaluate}[args.command](args)


if __name__ == "__main__":
    main()
