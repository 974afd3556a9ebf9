"""Pictures, cut-outs and glyphs for `make.py`: gathered once, then turned in batches."""

from __future__ import annotations

import argparse
import io
import math
import string
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_shapes import LUMINANCE, log_uniform, scenes, uniform
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

CROP = 64  # pixels across what the network is shown
BINS = 16  # turns that are told apart
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


def warp(
    tiles: np.ndarray,
    angle: Tensor,
    scale: Tensor,
    *,
    mirror: Tensor | None = None,
    shift: Tensor | None = None,
    outside: str = "zeros",
) -> Tensor:
    """Turned, mirrored, scaled crops of stored tiles.

    Args:
        tiles: (B, T, T, C) uint8.
        angle: turn in radians.
        scale: tile pixels per crop pixel.
        mirror: bool, mirrored left-right before the turn.
        shift: (B, 2) tile pixels from the tile's centre.
        outside: what lies outside of the tile (`reflection`, `zeros`).

    Returns:
        (B, C, CROP, CROP) in [0, 1].
    """
    x = torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
    sign = torch.ones(len(x)) if mirror is None else 1.0 - 2.0 * mirror.float()
    shift = torch.zeros(len(x), 2) if shift is None else shift
    across = tiles.shape[1]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    turn = torch.stack([sign * cos, -sign * sin, sin, cos], 1).view(-1, 2, 2)
    matrix = torch.cat([turn * CROP / across, shift[..., None] * 2 / across], 2)
    grid = F.affine_grid(matrix, [len(x), 1, CROP, CROP], align_corners=False)
    return F.grid_sample(x, grid, padding_mode=outside, align_corners=False)


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


def contrasting(colour: Tensor) -> Tensor:
    """Another colour (B, 3): the farther of two, or sometimes one as light, of another hue."""
    options = torch.stack([random_colour(len(colour)) for _ in range(2)])
    first, second = (options - colour).norm(dim=2)
    ink = torch.where((first >= second)[:, None], options[0], options[1])
    as_light = (ink - ((ink - colour) @ LUMINANCE)[:, None]).clamp(0, 1)
    return torch.where(torch.rand(len(colour), 1) < 0.25, as_light, ink)


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
        """Plain colours, ramps, and pictures of any contrast (B, 3, CROP, CROP)."""
        index = torch.randint(len(self.pictures), (count,)).numpy()
        turn, scale = uniform(count, 0, 2 * math.pi), log_uniform(count, 0.8, 1.8)
        picture = warp(self.pictures[index], turn, scale, outside="reflection")
        contrast = uniform(count, -0.7, 1.0).clamp(min=0).view(-1, 1, 1, 1)
        steepness = 0.25 * torch.randn(count) * (torch.rand(count) < 0.5)
        axis = torch.linspace(-1, 1, CROP)
        across = (torch.cos(turn) * steepness).view(-1, 1, 1, 1) * axis
        down = (torch.sin(turn) * steepness).view(-1, 1, 1, 1) * axis[:, None]
        plain = random_colour(count)[..., None, None] + across + down
        return torch.lerp(plain, picture, contrast).clamp(0, 1)

    def turned_pictures(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Crops, which picture each is, whether mirrored (0, 1), and by how many bins turned."""
        which = torch.randint(self.instances, (count,))
        mirror = torch.rand(count) < 0.5
        turn = torch.randint(BINS, (count,))
        angle = (turn + uniform(count, -0.4, 0.4)) * (2 * math.pi / BINS)
        shift = uniform(2 * count, -14, 14).view(-1, 2)
        full = which < len(self.pictures)  # the others are cut-outs, on something
        cut = ~full
        x = torch.empty(count, 3, CROP, CROP)
        x[full] = warp(
            self.pictures[which[full].numpy()],
            angle[full],
            log_uniform(int(full.sum()), 0.8, 1.6),
            mirror=mirror[full],
            shift=shift[full],
            outside="reflection",
        )
        rgba = warp(
            self.cutouts[which[cut].numpy() - len(self.pictures)],
            angle[cut],
            log_uniform(int(cut.sum()), 1.3, 2.6),
            mirror=mirror[cut],
            shift=1.5 * shift[cut],
        )
        x[cut] = torch.lerp(self.background(len(rgba)), rgba[:, :3], rgba[:, 3:])
        return recolour(x), which, mirror.long(), turn

    def turned_glyphs(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Crops with a glyph on something, which character, and by how many bins it is turned."""
        which = torch.randint(len(self.glyphs), (count,))
        turn = torch.randint(BINS, (count,))
        angle = (turn + uniform(count, -0.5, 0.5)) * (2 * math.pi / BINS)
        shift = uniform(2 * count, -8, 8).view(-1, 2)
        mask = warp(self.glyphs[which.numpy()], angle, log_uniform(count, 0.75, 2.0), shift=shift)
        outline = (4 * (F.max_pool2d(mask, 3, 1, 1) + F.max_pool2d(-mask, 3, 1, 1))).clamp(0, 1)
        mask = torch.where(torch.rand(count, 1, 1, 1) < 0.25, outline, mask)
        ground = self.background(count)
        ink = contrasting(ground.mean((2, 3)))[..., None, None]
        x = torch.lerp(ground, ink.expand_as(ground), mask)
        return recolour(x), self.characters[which], turn

    def drawn_scenes(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scenes of shapes, and what passes each unit: see `scenes`."""
        drawn, *labels = scenes(self.background(count), contrasting)
        return recolour(drawn), *labels
