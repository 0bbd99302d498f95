# Everything that a developer does here. `make help` lists the targets.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:

# Bytecode is kept: without it, each of the mesh's processes compiles all it imports anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BUF := node_modules/.bin/buf
TSC := node_modules/.bin/tsc
EXTRAS := server tracing load local examples dev
FEAST_VENV := .venv-feast
FEAST := $(FEAST_VENV)/.installed
EXAMPLE ?= examples/flights
# Each has servers of its own, and takes up to 2 GB; 0: the tests run in one process.
TEST_WORKERS ?= 2
ARGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 18

# --- environment ---------------------------------------------------------------------------

# A name on PATH is not enough: version managers leave launchers for Pythons that are not
# installed, and Debian leaves out ensurepip. So each candidate has to run and prove itself.
define find_python
for candidate in $(or $(PYTHON),python3.12 python3.11 python3); do \
  if $$candidate -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
    >/dev/null 2>&1; then python=$$candidate; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo "error: Python 3.11 or 3.12 with its venv module is needed, and none of these is one:" \
    "$(or $(PYTHON),python3.12 python3.11 python3)." >&2; \
  echo "Name one with PYTHON=/path/to/python; on Debian, install python3-venv." >&2; \
  exit 1; \
fi
endef

# uv installs the lock in a fraction of pip's time (measured: 6 s against 65 s). The one that
# does so is itself pinned by the lock, and installed by pip.
$(INSTALLED): pyproject.toml requirements.lock
	@rm -f $@
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  $(find_python); \
	  echo "==> Creating $(VENV) with $$python"; \
	  $$python -m venv --clear $(VENV); \
	fi
	@echo "==> Installing the dependencies that requirements.lock pins"
	@awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r $(VENV)/uv.lock
	@$(BIN)/uv pip sync --python $(BIN)/python --quiet --require-hashes \
	  --build-constraints requirements.lock requirements.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Feast needs another NumPy than the model servers, so it has an environment of its own.
$(FEAST): requirements-feast.lock $(INSTALLED)
	@rm -f $@
	@echo "==> Installing Feast, with all that requirements-feast.lock pins, into $(FEAST_VENV)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(FEAST_VENV)
	@$(BIN)/uv pip sync --python $(FEAST_VENV)/bin/python --quiet --require-hashes \
	  requirements-feast.lock
	@touch $@

.PHONY: feast
feast: $(FEAST) ## Create .venv-feast with Feast, for the tests and the bench of features

.PHONY: venv
venv: $(INSTALLED) ## Create .venv with everything in it

.PHONY: lock
lock: $(INSTALLED) ## Pin the dependencies anew (UPGRADE=1: to their newest versions)
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  $(if $(UPGRADE),--upgrade) $(addprefix --extra ,$(EXTRAS)) --output-file requirements.lock
	$(BIN)/uv pip compile requirements-feast.in --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  $(if $(UPGRADE),--upgrade) --output-file requirements-feast.lock

# --- running -------------------------------------------------------------------------------

.PHONY: up
up: $(INSTALLED) ## Run the mesh on the example (ARGS=--once: predict, report, stop)
	@$(BIN)/tailrace up $(EXAMPLE) $(ARGS)

# A file at a time goes to whichever worker is free: in the order of their folders, in which those
# with long tests come first, and not in order of how many tests they have.
.PHONY: test
test: $(INSTALLED) $(FEAST) ## Run all tests (ARGS="-k name": some of them; TEST_WORKERS=0: one by one)
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: faults
faults: $(INSTALLED) ## Kill everything that submissions pass through, often (ARGS="--seed N": again)
	$(BIN)/python -m tests.support.submission_world $(ARGS)

.PHONY: parity
parity: $(INSTALLED) ## Prove on a year of flights that serving and training give the same values
	PYTHONPATH=examples/flights $(BIN)/python -m tests.support.parity $(ARGS)

