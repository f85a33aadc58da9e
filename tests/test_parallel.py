"""Mapping over studies keeps the order and passes errors on."""

import math
import sys

import pytest

from cmrseg.parallel import map_studies


def test_one_job_works_in_order():
    assert list(map_studies(math.sqrt, [1, 4, 9])) == [1, 2, 3]


def test_an_error_is_raised_where_its_result_is_due():
    results = map_studies(math.sqrt, [4, -1])
    assert next(results) == 2
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        next(results)


def test_jobs_must_be_positive():
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        map_studies(math.sqrt, [1], jobs=0)


def test_a_scheduler_without_dask_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(ValueError, match="dask is not installed"):
        map_studies(math.sqrt, [1], scheduler="tcp://localhost:8786")


@pytest.mark.slow  # starts two interpreters
def test_processes_keep_the_order():
    assert list(map_studies(math.sqrt, [1, 4, 9], jobs=2)) == [1, 2, 3]
