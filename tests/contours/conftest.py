"""A synthetic examination as DICOM with the true mask on the grid of its curation."""

import numpy as np
import pytest

from cmrseg.curation.run import curate
from cmrseg.io.dicom import read_headers
from cmrseg.io.images import load_image
from cmrseg.phantom import SCANNERS, make_study
from cmrseg.phantom.dicom import dicom_datasets, write_datasets
from tests.contours.formats import SPEC, Contoured


@pytest.fixture(scope="session")
def contoured(tmp_path_factory) -> Contoured:
    home = tmp_path_factory.mktemp("contoured")
    phantom = make_study(SPEC, scanner=SCANNERS["A"], seed=4)
    write_datasets(dicom_datasets(phantom.cine, style="siemens"), home / "in", np.random.default_rng(0))
    run = curate(home / "in", home / "out")
    (study,) = run.studies["study"]
    headers = {place: read_headers(path)[plane] for place, (path, plane) in run.sources[study].items()}
    grid = load_image(home / "out" / study / "sa.nii.gz")
    same = bool(np.allclose(grid.affine, phantom.mask.affine, atol=1e-2))
    array = phantom.mask.array if same else phantom.mask.array[:, :, ::-1]
    mask, frames = grid.with_array(array), (0, SPEC.es_frame)
    return Contoured(home / "in", home / "out", run.sources, study, headers, mask, frames)
