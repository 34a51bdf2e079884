# Tocsin: `make run` starts the demo, `make test` proves the lot. Both set up what they need.
.PHONY: run test build web setup setup-web check fmt clean

CARGO_FLAGS ?=
DATA ?= data

run: build
	./target/debug/tocsin demo --data $(DATA)

build: web
	cargo build --target-dir target $(CARGO_FLAGS)

web: setup-web
	cd web && npm run --silent build

setup-web:
	tests/setup.sh web

setup:
	tests/setup.sh web tests

test: setup
	cd web && npm run --silent typecheck && npm run --silent lint && npm run --silent test && npm run --silent build && npm run --silent size
	cargo fmt --all --check
	cargo clippy --target-dir target --all-targets -- -D warnings
	cargo test --target-dir target --no-fail-fast $(CARGO_FLAGS)

check:
	cargo fmt --all --check
	cargo clippy --target-dir target --all-targets -- -D warnings

fmt:
	cargo fmt --all

clean:
	cargo clean --target-dir target
	rm -rf web/dist web/node_modules .peers .venv
