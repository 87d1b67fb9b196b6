# Commands for a fresh clone; they need Python 3.11 or newer, and pip.
#   make demo        the whole line on real data: score, select, retrain, export
#   make test        formatting, types and tests
#   make test-slow   the tests that `make test` leaves out for their time (those marked gpu: pytest -m gpu)
#   make docs        the documentation, into build/docs
#   make soak        the long fault tests: 100 kills, 10,000 spoiled files (about half an hour)
PYTHON ?= python3

.PHONY: demo test test-slow docs soak
demo: .venv/project
	.venv/bin/prune-kit demo

test: .venv/project-test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	OMP_WAIT_POLICY=passive .venv/bin/pytest -n 2 --dist loadfile

test-slow: .venv/project-test
	OMP_WAIT_POLICY=passive .venv/bin/pytest -n 2 --dist loadfile -m 'slow and not gpu'

docs: .venv/project-docs
	.venv/bin/python docs/generate.py
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env docs build/docs

soak: .venv/project-test
	.venv/bin/python -m tests.faults.soak

.venv/project: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable .
	touch $@

.venv/project-test: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable '.[test]'
	touch .venv/project $@

.venv/project-docs: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --editable '.[docs]'
	touch $@
