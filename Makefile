# make run | test | test-long | bench | check | format | stop | clean | distclean
#
# PYTHON=python3.12 chooses the interpreter of the virtual environment, PORT and HOST where `run` listens,
# ARGS="-k quota" adds arguments to the test runner, ARGS="--quick" to the benchmarks.

export PYTHONUTF8 := 1
VENV := .venv
PY := $(VENV)/bin/python
# All of them; `make run` does with less.
REQUIREMENTS := requirements-dev.txt
STAMP = $(VENV)/.$(REQUIREMENTS)
PYTHON ?= python3
ARGS ?=
LAUNCHER := $(PY) -m mailservice.launcher

# What a production host would set; the checks reach no server with it.
CHECK_ENV := env -u DJANGO_SETTINGS_MODULE ENV_FILE=/dev/null DEBUG=0 HTTPS=1 \
	DATABASE_URL=postgresql://check@127.0.0.1:1/check REDIS_URL=redis://127.0.0.1:1/0 \
	SECRET_KEY=4Yx0tqk2c9WzLr7Vb1uGd8Hs5NfJm3PaQeTiKoXw6ZRyCvBnUjDlEhSg \
	ENCRYPTION_KEYS=MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=

.DEFAULT_GOAL := help
.PHONY: help install run test test-long bench check format stop clean distclean

help:
	@sed -n '1,4s/^# \{0,1\}//p' Makefile

# Made anew when its interpreter is gone; requirements are installed when their text has changed.
install:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "mailservice needs Python 3.11 or newer; $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1 || true). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
		echo "Creating $(VENV) ..."; rm -rf $(VENV); \
		$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
			echo "Python's venv module is incomplete; on Debian: apt-get install python3-venv" >&2; exit 1; }; }
	@wanted="$$(cat requirements.txt requirements-local.txt $(REQUIREMENTS) | cksum)"; \
	if [ "$$wanted" != "$$(cat $(STAMP) 2>/dev/null)" ]; then \
		echo "Installing requirements (takes a minute the first time) ..."; \
		$(PY) -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
			-r $(REQUIREMENTS) && echo "$$wanted" > $(STAMP); \
	fi

run: REQUIREMENTS := requirements-local.txt
run: install
	@exec $(LAUNCHER) run

test: install
	@$(PY) -m pytest -q -n 2 --create-db $(ARGS)

test-long: install
	@$(PY) -m pytest -q --create-db -m long --hypothesis-profile=long $(ARGS)

# Results go to var/bench; ARGS="--only drain,accept" chooses parts.
bench: install
	@$(PY) -m bench.run $(ARGS)

check: install
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	@$(CHECK_ENV) $(PY) -m mypy .
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(CHECK_ENV) $(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@$(CHECK_ENV) $(PY) manage.py check --deploy --fail-level WARNING
	$(PY) -m djlint --lint --quiet .

format: install
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

stop:
	@test ! -x $(PY) || $(LAUNCHER) stop

# Leaves the data of `make run` alone.
clean:
	@test ! -x $(PY) || $(LAUNCHER) clean var/test
	rm -rf staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: stop clean
	@test ! -x $(PY) || $(LAUNCHER) clean var/local
	rm -rf var $(VENV)