.PHONY: interop-elk
interop-elk: $(INSTALLED) ## Have a genuine Elasticsearch take the mesh's log lines, and ask it what Kibana asks
	$(BIN)/python -m tests.support.elk_interop

.PHONY: filebeat
filebeat: ## Build Filebeat from its source, for interop-elk; needs Go
	@command -v go >/dev/null || { echo "error: Go is needed to build Filebeat" >&2; exit 1; }
	compose/elk/interop/build_filebeat.sh .build/filebeat

.PHONY: bench
bench: $(INSTALLED) ## Measure the chain beside its baselines
	$(BIN)/python -m tailrace.loadtest.bench.chain $(ARGS)

.PHONY: bench-mesh
bench-mesh: $(INSTALLED) ## Measure the mesh beside all that could be built instead
	$(BIN)/python -m tailrace.loadtest.bench.mesh $(ARGS)

.PHONY: bench-submissions
bench-submissions: $(INSTALLED) ## Measure submissions beside synchronous predictions
	$(BIN)/python -m tailrace.loadtest.bench.submissions $(ARGS)

.PHONY: bench-features
bench-features: $(INSTALLED) $(FEAST) ## Measure lookups beside Feast, and events beside lookups
	$(BIN)/python -m tailrace.loadtest.bench.features --feast-python $(FEAST_VENV)/bin/python $(ARGS)

.PHONY: bench-telemetry
bench-telemetry: $(INSTALLED) ## Measure what traces, metrics and log lines cost
	$(BIN)/python -m tailrace.loadtest.bench.telemetry $(ARGS)

# --- ghz -----------------------------------------------------------------------------------

GHZ_VERSION := v0.121.0
GHZ := .build/ghz/ghz
GHZ_ECHO := .build/ghz/echo
$(GHZ):
	@echo "==> Building ghz $(GHZ_VERSION)"
	@mkdir -p $(dir $@)
	@GOBIN=$(abspath $(dir $@)) go install github.com/bojand/ghz/cmd/ghz@$(GHZ_VERSION)

$(GHZ_ECHO): loadtest/interop/echo/main.go loadtest/interop/echo/go.mod loadtest/interop/echo/go.sum
	@echo "==> Building the server that both tools call"
	@mkdir -p $(dir $@)
	@cd $(dir $<) && go build -o $(abspath $@) .

.PHONY: interop-ghz
ifneq ($(shell command -v go),)
interop-ghz: $(INSTALLED) $(GHZ) $(GHZ_ECHO) ## Compare `tailrace load` with the genuine ghz: what both tell, and what a call costs; needs Go
	$(BIN)/python -m tests.support.ghz_options --ghz $(GHZ)
	$(BIN)/python -m tests.support.ghz_reports --ghz $(GHZ)
	$(BIN)/python -m tailrace.loadtest.bench.ghz --ghz $(GHZ) --echo $(GHZ_ECHO) $(ARGS)
else
interop-ghz:
	@echo "skipped: interop-ghz needs Go 1.24 or later, of which there is none on PATH"
endif

JAVA_ECHO := .build/echo-java
.PHONY: interop-java
interop-java: $(INSTALLED) $(if $(shell command -v go),$(GHZ)) ## Check `tailrace load` against a server of grpc-java; needs Java 17 and Maven, and Go for ghz's rates beside
	@loadtest/interop/echo-java/build.sh $(JAVA_ECHO) && built=0 || built=$$?; \
	case $$built in \
	0) $(BIN)/python -m tests.support.java_interop --jar $(JAVA_ECHO)/echo.jar \
	     $(if $(shell command -v go),--ghz $(GHZ)) $(ARGS) ;; \
	77) ;; \
	*) exit $$built ;; \
	esac

# --- Prometheus ----------------------------------------------------------------------------

