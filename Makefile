# Thin entries; what they do stands in the files they call.
.PHONY: demo test test-rust test-page test-offload attribution faults conformance lint audit bench hostile fuzz

# The whole life of one request with real packets. `make demo STAY=1` keeps everything up to play with.
demo:
	sh tests/tools.sh nft ip conntrack unshare kill ubus-client node
	cargo build --features client
	STAY=$(STAY) cargo test --quiet --features client --test lab -- demo

# Everything but what needs an emulated machine; ends with `N passed, N failed`.
test:
	sh tests/run.sh lint test-rust requirements test-page

test-rust:
	sh tests/tools.sh nft ip conntrack unshare nsenter mount kill ss ping openssl ubusd ubus-client aiocoap libcoap_peer fastnetmon systemd-analyze busybox make python3 zopfli
	cargo test --all-features --no-fail-fast

test-page:
	sh tests/luci/run.sh

# Runs the tests, and prints which requirement is proven by what, on each side. Fails for one that is not.
conformance:
	sh tests/run.sh test-rust requirements

# The same, of the last run of the tests.
.PHONY: requirements
requirements:
	cargo test --quiet --all-features --test conformance -- target/run/test-rust.log

lint:
	sh tests/tools.sh
	cargo fmt --all --check
	cargo clippy --all-features --all-targets -- -D warnings
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --all-features
	# The fuzz targets stand apart: nothing else would notice one that does not compile any more.
	cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz/lint -- -D warnings

# Whom requests speak of, with real packets; ends with `right N, wrong N, undecided N`.
attribution:
	sh tests/tools.sh nft ip conntrack unshare kill ping ubus-client
	cargo build --features client
	cargo test --quiet --features client --test lab -- attribution

# Whether blocks bite, and only those meant, with real packets; ends with `through N, harmed N, stuck N, failed N`.
.PHONY: blocks
blocks:
	sh tests/tools.sh nft ip conntrack unshare kill ping ubus-client
	cargo build --features client
	cargo test --quiet --features client --test lab -- blocks

# What happens to a block when something breaks, with real packets: a table, one line for each fault.
faults:
	sh tests/tools.sh nft ip conntrack unshare nsenter mount kill ping ubus-client
	cargo build --features client
	cargo test --quiet --features client --test lab -- faults

# Blocks on flows that a flow table forwards, in an emulated machine with Debian's kernel; ends with `offload: N passed, N failed`.
test-offload:
	sh tests/tools.sh qemu-system-x86_64 linux busybox cpio strip modprobe nft ip conntrack ubus-client
	cargo build --features client
	cargo test --quiet --features client --test lab --config "target.'cfg(all())'.runner = ['sh', 'tests/lab/offload/guest.sh']" -- offload

# Everything at once with real packets, for minutes or hours; fails if memory, descriptors or threads grow: `make soak MINUTES=60`.
MINUTES ?= 5
.PHONY: soak
soak:
	sh tests/tools.sh nft ip conntrack unshare kill ubus-client
	cargo build --features client
	cargo test --quiet --features client --test lab -- soak $(MINUTES)

# Figures beside their budgets, of the release build.
bench:
	sh tests/tools.sh nft ip conntrack unshare mount kill ubus-client python3
	cargo test --quiet --release --features client --test lab -- bench

# What a hostile provider costs at most, beside the budgets: `make hostile MINUTES=60`.
hostile:
	sh tests/tools.sh nft ip conntrack unshare kill ubus-client
	MINUTES=$(MINUTES) cargo test --quiet --release --features client --test lab -- hostile

# Every parser with input made up by a fuzzer, from the seeds in tests/fuzz/seeds, some seconds each: `make fuzz SECONDS=600`.
SECONDS ?= 20
fuzz:
	sh tests/fuzz/run.sh $(SECONDS)

# The C code in all tests of DTLS, under the sanitizers of addresses and undefined behaviour; collections with unsafe code in Miri,
# where a nightly toolchain has it.
.PHONY: sanitize
sanitize:
	sh tests/sanitize.sh

# Checks that guard something, changed one at a time: fails if no test notices. Ends with what cargo-mutants counts. All of them
# take hours, a file's or a part of them less: `make mutants ARGS="--file src/mitigation/consent.rs"`, `ARGS="--shard 0/8"`.
.PHONY: mutants
mutants:
	sh tests/tools.sh cargo-mutants
	sh tests/mutants.sh $(ARGS)

# Advisories against the C library; licences, bans and sources of all crates, and advisories where their database can be reached.
audit:
	sh tests/audit.sh

# Packages for a router, in dist/: `make ipk ARCH=mipsel_24kc`, in OpenWrt's names; `make apk` for 25.12 and newer.
ARCH ?= x86_64
.PHONY: ipk apk package-test
ipk apk:
	sh openwrt/package.sh $@ $(ARCH)

# The daemon for every architecture, run under qemu and held against its budgets of size. Takes an hour.
package-test:
	sh tests/package/matrix.sh $(ARCHS)
