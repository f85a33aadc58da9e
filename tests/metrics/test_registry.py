"""The registry of metrics."""

import pytest

from cmrseg.metrics.registry import CARD, METRICS, RUN, VOLUME, shown_in


def test_places_show_their_metrics_in_the_order_of_the_registry():
    assert shown_in(RUN) == ("dice", "hd95", "ef_error", "ef_abs_error")
    assert shown_in(VOLUME) == ("dice", "dice_image", "hd", "hd95", "assd", "volume_error")
    assert shown_in(CARD) == ("dice", "dice_image", "hd95", "assd", "ef_error", "ef_abs_error", "mass_error")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.unit in {"1", "mm", "ml", "points", "g"}
    assert metric.better in {"more", "less", "zero"}
    assert metric.digits == (3 if metric.unit == "1" else 1)
