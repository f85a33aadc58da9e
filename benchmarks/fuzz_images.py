"""Damaged NIfTI and PNG files: are they told in a sentence, do they crash, hang, or pass with other pixels?

    python benchmarks/fuzz_images.py --inputs 1000

Bits are flipped, files are cut, header fields are replaced by hostile values. An uncompressed ``.nii`` has no
checksum: flipped bits of its pixels cannot be noticed. A field that is changed to another lawful
value and packed with a right checksum is no damage to a reader: "header: other pixels" counts those.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from cmrseg.io.images import load_image, load_mask, read_grid
from cmrseg.problems import DataError

HOSTILE = (0, -1, 1, 2, 255, 32767, -32768, 2**31 - 1, np.nan, np.inf, -np.inf, 1e-30, 1e30)
FIELDS = (
    "sizeof_hdr", "dim", "intent_code", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope",
    "scl_inter", "xyzt_units", "qform_code", "sform_code", "quatern_b", "srow_x", "srow_y", "magic",
)  # fmt: skip
SLOW_S = 5.0


def originals() -> dict[str, bytes]:
    """A cine as .nii and .nii.gz, and PNG of 8 and 16 bits."""
    rng = np.random.default_rng(0)
    affine = np.array([[0, -1.5, 0, 10], [1.5, 0, 0, -20], [0, 0, 8, 30], [0, 0, 0, 1.0]])
    image = nib.Nifti1Image(rng.integers(0, 900, (40, 44, 6, 8)).astype(np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 0.1
    found = {".nii": image.to_bytes(), ".nii.gz": gzip.compress(image.to_bytes(), 1, mtime=0)}
    for name, kind in ((".8.png", np.uint8), (".16.png", np.uint16)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.png"
            Image.fromarray(rng.integers(0, 250, (64, 64)).astype(kind)).save(path)
            found[name] = path.read_bytes()
    return found


def flipped(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One to three bits differ."""
    damaged = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        damaged[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(damaged), "bit flip"


def cut(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The end is missing."""
    return data[: int(rng.integers(len(data)))], "cut"


def lied(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A field of the header is something else, packed again with a right checksum; of a PNG, its size."""
    if data.startswith(b"\x89PNG"):
        size = struct.pack(">II", *(int(rng.choice([0, 1, 63, 65, 257, 2**31 - 1])) for _ in range(2)))
        import zlib

        head = data[12:16] + size + data[24:29]
        return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:], "header"
    is_packed = data[:2] == b"\x1f\x8b"
    plain = gzip.decompress(data) if is_packed else data
    header = nib.Nifti1Header(plain[:348], check=False)
    field = str(rng.choice(FIELDS))
    with np.errstate(all="ignore"):
        try:
            value, target = rng.choice(HOSTILE), header[field]
            if np.ndim(target):
                target[int(rng.integers(target.size))] = value
            else:
                header[field] = value
        except (OverflowError, ValueError, TypeError):
            return flipped(data, rng)
    changed = header.binaryblock + plain[348:]
    return (gzip.compress(changed, 1, mtime=0) if is_packed else changed), "header"


def outcome(path: Path, right: np.ndarray) -> str:
    """What reading gives: told, the right pixels, others, or a traceback."""
    start = time.perf_counter()
    try:
        grid, image = read_grid(path), load_image(path)
        load_mask_is_told(path)
        same = image.array.size == right.size and np.array_equal(
            np.sort(image.array, None), np.sort(right, None)
        )
        found = "right" if same and grid.shape == image.array.shape else "other pixels"
    except DataError as error:
        found = "told" if str(path) in str(error) and "\n" not in str(error) else "told without the name"
    except Exception as error:
        found = f"traceback {type(error).__name__}"
    return "slow" if time.perf_counter() - start > SLOW_S else found


def load_mask_is_told(path: Path) -> None:
    """Read it as a mask, too, of which every value is wrong."""
    try:
        load_mask(path, "cmrseg")
    except DataError as error:
        if str(path) not in str(error):
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, counts = np.random.default_rng(arguments.seed), Counter()
    files = originals()
    with tempfile.TemporaryDirectory() as folder:
        rights = {}
        for kind, data in files.items():
            (path := Path(folder) / f"right{kind}").write_bytes(data)
            rights[kind] = load_image(path).array
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(arguments.inputs):
            kind = list(files)[number % len(files)]
            damaged, how = (flipped, cut, lied)[int(rng.integers(3))](files[kind], rng)
            if damaged == files[kind]:
                continue
            path = Path(folder) / f"{number}{kind}"
            path.write_bytes(damaged)
            found = outcome(path, rights[kind])
            counts[kind, how, found] += 1
            if found.startswith(("traceback", "slow", "told without")) or (
                found == "other pixels" and kind != ".nii"
            ):
                print(f"seed {arguments.seed} input {number}: {kind} {how}: {found}")
            path.unlink()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for (kind, how, found), count in sorted(counts.items()):
        print(f"{kind:8} {how:9} {found:22} {count}")
    total = Counter()
    for (_, _, found), count in counts.items():
        total[found] += count
    print(f"{sum(total.values())} inputs: {dict(total)}")
    print(f"peak memory {peak / 1024:.0f} MB, {(peak - before) / 1024:.0f} MB above that of the right files")


if __name__ == "__main__":
    main()
