"""What every test may ask for.

Slow tests carry ``@pytest.mark.slow``. They run by default, and so in ``make test``; while working,
``pytest -m "not slow"`` leaves them out.
"""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# The same examples everywhere, however slow the machine; --hypothesis-profile default looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")


def pytest_make_parametrize_id(val, argname):
    """Bytes are told by their argument: an archive holds the second it was made in, and workers differ."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory):
    """Nothing is kept in the user's own folder; a model is converted once for all tests of a worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMRSEG_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real images; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CMRSEG_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}; name their folder in CMRSEG_TEST_DATA")
    return folder
