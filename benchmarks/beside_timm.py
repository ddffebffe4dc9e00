"""Three networks of timm that are trained as long as the supernet that comes with the package.

    python benchmarks/beside_timm.py [--models NAME ...] [--share 0.333] [--out FOLDER]

Each network is trained from scratch on the same images of CIFAR-10, 64 pixels wide, for a third
(`--share`) of the seconds of one core that the supernet's training took by its card, with the
supernet's augmentation, optimiser, clipping, smoothing and averaging of weights. So whoever wants
these three sizes and no other has the same time either way. The learning rate of each is the best
of three short trainings on held-out images, which count no time. Seconds are those of the
processor, so that other programs cost a network little. Each is judged on the 10,000 test images.

Beside each stands the supernet's subnet of at most as many MACs that is best on held-out images
(`benchmarks/data`), on the same test images. Then all are exported to TFLite and timed in turns on
this computer. One JSON line. FOLDER keeps what is finished, the weights, and a checkpoint an epoch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import timm
import torch
import torch.nn.functional as F
from alone import SUPERNET, judge, right_of, supernet_seconds
from conflict import CIFAR
from safetensors.torch import save_file
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import elasticvit as ev
from elasticvit.arch import Arch
from elasticvit.files import write_atomic
from elasticvit.nn.shipped import read_supernet
from elasticvit.nn.subnet import Subnet
from elasticvit.training.clipping import clip_gradients
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.recipes import CPU_MINUTES as RECIPE

MODELS = ("mobilenetv3_small_100", "mobilenetv4_conv_small", "efficientnet_b0")
SIDE, BATCH, SEED = 64, 64, 0
RATES = (1e-3, 2e-3, 4e-3)
PILOT_S, PILOT_IMAGES = 150.0, 2_000
SUBNETS = Path(__file__).resolve().parent / "data" / "tiny_cifar10.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument(
        "--share", type=float, default=1 / 3, help="Of the supernet's seconds of a core."
    )
    parser.add_argument("--seconds", type=float, default=None, help="Of a core; not a share.")
    parser.add_argument("--test", type=int, default=10_000, help="Test images.")
    parser.add_argument(
        "--data", type=Path, default=CIFAR, help="Folder of CIFAR-10's parquet files."
    )
    parser.add_argument("--untimed", action="store_true", help="Leave the latencies out.")
    parser.add_argument("--out", type=Path, default=Path("beside_timm"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    whole = supernet_seconds()
    seconds = options.seconds or options.share * whole
    data = open_data(str(options.data))
    rows = []
    for name in options.models:
        row = beside(name, seconds, data, options)
        rows.append(row | {"subnet": subnet_of(row["mmacs"], data, options)})
    if not options.untimed:
        time_side_by_side(rows, options.out)
    line = {
        "benchmark": "beside_timm",
        "seconds_each": round(seconds),
        "supernet_seconds": round(whole),
        "resolution": SIDE,
        "test_images": options.test,
        "networks": rows,
    }
    print(json.dumps(line))


def beside(name: str, seconds: float, data: ImageData, options: Any) -> dict[str, Any]:
    """Train a network of timm's, or go on with it, and judge it."""
    out = Path(options.out)
    note = out / f"{name}.json"
    if note.exists():
        return dict(json.loads(note.read_text()))
    rate = best_rate(name, data, out)
    network, facts = train(name, rate, seconds, data, out / f"{name}.pt")
    weights = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(weights, out / f"{name}.safetensors")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, SIDE, SIDE))
    found = {
        "network": name,
        "mmacs": round(counter.get_total_flops() / 2e6, 1),
        "params_m": round(sum(p.numel() for p in network.parameters()) / 1e6, 2),
        "lr": rate,
        **facts,
        "accuracy": round(right_of(network, data, "test", options.test, SIDE), 2),
    }
    write_atomic(note, json.dumps(found))
    print(found, file=sys.stderr, flush=True)
    return found


def best_rate(name: str, data: ImageData, out: Path) -> float:
    """The learning rate whose short training has most held-out images right."""
    note = out / f"{name}-rates.json"
    found = dict(json.loads(note.read_text())) if note.exists() else {}
    for rate in RATES:
        if str(rate) not in found:
            network, _ = train(name, rate, PILOT_S, data, None)
            found[str(rate)] = right_of(network, data, "search", PILOT_IMAGES, SIDE)
            write_atomic(note, json.dumps(found))
            print(name, found, file=sys.stderr, flush=True)
    return max(RATES, key=lambda rate: found[str(rate)])


