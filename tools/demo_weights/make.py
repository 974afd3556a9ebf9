"""Make the demo weights: InceptionV1's stem through mixed3b, trained on free pictures and shapes.

python tools/demo_weights/make.py gather   --data DIR     pictures, cut-outs and glyphs into arrays
python tools/demo_weights/make.py train    --data DIR     train, and export every few minutes
python tools/demo_weights/make.py evaluate --out FILE     what the units of mixed3b respond to
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from demo_pictures import (
    BINS,
    CHARACTERS,
    CROP,
    CUTOUTS,
    FONTS,
    PHOTOGRAPHS,
    TEXTURES,
    Data,
    gather,
)
from demo_scores import orbit_scores, preferences, stimulus_responses
from demo_shapes import CLASSES, IGNORE, WEIGHTS
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gc_utils.models.architecture import INCEPTION5H
from gc_utils.models.inception import InceptionV1

STEPS, NORM = INCEPTION5H.steps, INCEPTION5H.norm
STEM = list(STEPS)[: list(STEPS).index("mixed3b") + 1]
VERSION = "1"
SHARES = (0.5, 0.18, 0.32)  # of a batch: pictures, glyphs, drawn scenes
TASKS = {"picture": 1.5, "turn": 0.7, "character": 1.0, "character turn": 0.5, "contour": 1.5}
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
                band = (apart.abs() <= NORM.radius).float()[..., None, None]
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
                done[name] = x * torch.rsqrt(NORM.bias + NORM.alpha * power)  # beta = 1/2
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

    def __init__(self, pictures: int, features: int = 480) -> None:
        super().__init__()
        pooled = 5 * features
        self.of_picture, self.of_glyph = nn.BatchNorm1d(pooled), nn.BatchNorm1d(pooled)
        self.picture = nn.Sequential(nn.Linear(pooled, 384), nn.Linear(384, pictures))
        self.turn = Turns(pooled, 2 * pictures)
        self.character = nn.Sequential(
            nn.Linear(pooled, 256), nn.ReLU(), nn.Linear(256, len(CHARACTERS))
        )
        self.character_turn = Turns(pooled, len(CHARACTERS))
        self.contour = nn.Conv2d(features, CLASSES, 1)
        nn.init.uniform_(self.contour.weight, 0, 0.05)

    def forward(
        self, pictures: Tensor, which: Tensor, glyphs: Tensor, characters: Tensor, scenes: Tensor
    ) -> dict[str, Tensor]:
        """Logits of every task from units (B, 480, h, w); the turns are asked of a known thing."""
        a = self.of_picture(self.pooled(pictures))
        b = self.of_glyph(self.pooled(glyphs))
        return {
            "picture": self.picture(a),
            "turn": self.turn(a, which),
            "character": self.character(b),
            "character turn": self.character_turn(b, characters),
            "contour": self.contour(scenes).permute(0, 2, 3, 1).flatten(0, 2),
        }

    @staticmethod
    def pooled(x: Tensor) -> Tensor:
        """The strongest response in each quarter of the crop, and the mean."""
        return torch.cat([F.adaptive_max_pool2d(x, 2).flatten(1), x.mean((2, 3))], 1)

    def non_negative(self) -> None:
        """Contours are read as sums of evidence: a unit may only speak for a class."""
        with torch.no_grad():
            self.contour.weight.clamp_(min=0)


def contour_loss(logits: Tensor, name: Tensor, following: Tensor, towards: Tensor) -> Tensor:
    """Cross-entropy with labels that lie between two neighbouring orientations."""
    asked = name != IGNORE
    logits, name, following, towards = (t[asked] for t in (logits, name, following, towards))
    loss = torch.lerp(
        F.cross_entropy(logits, name, reduction="none"),
        F.cross_entropy(logits, following, reduction="none"),
        towards,
    )
    return (loss * WEIGHTS[name]).sum() / WEIGHTS[name].sum()


def train(args: argparse.Namespace) -> None:
    """Train for a time that is known beforehand, exporting every so often."""
    torch.manual_seed(args.seed)
    data = Data(args.data, args.seed)
    stem = Stem().to(memory_format=torch.channels_last)
    heads = Heads(data.instances)
    parameters = [*stem.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.03},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
    )
    counts = [int(args.batch * share) for share in SHARES]
    start = exported = time.time()
    step, before, right = 0, 0.0, {}
    if args.resume:
        step, before = resume(args.resume, stem, heads)
        torch.manual_seed(args.seed + step)  # other batches than before
    while True:
        passed = (time.time() - start) / (60 * args.minutes)
        done = step / args.steps if args.steps else before + (1 - before) * passed
        if done >= 1:
            break
        for settings in optimiser.param_groups:  # a short warm-up, then half a cosine
            settings["lr"] = (
                args.rate * min(1, done / 0.03) * (0.505 + 0.5 * math.cos(math.pi * done))
            )
        x, picture, mirror, turn = data.turned_pictures(counts[0])
        y, character, character_turn = data.turned_glyphs(counts[1])
        z, *labels = data.drawn_scenes(counts[2])
        labels = [label.flatten() for label in labels]
        with torch.autocast("cpu", torch.bfloat16):
            units = stem(torch.cat([x, y, z]))
            a, b, c = units.split(counts)
            guesses = heads(a, 2 * picture + mirror, b, character, c)
        answers = {
            "picture": picture, "turn": turn, "character": character,
            "character turn": character_turn, "contour": labels[0],
        }  # fmt: skip
        loss = 0.0
        for name, guess in guesses.items():
            guess = guess.float()
            if name == "contour":
                part = contour_loss(guess, *labels)
            else:
                part = F.cross_entropy(guess, answers[name])
            loss = loss + TASKS[name] * part
            asked = answers[name] > 0 if name == "contour" else answers[name] >= 0
            share = (guess.argmax(1) == answers[name])[asked].float().mean().item()
            right[name] = 0.98 * right.get(name, share) + 0.02 * share
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        heads.non_negative()
        step += 1
        if step % 50 == 0:
            shown = "  ".join(f"{name} {share:.3f}" for name, share in right.items())
            print(f"{step} {done:.3f} loss {loss.item():.3f}  {shown}", flush=True)
        if time.time() - exported > 60 * args.every:
            exported = time.time()
            export(stem, args, step)
            state = {"stem": stem.state_dict(), "heads": heads.state_dict()}
            torch.save({**state, "step": step, "done": done}, args.data / "checkpoint.pt")
    export(stem, args, step)


def resume(path: Path, stem: Stem, heads: Heads) -> tuple[int, float]:
    """Go on from a checkpoint; heads whose questions have changed since start anew."""
    checkpoint = torch.load(path, weights_only=True)
    stem.load_state_dict(checkpoint["stem"])
    fresh = heads.state_dict()
    kept = {k: v for k, v in checkpoint["heads"].items() if v.shape == fresh[k].shape}
    heads.load_state_dict(fresh | kept)
    print(f"resumed at step {checkpoint['step']} without {sorted(fresh.keys() - kept.keys())}")
    return checkpoint["step"], checkpoint["done"]


def export(stem: Stem, args: argparse.Namespace, step: int) -> None:
    """Write the folded weights, all at once, and check that they make the same network."""
    x = torch.rand(4, 3, CROP, CROP)
    stem.eval()
    state = stem.folded()
    with torch.no_grad():
        expected = stem(x)
        error = (InceptionV1.from_state_dict(state)(x) - expected).abs().max() / expected.max()
    stem.train()
    if error > 1e-4:
        raise RuntimeError(f"the folded network differs by {error:.1e}")
    metadata = {
        "recipe": "make_demo.py",
        "version": VERSION,
        "seed": str(args.seed),
        "steps": str(step),
        "input": "255 x - 117, RGB",
        "layers": "InceptionV1 through mixed3b",
    }
    unfinished = args.out.with_suffix(".part")
    save_file({name: value.half() for name, value in state.items()}, unfinished, metadata)
    unfinished.chmod(0o644)
    unfinished.replace(args.out)
    print(f"exported after {step} steps, folding error {error:.1e}", flush=True)


def evaluate(args: argparse.Namespace) -> None:
    """Print the scores of exported weights."""
    network = InceptionV1("mixed3b", seed=args.seed)
    if not args.untrained:
        network = InceptionV1.from_state_dict(load_file(args.out))
    responses, table = stimulus_responses(network)
    for by, what in (("shape", "best drawing"), ("radius", "mean over renderings")):
        print(f"units by {what}\n{preferences(responses, table, by=by).to_string()}\n")
    if args.points:
        for name, value in orbit_scores(network, args.points).items():
            print(f"{value:8.3f}  {name}")


OUT = Path(__file__).resolve().parents[2] / "gc_utils" / "weights" / "demo.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("gather", "train", "evaluate"))
    parser.add_argument("--data", type=Path, default=Path("demo-data"), help="folder for arrays")
    parser.add_argument("--out", type=Path, default=OUT)
    for name, folders in (
        ("photographs", PHOTOGRAPHS),
        ("textures", TEXTURES),
        ("cutouts", CUTOUTS),
        ("fonts", FONTS),
    ):
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=folders)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps instead")
    parser.add_argument("--resume", type=Path, help="checkpoint to go on from")
    parser.add_argument("--every", type=float, default=10, help="minutes between exports")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--points", type=int, default=10, help="looked at in each photograph")
    parser.add_argument("--untrained", action="store_true", help="evaluate random weights instead")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    {"gather": gather, "train": train, "evaluate": evaluate}[args.command](args)


if __name__ == "__main__":
    main()