PROMETHEUS := .build/prometheus
$(PROMETHEUS)/prometheus $(PROMETHEUS)/promtool: compose/prometheus/fetch_prometheus.sh
	@echo "==> Fetching Prometheus into $(PROMETHEUS)"
	@compose/prometheus/fetch_prometheus.sh $(PROMETHEUS)
	@touch $(PROMETHEUS)/prometheus $(PROMETHEUS)/promtool

.PHONY: prometheus
prometheus: $(PROMETHEUS)/prometheus $(PROMETHEUS)/promtool ## Unpack Debian's Prometheus and promtool into .build, for tests and checks

RULES := compose/prometheus/rules
.PHONY: rules
rules: $(INSTALLED) ## Render the example's objectives as Prometheus rules anew
	$(BIN)/tailrace slo render --pipelines $(EXAMPLE) --out $(RULES)

# What they do is tested by `make test` (compose/prometheus/tests).
.PHONY: check-rules
check-rules: $(INSTALLED)
	$(BIN)/tailrace slo render --pipelines examples/flights --out $(RULES) --check
	@promtool=$$(PATH="$(PROMETHEUS):$$PATH" command -v promtool) || promtool=; \
	if [ -n "$$promtool" ]; then "$$promtool" check rules $(RULES)/*.yml; \
	elif [ -n "$$TAILRACE_REQUIRE_PROMETHEUS" ]; then \
	  echo "error: there is no promtool; \`make prometheus\` fetches it" >&2; exit 1; \
	else echo "skipped: there is no promtool to check rules with; \`make prometheus\` fetches it"; fi

.PHONY: interop-sloth
interop-sloth: $(INSTALLED) ## Have Sloth itself take the specs, and compare its rules with ours
	$(BIN)/python -m tests.support.sloth $(ARGS)

# --- protos --------------------------------------------------------------------------------

.PHONY: protos
protos: $(INSTALLED) ## Generate the stubs anew
	$(BIN)/python protos/generate_stubs.py

.PHONY: check-protos
check-protos: $(INSTALLED) ## Fail if the committed stubs are not those of the protos
	$(BIN)/python protos/generate_stubs.py --check

$(BUF): package.json package-lock.json
	@command -v npm >/dev/null || { echo "error: npm is needed to run buf; install Node.js" >&2; exit 1; }
	@# Not `npm ci`: it wants every system's binary in the lock file, and only those of Linux are.
	npm install --no-save --loglevel=error
	@touch $@

$(TSC): $(BUF)
	@touch $@

# google/rpc/status.proto comes with a Python package; buf looks for it beside ours.
GOOGLEAPIS := .build/googleapis
$(GOOGLEAPIS)/.copied: $(INSTALLED)
	@rm -rf $(GOOGLEAPIS)
	@mkdir -p $(GOOGLEAPIS)/google/rpc
	@cp $(VENV)/lib/python3*/site-packages/google/rpc/status.proto $(GOOGLEAPIS)/google/rpc
	@touch $@

.PHONY: lint-protos
lint-protos: $(BUF) $(GOOGLEAPIS)/.copied
	$(BUF) lint
	$(BUF) format --diff --exit-code protos

BASE ?= $(shell git describe --tags --abbrev=0 2>/dev/null)
.PHONY: breaking
breaking: $(BUF) $(GOOGLEAPIS)/.copied ## Compare the protos with those of the last release (BASE=REF: others)
ifeq ($(BASE),)
	@echo "no release to compare the protos with"
else
	@rm -rf .build/base && mkdir -p .build/base/.build
	@git archive $(BASE) protos | tar -x -C .build/base
	@cp buf.yaml .build/base/buf.yaml && cp -R $(GOOGLEAPIS) .build/base/.build/googleapis
	$(BUF) breaking --against .build/base
endif

# --- containers ----------------------------------------------------------------------------