def train(
    name: str, rate: float, seconds: float, data: ImageData, kept: Path | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A trained network in evaluation mode and what it took; a checkpoint an epoch is `kept`."""
    torch.manual_seed(SEED)
    network = timm.create_model(name, num_classes=data.info.classes)
    network = network.to(memory_format=torch.channels_last).train()
    groups = param_groups_weight_decay(network, RECIPE.weight_decay)
    optimiser = torch.optim.AdamW(groups, lr=rate, fused=True)
    average = ModelEmaV3(network, decay=RECIPE.ema_limit, use_warmup=True)
    step, epoch, used = 0, 0, 0.0
    if kept is not None and kept.exists():
        state = torch.load(kept, weights_only=True)
        step, epoch, used = state["step"], state["epoch"], state["seconds"]
        for part, name_of in ((network, "network"), (average, "average"), (optimiser, "optimiser")):
            part.load_state_dict(state[name_of])
    since = time.process_time() - used
    share = used / seconds
    while share < 1:
        for images, labels in batches(data, epoch):
            share = min(1.0, (time.process_time() - since) / seconds)
            if share == 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = rate_at(share, rate)
            # a window of a share of all steps, of which nobody knows the number yet
            average.decay = decay_at(step, share)
            optimiser.zero_grad(set_to_none=True)
            logits = network(images.contiguous(memory_format=torch.channels_last))
            F.cross_entropy(logits, labels, label_smoothing=RECIPE.smoothing).backward()
            clip_gradients(network.parameters(), RECIPE.clip_factor)
            optimiser.step()
            step += 1
            average.update(network, step=step)
        epoch += 1
        if kept is not None:
            torch.save(
                {
                    "step": step,
                    "epoch": epoch,
                    "seconds": time.process_time() - since,
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimiser": optimiser.state_dict(),
                },
                kept,
            )
    return average.module.eval(), {
        "steps": step,
        "epochs": round(step * BATCH / len(data.train), 1),
    }


def batches(data: ImageData, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The augmented batches of an epoch of the training part."""
    loader = data.loader(
        "train",
        resolution=SIDE,
        batch_size=BATCH,
        augment=True,
        shuffle=True,
        seed=SEED,
        drop_last=True,
        policy=RECIPE.rand_augment,
    )
    for batch in loader.batches(epoch, 0):
        yield batch.images, batch.labels


def rate_at(share: float, highest: float) -> float:
    """The learning rate of the recipe's warm-up and cosine at a share of the training."""
    if share < RECIPE.warmup_share:
        start = RECIPE.warmup_start
        return highest * (start + (1 - start) * share / RECIPE.warmup_share)
    return RECIPE.min_lr + (highest - RECIPE.min_lr) * (1 + math.cos(math.pi * share)) / 2


def decay_at(step: int, share: float) -> float:
    """Decay of the average of weights whose window is the recipe's share of all steps."""
    steps = max(step, 1) / max(share, 1e-3)
    return min(RECIPE.ema_limit, 1 - 1 / max(2.0, RECIPE.ema_share * steps))


def subnet_of(macs_m: float, data: ImageData, options: Any) -> dict[str, Any]:
    """The subnet of at most so many MACs that is best on held-out images, judged on test images."""
    table = pd.read_parquet(SUBNETS)
    under = table[table["macs_m"] <= max(macs_m, table["macs_m"].min())]
    best = under.loc[under["search_accuracy"].idxmax()]
    text = str(best["architecture"])
    note = Path(options.out) / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    if not note.exists():
        subnet = Subnet.cut(read_supernet(SUPERNET), Arch.parse(text))
        found = {
            "architecture": text,
            "mmacs": round(float(best["macs_m"]), 1),
            "params_m": round(sum(p.numel() for p in subnet.parameters()) / 1e6, 2),
            "accuracy": round(judge(subnet, data, options.test), 2),
        }
        write_atomic(note, json.dumps(found))
    return dict(json.loads(note.read_text()))


def time_side_by_side(rows: list[dict[str, Any]], out: Path) -> None:
    """Add the latencies of one session to the networks and their subnets."""
    files = {}
    for row in rows:
        network, subnet = row["network"], row["subnet"]["architecture"]
        for name, source in (
            (network, {"timm": network, "weights": out / f"{network}.safetensors"}),
            (subnet, {"supernet": SUPERNET, "arch": subnet}),
        ):
            if name in files:
                continue
            files[name] = out / f"{'network' if name == network else 'subnet'}-{len(files)}.tflite"
            side = {"resolution": SIDE} if name == network else {}
            ev.export(**source, **side, out=files[name], workspace=out / "workspace", images=16)
    result = ev.compare(models=list(files.values()), workspace=out / "workspace")
    timings = dict(zip(files, (one.timing for one in result.models), strict=True))
    for row in rows:
        for part, name in ((row, row["network"]), (row["subnet"], row["subnet"]["architecture"])):
            timing = timings[name]
            part["ms"] = timing and round(timing.ms, 4)
            part["ms_interval"] = timing and [round(timing.low_ms, 4), round(timing.high_ms, 4)]


if __name__ == "__main__":
    main()
