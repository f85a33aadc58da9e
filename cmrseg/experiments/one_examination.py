"""Time and peak memory of one stack, from intensities to mask: ``python -m`` in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

REPEATS = 3


def measure(
    model: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> dict[str, float]:
    """Fastest of three passes in seconds, and the most memory of this process in MB.

    Parameters
    ----------
    model
        Model file.
    shape, spacing
        Pixels ``(x, y, z)`` and mm of a stack of one frame.
    """
    from cmrseg.cine import Cine
    from cmrseg.models.device import peak_memory_mb
    from cmrseg.predict import AS_PUBLISHED, open_network, segment_cine

    network = open_network(model, AS_PUBLISHED)
    stack = np.random.default_rng(0).random((*shape, 1), dtype=np.float32)
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        segment_cine(Cine(stack, spacing), network, AS_PUBLISHED)
        times.append(time.perf_counter() - begun)
    return {"examination_seconds": min(times), "examination_memory_MB": peak_memory_mb()}


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    found = measure(Path(told["model"]), tuple(told["shape"]), tuple(told["spacing"]))
    sys.stdout.write(json.dumps(found) + "\n")
