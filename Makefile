# The verbs, the same by hand and in CI. Each makes .venv with pinned packages the first time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help serve test chaos compose-test check format bench load train constraints system-packages clean

# Of all that pip says: what is large enough to wait for, and that it goes on.
progress := { grep --line-buffered -oE 'Downloading .* [MG]B\)|^Installing collected packages' || true; }
install := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	--constraint constraints.txt --editable

help: ## Say what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | while IFS=: read -r name rest; do \
		printf '  make %-16s %s\n' "$$name" "$${rest#*## }"; done

serve: $(VENV)/serving ## Serve pictures at http://127.0.0.1:8000 (settings: IMAGEN_*)
	@$(BIN)/imagen serve

test: $(VENV)/developing ## Run the whole test suite
	@$(BIN)/pytest

chaos: $(VENV)/developing ## Kill everything under 1,000 jobs; CHAOS="--seed 7" to do it again
	@$(BIN)/python -m tests.chaos $(CHAOS)

compose-test: $(VENV)/developing ## Try docker-compose.yml for real, by Docker or podman
	@$(BIN)/python -m tests.containers $(COMPOSE_TEST)

check: $(VENV)/developing ## Format, lint, types, architecture, Dockerfile, manifests
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/pytest -q tests/test_architecture.py tests/deploy/test_kubernetes.py

format: $(VENV)/developing ## Put the code in form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(VENV)/developing ## Measure speed and how right pictures are; CASES="engine ..." for some
	@$(BIN)/python -m benchmarks $(CASES)

train: $(VENV)/developing ## Train a cascade; CONFIG=my-pictures.toml, see docs/training.md
	@$(BIN)/imagen train $(CONFIG)

load: $(VENV)/developing ## Put load on a service; LOAD="--url http://... --clients 1000" for yours
	@$(BIN)/python -m benchmarks.load $(LOAD)

constraints: ## Pin the newest versions that pyproject.toml allows; torch stays where it is
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	"$(PYTHON)" -m venv "$$fresh/venv"; \
	grep '^torch==' constraints.txt > "$$fresh/torch.txt"; \
	"$$fresh/venv/bin/python" -m pip install --quiet --constraint "$$fresh/torch.txt" --editable '.[dev]'; \
	grep '^#' constraints.txt > "$$fresh/constraints.txt"; \
	"$$fresh/venv/bin/python" -m pip freeze --all --exclude-editable \
		| grep -v '^pip==' | sed 's/+.*//' >> "$$fresh/constraints.txt"; \
	cp "$$fresh/constraints.txt" constraints.txt

system-packages: ## Install what must come from Debian (as root)
	apt-get update -q
	apt-get install -qy --no-install-recommends python3 python3-venv chromium iproute2
	# Of prometheus its promtool alone: the package would start a server.
	cd "$$(mktemp -d)" && apt-get download -q prometheus && dpkg -x prometheus_*.deb . \
		&& install usr/bin/promtool /usr/local/bin/

clean: ## Remove .venv and caches; pictures and jobs stay
	@rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/made:
	@command -v "$(PYTHON)" > /dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11" \
		"or newer, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$$("$(PYTHON)" --version) is too old. Install Python 3.11 or newer," \
		"or name one: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make a venv." \
		"On Debian, as root: make system-packages" >&2; exit 1; }
	@touch $@

$(VENV)/serving: pyproject.toml constraints.txt | $(VENV)/made
	@echo "Installing what serving needs in $(VENV); the first time takes minutes"
	@$(install) '.[embedded,worker]' | $(progress)
	@touch $@

$(VENV)/developing: pyproject.toml constraints.txt | $(VENV)/made
	@echo "Installing what serving and development need in $(VENV); the first time takes minutes"
	@$(install) '.[dev]' | $(progress)
	@touch $(VENV)/serving $@
