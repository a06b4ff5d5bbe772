"""The documents say what is: every column of the database, example questions, commands and files."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import sql_docs
from tests.integration.conftest import fresh_database

ROOT = Path(__file__).parents[2]
PAGE = sql_docs.PAGE.read_text()
WORDS = "words of views go to schema/sql/99_dictionary.sql, of tables to their declarations; then run `make docs`"


@pytest.fixture(scope="module")
def fresh(server_url: str, template: str) -> Iterator[psycopg.Connection]:
    """A connection to a fresh database that no test changes."""
    with fresh_database(server_url, template) as url, psycopg.connect(url, autocommit=True) as connection:
        yield connection


def test_the_page_is_what_the_database_says(fresh: psycopg.Connection) -> None:
    anew = sql_docs.made(PAGE, fresh)
    assert "analytics.tasks" in anew
    unlike = [line for line in anew.splitlines() if line not in PAGE.splitlines()]
    assert anew == PAGE, f"docs/sql.md is not what the database says: run `make docs`. New: {unlike[:5]}"


def test_the_data_dictionary_has_no_gap(fresh: psycopg.Connection) -> None:
    relations = sql_docs.catalog(fresh, sql_docs.RELATIONS)
    mute = [f"{r['schema']}.{r['name']}" for r in relations if not r["said"]]
    for view in (r for r in relations if r["schema"] == "analytics"):
        mute += [f"{view['name']}.{c['name']}" for c in view["columns"] if not c["said"]]
    found = sql_docs.catalog(fresh, sql_docs.FUNCTIONS)
    mute += [f"{r['schema']}.{r['name']}({r['arguments']})" for r in found if not r["said"]]
    mute += [r["schema"] for r in sql_docs.catalog(fresh, sql_docs.NAMESPACES) if not r["said"]]
    assert mute == [], f"no COMMENT: {WORDS}"


def test_every_view_has_three_questions(fresh: psycopg.Connection) -> None:
    views = {r["name"] for r in sql_docs.catalog(fresh, sql_docs.RELATIONS) if r["schema"] == "analytics"}
    few = {view for view in views if len(sql_docs.questions(view)) < 3}
    assert few == set(), "write three questions, each a comment above its SQL, into docs/questions/<view>.sql"
    asked = {file.stem for file in sql_docs.QUESTIONS.glob("*.sql")}
    assert asked - views == {"other"}, "questions about views that are not there"


@pytest.mark.parametrize("view", sorted(file.stem for file in sql_docs.QUESTIONS.glob("*.sql")))
def test_example_questions_run(fresh: psycopg.Connection, view: str) -> None:
    whole = (sql_docs.QUESTIONS / f"{view}.sql").read_text()
    found = sql_docs.questions(view)
    assert "".join(f"-- {question}\n{statement}\n" for question, statement in found).strip() == whole.strip()
    for question, statement in found:
        assert fresh.execute(statement.encode()).description, question
        assert view == "other" or f"analytics.{view}" in statement, question


def test_files_that_documents_name_exist() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} names {target}"


def test_the_architecture_names_real_modules() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = re.findall(r"^\| `((?:indexer|schema|migrations)[/\w]*)` \|.*\| `([\w/]+(?:\.py)?)`", text, re.MULTILINE)
    assert len(packages) >= 8
    assert [f"{a}/{b}" for a, b in packages if not (ROOT / a / b).exists()] == []
