"""The page of requirements says what the tests cite, and nothing can be cited that is not there."""

import pytest

from scripts.requirements_page import Chapter, Citing, Flawed, Statement, marks_in, page_of, read_chapters

MARKED = """
import pytest

@pytest.mark.requirement("A1", "B2")
@pytest.mark.parametrize("x", [1])
def test_one(x): pass

@pytest.mark.requirement("B2")
class TestMany:
    @pytest.mark.requirement("A1")
    async def test_two(self): pass

def test_cites_nothing(): pass
"""
CHAPTER = Chapter(
    "Birds",
    [
        Statement("A1", "X 1", "they fly"),
        Statement("A2", "X 2", "they sing", missing="softly"),
        Statement("A3", "X 3", "they lay"),
        Statement("A4", "X 4", "they cost", outside="ask the shop"),
    ],
)
WING = Citing("tests/test_wing.py", "test_it_lifts")


def test_marks_are_read_from_tests_and_classes() -> None:
    assert dict(marks_in(MARKED)) == {
        "test_one": ("A1", "B2"),
        "TestMany": ("B2",),
        "TestMany.test_two": ("A1",),
    }


def test_a_mark_of_the_module_is_for_each_of_its_tests() -> None:
    source = 'pytestmark = [pytest.mark.asyncio, pytest.mark.requirement("A1")]\ndef test_one(): pass\n'
    assert list(marks_in(source)) == [("test_one", ("A1",))]


@pytest.mark.parametrize("mark", ["requirement", "requirement()", "requirement(IDS)", "requirement(7)"])
def test_a_mark_whose_ids_are_not_written_out_is_refused(mark: str) -> None:
    with pytest.raises(Flawed, match="line 1"):
        list(marks_in(f"@pytest.mark.{mark}\ndef test_one(): pass\n"))


def test_the_page_says_how_each_statement_stands() -> None:
    page = page_of({"X": "a book"}, [CHAPTER], {"A1": [WING], "A2": [WING]})
    assert "| Birds | 1 | 1 | 1 | 1 | 4 |" in page
    link = "[test_it_lifts](../tests/test_wing.py)"
    assert f"| A1 | X 1 | they fly | **shown**<br>{link} |" in page
    assert f"| A2 | X 2 | they sing | **partly**: softly<br>{link} |" in page
    assert "| A3 | X 3 | they lay | **open** |" in page
    assert "| A4 | X 4 | they cost | **outside**: ask the shop |" in page


@pytest.mark.parametrize(("cited", "said"), [("A9", "no statement"), ("A4", "outside")])
def test_what_cannot_be_cited_is_refused(cited: str, said: str) -> None:
    with pytest.raises(Flawed, match=f"test_it_lifts cites {cited}, which is {said}"):
        page_of({}, [CHAPTER], {cited: [WING]})


def test_an_id_is_there_once_and_a_field_is_known() -> None:
    one = "{id: A1, source: X, statement: y, colour: red}"
    with pytest.raises(Flawed, match="unknown field"):
        read_chapters(f"documents: {{}}\nchapters: [{{title: t, statements: [{one}, {one}]}}]\n")


def test_a_run_with_an_unknown_id_stops(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile('import pytest\n@pytest.mark.requirement("Z99")\ndef test_one(): pass\n')
    result = pytester.runpytest_inprocess("-p", "tests.requirement_marks")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*there is no statement Z99*"])
