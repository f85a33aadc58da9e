"""How far a reader walks who follows one parameter from the command to the work.

    python benchmarks/flow.py            # predict (DICOM), finetune and study subsets on small synthetic data
    python benchmarks/flow.py --files    # and which functions these are

Every command is really run, and every call of a function of the package is seen. Two figures are printed.

*Followed* is one parameter: the folder of images that the command is given (``source`` of predict, ``data``
of the others). Followed on are the forms that it takes: a file in it, and of predict in a study's folder of
the results; what a function makes of it, where it is that function's first argument (a catalog of a folder, a
cine of a file), or where what comes back holds a form of it. A function belongs to the way when it takes a
form of the parameter and hands one on to a function of another file; one that hands it to no other file is
the work, where the way ends. Every function is read once, when it is first called. A *stay* is one change of
file on the way, a return included; a *climb* is a stay in a file of a higher layer of `tests/test_layers.py`
than the last one. The first line takes readers and writers of bytes (``io/``) for work, the second does not.

*All* are the files of all calls, whatever they are about (models, options, folders, locks), that call another
file; a climb is a call to a higher layer.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import groupby, islice, pairwise
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PACKAGE = str(ROOT / "cmrseg") + "/"
# Threads, bars, locks and readers of settings: they call back by their nature.
EVERYBODYS = ("parallel.py", "cli/console.py", "cli/training_options.py", "io/in_use.py", "io/settings.py")
# The command, and the folders whose way is followed; of one that ends with a slash what lies in it.
COMMANDS = {
    "predict": ("predict dicom examined --model base/model.safetensors", ("dicom", "examined/")),
    "finetune": ("finetune --base base/model.safetensors --data B --out tuned --epochs 1", ("B",)),
    "study subsets": (
        "study subsets --data B --base base/model.safetensors --subjects 1 --kinds subjects "
        "--seeds 1 --epochs 1 --out study",
        ("B",),
    ),
}
_PLAIN = (type(None), bool, int, float, str, bytes, type, Path)
_VARIABLE = 0x04 | 0x08  # flags of code with *args or **kwargs


@dataclass(frozen=True)
class Step:
    """The first call of a function from a function."""

    code: CodeType
    caller: CodeType | None


@dataclass
class Walk:
    """Calls of functions of the package, those that take the parameter and all.

    Attributes
    ----------
    folders
        Places of the parameter, and whether they are it themselves or only hold forms of it.
    followed, all
        Calls in their order; of the followed functions only the first.
    """

    folders: dict[Path, bool]
    followed: list[Step] = field(default_factory=list)
    all: list[Step] = field(default_factory=list)
    _seen: set[Step] = field(default_factory=set)
    _met: set[CodeType] = field(default_factory=set)
    _links: set[Step] = field(default_factory=set)
    _forms: dict[int, object] = field(default_factory=dict)  # kept, so that no other object gets their number

    def __call__(self, frame: FrameType, event: str, result: object) -> None:
        """Note a call, or what comes back."""
        if (
            event not in ("call", "return")
            or not _is_ours(frame.f_code)
            or frame.f_code.co_name == "<module>"
        ):
            return
        if event == "call":
            self._enter(frame)
        elif not isinstance(result, _PLAIN):
            arguments = _arguments(frame)
            if (arguments and self.is_form(arguments[0])) or self.is_form(result):
                self._forms[id(result)] = result

    def _enter(self, frame: FrameType) -> None:
        step = Step(frame.f_code, _caller(frame))
        if step not in self._seen:
            self._seen.add(step)
            self.all.append(step)
        if step.code.co_name.startswith("<") or step in self._links:
            return
        if any(map(self.is_form, _arguments(frame))):
            self._links.add(step)
            if step.code not in self._met:
                self._met.add(step.code)
                self.followed.append(step)

    def is_form(self, value: object, depth: int = 2) -> bool:
        """Whether a value is the parameter, a form of it, or holds one."""
        if isinstance(value, Path):
            path = value.absolute()
            return any(
                path.is_relative_to(root) and (own or path != root) for root, own in self.folders.items()
            )
        if isinstance(value, _PLAIN) or not depth:
            return False
        return id(value) in self._forms or any(self.is_form(part, depth - 1) for part in _parts(value))

    def way(self, *, bytes_too: bool = True) -> list[CodeType]:
        """Functions that hand the parameter on to another file, in the order in which they are read."""
        ends = EVERYBODYS if bytes_too else (*EVERYBODYS, "io/")
        handing = {
            link.caller
            for link in self._links
            if link.caller
            and _name(link.caller) != _name(link.code)
            and not _name(link.code).startswith(ends)
        }
        return [s.code for s in self.followed if s.code in handing and not _name(s.code).startswith(ends)]

    def stays(self, *, bytes_too: bool = True) -> list[str]:
        """Files, one for every change of file on the way."""
        names = [_name(code) for code in self.way(bytes_too=bytes_too)]
        return [name for name, _ in groupby(names)]

    @property
    def opened(self) -> list[str]:
        """Of all calls, the files that call others."""
        calling = {_name(s.caller) for s in self.all if s.caller and _name(s.caller) != _name(s.code)}
        return [
            name for name in dict.fromkeys(_name(s.code) for s in self.all) if name in calling - {*EVERYBODYS}
        ]


def climbs(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of files whose second one is of a higher layer."""
    from tests.test_layers import LAYER_OF

    def layer(name: str) -> int:
        return LAYER_OF.get(name.split("/")[0].removesuffix(".py"), 0)

    return [(a, b) for a, b in pairs if layer(b) > layer(a) and a not in EVERYBODYS and b not in EVERYBODYS]


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE) and code.co_filename.endswith(".py")


