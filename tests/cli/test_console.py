"""What a terminal shows of foreign text is the text."""

import pytest

from cmrseg.cli.console import complain, note, progress_bar, show_table, warn_of_problems

MARKUP = "a[red]b[/red] [/nothing] [link=x]c"


def test_markup_in_names_is_shown_and_not_obeyed(capsys):
    show_table(MARKUP, [MARKUP], [[MARKUP]])
    note(MARKUP)
    complain(MARKUP)
    warn_of_problems(1, MARKUP)
    with progress_bar(MARKUP) as tell:
        tell(1, 2)
    said = capsys.readouterr()
    shown = (said.out + said.err).replace("│", "").replace("┃", "")
    assert shown.count("[/nothing]") == 6


@pytest.mark.parametrize("code", ["\x1b[2J", "\x07", "\x9b1m", "\u202e"])
def test_what_a_terminal_would_obey_is_not_shown(capsys, code):
    note(f"a{code}b")
    show_table("t", ["name"], [[f"a{code}b"]])
    assert code not in capsys.readouterr().out
