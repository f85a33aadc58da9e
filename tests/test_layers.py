"""The house rules that a machine can check: layers, dask, torch, print, pickles and notebook outputs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cmrseg"

LAYERS = (
    ("labels", "partial_labels", "arrays", "parallel", "problems"),
    ("cine", "io"),
    ("metrics",),
    ("report",),
    ("curation", "data", "models", "losses", "preprocess", "phantom"),
    ("recipe", "tasks", "legacy", "contours"),
    ("zoo",),
    ("training", "predict", "teachers"),
    ("evaluation", "examination"),
    ("experiments", "publishing", "review"),
    ("workflows",),
    ("face",),
    ("cli", "__main__"),
)
LAYER_OF = {part: number for number, layer in enumerate(LAYERS) for part in layer}

# Readers and writers turn bytes into a Cine, so they know it although they share its layer;
# `python -m cmrseg` is the command.
SIBLINGS = {("io", "cine"), ("__main__", "cli")}

UNSAFE = {
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",  # only subclasses that restrict what they build
    "dill.load",
    "dill.loads",
    "joblib.load",
    "pandas.read_pickle",
    "fastai.learner.load_learner",
    "yaml.load",
}


def sources(*folders: str) -> list[Path]:
    """All Python files of some folders of the repository."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(path: Path) -> str:
    """The first-level module or folder of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """Dotted name of a module."""
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(path: Path) -> Iterator[tuple[str, str]]:
    """Every import of a file, lazy ones too, as (local name, dotted name); relative ones are resolved."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{_origin(node, path)}.{alias.name}"


def _origin(node: ast.ImportFrom, path: Path) -> str:
    """Dotted name of the module after ``from``."""
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join((*package, *filter(None, [node.module])))


def imported_parts(path: Path) -> set[str]:
    """First-level parts of cmrseg that a file imports."""
    dotted = (name.split(".") for _, name in imported_names(path))
    return {name[1] for name in dotted if name[0] == "cmrseg" and len(name) > 1 and name[1] in LAYER_OF}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call of a file with the dotted name of what is called, aliases resolved."""
    aliases = dict(imported_names(path))
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Call):
            first, *rest = ast.unparse(node.func).split(".")
            yield ".".join([aliases.get(first, first), *rest]), node


def is_true(call: ast.Call, keyword: str) -> bool:
    """Whether a keyword is given as the literal True."""
    return any(k.arg == keyword and getattr(k.value, "value", None) is True for k in call.keywords)


def is_unsafe(name: str, call: ast.Call) -> bool:
    """Whether a call can run code that a file carries."""
    if name == "torch.load":
        return not is_true(call, "weights_only")
    if name == "numpy.load":
        return is_true(call, "allow_pickle")
    return name in UNSAFE or name.split(".")[-1] == "load_learner"


def test_every_module_has_a_layer():
    parts = {part_of(path) for path in sources("cmrseg")} - {"__init__"}
    assert sorted(parts - set(LAYER_OF)) == []


def test_the_package_itself_imports_nothing_of_its_own():
    assert imported_parts(PACKAGE / "__init__.py") == set()


@pytest.mark.parametrize("path", [p for p in sources("cmrseg") if part_of(p) in LAYER_OF], ids=name_of)
def test_module_imports_lower_layers_or_its_own_folder(path):
    here = part_of(path)
    wrong = {
        there
        for there in imported_parts(path) - {here}
        if LAYER_OF[there] >= LAYER_OF[here] and (here, there) not in SIBLINGS
    }
    assert sorted(wrong) == [], f"{name_of(path)} (L{LAYER_OF[here]}) may not import these"


def test_no_module_leads_back_to_itself():
    """Imports within functions and for types count too."""
    modules = {module_of(path) for path in sources("cmrseg")}
    graph = {}
    for path in sources("cmrseg"):
        targets = {name if name in modules else name.rpartition(".")[0] for _, name in imported_names(path)}
        graph[module_of(path)] = (targets & modules) - {module_of(path)}
    assert list(TopologicalSorter(graph).static_order())


def test_dask_is_imported_only_in_parallel():
    users = {
        name_of(path)
        for path in sources("cmrseg")
        for _, name in imported_names(path)
        if name.split(".")[0] in {"dask", "distributed"}
    }
    assert users <= {"cmrseg/parallel.py"}


def test_print_is_called_only_in_the_command():
    printing = {name_of(p) for p in sources("cmrseg") for name, _ in calls(p) if name == "print"}
    assert sorted(name for name in printing if not name.startswith("cmrseg/cli/")) == []


def test_nothing_is_imported_by_star():
    starred = {
        name_of(p)
        for p in sources("cmrseg", "tests", "benchmarks")
        for name, _ in imported_names(p)
        if name == "*"
    }
    assert sorted(starred) == []


def test_no_file_can_run_code_when_it_is_loaded():
    unsafe = [
        f"{name_of(path)}:{call.lineno} {name}"
        for path in sources("cmrseg", "tests", "benchmarks")
        for name, call in calls(path)
        if is_unsafe(name, call)
    ]
    assert unsafe == []


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import cmrseg.cli"), ("-m", "cmrseg", "--help"), ("-m", "cmrseg", "--version")],
    ids=["import", "help", "version"],
)
def test_the_command_starts_without_torch(arguments):
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    timed, said = [], []
    for line in done.stderr.splitlines():
        (timed if line.startswith("import time:") else said).append(line)
    assert done.returncode == 0, said[-5:]
    # A timed line reads "import time: self | cumulative | name", indented by depth.
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in timed}
    assert imported & {"torch", "torchvision", "fastai", "monai"} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "nbs").rglob("*.ipynb")), ids=name_of)
def test_notebook_is_stored_without_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs")] == [], "run nbdev-clean"
