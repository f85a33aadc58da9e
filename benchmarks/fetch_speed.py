"""A published model of 165 MB: fetched, verified, loaded and used by one command; time and peak memory.

Every side is a process of its own, so that the peak is its own; the server is another one. Beside ours pooch
fetches and verifies the same file; a file of a tenth of the size tells whether memory grows with it (Linux).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TENTH_BYTES = 16_000_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        entries = {"model": _model(root / "served"), "tenth": _noise(root / "served")}
        study = _write_study(root / "study.nii.gz")
        serve = [sys.executable, "-c", _SERVER, str(root / "served")]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            try:
                for side, which in (
                    ("cmrseg", "tenth"),
                    ("pooch", "tenth"),
                    ("cmrseg", "model"),
                    ("pooch", "model"),
                ):
                    _run(side, entries[which], address, root / f"{side}_{which}")
                _command(entries["model"], address, root / "command", study)
            finally:
                server.terminate()


_SERVER = """
import http.server, sys
class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *a): super().__init__(*a, directory=sys.argv[1])
    def log_message(self, *a): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
print(server.server_port, flush=True)
server.serve_forever()
"""


def _entry(path: Path) -> dict[str, object]:
    from cmrseg.io.checksum import sha256_of

    return {
        "name": path.parent.name,
        "file": path.name,
        "sha256": sha256_of([path]),
        "bytes": path.stat().st_size,
        "architecture": "r34",
        "labels": ["BACKGROUND", "LV", "MYO"],
        "trained_on": "nothing",
        "licence": "none",
        "citation": "none",
        "preprocessing": {},
        "recipe": "r34_CE_none_s2",
        "dice": {},
        "url": "https://models.invalid/file",
    }


def _model(served: Path) -> dict[str, object]:
    """A ResNet-34 U-Net with random weights."""
    from cmrseg.preprocess import Preprocessing
    from cmrseg.zoo.model_file import ModelSpec, build_net, save_model

    spec = ModelSpec(
        "r34_CE_none_s2",
        "r34",
        ("BACKGROUND", "LV", "MYO"),
        Preprocessing(pixel_mm=None, size=256, rgb=True),
        "r34_CE_none_s2",
    )
    return _entry(
        save_model(spec, build_net(spec).state_dict(), served / spec.name / f"{spec.name}.safetensors")
    )


def _noise(served: Path) -> dict[str, object]:
    path = served / "tenth" / "tenth.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(TENTH_BYTES))
    return _entry(path)


def _run(side: str, entry: dict[str, object], address: str, home: Path) -> None:
    """One side in a process of its own."""
    environment = {**os.environ, "CMRSEG_HOME": str(home), "CMRSEG_MIRROR": address}
    subprocess.run(
        [sys.executable, __file__, side, json.dumps(entry), str(home), address], env=environment, check=True
    )


def _peak_mb() -> float:
    """Largest memory of this process so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _forget_peak() -> float:
    """Begin anew from the memory in use, which is returned: imports have a peak of their own."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_mb()


def _step(what: str, started: float, before: float) -> None:
    print(f"  {what}: {time.perf_counter() - started:.2f} s, peak +{_peak_mb() - before:.0f} MB")


def _side(side: str, values: dict[str, object], home: Path, address: str) -> None:
    from cmrseg.zoo.fetch import FetchOptions, fetch
    from cmrseg.zoo.manifest import read_entry

    entry = read_entry(values, "this benchmark")
    before = _forget_peak()
    print(f"{side}, {entry.bytes / 1e6:.0f} MB (before: {before:.0f} MB)")
    started = time.perf_counter()
    if side == "pooch":
        import pooch

        before, started = _forget_peak(), time.perf_counter()
        pooch.get_logger().setLevel("ERROR")
        url = f"{address}/{entry.name}/{entry.file}"
        pooch.retrieve(url, f"sha256:{entry.sha256}", path=home, fname=entry.file)
        _step("fetched and verified", started, before)
        return
    fetch(entry, FetchOptions(note=lambda _: None))
    _step("fetched and verified", started, before)


def _write_study(path: Path) -> Path:
    """A synthetic cine of two frames."""
    import numpy as np

    from cmrseg.io.images import save_image
    from cmrseg.phantom import SCANNERS, make_study, random_spec

    cine = make_study(random_spec(np.random.default_rng(0), n_frames=2), SCANNERS["A"], 0).cine
    return save_image(cine, path)


def _command(entry: dict[str, object], address: str, home: Path, study: Path) -> None:
    """`cmrseg predict STUDY OUT --model NAME` from its start to its end, imports included."""
    call = [sys.executable, __file__, "command", json.dumps(entry), str(home), address, str(study)]
    environment = {**os.environ, "CMRSEG_HOME": str(home), "CMRSEG_MIRROR": address}
    for what in ("fetched, verified, loaded, segmented", "again, from the cache"):
        started = time.perf_counter()
        process = subprocess.Popen(call, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds, peak_mb = time.perf_counter() - started, usage.ru_maxrss / 1024
        if status:
            raise SystemExit(f"the command failed with status {status}")
        size_mb = entry["bytes"] / 1e6
        print(
            f"cmrseg predict --model, {size_mb:.0f} MB, {what}: {seconds:.1f} s, peak {peak_mb:.0f} MB "
            f"({seconds / size_mb * 1000:.0f} ms and {peak_mb / size_mb:.1f} MB per MB of the file)"
        )


def _run_command(values: dict[str, object], home: Path, study: Path) -> None:
    """The command in this process, with a manifest of one model."""
    from cmrseg.zoo import manifest

    entry = manifest.read_entry(values, "this benchmark")
    manifest.read_manifest = lambda: {entry.name: entry}
    sys.argv = ["cmrseg", "predict", str(study), str(home / "out"), "--model", entry.name, "--fast"]
    from cmrseg.cli import main as command

    command()


if __name__ == "__main__":
    if sys.argv[1:2] == ["command"]:
        _run_command(json.loads(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[5]))
    elif len(sys.argv) > 1:
        _side(sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
    else:
        main()
