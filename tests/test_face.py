"""What `import cmrseg` gives: few names, quickly, each with an example that runs."""

import doctest
import inspect
import math
import subprocess
import sys
import types

import pytest

import cmrseg
from cmrseg.problems import DataError

NAMES = [name for name in cmrseg.__all__ if name != "__version__"]
QUICK_MS = 50


def examples_of(name: str) -> list[doctest.DocTest]:
    """Examples in the docstring of a name."""
    told = inspect.getdoc(cmrseg if name == "cmrseg" else getattr(cmrseg, name))
    test = doctest.DocTestParser().get_doctest(told or "", {}, name, None, 0)
    return [test] if test.examples else []


def test_there_are_about_twenty_five_names():
    assert 20 <= len(NAMES) <= 30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cmrseg", *NAMES])
def test_every_name_has_an_example_that_runs(name):
    (test,) = examples_of(name)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert said == []


def test_an_unknown_name_is_told_with_those_there_are():
    with pytest.raises(AttributeError, match=r"no attribute 'segmentt'; it has .*segment"):
        cmrseg.segmentt  # noqa: B018


def test_names_are_found_once_and_completed():
    assert cmrseg.Label is cmrseg.Label
    assert set(NAMES) <= set(dir(cmrseg))
    assert isinstance(cmrseg.zoo, types.ModuleType)


def test_the_import_is_quick_and_brings_neither_torch_nor_numpy():
    code = "import cmrseg, sys; print(sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    (line,) = [line for line in done.stderr.splitlines() if line.rpartition("|")[2].strip() == "cmrseg"]
    assert int(line.split("|")[1]) / 1000 < QUICK_MS


def test_a_mask_without_a_heart_has_no_ejection_fraction_and_its_indices_are_refused():
    _, mask = cmrseg.synthetic_cine()
    empty = mask.with_array(mask.array * 0)
    assert math.isnan(cmrseg.ejection_fraction(empty))
    with pytest.raises(DataError, match="shows no LV"):
        cmrseg.indices(empty)
