"""The lint check for the wording of docstrings, .ci/wording.py."""

import importlib.util

import pytest

from tests.support.paths import ROOT

SPEC = importlib.util.spec_from_file_location("wording", ROOT / ".ci/wording.py")
wording = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(wording)


def in_function(docstring: str) -> list[tuple[int, str]]:
    return list(wording.findings(f'def f(a):\n    """{docstring}"""\n'))


@pytest.mark.parametrize("start", ["Of", "What", "Whether any way"])
@pytest.mark.parametrize("header", ["", "class C:\n    ", "def f():\n    "])
def test_riddles_are_found_in_every_summary(header, start):
    ((line, message),) = wording.findings(f'{header}"""{start} it is."""\n')
    assert line == 1 + bool(header)
    assert f'begins with "{start.split()[0]}"' in message


@pytest.mark.parametrize("verb", ["Returns", "Reads", "Makes"])
def test_third_person_is_found_in_functions(verb):
    ((line, message),) = in_function(f"{verb} it.")
    assert line == 2
    assert f'"{verb}": use the imperative' in message


def test_third_person_is_fine_in_modules_and_classes():
    assert not list(wording.findings('"""Reads it."""\nclass C:\n    """Makes it."""\n'))


def test_summaries_of_properties_and_tests_may_be_statements():
    docstring = '"""Copies the file."""'
    assert not list(wording.findings(f"@functools.cached_property\ndef f(self):\n  {docstring}"))
    assert not list(wording.findings(f"def test_f():\n  {docstring}"))


@pytest.mark.parametrize("start", ["of the run", "as of load", "that is read", "which to read"])
@pytest.mark.parametrize("section", ["Args", "Attributes"])
def test_descriptions_that_continue_a_name_are_found(section, start):
    docstring = f"""Return it.

    {section}:
      first: a file
        of the run.
      second: {start}.
      **more: {start}.
    """
    assert [line for line, _ in in_function(docstring)] == [7, 8]


@pytest.mark.parametrize("section", ["Returns", "Yields"])
def test_results_that_continue_a_name_are_found(section):
    docstring = f"""Return it.

    {section}:
      Of each file: its size,
      of all of them.

    Raises:
      UserError: of no use.
    """
    assert [line for line, _ in in_function(docstring)] == [5]
    assert [line for line, _ in in_function(f"Get.\n\n    {section}: of it.\n    ")] == [4]


def test_plain_wording_is_accepted():
    docstring = """Copies of a file.

    What follows is prose, and of no concern.

    Args:
      a: official name, offset: of no concern here.
    """
    assert in_function(docstring) == []


def test_findings_are_printed_with_file_and_line(tmp_path, capsys):
    file = tmp_path / "a.py"
    file.write_text('"""Of this."""\n')
    assert wording.main([str(file)]) == 1
    assert capsys.readouterr().out.startswith(f"{file}:1: summary begins")
    file.write_text('"""Files of this."""\n')
    assert wording.main([str(file)]) == 0
    assert capsys.readouterr().out == ""
