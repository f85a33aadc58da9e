"""What pages tell can be typed: commands parse, links lead somewhere, the navigation names every page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.main import get_command

from cmrseg.cli import app
from cmrseg.metrics.overlap import confusion_counts

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
NOT_IN_REFERENCE = {"cli", "__init__", "__main__"}  # the command is told by --help and by the how-to pages
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "data_curation/**/*.md", "model_zoo/**/*.md")
    for path in ROOT.glob(pattern)
)
COMMAND = get_command(app)
INLINE = re.compile(r"(?<!`)`(cmrseg [^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """Text of a page, with the lines joined that end in a backslash."""
    return re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))


def command_lines(text: str) -> list[str]:
    """Lines of code blocks, fenced or indented, that call the command."""
    fenced = "\n".join(re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    indented = [line for line in text.splitlines() if line.startswith("    ")]
    lines = [line.strip() for line in (*fenced.splitlines(), *indented)]
    return [line for line in lines if line.startswith("cmrseg ")]


def command_of(words: list[str]):
    """The command that the words call, its name, and the words that are left for it."""
    command, name, words = COMMAND, words[0], words[1:]
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command '{name} {words[0]}'"
        name, command, words = f"{name} {words[0]}", command.commands[words[0]], words[1:]
    return command, name, words


def words_of(line: str) -> list[str]:
    """Words of a command; the brackets around what may be left out fall away."""
    return shlex.split(re.sub(r"[\[\]]", "", line), comments=True)


def check_whole(line: str) -> None:
    """A command parses, unless `...` says that something was left out."""
    command, name, words = command_of(words_of(line))
    if "..." in words:
        check_options(line)
    else:
        command.make_context(name, words)


def check_options(text: str) -> None:
    """The command and its options exist."""
    command, name, words = command_of(words_of(text))
    known = {option for parameter in command.params for option in (*parameter.opts, "--help", "-h")}
    unknown = {word.partition("=")[0] for word in words if word.startswith("-")} - known
    assert not unknown, f"'{name}' has no option {', '.join(sorted(unknown))}"


def targets(page: Path) -> Iterator[str]:
    """Relative links and pictures of a page, without what stands behind a #."""
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            yield target.partition("#")[0]


def named_in(nav: list | dict | str) -> list[str]:
    """Pages that a part of the navigation names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in named_in(part)]


def example(page: Path) -> dict:
    """Names that the first Python block of a page defines."""
    names: dict = {}
    code = re.search(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    exec(compile(code, page.name, "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_parses(page):
    for line in command_lines(text_of(page)):
        try:
            check_whole(line)
        except Exception as error:
            pytest.fail(f"{name_of(page)}: {line}\n{getattr(error, 'message', error)}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_a_sentence_has_its_options(page):
    for text in INLINE.findall(text_of(page)):
        check_options(text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_and_picture_of_a_page_exists(page):
    assert [target for target in targets(page) if not (page.parent / target).exists()] == []


def test_the_navigation_names_every_page_once():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    tutorials = [f"tutorials/{path.name}" for path in (ROOT / "nbs").glob("*.ipynb")]
    assert sorted(named_in(config["nav"])) == sorted(pages + tutorials)


def test_the_reference_names_every_part_of_the_package_once():
    pages = (path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    named = [name for page in pages for name in re.findall(r"^::: cmrseg\.(\S+)", page, re.MULTILINE)]
    parts = {path.stem for path in (ROOT / "cmrseg").glob("*.py")}
    parts |= {path.parent.name for path in (ROOT / "cmrseg").glob("*/__init__.py")}
    assert sorted(named) == sorted(parts - NOT_IN_REFERENCE)


def test_the_layout_of_the_how_to_page_reads_its_files(tmp_path):
    for name in ("scans/a_cine.nii.gz", "scans/b_cine.nii.gz", "contours/b.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    layout = example(DOCS / "how-to" / "add-a-layout.md")["LAB"]
    assert layout.found(tmp_path)
    assert [(file.subject, bool(file.mask)) for file in layout.read(tmp_path)] == [("a", False), ("b", True)]


def test_the_metric_of_the_how_to_page_counts_what_is_common():
    jaccard = example(DOCS / "how-to" / "add-a-metric.md")["jaccard"]
    truth, predicted = np.array([[1, 1, 1, 0]]), np.array([[0, 1, 1, 1]])
    assert jaccard(confusion_counts(predicted, truth)).tolist() == [0.5, 1.0, 1.0]


def test_a_command_that_does_not_exist_is_noticed():
    with pytest.raises(AssertionError, match="no option --colour"):
        check_options("cmrseg predict IN OUT --colour red")
    with pytest.raises(AssertionError, match="no command 'cmrseg segment'"):
        check_options("cmrseg segment IN OUT")
    with pytest.raises(Exception, match=r"(?i)missing"):
        check_whole("cmrseg predict IN")
