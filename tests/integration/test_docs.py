"""The documents say what is: columns of views, example questions, commands and files."""

import re
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).parents[2]
SQL = (ROOT / "docs" / "sql.md").read_text()


def test_every_view_of_analytics_is_listed_with_its_columns(migrated: str) -> None:
    query = """
        SELECT table_name, string_agg(column_name, ', ' ORDER BY ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'analytics' GROUP BY 1
    """
    with psycopg.connect(migrated) as connection:
        found = dict(connection.execute(query).fetchall())
    listed = dict(re.findall(r"^\| `analytics\.(\w+)` \|[^|]*\| `([^`]*)` \|$", SQL, re.MULTILINE))
    assert listed == found


@pytest.mark.parametrize("question", re.findall(r"```sql\n(.*?)```", SQL, re.DOTALL))
def test_example_questions_run(migrated: str, question: str) -> None:
    with psycopg.connect(migrated) as connection:
        cursor = connection.execute(question.encode())
        assert cursor.description


def test_files_that_documents_name_exist() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} names {target}"


def test_the_architecture_names_real_modules() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = re.findall(r"^\| `((?:indexer|schema|migrations)[/\w]*)` \|.*\| `([\w/]+(?:\.py)?)`", text, re.MULTILINE)
    assert len(packages) >= 8
    assert [f"{a}/{b}" for a, b in packages if not (ROOT / a / b).exists()] == []
