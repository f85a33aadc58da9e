"""When a study fails that an earlier run has measured: no old number and no old report looks current."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from html import escape
from pathlib import Path

from cmrseg.examination.files import FILES
from cmrseg.examination.result import CINE, MASK, REPORT, ExaminationResult, read_result, write_result
from cmrseg.io.atomic import write_text
from cmrseg.report.page import render_page

EARLIER = "earlier"
_MEASURED = (*(name for name in FILES if name not in (CINE, MASK)), REPORT)


def mark_failed(folder: Path, reason: str) -> None:
    """Move what an earlier run measured into a folder of its own, and say in the report why there is nothing.

    Parameters
    ----------
    folder
        Of the study; where no run has left a report there, nothing is done.
    reason
        Why the study has no numbers now.
    """
    result = read_result(folder)
    if result is None and not (folder / REPORT).exists():
        return
    if result is None or not result.failed:
        _move(folder, reason)
    before = result or ExaminationResult("", "")
    write_result(replace(before, digest="", cohort=None, volumes=(), failed=reason), folder)
    page = render_page("failed", None, study=folder.name, reason=reason, earlier=f"{EARLIER}/{REPORT}")
    write_text(page, folder / REPORT)


def put_earlier(folder: Path, names: Iterable[str]) -> None:
    """Move files of an earlier run into their folder, in place of those that are there.

    Parameters
    ----------
    folder
        Of the study.
    names
        Of its files and folders; those that are not there are left out.
    """
    earlier = folder / EARLIER
    for name in names:
        old, new = folder / name, earlier / name
        if new.is_dir():
            shutil.rmtree(new)
        new.unlink(missing_ok=True)
        if old.exists():
            earlier.mkdir(exist_ok=True)
            old.rename(new)


def _move(folder: Path, reason: str) -> None:
    """Put tables, pictures and report of an earlier run into their folder, the report with a banner."""
    earlier = folder / EARLIER
    earlier.mkdir(exist_ok=True)
    put_earlier(folder, _MEASURED)
    report = earlier / REPORT
    if report.exists():
        banner = f'<p class="use"><strong>Not current.</strong> A later run failed: {escape(reason)}</p>'
        text = report.read_text(encoding="utf-8").replace('href="../', 'href="../../')  # it lies deeper now
        write_text(text.replace("<body>", f"<body>\n{banner}", 1), report)
