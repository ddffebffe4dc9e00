"""An exported file on a device beside the same file here: some images, logit by logit.

A file can be right on this computer and wrong on one phone, so its logits there are compared with
those of the reference runtime here.
"""

from __future__ import annotations

import numpy as np

from devices import open_device
from devices.outputs import compute
from elasticvit.errors import ExportError
from elasticvit.workspace import Workspace
from export.card import Card
from export.card_parts import DeviceCheck
from export.parity import accepted_diff, parity_of
from export.proof_images import ProofImages

MOST_IMAGES = 16  # a phone's runner starts anew for each


def check_on_device(
    workspace: Workspace | None, device: str, data: bytes, card: Card, images: ProofImages
) -> DeviceCheck:
    """Compare the logits that a file gives on a device with those that it gives here.

    Args:
        workspace: Workspace with the user's devices; None for none.
        device: Name of the device.
        data: Content of the TFLite file.
        card: Its card.
        images: Images, with what the file says of them here.

    Raises:
        DeviceError: The device is unknown, does not answer, or hands no outputs back.
    """
    here = images.exported[card.file][:MOST_IMAGES]
    inputs = images.inputs(card.input)[: len(here)]
    with open_device(device, workspace) as opened:
        there = compute(opened, data, inputs, _input_name(data))
        info = opened.info
    finite = there.shape == here.shape and bool(np.isfinite(there).all())
    if not finite:  # whatever it computes is no answer
        there = np.zeros_like(here)
    seen = parity_of(here, there, images.labels[: len(here)])
    return DeviceCheck(
        device=device,
        source=info.source,
        runtime=info.runtime,
        images=len(here),
        finite=finite,
        max_abs_diff=seen.max_abs_diff if finite else None,
        max_rel_diff=seen.max_rel_diff if finite else None,
        agreement=seen.agreement if finite else 0.0,
        accepted=accepted_diff(card.parity, card.precision),
    )


def refused(check: DeviceCheck, what: str) -> ExportError:
    """The error of a file that is wrong on a device.

    Args:
        check: What was seen there.
        what: Name of the file, and where it is kept.
    """
    seen = "logits that are not finite, or not as many as here"
    if check.max_rel_diff is not None:
        seen = (
            f"logits that differ from those here by up to {check.max_rel_diff:.2g} of their "
            f"standard deviation, at most {check.accepted:.2g} is accepted"
        )
    return ExportError(
        f"{what} is wrong on {check.device} ({check.runtime}): of {check.images} images it gives "
        f"{seen}; {check.agreement:.0f} % get the same class. Try another format, precision or "
        "runner",
        settings=["format", "precision"],
    )


def _input_name(data: bytes) -> str:
    """Name of the input in the file, as runners call it."""
    from ai_edge_litert.interpreter import Interpreter

    return str(Interpreter(model_content=data).get_input_details()[0]["name"])
