"""Agreement of two measurements of the same subjects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special, stats

CONFIDENCE = 0.95
Values = Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval, in the unit of the measurement."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BlandAltman:
    """Bias and limits of agreement of two measurements, in their unit.

    Attributes
    ----------
    n
        Number of pairs.
    bias
        Mean of ``measured - reference``.
    sd
        Standard deviation of the differences (n - 1).
    lower, upper
        Limits of agreement, bias -/+ 1.96 sd.
    """

    n: int
    bias: Interval
    sd: float
    lower: Interval
    upper: Interval


def bland_altman(measured: Values, reference: Values) -> BlandAltman:
    """Bias and 95 % limits of agreement, each with a 95 % confidence interval.

    Parameters
    ----------
    measured, reference
        Two measurements of each subject, shape ``(n,)``, one unit. Pairs with a ``nan`` are left out.

    Returns
    -------
    Bias, standard deviation of the differences and limits of agreement; spreads and intervals are
    ``nan`` for fewer than two pairs.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Bland and Altman, Lancet 327:307 (1986), doi:10.1016/S0140-6736(86)90837-8; confidence of the
    limits: Bland and Altman, Stat Methods Med Res 8:135 (1999), doi:10.1177/096228029900800204.
    """
    measured, reference = _pairs(measured, reference)
    difference = measured - reference
    n = difference.size
    if n < 2:
        bias = float(difference[0]) if n else math.nan
        unknown = Interval(math.nan, math.nan, math.nan)
        return BlandAltman(n, Interval(bias, math.nan, math.nan), math.nan, unknown, unknown)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    z, t = special.ndtri(0.5 + CONFIDENCE / 2), special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2)
    half_bias = t * sd / math.sqrt(n)
    half_limit = t * sd * math.sqrt(1 / n + z**2 / (2 * (n - 1)))
    return BlandAltman(
        n,
        _around(bias, half_bias),
        sd,
        _around(bias - z * sd, half_limit),
        _around(bias + z * sd, half_limit),
    )


def icc_2_1(ratings: Float[np.ndarray, "n k"]) -> Interval:
    """Intraclass correlation ICC(2,1): two-way random effects, absolute agreement, single rater.

    Parameters
    ----------
    ratings
        One row per subject, one column per rater or method, shape ``(n, k)``. Rows with a ``nan``
        are left out.

    Returns
    -------
    Coefficient with its 95 % confidence interval; ``nan`` for fewer than two subjects or where
    all ratings are equal.

    Raises
    ------
    ValueError
        If ``ratings`` is not a table with at least two columns.

    References
    ----------
    Shrout and Fleiss, Psychol Bull 86:420 (1979), doi:10.1037/0033-2909.86.2.420; interval:
    McGraw and Wong, Psychol Methods 1:30 (1996), doi:10.1037/1082-989X.1.1.30.
    """
    ratings = np.asarray(ratings, float)
    if ratings.ndim != 2 or ratings.shape[1] < 2:
        raise ValueError(f"ratings must have shape (subjects, raters >= 2), got {ratings.shape}")
    ratings = ratings[np.isfinite(ratings).all(axis=1)]
    n, k = ratings.shape
    if n < 2 or np.ptp(ratings) == 0:
        return Interval(math.nan, math.nan, math.nan)
    rows, columns, error = _mean_squares(ratings)
    icc = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    return Interval(float(icc), *_icc_limits((rows, columns, error), (n, k), icc))


def coefficient_of_variation(measured: Values, reference: Values) -> float:
    """Standard deviation of the differences over the mean of all measurements, in percent.

    Parameters
    ----------
    measured, reference
        Two measurements of each subject, shape ``(n,)``, one unit. Pairs with a ``nan`` are left out.

    Returns
    -------
    Percent; ``nan`` for fewer than two pairs or a mean of zero.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Grothues et al., Am J Cardiol 90:29 (2002), doi:10.1016/S0002-9149(02)02381-0.
    """
    measured, reference = _pairs(measured, reference)
    mean = float(np.mean([measured, reference])) if measured.size else 0.0
    if measured.size < 2 or mean == 0:
        return math.nan
    return 100 * float((measured - reference).std(ddof=1)) / mean


def absolute_relative_difference(measured: Values, reference: Values) -> float:
    """Mean of the absolute differences, each as a part of its reference, in percent.

    Parameters
    ----------
    measured, reference
        Two measurements of each subject, shape ``(n,)``, one unit. Pairs with a ``nan`` are left out.

    Returns
    -------
    Percent; ``nan`` without pairs or where a reference is zero.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Ankenbrand et al. (2020), doi:10.1101/2020.06.15.20131656, IV (interobserver variability of volumes).
    """
    measured, reference = _pairs(measured, reference)
    if not measured.size or (reference == 0).any():
        return math.nan
    return 100 * float(np.mean(np.abs(measured - reference) / np.abs(reference)))


def mean_interval(values: Values, *, resamples: int = 9999, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a mean.

    Parameters
    ----------
    values
        One of every subject, shape ``(n,)``.
    resamples, seed
        Number and seed of the bootstrap samples.

    Returns
    -------
    Lower and upper limit; ``nan`` for fewer than two values.

    References
    ----------
    Efron and Tibshirani, Stat Sci 1:54 (1986), doi:10.1214/ss/1177013815.
    """
    if len(values) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    found = stats.bootstrap((values,), np.mean, n_resamples=resamples, rng=rng, method="percentile")
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_p_value(first: Values, second: Values) -> float:
    """Two-sided p value of the Wilcoxon signed-rank test on paired values.

    Parameters
    ----------
    first, second
        Two scores of each subject, shape ``(n,)``. Pairs with a ``nan`` are left out.

    Returns
    -------
    p value; 1 if no pair differs, ``nan`` without pairs.

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Wilcoxon, Biometrics Bulletin 1:80 (1945), doi:10.2307/3001968.
    """
    first, second = _pairs(first, second)
    if not first.size:
        return math.nan
    if (first == second).all():
        return 1.0
    from scipy.stats import wilcoxon  # importing it takes half a second

    return float(wilcoxon(first, second).pvalue)


