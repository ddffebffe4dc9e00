"""Files are read in one way and written in one way (`elasticvit.reading`, `elasticvit.files`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from test_house import MODULES

# who may call a parser, besides the modules that are the one way to read
PARSERS = {
    "json.load": set[str](),
    "json.loads": {
        "elasticvit.reading",
        "devices.host.framing",  # what our own worker process sends through a pipe
        "lut.calibration",  # a column that was checked when its row was read
        "lut.importer",  # the keys of an object that was read already, to find those named twice
        "lut.steady",  # as lut.calibration
        "lut.store",  # what was dumped in the same expression
    },
    "msgspec.json.decode": {
        "lut.row_types",  # texts within a row, into types
    },
    "tomlkit.parse": {
        "elasticvit.reading",
        "elasticvit.workspace",  # of settings that were read already, to keep their comments
    },
    "torch.load": {"elasticvit.nn.torch_file"},
    "np.load": {"predictors.saved", "export.proof_images"},  # bytes whose checksum matched
    "sqlite3.connect": {"lut.table_file", "elasticvit.searching.judgement_store"},
    "pickle.load": set[str](),
    "pickle.loads": set[str](),
}
WRITERS = {
    *("write_text", "write_bytes", "mkdir", "touch", "makedirs", "copyfile", "copy2", "copytree"),
    *("symlink_to", "move"),
}
GUARDS = {"writing", "converting"}  # contexts that turn what a write raises into our errors
# who writes without them, and how its errors are met
OWN_GUARD = {
    "elasticvit.files",
    "elasticvit.cli.failures",  # the trace of a failure; if it cannot be written it is printed
    "devices.adb.keys",  # DeviceUnauthorised
    "devices.host.facts",  # a switch of the kernel's, which may not be there
    "export.fresh_process",  # the same switch
    "devices.phone.native_bundle",  # RunnerMissing
    "devices.phone.native_parts",  # as native_bundle
}


def dotted(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return f"{dotted(function.value)}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def calls(module: str) -> Iterator[tuple[str, int, bool]]:
    """The calls in a module: what is called, the line, and whether a context guards it."""
    tree = ast.parse(MODULES[module].read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(
            isinstance(item.context_expr, ast.Call)
            and dotted(item.context_expr.func).rpartition(".")[2] in GUARDS
            for item in node.items
        )
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), node.lineno, id(node) in guarded


@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_are_read_in_one_way(module: str) -> None:
    found = [
        f"line {line}: {name}"
        for name, line, _ in calls(module)
        if name in PARSERS and module not in PARSERS[name]
    ]
    assert not found, f"{module} parses by itself; use elasticvit.reading.Format"


@pytest.mark.parametrize("module", sorted(set(MODULES) - OWN_GUARD))
def test_files_are_written_in_one_way(module: str) -> None:
    found = [
        f"line {line}: {name}"
        for name, line, guarded in calls(module)
        if name.rpartition(".")[2] in WRITERS and not guarded
    ]
    assert not found, f"{module} writes unguarded; use elasticvit.files"


def test_nothing_is_parsed_by_hand() -> None:
    by_hand = [
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name in ("from_dict", "_from_dict")
    ]
    assert by_hand == ["elasticvit.arch"]  # the library's way to an architecture, by its format
