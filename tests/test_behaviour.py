"""What a whole chain of commands writes: names, columns, counts and means as they were recorded."""

import json
import re
from pathlib import Path

import pytest

from tests import behaviour

pytestmark = pytest.mark.slow
RECORDED = json.loads((Path(__file__).parent / "behaviour.json").read_text())
# The models are hardly trained: rounding of another processor moves single pixels of their masks, which
# decide about outlines (a file each), pieces and volumes. Numbers are compared of what comes before.
OUTLINE = re.compile(r"/contours/")
NO_MASK_IN_IT = re.compile(r"^(A|B|curated)/|/(history|splits)\.csv$|/model\.safetensors$")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    behaviour.run_chain(folder)
    return behaviour.portable(behaviour.describe(folder))


def test_the_commands_write_the_files_that_they_wrote(found):
    assert sorted(filter(_is_kept, found)) == sorted(filter(_is_kept, RECORDED))


def test_tables_masks_and_weights_are_nearly_those_that_they_were(found):
    for name, facts in RECORDED.items():
        if not _is_kept(name):
            continue
        assert found[name].keys() == facts.keys(), name
        for key, value in facts.items():
            if key in ("columns", "shape") or NO_MASK_IN_IT.search(name):
                expected = pytest.approx(value, rel=0.05, abs=0.02) if isinstance(value, float) else value
                assert found[name][key] == expected, f"{key} of {name}"


def _is_kept(name):
    return not OUTLINE.search(name)
