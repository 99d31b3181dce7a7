# All targets work from a fresh clone on Debian with Go, as root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The Go toolchain that is installed, not one that Go would download.
export GOTOOLCHAIN := local

CLUSTER := go run ./test/cluster/cmd
TESTS = $$(go list ./... | grep -v '/test/e2e')

##@ Try it

.PHONY: demo
demo: ## Show the product on two real clusters, brought up here; leaves them up.
	go run ./test/demo

.PHONY: demo-down
demo-down: cluster-down ## Remove everything that demo and cluster brought up.

.PHONY: cluster
cluster: ## Bring up both clusters with the product installed; kubeconfigs in .cluster/.
	$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Remove the clusters that cluster or demo brought up.
	$(CLUSTER) down

##@ Build

.PHONY: build
build: ## Build the three programs into bin/.
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/ ./cmd/...

.PHONY: images
images: ## Build the three container images into bin/images/, without Docker.
	go run ./build/images -out bin/images

.PHONY: generate
generate: bin/controller-gen ## Write the code and the CRDs that are generated from the API types.
	bin/controller-gen object crd:maxDescLen=10000 output:crd:dir=config/crd paths=./pkg/apis/...

##@ Check

.PHONY: test
test: parts ## Run all tests: unit, on a real API server, on a real node. Needs root.
	go test -race -timeout 15m $(TESTS)
	go test -race -timeout 20m -count 1 ./test/e2e/...

.PHONY: verify
verify: bin/controller-gen ## Check that generated files and go.mod are up to date.
	out=$$(mktemp -d); trap "rm -rf $$out" EXIT; \
	bin/controller-gen crd:maxDescLen=10000 output:crd:dir=$$out/crd object output:object:dir=$$out/object paths=./pkg/apis/...; \
	diff -r --exclude kustomization.yaml $$out/crd config/crd; \
	diff $$out/object/zz_generated.deepcopy.go pkg/apis/connectors/v1alpha1/zz_generated.deepcopy.go
	for module in . test/cluster/components tools/controller-gen tools/golangci-lint; do \
		(cd $$module && go mod tidy -diff); done

.PHONY: lint
lint: bin/golangci-lint ## Run golangci-lint and check the formatting.
	bin/golangci-lint run ./...
	bin/golangci-lint fmt --diff ./...

.PHONY: bench
bench: parts ## Measure the sidecar, and what injection adds to a Pod's start.
	go run ./bench

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 30s).
	for package in $$(go list ./pkg/...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) $$package; done; done

##@ Help

.PHONY: help
help: ## Show this.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

# What tests need: Debian packages and the parts of Kubernetes, built once per version.
.PHONY: parts
parts:
	$(CLUSTER) binaries

bin/controller-gen: tools/controller-gen/go.mod
	cd tools/controller-gen && go build -o ../../$@ sigs.k8s.io/controller-tools/cmd/controller-gen

bin/golangci-lint: tools/golangci-lint/go.mod
	cd tools/golangci-lint && go build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
