# Everything that can be done here; `make` alone lists it.

# LISTEN, UPSTREAM, TARGET and VIA reach the program as typed: through the environment, one argument each, a `$` in
# them being just a dollar sign. What is not set is not passed: the program's own defaults hold.
VARIABLES := LISTEN UPSTREAM TARGET VIA
$(foreach name,$(VARIABLES),$(eval override $(name) := $$(value $(name))))
export $(VARIABLES)
export QUICK KEEP

BIN := $(or $(CARGO_TARGET_DIR),target)/release/switchboard
# The server replaces the shell, so that signals reach it and its exit code is the one that make reports.
# ARGS are shell words; one that names another dump takes the place of ours.
RUN := @exec "$(BIN)"
DUMP = $(if $(filter --dump --dump=%,$(value ARGS)),,--dump text)

.PHONY: help build echo proxy client origin demo install deb static test interop picture bench fuzz check audit clean

PREFIX ?= /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share
# The unit for systemd before 253, where that is what this machine has.
COMPAT = $(shell systemctl --version 2>/dev/null | awk 'NR == 1 && $$2 < 253 { print "--compat" }')
MUSL := $(shell uname -m)-unknown-linux-musl

## Targets:
help: ## this list (the default)
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 } sub(/^## ?/, "")' Makefile
build: ## the release binary
	@cargo build --release
echo: build ## sends back what it gets, and shows it [LISTEN]
	$(RUN) echo $(DUMP) $${LISTEN:+--listen "$$LISTEN"} $(value ARGS)
proxy: build ## relays to an upstream, and shows what is sent [LISTEN UPSTREAM]
	$(RUN) proxy $(DUMP) $${LISTEN:+--listen "$$LISTEN"} $${UPSTREAM:+--upstream "$$UPSTREAM"} $(value ARGS)
client: build ## asks a server and prints the answer [TARGET VIA]
	$(RUN) client $${VIA:+--via "$$VIA"} $(value ARGS) $${TARGET:+"$$TARGET"}
origin: build ## a small HTTP server that stands in for the internet [LISTEN]
	$(RUN) origin $${LISTEN:+--listen "$$LISTEN"} $(value ARGS)
demo: build ## the main job, offline: clients through a proxy to an origin; it ends by itself [KEEP=1]
	@SWITCHBOARD="$(BIN)" tests/demo.sh
install: ## the binary, manual pages, completions and a unit [PREFIX DESTDIR]
	@[ -x "$(BIN)" ] || cargo build --release
	@install -Dm755 "$(BIN)" "$(DESTDIR)$(PREFIX)/bin/switchboard"
	@install -d "$(SHARE)/man/man1" "$(SHARE)/man/man7" "$(SHARE)/bash-completion/completions" \
		"$(SHARE)/zsh/site-functions" "$(SHARE)/fish/vendor_completions.d" "$(DESTDIR)$(PREFIX)/lib/systemd/system"
	@"$(BIN)" print man >"$(SHARE)/man/man1/switchboard.1"
	@"$(BIN)" help | awk '/^[A-Z]/ { list = /^(Commands|Topics):/ } list && /^  [a-z]/ && $$1 != "help" { print $$1 }' | \
		sort -u | while read -r name; do \
			page=$$("$(BIN)" print man "$$name") || exit 1; \
			section=$$(printf '%s\n' "$$page" | awk 'NR == 1 { print $$3 }'); \
			printf '%s\n' "$$page" >"$(SHARE)/man/man$$section/switchboard-$$name.$$section" || exit 1; \
		done
	@"$(BIN)" print completions bash >"$(SHARE)/bash-completion/completions/switchboard"
	@"$(BIN)" print completions zsh >"$(SHARE)/zsh/site-functions/_switchboard"
	@"$(BIN)" print completions fish >"$(SHARE)/fish/vendor_completions.d/switchboard.fish"
	@"$(BIN)" print systemd $(COMPAT) | sed 's|/usr/local/bin|$(PREFIX)/bin|' >"$(DESTDIR)$(PREFIX)/lib/systemd/system/switchboard.service"
	@install -Dm644 -t "$(SHARE)/doc/switchboard" README.md LICENSE-MIT LICENSE-APACHE
deb: build ## a Debian package in target/debian; needs cargo-deb
	@cargo deb --version >/dev/null 2>&1 || \
		{ echo "make deb needs cargo-deb; install it: cargo install --locked cargo-deb" >&2; exit 1; }
	@rm -rf target/deb && $(MAKE) --no-print-directory install DESTDIR=target/deb PREFIX=/usr
	@cargo deb --no-build --variant full
static: ## the binary without shared libraries; needs the musl target
	@[ -d "$$(rustc --print sysroot)/lib/rustlib/$(MUSL)" ] || \
		{ echo "make static needs the target $(MUSL); install it: rustup target add $(MUSL)" >&2; exit 1; }
	@cargo build --release --target $(MUSL)
	@echo "$${CARGO_TARGET_DIR:-target}/$(MUSL)/release/switchboard"
test: ## all tests; needs only cargo
	@cargo test
interop: build ## real programs through the built binary; skips those that are not installed
	@SWITCHBOARD="$(BIN)" tests/interop/run.sh $(value ARGS)
picture: ## draws the picture of top in README again, from the real screen
	@PICTURE=1 cargo test --test it picture
bench: ## beside a direct connection and other relays [QUICK=1]
	@cargo bench --bench compare -- $(value ARGS)
fuzz: ## what peers send, at random, a minute each; needs cargo-fuzz and the nightly toolchain
	@cargo +nightly fuzz --version >/dev/null 2>&1 || \
		{ echo "make fuzz needs cargo-fuzz and the nightly toolchain; install them: rustup toolchain install nightly, cargo install --locked cargo-fuzz" >&2; exit 1; }
	@for target in $$(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do \
		cargo +nightly fuzz run --dev --fuzz-dir tests/fuzz --target-dir target/fuzz $$target -- -max_len=4096 -max_total_time=60 || exit 1; \
	done
check: ## format, lints, tests and docs, as CI runs them
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo test
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps
audit: ## licences, sources and bans of the dependencies; for when they change
	@cargo deny --version >/dev/null 2>&1 || \
		{ echo "make audit needs cargo-deny; install it: cargo install --locked cargo-deny" >&2; exit 1; }
	@cargo deny --locked check licenses bans sources
clean: ## removes what was built
	@cargo clean
##
## Variables:
##   LISTEN    the address to listen on  echo 127.0.0.1:8001, proxy 127.0.0.1:8002, origin 127.0.0.1:8003
##   UPSTREAM  the address to relay to   www.google.com:80
##   TARGET    the server to ask         http://www.google.com/
##   VIA       the proxy to go through   (not set)   as in: make client VIA=127.0.0.1:8002
##   ARGS      more arguments, as a shell reads them: make echo ARGS='--dump hex'; for interop: subjects; for bench: cases
##   QUICK     1: a short bench          (not set)
##   KEEP      1: the demo goes on, with top on it
##   PREFIX    where to install          /usr/local      DESTDIR  the root to install below  (not set)
