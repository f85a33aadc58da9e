"""Everything that writes into a folder, from Python too, leaves it to whoever works there already."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cmrseg.cli import app
from cmrseg.curation.description import write_description
from cmrseg.curation.run import curate, curate_files
from cmrseg.experiments.comparison import compare
from cmrseg.experiments.search import search
from cmrseg.experiments.transfer import plan_study, transfer_study
from cmrseg.io.images import save_image
from cmrseg.io.in_use import working_in
from cmrseg.phantom import SCANNERS, PhantomSpec, make_study
from cmrseg.predict import ask_about_all, predict
from cmrseg.problems import DataError
from cmrseg.training.fit import finetune, train
from cmrseg.workflows import evaluate, experiments
from cmrseg.workflows import train as training
from cmrseg.workflows.compare import compare as compare_visits
from cmrseg.workflows.curate import curate as curate_files_of
from cmrseg.workflows.curate import curate_with_contours
from cmrseg.workflows.demo import run_demo
from cmrseg.workflows.label import label
from cmrseg.workflows.predict import predict_examinations
from cmrseg.workflows.review import review
from cmrseg.zoo.record_data import fetch_data
from cmrseg.zoo.zenodo import RecordName

DATA = Path("data")  # is not even looked at
ENTRIES = {
    "curate": lambda out: curate(DATA, out),
    "curate_files": lambda out: curate_files([], out),
    "workflow curate": lambda out: curate_files_of(DATA, out),
    "workflow curate --contours": lambda out: curate_with_contours(DATA, out, DATA),
    "predict": lambda out: predict(DATA, out),
    "ask_about_all": lambda out: ask_about_all(None, out, None, None),
    "predict_examinations": lambda out: predict_examinations(DATA, out),
    "train": lambda out: train(None, DATA, out),
    "workflow train": lambda out: training.train(None, DATA, out),
    "finetune": lambda out: finetune("base", DATA, out),
    "finetune --resume": lambda out: finetune("base", DATA, out, resume=True),
    "workflow finetune": lambda out: training.finetune("base", DATA, out),
    "transfer_study": lambda out: transfer_study(DATA, out),
    "plan_study": lambda out: plan_study(DATA, out, setup=None, listener=None),
    "workflow subsets": lambda out: experiments.subsets(DATA, out),
    "search": lambda out: search(DATA, out),
    "workflow search": lambda out: experiments.search(DATA, out),
    "compare": lambda out: compare(DATA, out, None),
    "workflow table": lambda out: experiments.table(DATA, out, None),
    "workflow masks": lambda out: evaluate.masks(DATA, DATA, out),
    "workflow compare_masks": lambda out: evaluate.compare_masks(DATA, {}, out),
    "workflow indices": lambda out: evaluate.indices(DATA, {}, out),
    "workflow ensemble": lambda out: experiments.ensemble(DATA, out),
    "fetch_data": lambda out: fetch_data(RecordName("10.5281/zenodo.7"), out),
    "workflow compare": lambda out: compare_visits(DATA, DATA, out),
    "review": lambda out: review(out, ready=print),
    "run_demo": lambda out: run_demo(out),
    "write_description": lambda out: write_description(None, "", out),
}


@pytest.fixture
def taken(tmp_path):
    """A folder in which somebody else works."""
    begun, end = threading.Event(), threading.Event()

    def work():
        with working_in(tmp_path / "out", "train"):
            begun.set()
            end.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    yield tmp_path / "out"
    end.set()
    thread.join()


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_folder_in_use_is_refused_before_anything_is_read(taken, entry):
    with pytest.raises(DataError, match=r"out is in use by `cmrseg train` \(process \d+ on host"):
        ENTRIES[entry](taken)


def test_labels_are_not_written_into_it_either(taken):
    cine = make_study(PhantomSpec(n_frames=2), SCANNERS["A"], 0).cine
    save_image(cine, taken.parent / "data" / "p1" / "sa.nii.gz")
    with pytest.raises(DataError, match="is in use"):
        label(taken.parent / "data", out=taken)


def test_the_command_says_so_in_one_sentence(taken, tmp_path):
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "data"), str(taken)])
    assert done.exit_code
    assert isinstance(done.exception, DataError)
    assert str(done.exception).endswith("; wait for it or choose another folder")
