"""What `cmrseg study` does: experiments over many training runs, and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cmrseg.experiments import search as parameters
from cmrseg.experiments.comparison import Comparison, ComparisonSetup, compare
from cmrseg.experiments.comparison_report import comparison_report
from cmrseg.experiments.curves import join_logs, read_training_log, run_table, with_smoothed
from cmrseg.experiments.curves_report import Curves, curves_report
from cmrseg.experiments.ensembles import EnsembleStudy, read_predictions, search_ensembles
from cmrseg.experiments.ensembles_report import ensembles_report
from cmrseg.experiments.folds import FoldRun, FoldSetup, cross_validate
from cmrseg.experiments.folds_report import folds_report
from cmrseg.experiments.planning import planning_table
from cmrseg.experiments.printed import beside, read_printed
from cmrseg.experiments.recommendation import recommendation
from cmrseg.experiments.regions import RegionSetup, RegionStudy, region_study
from cmrseg.experiments.regions_report import region_study_report
from cmrseg.experiments.search_report import search_report
from cmrseg.experiments.transfer import LOG_FILE, transfer_study
from cmrseg.experiments.transfer_plan import TransferSetup
from cmrseg.experiments.transfer_report import TransferAnswer, said_of, transfer_report
from cmrseg.io.atomic import write_text
from cmrseg.io.in_use import works_in
from cmrseg.report.write import write
from cmrseg.training.log import Listener


@works_in("out", "study subsets")
def subsets(
    data: Path,
    out: Path,
    *,
    setup: TransferSetup | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    listener: Listener | None = None,
) -> TransferAnswer:
    """What transfer gains and how many subjects to contour: `transfer_study`, then tables and a report.

    Parameters
    ----------
    data, out, setup, jobs, scheduler, listener
        As for `cmrseg.experiments.transfer.transfer_study`. ``out`` also gets ``planning.csv``, ``gain.csv``,
        ``runs.csv``, ``curves.csv``, ``planning.png``, ``fig5.png``, ``fig6.png``, ``fig6_raw.png`` and
        ``report.html``, and with a second reader ``reader.csv``.
    """
    setup = setup or TransferSetup()
    study = transfer_study(data, out, setup=setup, jobs=jobs, scheduler=scheduler, listener=listener)
    answer = recommendation(study.scores, within=setup.within)
    found = TransferAnswer(study, planning_table(study.scores), answer)
    log = with_smoothed(read_training_log(out / LOG_FILE))
    write(transfer_report(found, log, out, {"data": data, **said_of(setup)}), out)
    return found


@works_in("out", "study search")
def search(
    data: Path,
    out: Path,
    *,
    start: str = parameters.PAPER_START,
    steps: Sequence[parameters.Step] = parameters.PAPER_STEPS,
    setup: parameters.SearchSetup | None = None,
    listener: Listener | None = None,
) -> parameters.SearchRun:
    """The best recipe, see `cmrseg.experiments.search.search`; then ``search.png`` and ``report.html``."""
    setup = setup or parameters.SearchSetup()
    run = parameters.search(data, out, start=start, steps=steps, setup=setup, listener=listener)
    write(search_report(run, setup), out)
    return run


@works_in("out", "study search")
def search_in_folds(data: Path, out: Path, setup: FoldSetup, *, listener: Listener | None = None) -> FoldRun:
    """Networks for indices by cross-validation: `cross_validate`, then tables and ``report.html``.

    Parameters
    ----------
    data, out, setup, listener
        As for `cmrseg.experiments.folds.cross_validate`. ``out`` also gets ``predictions.csv``, what
        `ensemble` reads, ``errors.csv``, ``images.csv``, ``tests.csv`` and the report.
    """
    run = cross_validate(data, out, setup, listener=listener)
    told = {"data": str(data), "recipes": ", ".join(setup.recipes), "folds": setup.folds}
    write(folds_report(run, {**told, **setup.options.said()}), out)
    return run


@works_in("out", "study table")
def table(data: Path, out: Path, setup: ComparisonSetup, *, listener: Listener | None = None) -> Comparison:
    """Models beside each other, see `cmrseg.experiments.comparison.compare`; then tables and ``report.html``.

    ``out`` gets ``table.csv``, ``poster_all.csv`` and ``poster_heart.csv`` (the poster's layout),
    ``tests.csv``, ``clinical.csv``, ``costs.csv``, ``figures/stack_*.png`` and ``report.html``.
    """
    found = compare(data, out, setup, listener=listener)
    told = {
        "data": data,
        "models": ", ".join(f"{arm.name} ({arm.model.sha256[:12]})" for arm in found.arms),
        "splits": ", ".join(setup.splits),
        **setup.options.said(),
    }
    write(comparison_report(found, told), out)
    return found


@works_in("out", "study regions")
def regions(
    data: Sequence[Path],
    out: Path,
    setup: RegionSetup,
    *,
    seeds: Sequence[int] = (),
    listener: Listener | None = None,
) -> list[RegionStudy]:
    """A regional model and what it gains, see `cmrseg.experiments.regions.region_study`; then the report.

    ``out`` also gets ``classifiers.csv`` (Table 2), ``gaps.csv``, ``arms.csv``, the tables of `evaluate
    regions`, ``figures/regions.png`` and ``report.html``. With several seeds there is a study of each in
    ``out/seed0`` ..., with the splits of the first; the report is that of the first with what the seeds say
    together, and ``seeds.csv`` has the gains of each.
    """
    found = [region_study(data, out, setup, listener=listener)] if len(seeds) < 2 else []
    for seed in seeds if len(seeds) > 1 else ():
        folder, first = out / f"seed{seed}", out / f"seed{seeds[0]}"
        if folder != first:
            write_text((first / "splits.csv").read_text(encoding="utf-8"), folder / "splits.csv")
        of_seed = replace(setup, options=replace(setup.options, seed=seed))
        found.append(region_study(data, folder, of_seed, listener=listener))
    told = {
        "seeds": ", ".join(map(str, seeds)) or "one",
        "data": ", ".join(map(str, data)),
        "base": str(setup.base),
        "classifiers": ", ".join(map(str, setup.classifiers)),
        "splits": ", ".join(setup.splits),
        **setup.options.said(),
    }
    write(region_study_report(found, told, seeds=seeds), out)
    return found


@works_in("out", "study curves")
def curves(
    logs: Sequence[Path], out: Path, *, subsets: Path | None = None, paper: Path | None = None
) -> Curves:
    """Draw the learning curves of a study and write all files.

    Parameters
    ----------
    logs
        Combined logs, see `cmrseg.experiments.curves.read_training_log`.
    out
        Folder for ``curves.csv`` (the log, raw and smoothed), ``runs.csv``, ``seeds.csv`` (mean and range
        over seeds), ``beside.csv`` (only with a paper), ``fig6.png``, ``fig6_loess.png``, ``fig6_raw.png``
        and ``report.html``.
    subsets
        Table of the subsets.
    paper
        Printed numbers, see `cmrseg.experiments.printed.read_printed`.

    Raises
    ------
    DataError
        If a log or table cannot be used.
    """
    log = with_smoothed(join_logs([read_training_log(path, subsets) for path in logs]))
    runs = run_table(log)
    found = Curves(log, runs, None if paper is None else beside(runs, read_printed(paper)))
    write(curves_report(found, {"logs": ", ".join(map(str, logs)), "subsets": subsets, "paper": paper}), out)
    return found


@works_in("out", "study ensemble")
def ensemble(predictions: Path, out: Path, *, most: int = 20, seed: int = 0) -> EnsembleStudy:
    """The best of all ensembles of configurations: `search_ensembles`, then tables and a report.

    Parameters
    ----------
    predictions
        Folder with what configurations predicted, see `cmrseg.experiments.ensembles.read_predictions`.
    out
        Gets ``table1.csv``, ``members.csv``, ``tests.csv``, ``errors.csv``, ``sizes.csv``,
        ``figures/members.png`` and ``report.html``.
    most, seed
        As of `search_ensembles`.
    """
    values, folds = read_predictions(predictions)
    found = search_ensembles(values, folds, most=most, seed=seed)
    told = {"predictions": str(predictions), "most": most, "seed": seed}
    write(ensembles_report(found, told), out)
    return found
