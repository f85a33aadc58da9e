"""What pip users get: the wheel, its data, the command in it, and versions that agree everywhere."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
DATA_SUFFIXES = {".json", ".safetensors", ".css", ".j2", ".js"}
BUILD_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
FOLDERS = ("cmrseg", "tests", "nbs", "benchmarks", "data_curation", "model_zoo")


def run(*command: str, **options) -> str:
    """Output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def package_data() -> set[str]:
    """Files of the source tree that are not code but belong to the package."""
    files = (ROOT / "cmrseg").rglob("*")
    data = {path.relative_to(ROOT).as_posix() for path in files if path.suffix in DATA_SUFFIXES}
    return data | {"cmrseg/py.typed"}


def embedded_models() -> list[str]:
    """Names of the models whose weights lie in the package."""
    return sorted(Path(name).stem for name in package_data() if name.endswith(".safetensors"))


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def lines_of(text: str) -> list[str]:
    """Lines that say something."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def requirements() -> list[Requirement]:
    """All that setup.cfg asks for, extras included."""
    config = setup_cfg()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return [Requirement(line) for text in texts for line in lines_of(text)]


def constraints() -> dict[str, Version]:
    """Pinned version of every distribution."""
    pins = [Requirement(line) for line in lines_of((ROOT / "constraints.txt").read_text(encoding="utf-8"))]
    return {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in pins}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Wheel of a copy of the repository, so that no left-over of an earlier build gets in."""
    source = tmp_path_factory.mktemp("source")
    for name in (*BUILD_FILES, *FOLDERS):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), cwd=source)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Folder into which the wheel alone is installed."""
    target = tmp_path_factory.mktemp("target")
    options = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(target))
    run(sys.executable, "-m", "pip", "install", *options, str(wheel))
    return target


@pytest.fixture
def run_installed(installed, tmp_path):
    """Call of Python that finds the installed wheel and is far from the repository."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}

    def call(*arguments: str) -> str:
        return run(sys.executable, *arguments, cwd=tmp_path, env=environment)

    return call


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel):
    folders = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"cmrseg"}


@pytest.mark.slow
def test_wheel_holds_every_module(wheel):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cmrseg").rglob("*.py")}
    assert modules - set(ZipFile(wheel).namelist()) == set()


@pytest.mark.slow
def test_wheel_holds_the_package_data(wheel):
    assert package_data() - set(ZipFile(wheel).namelist()) == set()


@pytest.mark.slow
def test_installed_wheel_is_what_python_imports(run_installed, installed):
    where = run_installed("-c", "import cmrseg; print(cmrseg.__file__)")
    assert Path(where.strip()).is_relative_to(installed)


@pytest.mark.slow
def test_installed_command_explains_itself(run_installed):
    text = run_installed("-m", "cmrseg", "--help")
    assert [word for word in ("demo", "finetune", "predict", "zoo") if word not in text] == []


@pytest.mark.slow
def test_installed_zoo_lists_the_embedded_models(run_installed):
    listed = run_installed("-m", "cmrseg", "zoo", "list")
    assert embedded_models(), "the package embeds at least one model"
    assert [name for name in embedded_models() if name not in listed] == []


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_requirement_is_pinned_to_a_version_that_it_allows(requirement):
    pinned = constraints().get(canonicalize_name(requirement.name))
    assert pinned is not None, f"{requirement.name} is missing from constraints.txt"
    assert requirement.specifier.contains(pinned)


def test_conda_environment_installs_the_pinned_versions():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    assert pip == ["-c constraints.txt", "-e .[dask,onnx,openvino,review,dev]"]


def test_conda_environment_has_a_python_that_the_package_allows():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (python,) = [entry for entry in dependencies if str(entry).startswith("python=")]
    allowed = SpecifierSet(setup_cfg()["options"]["python_requires"])
    assert allowed.contains(python.removeprefix("python="))


def test_metadata_of_the_package_lives_in_setup_cfg_only():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(settings) == {"build-system", "tool"}
    assert set(settings["tool"]) == {"ruff", "mypy", "nbdev"}
