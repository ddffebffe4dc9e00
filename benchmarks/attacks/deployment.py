"""Class `deployment`: model files, bundles, precisions and other people's networks."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

from mutations import MISSING, Mutation

from attacks.attack import OK, WORKSPACE, Attack, Site, refused
from attacks.damage import byte_attacks, document_attacks, remove
from attacks.prepared import EXPORT

MODEL, CARD = f"{WORKSPACE}/exports/*/model.tflite", f"{WORKSPACE}/exports/*/model.json"
PROOF = f"{WORKSPACE}/exports/*/proof.npz"
TIME = ("evit-profile", "--rounds", "2", "--model")
COMPARE = ("evit-export", "--compare", "--rounds", "2")
OTHERS: dict[str, tuple[tuple[str, ...], str]] = {  # argv, and what the message must name
    "time a file that is not there": ((*TIME, "nowhere.tflite"), "nowhere.tflite"),
    "time a folder": ((*TIME, "folder"), "folder"),
    "time a text": ((*TIME, "micro.toml"), "micro.toml"),
    "time without end": ((*TIME, "/dev/zero"), "/dev/zero"),
    "compare one": ((*COMPARE, "one.tflite"), "name 2 to"),
    "compare nothing": (COMPARE, "name 2 to"),
    "compare a folder that holds nothing": ((*COMPARE, "one.tflite", "folder"), "folder"),
    "compare what is not there": ((*COMPARE, "one.tflite", "nowhere"), "nowhere"),
    "compare one name twice": ((*COMPARE, "a=one.tflite", "a=two.tflite"), "a"),
    "compare under no name": ((*COMPARE, "=one.tflite", "b=two.tflite"), "=one.tflite"),
    "compare on a device that is none": (
        (*COMPARE, "one.tflite", "two.tflite", "--device", "nokia3310"),
        "nokia3310",
    ),
    "models without --compare": (("evit-export", "one.tflite", "two.tflite"), "--compare"),
    "rounds without --compare": ((*EXPORT, "--rounds", "5"), "--rounds"),
    "verify what is not there": (("evit-export", "--verify", "nowhere"), "nowhere"),
    "verify a folder that holds nothing": (("evit-export", "--verify", "folder"), "folder"),
    "verify and a format": (("evit-export", "--verify", "folder", "--format", "onnx"), "--verify"),
    "a precision that is none": ((*EXPORT, "--precision", "int4"), "int4"),
    "a goal that is not there": ((*EXPORT, "--goal", "7"), "7"),
    "one format twice": (("evit-export", "--format", "onnx,onnx"), "onnx"),
    "formats of which one is none": (("evit-export", "--format", "onnx,coreml"), "coreml"),
    "no formats": (("evit-export", "--format", ","), "format"),
    "a network that timm lacks": (("evit-export", "--timm", "resnet_of_none"), "resnet_of_none"),
    "weights that are not there": (
        ("evit-export", "--timm", "mobilenetv3_small_050", "--weights", "nowhere.pth"),
        "nowhere.pth",
    ),
    "weights that are a text": (
        ("evit-export", "--timm", "mobilenetv3_small_050", "--weights", "micro.toml"),
        "micro.toml",
    ),
    "weights of nothing": ((*EXPORT, "--weights", "micro.toml"), "weights"),
    "an architecture without a supernet": ((*EXPORT, "--arch", "smallest"), "arch"),
    "a supernet without an architecture": ((*EXPORT, "--supernet", "tiny-cifar10"), "arch"),
    "an architecture of another space": (
        (*EXPORT, "--supernet", "tiny-cifar10", "--arch", "elastic_T1"),
        "elastic_T1",
    ),
    "a checkpoint that is a text": (
        (*EXPORT, "--official-checkpoint", "micro.toml", "--arch", "elastic_T1"),
        "micro.toml",
    ),
    "a checkpoint that is endless": (
        (*EXPORT, "--official-checkpoint", "/dev/zero", "--arch", "elastic_T1"),
        "/dev/zero",
    ),
    "timm beside a search": (
        (*EXPORT, "--timm", "mobilenetv3_small_050", "--search", "folder"),
        "timm",
    ),
}
_refused = partial(refused, "deployment")


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = [_refused(name, argv, named, _files) for name, (argv, named) in OTHERS.items()]
    bundle = next(prepared.glob(f"{WORKSPACE}/exports/*")).relative_to(prepared)
    verify = ("evit-export", "--verify", str(bundle))
    few = ("empty", "cut", "random", "zeros", "doubled")
    model = str(next(prepared.glob(MODEL)).relative_to(prepared))
    found += [
        *byte_attacks("deployment", prepared, MODEL, verify, only=few),
        *byte_attacks("deployment", prepared, PROOF, verify, only=few),
        *byte_attacks("deployment", prepared, CARD, verify, only=few),
        *document_attacks("deployment", prepared, CARD, verify, 30, seed=5, only=_not_null),
        *(
            _refused(f"time {a.name}", (*TIME, model), model, a.spoil)
            for a in byte_attacks("deployment", prepared, MODEL, verify, only=few)
            if "doubled" not in a.name  # a flatbuffer does not know its length
        ),
    ]
    for name in ("model.tflite", "model.json"):
        found.append(
            _refused(
                f"verify without {name}",
                verify,
                name,
                lambda site, name=name: remove(site, f"{WORKSPACE}/exports/*/{name}"),  # type: ignore[misc]
            )
        )
    found.append(
        _refused("verify another model in its place", verify, "model.tflite", _other_model)
    )
    found.append(
        _refused("verify a card of another checksum", verify, "model.tflite", _other_checksum)
    )
    found.append(Attack(kind="deployment", name="verify", argv=verify, allowed=(OK,), spoil=_files))
    return found


def _not_null(mutation: Mutation) -> bool:
    return mutation.value is not None or mutation.name == MISSING  # a figure may be lacking


def _files(site: Site) -> None:
    (site.root / "folder" / "sub").mkdir(parents=True)
    for name in ("one.tflite", "two.tflite"):
        shutil.copy(site.one(MODEL), site.root / name)


def _other_model(site: Site) -> None:
    """A working model with other weights: the last bytes of one buffer changed."""
    path = site.one(MODEL)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(bytes(data))


def _other_checksum(site: Site) -> None:
    path = site.one(CARD)
    own = json.loads(path.read_text())["sha256"]
    path.write_text(path.read_text().replace(own, "0" * 64))
