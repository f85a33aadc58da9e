"""Header helpers round-trip, and stacks come out along the normal."""

import numpy as np
import pytest

from cmrseg.phantom.dicom import dicom_datasets
from cmrseg.phantom.instances import clock, decimals, find_stack, new_uid, seconds_of


@pytest.mark.parametrize("seconds", [0.0, 59.999999, 30_612.25, 86_399.5])
def test_clock_round_trips(seconds):
    assert seconds_of(clock(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_clock_starts_again_at_midnight():
    assert clock(86_400 + 61) == "000101.000000"


def test_decimals_have_16_characters_and_a_millionth_of_a_millimetre():
    numbers = np.random.default_rng(0).normal(0, 300, 1000)
    texts = decimals(*numbers, 1e-17, -5.55111512312578e-17)
    assert max(map(len, texts)) <= 16
    np.testing.assert_allclose([float(t) for t in texts[:1000]], numbers, atol=1e-9)


def test_uid_follows_from_its_parts():
    assert new_uid(1, "a") == new_uid(1, "a") != new_uid(1, "b")


@pytest.mark.parametrize("style", ["siemens", "ge"])
def test_stack_ascends_along_the_normal_in_any_order_of_files(cine, style):
    datasets = dicom_datasets(cine, style=style)
    shuffled = [datasets[i] for i in np.random.default_rng(0).permutation(len(datasets))]
    stack = find_stack(shuffled)
    np.testing.assert_allclose(np.diff(stack.positions), 8.0, atol=0.002)
    assert stack.spacing == pytest.approx(8.0)
    assert [d for g in stack.groups for d in g] == datasets
