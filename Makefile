# The verbs of this project. Each makes what it needs: a virtual environment, the extension, the tools.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests at a time: they wait as much as they work.
JOBS ?= 2
BENCH_PYTHON ?= $(PYTHON)
BENCH_VENV ?= .venv-bench
SOURCES := $(shell find src python -name '*.rs' -o -name '*.py' -o -name '*.pyi') Cargo.toml Cargo.lock pyproject.toml

.PHONY: help demo test pytest lint bench gate fuzz wheel lock

help: ## show the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(VENV)/tools: requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	touch $@

# One abi3 wheel serves every interpreter.
target/wheels/built: $(SOURCES) README.md | $(VENV)/tools
	rm -f target/wheels/*.whl
	$(BIN)/maturin build --quiet --release --locked --interpreter $(BIN)/python --out target/wheels
	touch $@

$(VENV)/installed: $(VENV)/tools target/wheels/built
	$(BIN)/python -m pip install --quiet --no-deps --no-index --force-reinstall --find-links target/wheels sse_fast
	touch $@

demo: $(VENV)/installed ## an upstream, the gateway and a client: streams as they flow, and what changes
	$(BIN)/sse-fast demo

test: pytest ## run all tests
	cargo test --locked --quiet

# Clients of the gateway on Node.js, for its tests.
NODE_CLIENTS := $(if $(shell command -v npm),tests/node/node_modules/.package-lock.json)
tests/node/node_modules/.package-lock.json: tests/node/package-lock.json
	npm ci --silent --prefix tests/node

pytest: $(VENV)/installed $(NODE_CLIENTS) ## run the Python tests
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

lint: $(VENV)/installed ## formatting, lints and types, Rust and Python
	cargo fmt --check
	cargo clippy --locked --all-targets --quiet -- -D warnings
	cargo clippy --locked --all-targets --all-features --quiet -- -D warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest sse_fast._rust

$(BENCH_VENV)/tools: benches/requirements.lock
	$(BENCH_PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --require-hashes --requirement $<
	touch $@

bench: $(BENCH_VENV)/tools target/wheels/built ## time against the rivals, rewrite the figures of benches/README.md
	$(BENCH_VENV)/bin/python -m pip install --quiet --no-deps --no-index --force-reinstall --find-links target/wheels sse_fast
	if command -v npm >/dev/null; then npm ci --silent --prefix benches/node; fi
	$(BENCH_VENV)/bin/python -m pytest benches/test_streams.py benches/test_aio.py
	$(BENCH_VENV)/bin/python benches/run.py --write
	$(BENCH_VENV)/bin/python benches/aio.py --write

# LiteLLM, to time beside the gateway: `benches/gateway/run.py --litellm .venv-litellm/bin/litellm`.
.venv-litellm/tools: benches/gateway/litellm.lock
	$(PYTHON) -m venv .venv-litellm
	.venv-litellm/bin/python -m pip install --quiet --no-deps --require-hashes --requirement $<
	touch $@

gate: ## compare instruction counts with benches/instructions.json (needs valgrind)
	benches/gate

fuzz: ## fuzz each target for FUZZ_SECONDS (60)
	fuzz/run $(or $(FUZZ_SECONDS),60)

wheel: $(VENV)/tools ## build the wheel into dist/
	$(BIN)/maturin build --release --locked --out dist

lock: $(VENV)/tools ## pin the tools anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-strip-extras \
	  --custom-compile-command 'make lock' --group dev --all-extras --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-strip-extras \
	  --custom-compile-command 'make lock' --output-file benches/requirements.lock benches/requirements.in
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --strip-extras \
	  --custom-compile-command 'make lock' --output-file benches/gateway/litellm.lock benches/gateway/litellm.in
