# All targets work from a fresh clone on Debian with Go, as root.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The Go toolchain that is installed, not one that Go would download.
export GOTOOLCHAIN := local

# What images are tagged with, programs say they are, and dist/ installs.
VERSION ?= $(shell cat VERSION)
# What the names of images begin with: a registry for the nodes to pull from, or by default
# one that cannot exist, for images that were loaded into them.
REPOSITORY ?= kube-connector.invalid

CLUSTER := go run ./test/cluster/cmd
TESTS = $$(go list ./... | grep -v -e '/test/e2e' -e '/test/install')

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

##@ Install

KUBECTL ?= kubectl
SYSTEM := connectors-system

# Says which cluster it is, and ends there if that does not answer.
.PHONY: answers
answers:
	@echo "cluster $$($(KUBECTL) config view --minify -o jsonpath='{.clusters[0].cluster.server}')"
	@$(KUBECTL) get --request-timeout 10s --raw /api/v1/namespaces/kube-system >/dev/null || \
		{ echo "This cluster cannot be used: see the line above, and which one KUBECONFIG names." >&2; exit 1; }

# While the webhook is replaced, sidecars of the version before may hold tokens, too.
.PHONY: install
install: answers ## Install into the cluster of KUBECONFIG, from images in REPOSITORY of VERSION.
	before=$$($(KUBECTL) -n $(SYSTEM) get deployments,configmaps -l app.kubernetes.io/name=connector-webhook -o yaml | \
		sed -nE 's/^ *(- --)?sidecar-image[:=] *([^ ]+)$$/ \2/p' | sort -u | { grep -vxF ' $(REPOSITORY)/sidecar:$(VERSION)' || true; } | tr -d '\n'); \
	sed -E -e "s#kube-connector.invalid/(webhook|controller|sidecar):[^ '\"]+#$(REPOSITORY)/\1:$(VERSION)#" \
		-e "/split/s#$(REPOSITORY)/sidecar:$(VERSION)#&$$before#" dist/install.yaml | $(KUBECTL) apply -f -
	for name in controller webhook; do $(KUBECTL) -n $(SYSTEM) rollout status --timeout 3m deployment/connector-$$name || \
		{ $(KUBECTL) -n $(SYSTEM) get pods >&2; echo "They do not start: docs/install.md says what to do." >&2; exit 1; }; done

# The webhook's configuration goes first: a webhook that is going must stop nobody. So do
# policies, which know no Pod that they allow once the kind Connector is gone. The
# ConfigMaps beside Connectors go last: garbage collection forgets those whose kind it
# had no time to get to know, half a minute.
.PHONY: uninstall
uninstall: answers ## Remove it from the cluster of KUBECONFIG, every Connector included.
	$(KUBECTL) delete --ignore-not-found mutatingwebhookconfiguration connector-webhook
	$(KUBECTL) delete --ignore-not-found validatingadmissionpolicybindings,validatingadmissionpolicies -l app.kubernetes.io/part-of=kube-connector
	$(KUBECTL) delete --ignore-not-found -f dist/install.yaml
	$(KUBECTL) delete --ignore-not-found configmaps --all-namespaces -l connectors.alauda.io/connector

.PHONY: package
package: ## Write the Helm chart's archive to bin/.
	go -C tools/dist run . -root ../.. -package ../../bin/kube-connector-$(VERSION:v%=%).tgz

##@ Build

.PHONY: build
build: ## Build the three programs into bin/.
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X $$(go list -m)/internal/version.version=$(VERSION)" -o bin/ ./cmd/...

.PHONY: images
images: ## Build the three container images, for amd64 and arm64, into bin/images/, without Docker.
	go run ./build/images -out bin/images -repository $(REPOSITORY) -version $(VERSION)

