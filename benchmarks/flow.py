"""How far a reader walks: the files that one command enters on its way from the command to its last step.

    python benchmarks/flow.py            # predict (DICOM), finetune and study subsets on small synthetic data

Every command is really run, and every call of a function of the package is seen. Followed is the first call
of each function, as one reads each of them once. A file counts when it calls another one on the way; files of
which only leaves are called (arithmetic, a reader of one format) are told apart, because one need not open
them to know what they do. A climb is a call from a file to one of a higher layer of `tests/test_layers.py`.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PACKAGE = str(ROOT / "cmrseg") + "/"
# Threads, bars, locks and readers of settings: they call back by their nature.
EVERYBODYS = ("parallel.py", "cli/console.py", "io/in_use.py", "io/settings.py")
COMMANDS = {
    "predict": "predict dicom examined --model base/model.safetensors",
    "finetune": "finetune --base base/model.safetensors --data B --out tuned --epochs 1",
    "study subsets": "study subsets --data B --base base/model.safetensors --subjects 1 --kinds subjects "
    "--seeds 1 --epochs 1 --out study",
}


class Walk:
    """Files that were entered, and from which."""

    def __init__(self) -> None:
        self.seen: set[tuple[CodeType, CodeType | None]] = set()
        self.steps: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Note the first call of a function from another file."""
        if event != "call" or not _is_ours(frame):
            return
        if frame.f_code.co_name == "<module>":
            return
        caller = frame.f_back
        while caller is not None and not _is_ours(caller):
            caller = caller.f_back
        pair = frame.f_code, caller and caller.f_code
        if pair in self.seen:
            return
        self.seen.add(pair)
        here, there = _name(frame), _name(caller) if caller else ""
        if here != there:
            self.steps.append((there, here))

    @property
    def entered(self) -> list[str]:
        """All files, in the order in which they were entered."""
        return list(dict.fromkeys(here for _, here in self.steps))

    @property
    def opened(self) -> list[str]:
        """Files that call others, but for those that are everybody's."""
        callers = {there for there, _ in self.steps}
        return [name for name in self.entered if name in callers and name not in EVERYBODYS]

    @property
    def climbs(self) -> list[tuple[str, str]]:
        """Calls to a file of a higher layer."""
        from tests.test_layers import LAYER_OF

        def layer(name: str) -> int:
            return LAYER_OF.get(name.split("/")[0].removesuffix(".py"), 0)

        pairs = [
            (a, b) for a, b in dict.fromkeys(self.steps) if a and a not in EVERYBODYS and b not in EVERYBODYS
        ]
        return [(a, b) for a, b in pairs if layer(b) > layer(a)]


def _is_ours(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(PACKAGE) and file.endswith(".py")


def _name(frame: FrameType) -> str:
    return frame.f_code.co_filename.removeprefix(PACKAGE)


@contextmanager
def followed() -> Iterator[Walk]:
    """Follow all calls of a block, those of threads too."""
    walk = Walk()
    threading.setprofile(walk)
    sys.setprofile(walk)
    try:
        yield walk
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main() -> None:
    """Print the figures of the three ways; with ``--files`` the files too."""
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
        for name, line in COMMANDS.items():
            with followed() as walk:
                give(line)
            told = f"{len(walk.opened)} files opened ({len(walk.entered)} entered), {len(walk.climbs)} climbs"
            print(f"{name}: {told}")
            if "--files" in sys.argv:
                print("  opened: " + " ".join(walk.opened))
                print("  climbs: " + "; ".join(f"{a} -> {b}" for a, b in walk.climbs))


if __name__ == "__main__":
    main()
