# `make run` and `make test` are all a newcomer needs; both work on a clean clone with nothing
# but Rust. `make check` is what CI runs beside the tests.

TARGET := wasm32-wasip2
CONFIG ?= config/torana.toml

# One set of features for every command of a profile: cargo keys artifacts by features, and
# wasmtime built twice is minutes.
FEATURES := --all-features

.PHONY: run test check format bench clean target

## Builds and starts the gateway on 127.0.0.1:3000.
run: target
	cargo run --release --locked --package torana -- serve --config $(CONFIG)

## Every test: units, documentation, and the real binary end to end.
# The end-to-end tests start target/debug/torana, which `cargo test` alone does not build.
# Binaries and tests are built in one go, so that dependencies are built once.
test: target
	cargo build --workspace --locked $(FEATURES) --bins --tests
	cargo test --workspace --locked $(FEATURES)

## Formatting, lints, licences and bans, documentation.
check: target
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings
	cargo clippy --locked --target $(TARGET) -p torana-plugin-sdk \
		-p 'provider-*' -p 'router-*' -p 'experiment-*' -p 'sink-*' -- -D warnings
	cargo deny check bans licenses sources
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked $(FEATURES)

format:
	cargo fmt --all

## What the gateway adds to a call, measured against the same provider asked directly, and
## what the journal costs of that.
bench: target
	cargo build --release --locked --package torana
	cargo bench --locked --package torana-tests
	cargo bench --locked --package torana --bench decision

clean:
	cargo clean

# Plugins are built by the host's build script, which needs this target's standard library.
# Where Rust does not come from rustup, it has to be there already.
target:
	@if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx $(TARGET); then \
		rustup target add $(TARGET); \
	fi
