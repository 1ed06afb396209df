# Tidemill: `make` lists what there is.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Build output lives outside the checkout, so that every clone shares it.
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/tidemill
export CARGO_TARGET_DIR ?= $(CACHE)/target

# What scripts/provision installed, in the shell of one recipe line.
TOOLS := eval "$$(scripts/provision env)" &&

# Arguments of `tidemill demo`, for instance DEMO_ARGS="--events 50000 --exit".
DEMO_ARGS ?=
# Folder of the suite that the lake joins.
DATA ?= demo-data
# Arguments of `tidemill-chaos`, for instance CHAOS_ARGS="--seed 7".
CHAOS_ARGS ?=
# Arguments of `tidemill-bench-suite`, for instance BENCH_ARGS="--store postgres --keep".
BENCH_ARGS ?=
# Arguments of `tidemill-bench-suite --patterns`, for instance PATTERN_ARGS="--lines 5000 --gold-seconds 5".
PATTERN_ARGS ?=
# Targets for `make fuzz`, for instance FUZZ_ARGS="json validate"; all, without any.
FUZZ_ARGS ?=
# Arguments of tests/contract/run.py, for instance CONTRACT_ARGS="--cases 500".
CONTRACT_ARGS ?=
# Arguments of scripts/images, for instance IMAGE_ARGS="--prebuilt --tag 1.2.3".
IMAGE_ARGS ?=
# Arguments of `tidemill-cluster-test`, for instance CLUSTER_ARGS="--only drain,kill-node".
CLUSTER_ARGS ?=
# Arguments of `cargo test`, for instance TEST_ARGS="-p tidemill-domain".
TEST_ARGS ?= --workspace
# The cargo profile that the demo is built with.
PROFILE ?= dev

##@ Use

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Start everything on this machine and play a flash sale (DEMO_ARGS="--events 50000 --exit")
	@scripts/provision demo
	@$(TOOLS) cargo build --profile $(PROFILE) --package tidemill
	@$(TOOLS) exec "$$CARGO_TARGET_DIR/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/tidemill" demo $(DEMO_ARGS)

.PHONY: lake
lake: ## Have the lake join a suite that runs on this machine (DATA=FOLDER, as in DEMO_ARGS="--data FOLDER")
	@scripts/provision demo
	@$(TOOLS) cargo build --profile $(PROFILE) --package tidemill-lake
	@exec scripts/lake "$$CARGO_TARGET_DIR/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/tidemill-lake" $(DATA)

##@ Check

.PHONY: test
test: ## Check format, structure, lints, documents, dependencies and manifests, and run every test against real servers
	@scripts/provision test
	@echo "== format";       cargo fmt --all --check
	@echo "== drivers";      scripts/check-confined
	@echo "== documents";    scripts/check-docs --self-test && scripts/check-docs
	@echo "== structure";    scripts/check-structure --self-test && scripts/check-structure
	@echo "== contracts";    $(TOOLS) scripts/check-contracts --self-test && $(TOOLS) scripts/check-contracts
	@echo "== manifests";    $(MAKE) chart-test
	@echo "== lints";        $(TOOLS) cargo clippy --workspace --all-targets -- -D warnings
	@echo "== dependencies"; $(TOOLS) cargo deny --log-level error check bans licenses sources
	@echo "== advisories";   $(TOOLS) scripts/check-advisories
	@echo "== tests";        $(TOOLS) cargo test $(TEST_ARGS)
	@echo "== counts";       $(TOOLS) scripts/check-counts
	@echo "== build";        $(TOOLS) scripts/check-build

.PHONY: chaos
chaos: ## Kill, hold and cut off every part while a shop trades (CHAOS_ARGS="--seed 7 --faults 240")
	@scripts/provision test
	@$(TOOLS) cargo build --profile $(PROFILE) --workspace --bins
	@$(TOOLS) exec "$$CARGO_TARGET_DIR/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/tidemill-chaos" $(CHAOS_ARGS)

.PHONY: lake-test
lake-test: ## Have Spark read every table of a lake, and run the plans of its metrics
	@scripts/provision lake
	@$(TOOLS) cargo test --package tidemill-batch-views --package tidemill-lake -- --ignored spark_

