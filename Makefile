# The commands of this house. Each can be run again.
.PHONY: up service unservice test check bench compare demo help
help:
	@echo "make up         build everything, start the daemon, say how to hook Claude Code up"
	@echo "make demo       see it with a pretend agent, in half a minute: no Claude Code, nothing spent (AUTO=1: hands off)"
	@echo "make service    build, and let systemd or launchd keep the daemon"
	@echo "make unservice  take that back"
	@echo "make check      format, lints, unit and property tests (no Node, no client)"
	@echo "make test       install what the tests need and run them all, the real client included"
	@echo "make bench      measure, as ratios against fixed peers in the same run"
	@echo "make compare    count recorded sessions beside ccusage and Claude Code itself"

up:
	@.ci/need cargo cc
	cargo build --release -p bursar
	@.ci/build-hook
	@target/release/bursar daemon --detach --replace
	@echo
	@echo "Put the commands on your path:  export PATH=\"$(CURDIR)/target/release:\$$PATH\""
	@echo "Hook Claude Code up:            bursar install --unprotected"
	@echo "  (--unprotected: anything you run may approve more tokens; without it nobody can yet)"
	@echo "Watch:                          bursar status"
	@echo "See it first, nothing spent:    make demo"

demo:
	@.ci/need cargo cc
	cargo build -p bursar -p bursar-hook
	@trap : INT; target/debug/bursar demo $(if $(AUTO),--auto) $(DEMO_ARGS) || [ $$? = 130 ]

service:
	@.ci/need cargo cc
	cargo build --release -p bursar
	@.ci/build-hook
	@systemd/install.sh install "$(CURDIR)/target/release/bursar"

unservice:
	@systemd/install.sh remove

check:
	@.ci/need cargo cc
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo test --workspace --quiet --exclude bursar-tests
	cargo test --quiet -p bursar-tests --test tidy --test fuzz_replay

# Elsewhere what needs systemd is passed over.
test: systemd := $(if $(shell command -v apt-get),systemd-socket-activate)
test:
	@.ci/need cargo cc npm python3 tmux gzip $(systemd)
	@tests/client/fetch.sh
	cargo build --workspace --bins
	cargo test --workspace

bench:
	@.ci/need cargo cc npm python3 redis-server
	@.ci/bench bars

compare:
	@.ci/need cargo cc npm
	@.ci/bench compare