def _pairs(measured: Values, reference: Values) -> tuple[np.ndarray, np.ndarray]:
    """Both measurements of the subjects that have both."""
    measured, reference = np.asarray(measured, float), np.asarray(reference, float)
    if measured.shape != reference.shape or measured.ndim != 1:
        raise ValueError(f"need one value per subject of each, got {measured.shape} and {reference.shape}")
    both = np.isfinite(measured) & np.isfinite(reference)
    return measured[both], reference[both]


def _around(value: float, half_width: float) -> Interval:
    """Interval that is symmetric about its estimate."""
    return Interval(float(value), float(value - half_width), float(value + half_width))


def _mean_squares(ratings: np.ndarray) -> tuple[float, float, float]:
    """Mean squares between subjects, between raters and of the residual."""
    n, k = ratings.shape
    grand = ratings.mean()
    subjects, raters = ratings.mean(axis=1), ratings.mean(axis=0)
    residual = ratings - subjects[:, None] - raters[None] + grand
    between = k * ((subjects - grand) ** 2).sum() / (n - 1)
    across = n * ((raters - grand) ** 2).sum() / (k - 1)
    return float(between), float(across), float((residual**2).sum() / ((n - 1) * (k - 1)))


def _icc_limits(
    squares: tuple[float, float, float], shape: tuple[int, int], icc: float
) -> tuple[float, float]:
    """McGraw and Wong's confidence limits of ICC(2,1) (their ICC(A,1))."""
    (rows, columns, error), (n, k) = squares, shape
    if icc >= 1 or error == 0:
        return (1.0, 1.0) if icc >= 1 else (math.nan, math.nan)
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    freedom = (a * columns + b * error) ** 2 / (
        (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    )
    low_f = special.fdtri(n - 1, freedom, 0.5 + CONFIDENCE / 2)
    high_f = special.fdtri(freedom, n - 1, 0.5 + CONFIDENCE / 2)
    rest = k * columns + (k * n - k - n) * error
    with np.errstate(invalid="ignore"):  # a negative ICC of few subjects may have no lower limit
        low = n * (rows - low_f * error) / (low_f * rest + n * rows)
        high = n * (high_f * rows - error) / (rest + n * high_f * rows)
    return float(low), float(high)
