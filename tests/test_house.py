"""The house: who may import whom, no circles, and `--help` without the heavy libraries."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("elasticvit", "predictors", "devices", "lut", "export")
VOCABULARY = {
    f"elasticvit.{name}"
    for name in (
        "arch",
        "arrays",
        "block_options",
        "events",
        "files",
        "find",
        "plugins",
        "space",
        "search_space",
        "space_file",
        "kernels",
        "kernel_kinds",
        "layout",
        "likelihood",
        "linear_algebra",
        "cost",
        "cost_memory",
        "cost_parameters",
        "cost_size",
        "kept_genes",
        "kernel_tensors",
        "errors",
        "workspace",
        "workspace_settings",
        "workspace_folders",
        "names",
        "cpu_setting",
        "precisions",
        "reading",
        "read_errors",
        "process_lock",
        "rng_state",
        "share_error",
        "strips",
        "svg",
        "svg_curves",
        "svg_marks",
        "page",
        "published",
        "version",
    )
}
# room -> rooms it may import, besides itself and the vocabulary
MAY_IMPORT = {
    "elasticvit": {"elasticvit.flows", "elasticvit.nn.models"},  # when a name is first used
    "elasticvit.nn": set(),
    "elasticvit.training": {"elasticvit.nn"},
    "elasticvit.searching": {
        "elasticvit.nn",
        "elasticvit.training.data",
        "elasticvit.training.judged_images",
    },
    "devices": set(),
    "export": {"elasticvit.nn"},
    "lut": {
        "devices.protocol",
        "export.graph_versions",
        "export.kernel_models",
        "export.precise_kernels",
    },
    "predictors": {"lut"},
    "elasticvit.flows": {*PACKAGES},
    "elasticvit.testing": {*PACKAGES},
    "elasticvit.cli": {"elasticvit.flows"},
}
LIBRARIES_OF_THE_VOCABULARY = {"numpy", "tomlkit", "msgspec", "threadpoolctl", "scipy"}
HEAVY = ("torch", "tensorflow", "xgboost", "sklearn", "litert_torch", "pandas", "onnx")
COMMANDS = ("profile", "train", "search", "export", "status")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def room(module: str) -> str:
    if module in VOCABULARY:
        return "vocabulary"
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "elasticvit" else parts[0]


@cache
def imports(module: str, top_level_only: bool = False) -> frozenset[str]:
    """Modules of this project and libraries that a module imports, by full name."""
    tree = ast.parse(MODULES[module].read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                names.add(full if full in MODULES else base)
    return frozenset(names)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_room_imports_only_what_it_may(module: str) -> None:
    own = room(module)
    for name in imports(module):
        if name.split(".")[0] not in PACKAGES or room(name) in ("vocabulary", own):
            continue
        allowed = MAY_IMPORT.get(own, set())
        assert any(name == a or name.startswith(a + ".") for a in allowed), (
            f"{module} imports {name}; room {own} may import {sorted(allowed) or 'nothing else'}"
        )


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_the_contract_suites(module: str) -> None:
    if room(module) != "elasticvit.testing":
        assert not any(room(name) == "elasticvit.testing" for name in imports(module))


@pytest.mark.parametrize("module", sorted(VOCABULARY))
def test_the_vocabulary_stays_light(module: str) -> None:
    for name in imports(module):
        top = name.split(".")[0]
        assert (
            top in sys.stdlib_module_names
            or top in LIBRARIES_OF_THE_VOCABULARY
            or (room(name) == "vocabulary")
        ), f"{module} imports {name}"


OPTION = re.compile(r"(?<![\w-])--[a-z]|evit-(profile|train|search|export|status)\b")


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) != "elasticvit.cli"))
def test_errors_speak_of_settings_and_not_of_options(module: str) -> None:
    """A library user is never told to use an option; the commands add theirs."""
    tree = ast.parse(MODULES[module].read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    assert not OPTION.search(part.value), f"{module}: {part.value!r}"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) == "elasticvit.cli"))
def test_commands_load_only_what_they_print_with(module: str) -> None:
    for name in imports(module):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top in ("click", "rich", "elasticvit"), name


def test_no_circles() -> None:
    graph = {m: {n for n in imports(m) if n in MODULES and n != m} for m in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_the_heavy_libraries(command: str) -> None:
    code = (
        f"import sys; from elasticvit.cli.{command} import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        f"print('heavy:', [m for m in {HEAVY} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"Usage: evit-{command}" in result.stdout
    assert result.stdout.strip().endswith("heavy: []")
