SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# For make demo and make node-chat.
PORT ?= 8000
SERVER_PORT ?= 6001
ADMIN_PORT ?= 9601

# For make test.
WORKERS ?= 2
TESTS ?= tests
PYTEST_ARGS ?=

# For make proof.
SUITES ?=

# For make bench.
ROWS ?=
RUNS ?= 5
ROUNDS ?= 0
SECONDS ?= 10
OUT ?= build/bench/results
SERVERS ?= herenow,floor$(if $(HAVE_NPM),$(COMMA)soketi)
PEER ?=
GROWTH ?=
CHURN ?=
MIXED ?=
PAGE ?=
BENCH := build/bench
COMMA := ,

# For make conformance.
TARGET ?=
APP_ID ?=
APP_KEY ?=
APP_SECRET ?=
APPS ?=
LEAVE_GRACE ?=
CLUSTER ?=

NODE_CHAT := examples/node-chat
COMPAT := tests/compat
JAVA := $(COMPAT)/java
GO := $(COMPAT)/go
INSTALLED := node_modules/.package-lock.json
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
HAVE_NPM := $(shell command -v node >/dev/null && command -v npm >/dev/null && echo yes)
HAVE_MAVEN := $(shell command -v java >/dev/null && command -v mvn >/dev/null && echo yes)
HAVE_GO := $(shell command -v go >/dev/null && echo yes)

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: demo
demo: $(VENV)/.server pages ## Run a server and the demo chat, installing what they need
	@exec $(BIN)/herenow demo --port $(SERVER_PORT) --app-port $(PORT) --admin-port $(ADMIN_PORT)

.PHONY: node-chat
node-chat: node $(VENV)/.server $(NODE_CHAT)/$(INSTALLED) ## Run a server and the chat written in Node
	@exec $(BIN)/python scripts/node_chat.py --port $(PORT) --server-port $(SERVER_PORT) --admin-port $(ADMIN_PORT)

.PHONY: test
test: $(VENV)/.dev pages clients browser redis databases ## Run the tests, installing what they need
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS) $(TESTS)

.PHONY: lint
lint: $(VENV)/.dev ## Check style, types and the dependency rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: conformance
conformance: $(VENV)/.dev ## Test a server: TARGET=host:port APP_ID=… APP_KEY=… APP_SECRET=…; without TARGET, ours, with CLUSTER=redis://… two of ours
	$(BIN)/python -m pytest tests/conformance \
		$(if $(TARGET),--target '$(TARGET)') \
		$(if $(APP_ID),--app-id '$(APP_ID)' --app-key '$(APP_KEY)' --app-secret '$(APP_SECRET)') \
		$(if $(APPS),--target-apps '$(APPS)') \
		$(if $(LEAVE_GRACE),--leave-grace '$(LEAVE_GRACE)') \
		$(if $(CLUSTER),--cluster '$(CLUSTER)') \
		$(PYTEST_ARGS)

.PHONY: compat
compat: $(VENV)/.dev clients ## Run every client and server library that can be had and write docs/compat.md
	$(BIN)/python scripts/compat.py

.PHONY: proof
proof: $(VENV)/.dev pages clients browser redis databases ## Run every suite, or SUITES=…, at full size and write docs/proof.md and docs/compat.md
	HERENOW_PROOF=1 $(BIN)/python scripts/proof.py $(SUITES)

.PHONY: bench
bench: $(VENV)/.bench $(BENCH)/load/wsload $(if $(HAVE_NPM),$(BENCH)/soketi/$(INSTALLED)) ## Measure: ROWS=… RUNS=5 ROUNDS=10 SECONDS=10 OUT=… PEER='…' GROWTH=1 CHURN=1 MIXED=1 PAGE=…
	$(BIN)/python -m bench.run --rows '$(ROWS)' --runs $(RUNS) --rounds $(ROUNDS) --seconds $(SECONDS) --out '$(OUT)' \
		--servers '$(SERVERS)' --peer '$(PEER)' --built $(BENCH) \
		$(if $(GROWTH),--growth) $(if $(CHURN),--churn) $(if $(MIXED),--mixed) $(if $(PAGE),--page '$(PAGE)')

.PHONY: bench-cluster
bench-cluster: $(VENV)/.dev ## Measure joins, leaves, rosters and watchlists of many nodes on one Valkey
	$(BIN)/python bench/cluster/cost.py
	$(BIN)/python bench/cluster/watchers.py
	$(BIN)/python bench/cluster/webhooks.py

.PHONY: bench-report
bench-report: $(VENV)/.bench ## Show what was measured: OUT=…, and write PAGE=… of it
	$(BIN)/python -m bench.report '$(OUT)' $(if $(PAGE),'$(PAGE)')