.PHONY: reproduce
reproduce: images ## Build the images of the last commit elsewhere and from nothing, and compare them with bin/images/.
	tree=$$(mktemp -d); trap "rm -rf $$tree" EXIT; git archive HEAD | tar -x -C $$tree; \
	(cd $$tree && GOCACHE=$$tree/.cache go run ./build/images -out images -repository $(REPOSITORY) -version $(VERSION)); \
	diff -r bin/images $$tree/images && sha256sum bin/images/*

.PHONY: push
push: ## Build the images and push them: make push REPOSITORY=registry.example.com/platform
	go run ./build/images -push -repository $(REPOSITORY) -version $(VERSION)

# A condition is owned as a whole: to keep who owns which of its fields took the API
# server a fifth of a write of the status. There is no marker for it that controller-gen
# would take for items of a list.
WHOLE_CONDITIONS = sed -E -z -i 's/( +)(x-kubernetes-preserve-unknown-fields: true\n +type: array\n)/\1x-kubernetes-map-type: atomic\n\1\2/g'

.PHONY: generate
generate: bin/controller-gen ## Write what is generated: code, CRDs, docs/reference and dist/.
	bin/controller-gen object crd:maxDescLen=10000 output:crd:dir=config/crd paths=./pkg/apis/...
	$(WHOLE_CONDITIONS) config/crd/connectors.*.yaml
	go run ./build/reference
	go run ./build/dependencies
	sed -E -i "s#(kube-connector.invalid/(webhook|controller|sidecar)):[^ '\"]+#\1:$(VERSION)#" config/*/deployment.yaml config/*/kustomization.yaml config/policy/sidecar.yaml
	go -C tools/dist run . -root ../.. -out ../../dist

##@ Check

.PHONY: test
test: parts runners ## Run all tests: unit, on a real API server, on a real node. Needs root.
	KUBE_CACHE_MUTATION_DETECTOR=true go test -race -timeout 15m $(TESTS)
	go test -race -timeout 40m -count 1 -p 1 -parallel 4 ./test/e2e/... ./test/install

.PHONY: verify
verify: bin/controller-gen ## Check that generated files and go.mod are up to date.
	out=$$(mktemp -d); trap "rm -rf $$out" EXIT; \
	bin/controller-gen crd:maxDescLen=10000 output:crd:dir=$$out/crd object output:object:dir=$$out/object paths=./pkg/apis/...; \
	$(WHOLE_CONDITIONS) $$out/crd/*.yaml; \
	diff -r --exclude kustomization.yaml $$out/crd config/crd; \
	diff $$out/object/zz_generated.deepcopy.go pkg/apis/connectors/v1alpha1/zz_generated.deepcopy.go
	out=$$(mktemp -d); trap "rm -rf $$out" EXIT; \
	go run ./build/reference -out $$out; diff -r $$out docs/reference
	out=$$(mktemp -d); trap "rm -rf $$out" EXIT; \
	go run ./build/dependencies -out $$out; diff -r --exclude '*.go' --exclude REVIEW.md $$out build/dependencies
	out=$$(mktemp -d); trap "rm -rf $$out" EXIT; \
	go -C tools/dist run . -root ../.. -out $$out; diff -r $$out dist
	for module in . test/cluster/clients/kubectl test/cluster/components test/cluster/runners/certmanager test/cluster/runners/tekton tools/controller-gen tools/dist tools/golangci-lint tools/helm; do \
		(cd $$module && go mod tidy -diff); done

.PHONY: lint
lint: bin/golangci-lint ## Run golangci-lint and check the formatting.
	bin/golangci-lint run ./...
	bin/golangci-lint fmt --diff ./...

# Not a part of .ci/run: its database changes from day to day, and is not to be had
# from everywhere.
.PHONY: vulncheck
vulncheck: ## Look the programs' dependencies up in Go's database of vulnerabilities.
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./cmd/...

.PHONY: bench
bench: parts ## Measure the sidecar and admission beside others, the controller at scale, and a Pod's start.
	go run ./bench

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 30s).
	for package in $$(go list ./pkg/...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(or $(FUZZTIME),30s) -fuzzminimizetime 20x $$package; done; done

##@ Help

.PHONY: help
help: ## Show this.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' Makefile

# What tests need: Debian packages and the parts of Kubernetes, built once per version.
.PHONY: parts
parts:
	$(CLUSTER) binaries

# The systems and clients that tests run on the cluster, built once per version.
.PHONY: runners
runners:
	$(CLUSTER) runners

bin/controller-gen: tools/controller-gen/go.mod
	cd tools/controller-gen && go build -o ../../$@ sigs.k8s.io/controller-tools/cmd/controller-gen

bin/golangci-lint: tools/golangci-lint/go.mod
	cd tools/golangci-lint && go build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