def _name(code: CodeType) -> str:
    return code.co_filename.removeprefix(PACKAGE)


def _caller(frame: FrameType) -> CodeType | None:
    """The nearest function of the package that is no comprehension and no lock around another one."""
    caller = frame.f_back
    while caller is not None and not _counts(caller.f_code):
        caller = caller.f_back
    return caller and caller.f_code


def _counts(code: CodeType) -> bool:
    return (
        _is_ours(code) and _name(code) not in EVERYBODYS and code.co_name not in ("<listcomp>", "<genexpr>")
    )


def _arguments(frame: FrameType) -> list[object]:
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + (code.co_flags & _VARIABLE).bit_count()
    return [frame.f_locals.get(name) for name in code.co_varnames[:count]]


def _parts(value: object) -> Iterator[object]:
    """What a container or a record holds, the first twenty."""
    if isinstance(value, dict):
        yield from islice(list(value.values()), 20)
    elif isinstance(value, list | tuple):
        yield from islice(value, 20)
    elif is_dataclass(value):
        yield from (getattr(value, f.name, None) for f in fields(value))


@contextmanager
def walking(folders: tuple[str, ...]) -> Iterator[Walk]:
    """Follow the folders through all calls of a block, those of threads too."""
    walk = Walk({Path(folder).absolute(): not folder.endswith("/") for folder in folders})
    threading.setprofile(walk)
    sys.setprofile(walk)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main() -> None:
    """Print the figures of the three ways; with ``--files`` the functions and files too."""
    from typer.testing import CliRunner

    from cmrseg.cli import app
    from tests.behaviour import _make_studies

    def give(line: str) -> None:
        result = CliRunner().invoke(app, line.split(), catch_exceptions=False)
        if result.exit_code:
            raise SystemExit(f"cmrseg {line}: {result.output}")

    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        _make_studies(Path(folder))
        give("train light2d_hybrid_toy_s3 --data A --out base --config toy.toml")
        for name, (line, folders) in COMMANDS.items():
            with walking(folders) as walk:
                give(line)
            _tell(name, walk)


def _tell(name: str, walk: Walk, say: Callable[[str], None] = print) -> None:
    for what, stays in (("", walk.stays(bytes_too=False)), ("  with io/: ", walk.stays())):
        back = climbs(list(pairwise(stays)))
        say(f"{what or f'{name}: '}{len(stays)} stays in {len(set(stays))} files, {len(back)} climbs back")
    up = climbs(list(dict.fromkeys((_name(s.caller), _name(s.code)) for s in walk.all if s.caller)))
    say(f"  all calls: {len(walk.opened)} files, {len(up)} calls to a higher layer")
    if "--files" in sys.argv:
        for file, codes in groupby(walk.way(), _name):
            say(f"    {file}: {', '.join(code.co_name for code in codes)}")
        say("  all: " + " ".join(walk.opened))


if __name__ == "__main__":
    main()