.PHONY: bench
bench: ## Measure the suite as separate release processes, and check every total (BENCH_ARGS="--store postgres")
	@scripts/provision bench
	@$(TOOLS) cargo build --release --workspace --bins
	@$(TOOLS) exec "$$CARGO_TARGET_DIR/release/tidemill-bench-suite" $(if $(KEEP),--keep) $(BENCH_ARGS)

.PHONY: patterns
patterns: ## Run one workload through each of the four architectures, and compare them (PATTERN_ARGS="--lines 5000")
	@scripts/provision bench
	@$(TOOLS) cargo build --release --workspace --bins
	@$(TOOLS) exec "$$CARGO_TARGET_DIR/release/tidemill-bench-suite" --patterns $(if $(KEEP),--keep) $(PATTERN_ARGS)

.PHONY: counts
counts: ## Count the instructions of single steps, and fail where one has grown dearer
	@scripts/provision counts
	@$(TOOLS) scripts/check-counts

.PHONY: fuzz
fuzz: ## Fuzz all that reads what strangers send, FUZZ_SECONDS (600) each (FUZZ_ARGS="json validate")
	@scripts/provision fuzz
	@$(TOOLS) scripts/fuzz $(FUZZ_ARGS)

.PHONY: contract
contract: ## Ask every service, on both databases, whether its OpenAPI is true (CONTRACT_ARGS="--cases 500")
	@scripts/provision contract
	@$(TOOLS) cargo build --workspace --bins
	@$(TOOLS) exec python3 tests/contract/run.py $(CONTRACT_ARGS)

.PHONY: cluster-test
cluster-test: images ## Scale, upgrade, drain and cut off the suite on the cluster of KUBECONFIG (CLUSTER_ARGS="--skip hpa")
	@scripts/provision demo
	@$(TOOLS) cargo build --profile $(PROFILE) --workspace --bin tidemill-cluster-test
	@$(TOOLS) exec "$$CARGO_TARGET_DIR/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/tidemill-cluster-test" $(CLUSTER_ARGS)

.PHONY: lint
lint: ## Run the format check, the lints and the checks of documents and structure alone
	@scripts/provision demo
	@cargo fmt --all --check
	@scripts/check-confined
	@scripts/check-docs
	@scripts/check-structure
	@$(TOOLS) cargo clippy --workspace --all-targets -- -D warnings

.PHONY: advisories
advisories: ## Ask for known vulnerabilities in the dependencies; fail where the database cannot be had
	@scripts/provision test
	@$(TOOLS) scripts/check-advisories --require

.PHONY: fmt
fmt: ## Format the code
	@cargo fmt --all

##@ Ship

.PHONY: render
render: ## Render the Helm chart into k8s/ and the table of values into its README
	@scripts/render

.PHONY: check-render
check-render: ## Fail if k8s/ or the table of values differs from what the chart renders
	@scripts/render --check

.PHONY: reference
reference: ## Write docs/reference, docs/asyncapi.yaml and the table of docs/security.md anew
	@scripts/provision demo
	@$(TOOLS) TIDEMILL_UPDATE=1 cargo test --package tidemill-tests --test reference --test access
	@$(TOOLS) TIDEMILL_UPDATE=1 cargo test --package tidemill-lake --test lake reference

.PHONY: pictures
pictures: ## Take the README's pictures of a demo that runs for it
	@scripts/provision test
	@$(TOOLS) cargo build --package tidemill
	@scripts/pictures

.PHONY: images
images: ## Build every container image out of one compilation (IMAGE_ARGS="--prebuilt --tag 1.2.3")
	@scripts/images $(IMAGE_ARGS)

.PHONY: chart-test
chart-test: ## Check the Helm chart, k8s/ and skaffold.yaml without a cluster
	@scripts/render --check
	@python3 tests/chart/check.py

##@ Tidy

.PHONY: clean
clean: ## Remove this project's build output (the installed tools stay)
	@cargo clean

.PHONY: clean-tools
clean-tools: ## Remove what scripts/provision installed
	@rm -rf "$${TIDEMILL_HOME:-$(CACHE)}/tools"
