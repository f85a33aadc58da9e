"""What a network computes, and in how many dimensions, is known by its task and its architecture alone.

A word counts where the program says it: in a name, or in a text that is not documentation.
"""

from __future__ import annotations

import ast
import re

import pytest

from tests.test_layers import PACKAGE, name_of, parse, part_of, sources

ROOMS = {"models", "tasks", "metrics", "io"}  # may know, and so may the modules that they stand on
SPEAK_OF_MASKS = {  # rooms whose matter masks are: they read, measure and show them, whatever made them
    "cli": "says to people what is measured",
    "contours": "makes masks of contours",
    "curation": "knows views of the heart and DICOM segmentation objects",
    "data": "reads data sets, whose truth are masks",
    "evaluation": "compares masks with masks",
    "examination": "measures one person's masks",
    "experiments": "tells runs apart by their scores",
    "phantom": "makes images with masks",
    "publishing": "writes down scores of masks",
    "report": "shows them",
    "workflows": "says step by step what becomes of them",
}
EXCEPTIONS = {  # file -> why it may
    "cmrseg/__init__.py": "names what the package offers, Dice among it",
    "cmrseg/face/numbers.py": "what a person calls, Dice among it",
    "cmrseg/legacy/settings.py": "reads the names of losses and metrics that fastai wrote",
    "cmrseg/losses.py": "the losses of segmentation, which its task picks from",
    "cmrseg/predict/segment.py": "the public functions that give masks; other models are refused there",
    "cmrseg/predict/slice_distance.py": "a network over stacks knows one distance of slices",
    "cmrseg/preprocess/network_input.py": "makes slices or stacks of a cine: there dimensions mean something",
    "cmrseg/training/loaders.py": "picks slices or stacks, and fills the stacks of a batch up",
    "cmrseg/training/report.py": "tells the scores of masks where a run made some",
    "cmrseg/zoo/bundle.py": "tells MONAI how masks are made of what a network answers, slice by slice",
    "cmrseg/zoo/entry.py": "checks what the manifest says of a model's scores",
    "cmrseg/zoo/model_file.py": "a model file that says nothing of its task segments slices",
    "cmrseg/zoo/onnx.py": "names the free axes of a file",
    "cmrseg/zoo/onnx_card.py": "tells them to people",
    "cmrseg/zoo/schema.py": "checks what the manifest says of a model's scores",
}
WORDS = re.compile(r"softmax|channels_last|\bdice\b|segmentation|\b[23]d\b", re.IGNORECASE)


def texts_of_documentation(tree: ast.Module) -> set[int]:
    """Docstrings of a module, by identity."""
    holders = (n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef))
    first = (node.body[0] for node in holders if node.body)
    return {id(n.value) for n in first if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}


def said_words(tree: ast.Module) -> set[str]:
    """Words of the seam in names and texts; a comparison with a number of dimensions is one too."""
    documentation, found = texts_of_documentation(tree), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            found |= {word.lower() for word in WORDS.findall(node.value)}
        elif isinstance(node, ast.Attribute | ast.Name):
            found |= {w.lower() for w in WORDS.findall(node.attr if hasattr(node, "attr") else node.id)}
        elif isinstance(node, ast.Compare) and "dims" in ast.unparse(node.left):
            found.add("dims")
    return found


def test_only_the_task_and_the_architecture_know_what_a_network_computes():
    knowing = {
        name_of(path): sorted(words)
        for path in sources("cmrseg")
        if part_of(path) not in ROOMS | set(SPEAK_OF_MASKS) and (words := said_words(parse(path)))
    }
    assert {name: words for name, words in knowing.items() if name not in EXCEPTIONS} == {}


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_every_exception_is_one(name):
    path = PACKAGE.parent / name
    assert said_words(parse(path))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('"""softmax and Dice in 2D."""', set()),
        ("y = x.softmax(1)", {"softmax"}),
        ('task = "segmentation"', {"segmentation"}),
        ("if spec.dims == 3: pass", {"dims"}),
        ('def f():\n    """2D"""\n    return "2D"', {"2d"}),
    ],
)
def test_a_word_counts_where_the_program_says_it(code, words):
    assert said_words(ast.parse(code)) == words
