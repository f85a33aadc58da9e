"""Mixtures of a base model's weights and of what they became: what was learnt anew, with what was known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from cmrseg.io.atomic import write_table
from cmrseg.training.callbacks import AverageWeights

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
TABLE = "blend.csv"


def blended(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Weights on the line from a base model to its fine-tuned one.

    Parameters
    ----------
    base, tuned
        State dicts with the same keys and shapes.
    share
        Of the fine-tuned weights: 0 gives the base, 1 the fine-tuned ones. Counters are the fine-tuned ones'.

    References
    ----------
    Wortsman et al. (2022), Robust fine-tuning of zero-shot models, doi:10.1109/CVPR52688.2022.00780.
    """
    return {
        key: base[key].lerp(weights, share) if weights.is_floating_point() else weights.clone()
        for key, weights in tuned.items()
    }


def validated_mixtures(
    learn: Any, base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], shares: Sequence[float]
) -> Iterator[float]:
    """Validate one mixture after the other.

    Parameters
    ----------
    learn
        Learner whose validation images are used; in the end it holds the last mixture.
    base, tuned
        As in `blended`.
    shares
        Of the fine-tuned weights.

    Yields
    ------
    The share, while the learner knows the scores of its validation.
    """
    with learn.no_bar(), learn.no_logging(), learn.removed_cbs(learn.cbs.filter(_averages)):
        for share in shares:
            learn.model.load_state_dict(blended(base, tuned, share))
            learn.validate()
            yield share


def best_blend(
    learn: Any, base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], score: Callable[[], float], out: Path
) -> tuple[float, float, dict[str, Tensor]]:
    """The mixture with the best validation score; ``blend.csv`` in ``out`` has the score of each.

    Parameters
    ----------
    learn
        Learner whose validation images decide.
    base, tuned
        As in `blended`.
    score
        Of the last validation; more is better.
    out
        Folder of the run.

    Returns
    -------
    Share of the fine-tuned weights, validation score, weights. Of equal scores the larger share wins.
    """
    rows = [{"share": share, "score": score()} for share in validated_mixtures(learn, base, tuned, SHARES)]
    table = pd.DataFrame(rows)
    write_table(table, out / TABLE)
    best = table.sort_values(["score", "share"]).iloc[-1]
    return float(best["share"]), float(best["score"]), blended(base, tuned, float(best["share"]))


def _averages(callback: object) -> bool:
    """Whether a callback would put other weights into the network."""
    return isinstance(callback, AverageWeights)
