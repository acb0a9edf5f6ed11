# The two commands that matter: `make run` and `make test`. Everything else is a step of theirs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# rustup puts cargo here; a shell that was open before does not know it yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
BIN := $(TARGET)/release/globalshop

# Arguments for `globalshop run` (make run ARGS="--listen 0.0.0.0:8080") and words that select parts
# of the tests (make test PARTS="clippy tidy").
ARGS ?=
PARTS ?=

WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' 2>/dev/null)
WEB_INSTALLED := web/node_modules/.installed
WEB_BUILT := web/node_modules/.built

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: setup ## install what is missing, build, and open the shop at http://localhost:8080
	@$(MAKE) --no-print-directory build
	exec $(BIN) run --demo $(ARGS)

.PHONY: test
test: ## run everything that must hold
	@scripts/setup --test
	@scripts/test $(PARTS)

.PHONY: check
check: ## the quick ones of the tests: format, lints, tidiness
	@scripts/test format web clippy tidy

.PHONY: bench
bench: setup web ## measure against the floors and write the figures into docs/PERFORMANCE.md
	@scripts/bench

.PHONY: fuzz
fuzz: ## fuzz every reader of foreign input for a minute each (SECONDS_EACH=600: ten)
	@scripts/fuzz

.PHONY: soak
soak: setup ## run for long: kill -9 under load and simulated seeds in turn; resumable, logged
	@$(MAKE) --no-print-directory build
	@scripts/soak

.PHONY: build
build: web ## build the page assets and the release binary
	cargo build --release --locked

.PHONY: setup
setup: ## install what is missing on this machine
	@scripts/setup

.PHONY: clean
clean: ## remove everything that was built
	cargo clean
	rm -rf web/node_modules web/dist

.PHONY: web
web: $(WEB_BUILT)

$(WEB_INSTALLED): web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	touch $@

# Somebody who removed web/dist wants it back.
.PHONY: anew
$(WEB_BUILT): $(WEB_INSTALLED) $(WEB_SOURCES) $(if $(wildcard web/dist/*),,anew)
	cd web && npm run build
	touch $@
