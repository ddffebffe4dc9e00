"""`evit-export`: the searched subnet as a file for devices, compared with torch and timed."""

from __future__ import annotations

from typing import Any

import click

from elasticvit.cli.app import EvitCommand, evit_command
from elasticvit.cli.export_report import ExportReport, print_result
from elasticvit.cli.export_verify import run_verify
from elasticvit.cli.report import Report
from elasticvit.flows.export import export
from elasticvit.flows.settings import workspace_of
from elasticvit.precisions import PRECISIONS

HELP = """Export the winner of the latest search, compare the file with torch, and time it.

Other weights: --official-checkpoint FILE --arch elastic_S1, --supernet tiny-cifar10 --arch
smallest, or any network of timm's: --timm MODEL --weights FILE.

Leaves a folder with the model, a card with all figures (model.json), the labels, a README, code
that runs the model, and images to prove it with again.
With --compare it times MODELS in turns instead: folders of exports or of searches, and TFLite files
of any origin; NAME=PATH gives one a name.
"""
INTERRUPTED = (
    "an export that is not complete leaves nothing behind, and the same command starts it again "
    "from the beginning; of a comparison the rounds that were timed are kept"
)


@evit_command("evit-export", HELP, INTERRUPTED)
@click.option(
    "--format",
    default=None,
    help="tflite: written by elasticvit itself in a fraction of a second, the default (--timm is "
    "converted by litert-torch); tflite-litert-torch: by litert-torch, the same operators and "
    "outputs in about half a minute; tflite-onnx2tf: by way of ONNX and onnx2tf; onnx: torch's "
    "exporter; or a format of another package; or several with commas between them, for one "
    "bundle: if a file is refused, the others are kept, and the exit code is 2.  [default: by "
    "--out's suffix, or tflite]",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=None,
    help="fp16: weights in 16 bits, and arithmetic where the CPU has it (ARMv8.2); int8: 8-bit "
    "weights, and activations brought to 8 bits while the model runs; int8-full: 8-bit weights and "
    "activations, whose ranges training images give.  [default: the search's, or fp32]",
)
@click.option(
    "--search",
    type=click.Path(file_okay=False),
    default=None,
    help="Folder of the search.  [default: the latest one]",
)
@click.option(
    "--official-checkpoint",
    type=click.Path(dir_okay=False),
    default=None,
    help="The authors' checkpoint of their supernet, to export --arch out of it.",
)
@click.option(
    "--supernet",
    default=None,
    help="Trained supernet to export --arch out of: tiny-cifar10, which comes with the package, a "
    ".safetensors file, the authors' checkpoint, or the folder of a training run.",
)
@click.option(
    "--arch",
    default=None,
    help="Architecture: elastic_T1, S1 and other published names, smallest, largest, or as tables "
    "print it.",
)
@click.option(
    "--timm",
    default=None,
    help="Export this network of timm's, such as mobilenetv4_conv_small (formats tflite, which "
    "litert-torch then converts, and onnx).",
)
@click.option(
    "--weights",
    type=click.Path(dir_okay=False),
    default=None,
    help="Weights of --timm: safetensors, or what torch.save wrote.  [default: random ones]",
)
@click.option(
    "--resolution",
    type=click.IntRange(8, 2048),
    default=None,
    help="Side of the images of --timm in pixels.  [default: the network's own, mostly 224]",
)
@click.option(
    "--data",
    default=None,
    help="Images of the same classes to compare the file on, and to compute a subnet's batch norms "
    "with, for --arch and --timm.  [default: random images, without an accuracy]",
)
@click.option(
    "--goal",
    type=click.IntRange(min=1),
    default=1,
    help="Number of the goal whose subnet is exported, of a search with several targets.",
)
@click.option(
    "--device",
    default=None,
    help="Device to time the model file on.  [default: the one of the search, or the one profiled "
    "last, or host]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    default=None,
    help="Path to write another copy of the model file to. Its folder must exist; only the file of "
    "an earlier export is replaced.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=2000,
    help="Largest number of test images to compare the file with torch on.",
)
@click.option(
    "--max-accuracy-drop",
    type=click.FloatRange(0, 100),
    default=0.5,
    help="By how many percentage points the file may be less accurate than torch on the test "
    "images. A file that is worse, and not by chance (exact McNemar test, 5 %), is kept under a "
    "name with .rejected in it, and the exit code is 2.",
)
@click.option(
    "--proof-images",
    type=click.IntRange(0, 64),
    default=64,
    help="Largest number of test images to keep in the bundle, with torch's logits, so that its "
    "files can be proven again elsewhere; fewer where images are large. 0 keeps none.",
)
@click.option(
    "--check-on-device",
    is_flag=True,
    help="Also run some test images through the file on --device and compare its logits there with "
    "those here. A file that is wrong there is kept under a name with .rejected in it, and the "
    "exit code is 2.",
)
@click.option(
    "--verify",
    type=click.Path(),
    default=None,
    metavar="FOLDER",
    help="Export nothing; repeat the proof of the export in this folder on this computer: "
    "checksums, its images against torch's logits, and the test images where search and data set "
    "are in reach; with --check-on-device also on --device. The exit code is 2 if it does not "
    "hold.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Compare two or more MODELS on --device: one session, one table (compare.csv) and one "
    "page (compare.html).",
)
@click.option(
    "--rounds",
    type=click.IntRange(2, 99),
    default=None,
    help="With --compare: rounds in which each model is timed.  [default: 15]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=1,
    help="With --compare: inference threads.",
)
@click.option(
    "--cores",
    default="auto",
    help="With --compare: CPU cores: auto, big, mid, little or a hexadecimal mask.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    help="With --compare: random seed of the order in each round.",
)
@click.argument("models", nargs=-1, metavar="[MODELS]...")
def main(report: Report, workspace: str | None, verify: str | None, **options: Any) -> None:
    from elasticvit.cli.compare import OWN, check_options, run_comparison

    check_options(options["compare"])
    if verify is not None:
        run_verify(report, verify, workspace, options)
        return
    timed = {name: options.pop(name) for name in ("models", *OWN)}
    if options.pop("compare"):
        run_comparison(report, workspace, {"device": options["device"], **timed})
        return
    result = export(workspace=workspace_of(workspace), events=ExportReport(report), **options)
    report.activity.end()
    command = click.get_current_context().command
    advice = []
    if result.untimed is not None and isinstance(command, EvitCommand):
        advice = command.advice(result.untimed)
    print_result(report, result, advice)
    report.close(result.to_dict())


if __name__ == "__main__":
    main()