.PHONY: bench-micro
bench-micro: $(VENV)/.bench ## Time the functions of the hot path one by one
	$(BIN)/python -m pytest bench/micro --benchmark-columns=min,median,iqr,rounds --durations=0 $(PYTEST_ARGS)

.PHONY: bench-instructions
bench-instructions: $(VENV)/.dev ## Count the instructions of the same functions with valgrind
	$(BIN)/python -m bench.micro.instructions $(BENCH)/micro

.PHONY: docs
docs: $(VENV)/.dev ## Write docs/configuration.md from the settings and build the pages into build/site
	$(BIN)/python -m herenow.config.reference > docs/configuration.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

.PHONY: lock
lock: ## Choose the newest development packages and write requirements-dev.lock
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade pip
	build/lock/bin/python -m pip install --quiet --group dev '.[server,redis,postgres,mysql]'
	{ echo '# Written by make lock.'; build/lock/bin/python -m pip freeze --exclude herenow \
		| sed "s/^uvloop==.*/&; sys_platform != 'win32'/"; } > requirements-dev.lock
	rm -rf build/lock

.PHONY: clean
clean: ## Remove everything that make has made
	rm -rf $(VENV) build dist .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf web/node_modules $(NODE_CHAT)/node_modules $(COMPAT)/node_modules $(JAVA)/target $(GO)/build
	rm -rf src/herenow/admin/static/vendor src/herenow/demo/static/vendor
	find src tests scripts bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer, or name one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: herenow needs Python 3.11 or newer, name one with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) could not make a virtual environment: its venv module may be a package of its own" >&2; exit 1; }
	@touch $@

$(VENV)/.server: $(VENV)/.created pyproject.toml
	@echo "Installing herenow into $(VENV)" >&2
	@$(PIP) install --editable '.[server]'
	@touch $@

$(VENV)/.dev: $(VENV)/.created pyproject.toml requirements-dev.lock
	@echo "Installing the development packages into $(VENV)" >&2
	@$(PIP) install --requirement requirements-dev.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@ $(VENV)/.server

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing the benchmark's packages into $(VENV)" >&2
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --constraint requirements-dev.lock --group bench
	@touch $@

$(BENCH)/load/wsload: $(wildcard bench/load/*)
	@bench/load/build $(@D)

$(BENCH)/soketi/$(INSTALLED): $(wildcard bench/peers/soketi/*)
	@bench/peers/soketi/install $(BENCH)/soketi || echo "soketi could not be installed: run with SERVERS=herenow,floor" >&2

.PHONY: pages
pages: $(VENV)/.created
	@$(BIN)/python scripts/vendor.py

.PHONY: node
node:
	@test -n '$(HAVE_NPM)' || { echo "The chat needs Node.js 20 or newer, with npm." >&2; exit 1; }
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo "The chat needs Node.js 20 or newer, this is $$(node --version)." >&2; exit 1; }

%/$(INSTALLED): %/package-lock.json %/package.json
	@echo "Installing the npm packages of $*" >&2
	@cd $* && $(NPM_CI)
	@touch $@

$(JAVA)/target/dependency: $(JAVA)/pom.xml
	@echo "Installing the Java packages of $(JAVA)" >&2
	@cd $(JAVA) && rm -rf target && mvn --quiet --batch-mode dependency:copy-dependencies -DoutputDirectory=target/dependency \
		|| { rm -rf target; echo "Maven failed: the tests with the Java libraries are skipped." >&2; }
	@! test -d $@ || touch $@

# Modules come from the proxy only, never from a repository; the tools stay those that are there.
$(GO)/build/backend: export GOVCS = *:off
$(GO)/build/backend: export GOTOOLCHAIN = local
$(GO)/build/backend: $(GO)/go.mod $(GO)/go.sum $(GO)/main.go
	@echo "Building the Go program of $(GO)" >&2
	@cd $(GO) && rm -rf build && go mod download && go build -trimpath -buildvcs=false -o build/backend . \
		|| echo "Go failed: the tests with pusher-http-go are skipped." >&2

.PHONY: clients
clients: $(if $(HAVE_NPM),$(COMPAT)/$(INSTALLED) $(NODE_CHAT)/$(INSTALLED)) $(if $(HAVE_MAVEN),$(JAVA)/target/dependency) $(if $(HAVE_GO),$(GO)/build/backend)
	@test -n '$(HAVE_NPM)' || echo "No Node.js with npm: the tests with pusher-js, Laravel Echo and pusher for Node and of the chat are skipped." >&2
	@test -n '$(HAVE_MAVEN)' || echo "No Java with Maven: the tests with the Java libraries are skipped." >&2
	@test -n '$(HAVE_GO)' || echo "No Go: the tests with pusher-http-go are skipped." >&2

.PHONY: browser
browser:
	@scripts/browser

.PHONY: redis
redis:
	@scripts/redis

.PHONY: databases
databases:
	@scripts/databases
