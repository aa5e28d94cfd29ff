# The project's commands. Each installs what it needs into .venv first.
# The first interpreter that is new enough; PYTHON=… names another one.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; exit; fi; \
done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
# One more than the cores: tests wait for processes and disks as well.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Containers often set it; each of the hundreds of processes of the suite would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test nightly lint bench bench-full bench-tools openapi lock clean

.DEFAULT_GOAL := demo

include sdk/sdks.mk

# The stamp is newer than the lock only after a whole install: an interrupted one is repeated.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Rust may be here and its crates out of reach: the demo is the same without.
demo: $(VENV)/.installed
	@$(MAKE) --no-print-directory native || echo "native code could not be built; Python does it all"
	$(BIN)/python -m demo.main_job

test: $(VENV)/.installed sdks
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal --cov --cov-report=
	$(BIN)/python -m tests.support.coverage_gate

# A million inputs for each fuzz target: chosen by the code they reach where atheris is installed
# (pip install 'atheris>=3.0'), else bent as the suite bends them. NIGHTLY=--help says what it takes.
# Then schemathesis, for twenty minutes as a caller that may do everything and as one without a token.
# First of all, ten thousand seeds of power cuts for everything that is kept on disk, a thousand kills
# of agent and server together, three hundred of single workers, two thousand of the SDKs' outboxes,
# every file-system call of a server under strace, two hundred days of network trouble,
# ten thousand simulated worlds and the search for each of their known bugs; and a million inputs to the parsers
# of all SDKs, twenty thousand records from each of them to every other.
nightly: $(VENV)/.installed sdks
	$(BIN)/python -m tests.support.power
	$(BIN)/python -m tests.support.every_call
	$(BIN)/python -m tests.support.kills
	$(BIN)/python -m tests.support.worker_kills
	$(BIN)/python -m tests.support.worker_kills --workers 2 --soak 600
	$(BIN)/python -m tests.support.traced_sweep
	$(BIN)/python -m tests.support.troubled_days 200
	$(BIN)/python -m tests.simulation
	$(BIN)/python -m tests.support.mutants
	$(MAKE) nightly-sdks
	$(BIN)/python -m tests.support.sdk_outbox_kills
	$(BIN)/python -m tests.support.sdk_matrix
	$(BIN)/python -m tests.support.sdk_fuzz
	$(BIN)/python -m tests.fuzz.run $(NIGHTLY)
	$(BIN)/python -m tests.support.explore

lint: $(VENV)/.installed lint-sdks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed sdks
	$(BIN)/python -m benchmarks.run

# What make bench is measured beside and Debian has no recent enough package of; needs Go. Without it, and
# without Debian's postgresql and redis-server, make bench says which comparison it leaves out.
NATS_SERVER := github.com/nats-io/nats-server/v2@v2.11.4
bench-tools: $(VENV)/.installed
	GOBIN=$(abspath $(BIN)) go install $(NATS_SERVER)

# What takes too long for bench: the index at a million and ten million entries. About 8 GB beside it.
INDEX_SIZES ?= 10000 100000 1000000 10000000
bench-full: bench
	$(BIN)/python -m benchmarks.index $(INDEX_SIZES)

# Rewrites specs/openapi.json from the code; a test compares the two.
openapi: $(VENV)/.installed
	$(BIN)/python -m tests.support.openapi_file

# Rewrites the lock; uv is used only here and is not part of the project's environment.
lock:
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	rm -rf sdk/go/build sdk/typescript/dist sdk/typescript/node_modules sdk/rust/target sdk/rust/Cargo.lock sdk/wasm/dist $(NATIVE)
