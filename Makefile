# What a maintainer runs. CONTRIBUTING.md explains the parts; .ci/run is what every change must pass.

# seeds, time and clients of one longer run under faults; see "make torture".
SEEDS     ?= 10
DURATION  ?= 2m
STORE     ?= redis
PROCESSES ?= 3
CLIENTS   ?= 30
KILLS     ?= 200
# time for each fuzz target, and for each benchmark.
FUZZTIME  ?= 30s
BENCHTIME ?= 1s
# the packages to test.
PACKAGES  ?= ./...

.PHONY: test race bench fuzz torture ci

test: ## all tests
	go test $(PACKAGES)

race: ## all tests with the race detector, without cached results
	go test -race -count=1 -timeout 10m $(PACKAGES)

bench: ## all benchmarks; docs/benchmarks.md has the figures
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 60m $(PACKAGES)

fuzz: ## every fuzz target for FUZZTIME
	@set -e; \
	grep -rl --include='*_test.go' -E '^func Fuzz' . | while read -r file; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file" | while read -r target; do \
			echo "$$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$(dirname "$$file")"; \
		done; \
	done

torture: ## SEEDS runs of real processes under faults, then KILLS kills of a server on a file
	go test ./internal/torture -run 'TestTorture$$' -v -timeout 2h -torture.store=$(STORE) -torture.processes=$(PROCESSES) \
		-torture.clients=$(CLIENTS) -torture.duration=$(DURATION) -torture.seeds=$(SEEDS)
	go test ./internal/torture -run 'TestKill' -v -timeout 1h -torture.kills=$(KILLS)

ci: ## everything that a change must pass
	.ci/run
