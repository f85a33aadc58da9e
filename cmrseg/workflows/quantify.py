"""The page beside predicted indices: their curves over the cycle, and what masks measure at these places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cmrseg.data.catalog import read_catalog
from cmrseg.evaluation.index_curves import FEWEST_FRAMES, IndexCurves, curves_report
from cmrseg.evaluation.indices import given_indices
from cmrseg.io.in_use import works_in
from cmrseg.parallel import Progress
from cmrseg.predict import Options, predict
from cmrseg.report.write import write
from cmrseg.tasks.quantification.truth import TABLE, read_indices
from cmrseg.zoo.manifest import DEFAULT_MODEL
from cmrseg.zoo.resolved import ResolvedModel

SHOWN = 3  # cines: their masks take time


@works_in("out", "predict")
def index_curves(
    source: Path,
    out: Path,
    model: ResolvedModel,
    *,
    splits: Sequence[str] = (),
    progress: Progress | None = None,
) -> IndexCurves | None:
    """Write ``report.html`` with the curves of the first cines, beside those of the default model's masks.

    Parameters
    ----------
    source, splits
        What was predicted.
    out
        With ``indices.csv``; gets ``masks/`` too.
    model
        Who answered.
    progress
        Told of the masks.

    Returns
    -------
    The curves; None, and no page, where no subject has a cine of `FEWEST_FRAMES` frames.
    """
    (out / "report.html").unlink(missing_ok=True)
    catalog = read_catalog(source, splits=splits, masks=False)
    network = read_indices(out / TABLE)
    cines = [refs[0].subject for refs in catalog.cines() if len(refs) >= FEWEST_FRAMES]
    subjects = [name for name in dict.fromkeys(cines) if name in set(network["subject"])][:SHOWN]
    if not subjects:
        return None
    few = replace(catalog, table=catalog.table[catalog.table["subject"].isin(subjects)])
    predict(few, out / "masks", options=Options(resume=True, flips=False), progress=progress)
    masks, _ = given_indices(out / "masks", few)
    found = IndexCurves(network[network["subject"].isin(subjects)], masks, subjects)
    how = f"{DEFAULT_MODEL} in one pass, in mid-ventricular slices"
    told = {"source": str(source), "network": str(model), "masks": how}
    write(curves_report(found, told), out)
    return found
