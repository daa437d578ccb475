"""The digital controls of RESULTS.md without this project: plain PyTorch, torchvision and timm.

Pretrains the small Swin on CIFAR-10, fine-tunes it with AdamW and with SGD with momentum on ten classes of CIFAR-100, and
writes one row per seed. What differs from the framework is chance alone: initial weights, held-out images, batches.

    python tests/benchmarks/plain_control.py --root data --output tests/fixtures/paper/control.csv
"""

import argparse
import copy
import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad
from torchvision.datasets import CIFAR10, CIFAR100

MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])
HALVES = {"cifar": range(10), "cifar_second": range(10, 20)}
VALIDATION = 0.1  # of each class's training images, which the framework holds out and does not train on
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.001, weight_decay=0.05),
    "momentum": lambda weights: torch.optim.SGD(weights, lr=0.02, momentum=0.9),
}
Images = tuple[Tensor, Tensor]


def images(dataset: type[CIFAR10], root: str, train: bool, classes: range) -> Images:
    """Normalised images [n, 3, 32, 32] of some classes and their labels from 0 on."""
    raw = dataset(root, train=train)
    labels = torch.tensor(raw.targets)
    kept = (labels >= classes.start) & (labels < classes.stop)
    pixels = torch.from_numpy(raw.data)[kept] / 255
    return ((pixels - MEAN) / STD).permute(0, 3, 1, 2).contiguous(), labels[kept] - classes.start


def without_validation(data: Images, generator: torch.Generator) -> Images:
    """Nine tenths of each class."""
    kept = []
    for label in range(10):
        members = (data[1] == label).nonzero()[:, 0]
        members = members[torch.randperm(len(members), generator=generator)]
        kept.append(members[round(VALIDATION * len(members)) :])
    index = torch.cat(kept)
    return data[0][index], data[1][index]


BLACK = ((0 - MEAN) / STD)[None, :, None, None]


def shifted(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Every image moved by up to four pixels, black entering as in torchvision's `RandomCrop`; half of them mirrored."""
    batch = pad(batch - BLACK, [4] * 4) + BLACK
    moved = []
    for image in batch:
        top, left, mirrored = (int(torch.randint(n, (1,), generator=generator)) for n in (9, 9, 2))
        crop = image[:, top : top + 32, left : left + 32]
        moved.append(crop.flip(2) if mirrored else crop)
    return torch.stack(moved)


def epochs(
    model: nn.Module,
    data: Images,
    optimizer: torch.optim.Optimizer,
    number: int,
    size: int,
    warmup: float,
    generator: torch.Generator,
) -> Iterator[int]:
    """Train; the rate rises linearly, then falls as half a cosine."""
    steps = math.ceil(len(data[1]) / size)
    rate = [group["lr"] for group in optimizer.param_groups]
    for epoch in range(number):
        model.train()
        order = torch.randperm(len(data[1]), generator=generator)
        for step, index in enumerate(order.split(size)):
            done = epoch + step / steps
            rest = max(0.0, done - warmup) / (number - warmup)
            factor = (
                min(1.0, (done + 1 / steps) / warmup)
                if done < warmup
                else 0.5 * (1 + math.cos(math.pi * rest))
            )
            for group, full in zip(optimizer.param_groups, rate, strict=True):
                group["lr"] = full * factor
            optimizer.zero_grad()
            cross_entropy(model(shifted(data[0][index], generator)), data[1][index]).backward()
            optimizer.step()
        yield epoch


@torch.no_grad()
def error(model: nn.Module, data: Images) -> float:
    """Share of wrong images [%]."""
    model.eval()
    right = sum(
        int((model(x).argmax(1) == y).sum())
        for x, y in zip(data[0].split(500), data[1].split(500), strict=True)
    )
    return 100 * (1 - right / len(data[1]))


def main() -> None:
    """Command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--root", default="data")
    words.add_argument("--output", type=Path, default=Path("tests/fixtures/paper/control.csv"))
    words.add_argument("--seeds", type=int, default=5)
    given = words.parse_args()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    size = {
        "img_size": 32,
        "patch_size": 8,
        "window_size": 2,
        "embed_dim": 32,
        "depths": [2, 2],
        "num_heads": [2, 4],
    }
    pretrained = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10, **size)
    source = without_validation(images(CIFAR10, given.root, True, range(10)), generator)
    test = images(CIFAR10, given.root, False, range(10))
    optimizer = torch.optim.AdamW(pretrained.parameters(), lr=0.001, weight_decay=0.05)
    for epoch in epochs(pretrained, source, optimizer, 12, 128, 1.0, generator):
        print(f"pretrain {epoch + 1}/12 test error {error(pretrained, test):.1f} %", flush=True)
    rows = []
    for half, classes in HALVES.items():
        train, test = (images(CIFAR100, given.root, part, classes) for part in (True, False))
        for seed in range(given.seeds):
            torch.manual_seed(seed)
            generator = torch.Generator().manual_seed(seed)
            kept = without_validation(train, generator)
            for name, make in OPTIMIZERS.items():
                model = copy.deepcopy(pretrained)
                model.reset_classifier(10)
                for _ in epochs(model, kept, make(model.parameters()), 5, 64, 0.0, generator):
                    pass
                rows.append(
                    {"data": half, "optimizer": name, "seed": seed, "test_error": f"{error(model, test):.2f}"}
                )
                print(rows[-1], flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    with given.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
