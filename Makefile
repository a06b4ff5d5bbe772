# Two commands: `make run` and `make test`. Each does all its own set-up.

CONFIG ?=
PY := .venv/bin/python

.PHONY: run test lint docs bench simulate mutate memory kill hostile jobs lock clean

run: .venv/.ready
	@.venv/bin/taskscan run $(if $(CONFIG),--config $(CONFIG))

test: .venv/.ready lint
	@$(PY) -m pytest -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

lint: .venv/.ready
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

# docs/sql.md, from the comments in a fresh database and docs/questions.
docs: .venv/.ready
	@$(PY) -m tests.sql_docs

bench: .venv/.ready
	@$(PY) -m tests.bench

.venv/.ready: requirements.lock pyproject.toml deploy/setup.sh
	@sh deploy/setup.sh

# What takes longer than a test may: any number of simulated lives, a hundred kills, five million tasks.
simulate: .venv/.ready
	@$(PY) -m tests.simulation --seeds $(or $(SEEDS),200) --first $(or $(FIRST),1) --jobs $(or $(JOBS),2)

mutate: .venv/.ready
	@$(PY) -m tests.simulation.mutations

memory: .venv/.ready
	@$(PY) -m tests.bench memory --hours $(or $(HOURS),24)

kill: .venv/.ready
	@TASKSCAN_KILLS=$(or $(KILLS),100) $(PY) -m pytest tests/integration/test_broken_lines.py -k kill_9

# Recordings behind a provider that does everything wrong, while the chain reorganises.
hostile: .venv/.ready
	@TASKSCAN_HOSTILE=$(or $(SEEDS),20) $(PY) -m pytest -n 0 -q -s tests/integration/test_hostile_recordings.py

# Thousands of jobs while workers and servers of the queue are killed and frozen at random.
jobs: .venv/.ready
	@$(PY) -m tests.jobs --jobs $(or $(JOBS),2000) --workers $(or $(WORKERS),8)

lock:
	uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-header --universal \
		--python-version 3.11 --quiet --output-file requirements.lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