# Docker's own compose, and BuildKit's own checks of Dockerfiles, built from compose/checks/go.mod:
# neither needs a container engine.
COMPOSE_TOOLS := .build/compose
$(COMPOSE_TOOLS)/.built: compose/checks/go.mod compose/checks/go.sum compose/checks/main.go
	@rm -f $@
	@mkdir -p $(COMPOSE_TOOLS)
	@echo "==> Building docker compose and the checks of Dockerfiles; takes minutes, once"
	@cd compose/checks && go build -o ../../$(COMPOSE_TOOLS)/checks . \
	  && go build -o ../../$(COMPOSE_TOOLS)/docker-compose github.com/docker/compose/v5/cmd
	@touch $@

COMPOSE_PROFILE_SETS := core core,obs core,triton core,gpu core,elk core,load core,obs,elk,gpu,load
.PHONY: interop-compose
ifneq ($(shell command -v go),)
interop-compose: $(COMPOSE_TOOLS)/.built ## Check compose.yaml and Dockerfiles by Docker's own code; needs Go
	@for profiles in $(COMPOSE_PROFILE_SETS); do \
	  echo "compose.yaml, profiles $$profiles"; \
	  for env in /dev/null compose/.env.example; do \
	    COMPOSE_PROFILES=$$profiles $(COMPOSE_TOOLS)/docker-compose --env-file $$env \
	      -f compose/compose.yaml config --quiet || exit 1; \
	  done; \
	done
	@for file in compose/Dockerfile compose/Dockerfile.triton; do \
	  echo "$$file"; $(COMPOSE_TOOLS)/checks $$file || exit 1; \
	done
else
interop-compose:
	@echo "skipped: interop-compose needs Go 1.25.9 or later, of which there is none on PATH"
endif

# --- checks --------------------------------------------------------------------------------

.PHONY: lint
lint: $(INSTALLED) check-protos lint-protos breaking check-grafana check-elk ## Run every static check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate_settings.py --check
	$(BIN)/python docs/generate_metrics.py --check
	@$(MAKE) --no-print-directory check-rules

.PHONY: elk
elk: $(INSTALLED) ## Write Elasticsearch's templates and Kibana's saved objects anew
	$(BIN)/python -m tailrace.cli.elk

.PHONY: check-elk
check-elk: $(INSTALLED) ## Fail if these are not what the list of log fields makes
	$(BIN)/python -m tailrace.cli.elk --check

.PHONY: format
format: $(INSTALLED) $(BUF) $(GOOGLEAPIS)/.copied ## Put code and protos in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BUF) format --write protos

.PHONY: docs
docs: $(INSTALLED) ## Write the generated pages of the documentation anew
	$(BIN)/python docs/generate_settings.py
	$(BIN)/python docs/generate_metrics.py

.PHONY: dashboards
dashboards: $(INSTALLED) ## Write the Grafana dashboards anew
	$(BIN)/python -m tailrace.cli.grafana

.PHONY: check-grafana
check-grafana: $(INSTALLED) $(TSC) ## Fail if dashboards are stale, or not of the types that Grafana publishes
	$(BIN)/python -m tailrace.cli.grafana --check
	$(BIN)/python -m tailrace.cli.grafana.schema_check node_modules compose/grafana/dashboards/*.json

# The Collector is built from the module proxy, once, with the components that its file uses.
COLLECTOR := .build/collector/otelcol
$(COLLECTOR): compose/otel/builder.yaml
	@compose/otel/build_collector.sh compose/otel/builder.yaml $(dir $@)

.PHONY: interop-collector
interop-collector: $(INSTALLED) ## Send spans of real processes through a real Collector; needs Go
	@if command -v go >/dev/null || [ -x $(COLLECTOR) ]; then \
	  $(MAKE) --no-print-directory $(COLLECTOR) && \
	  $(BIN)/python -m tests.support.collector_interop $(COLLECTOR) $(ARGS); \
	else \
	  echo "skipped: building the OpenTelemetry Collector needs Go 1.25 or later, and there is no go"; \
	fi

.PHONY: clean
clean: ## Remove what was built, installed and cached
	rm -rf $(VENV) $(FEAST_VENV) .build node_modules dist .tailrace
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
