# How the SDKs other than Python's are built, tested and linted. What is built lands in ignored folders of the
# SDK; a stamp there is newer than every source after a whole build, so that one with nothing to do is quick.
# An SDK is left out, and named with the reason, where its toolchain is absent. FLBA_REQUIRE=all forbids that.

# Where the toolchains' own installers put them, behind what the caller's PATH finds.
export PATH := $(PATH):/usr/local/go/bin:$(HOME)/.cargo/bin
# Cores for a compiler: the suite's machines have two.
SDK_JOBS ?= $(shell getconf _NPROCESSORS_ONLN)

NODE_MAJOR_MIN := 20
# The client's: std's file locks. The core is content with 1.85.
RUST_MIN := 1.89
DENO := @deno/linux-x64-glibc@2.9.6
WASM_TARGET := wasm32-unknown-unknown
# Each is "yes", or says what is missing. make before 4.4 does not give $(shell) what is exported.
probe = $(shell PATH="$(PATH)"; if $(1); then echo yes; else echo $(2); fi 2>/dev/null)
HAS_go := $(call probe,command -v go >/dev/null,Go is not installed)
HAS_node := $(call probe,node -e 'process.exit(parseInt(process.versions.node) < $(NODE_MAJOR_MIN) ? 1 : 0)' \
  && command -v npm >/dev/null,Node $(NODE_MAJOR_MIN) or newer with npm is not installed)
HAS_rust := $(call probe,command -v cargo >/dev/null && test "$$(printf '%s\n' $(RUST_MIN) $$(rustc --version | cut -d' ' -f2) \
  | sort -V | head -n 1)" = $(RUST_MIN),Rust $(RUST_MIN) or newer with cargo is not installed)
HAS_wasm32 := $(call probe,test -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM_TARGET)/lib",rustc has no target $(WASM_TARGET))

missing = $(filter-out yes,$(HAS_$(1)))
LACKS_go := $(call missing,go)
LACKS_typescript := $(call missing,node)
LACKS_rust := $(call missing,rust)
LACKS_wasm := $(or $(call missing,rust),$(call missing,wasm32),$(call missing,node))

# In the order in which they are built: WebAssembly is the Rust core.
SDKS := $(foreach sdk,go typescript rust wasm,$(if $(wildcard sdk/$(sdk)),$(sdk)))
SDKS_LEFT_OUT := $(foreach sdk,$(SDKS),$(if $(LACKS_$(sdk)),$(sdk)))
SDKS_BUILT := $(filter-out $(SDKS_LEFT_OUT),$(SDKS))

sources = $(shell test -d sdk/$(1) && find sdk/$(1) -type f -not -path '*/build/*' -not -path '*/dist/*' \
  -not -path '*/node_modules/*' -not -path '*/target/*' -not -name Cargo.lock -not -name '*.pyc')

.PHONY: sdks lint-sdks $(SDKS_LEFT_OUT:%=left-out-%)

sdks: native $(SDKS_BUILT:%=sdk-%) $(SDKS_LEFT_OUT:%=left-out-%)

# Rust's core for Python, one file beside the loader. Without cargo everything is done in Python.
NATIVE := sdk/python/fractal_lba/native/_core.abi3.so
.PHONY: native native-left-out
native: $(if $(LACKS_rust),native-left-out,$(NATIVE))

native-left-out:
	@echo "sdk/python/native: not built: $(LACKS_rust); Python does it all"
	@test "$(FLBA_REQUIRE)" != all

# Renamed into its place: a process that has the old one loaded keeps it.
$(NATIVE): $(call sources,python/native) $(call sources,rust/core) sdk/rust/Cargo.toml sdk/rust/crates.lock
	cd sdk/rust && python3 lock.py && cargo build --quiet --release --locked --jobs $(SDK_JOBS) --package fractal-lba-native
	cp sdk/rust/target/release/libfractal_lba_native.so $@.new && mv $@.new $@

$(SDKS_LEFT_OUT:%=left-out-%): left-out-%:
	@echo "sdk/$*: not built: $(LACKS_$*)"
	@test "$(FLBA_REQUIRE)" != all

.PHONY: sdk-go sdk-typescript sdk-rust sdk-wasm
sdk-go: sdk/go/build/.built
sdk-typescript: sdk/typescript/dist/.built
sdk-rust: sdk/rust/target/.built
sdk-wasm: sdk/wasm/dist/.built

sdk/go/build/.built: $(call sources,go)
	cd sdk/go && go build -trimpath -o build/driver ./internal/driver
	touch $@

# npm ci replaces the whole folder, so it runs only when the lock has changed. Deno's own package cannot be
# locked: not every registry holds its builds for the other platforms, and then npm ci refuses the whole lock.
sdk/typescript/node_modules/.installed: sdk/typescript/package-lock.json sdk/sdks.mk
	cd sdk/typescript && npm ci --no-audit --no-fund --loglevel=error
	test "$$(uname -sm)" != "Linux x86_64" || (cd sdk/typescript && npm install --no-save --no-package-lock \
	  --no-audit --no-fund --loglevel=error $(DENO))
	touch $@

sdk/typescript/dist/.built: sdk/typescript/node_modules/.installed $(call sources,typescript)
	cd sdk/typescript && npm run --silent build
	touch $@

# Cargo's own lock names the registry: it is made of crates.lock, which does not.
# After the native code, so that two do not write that lock at once.
sdk/rust/target/.built: $(call sources,rust) | native
	cd sdk/rust && python3 lock.py && cargo build --quiet --release --locked --jobs $(SDK_JOBS)
	touch $@

sdk/wasm/dist/.built: sdk/rust/target/.built $(call sources,wasm)
	cd sdk/rust && cargo build --quiet --profile wasm --locked --jobs $(SDK_JOBS) --target $(WASM_TARGET) -p fractal-lba-wasm
	node sdk/wasm/build.mjs
	touch $@

# The driver takes Rust's client with all its features, so the first of its lints sees them; the second sees it bare.
lint-sdks: sdks
	$(if $(filter go,$(SDKS_BUILT)),cd sdk/go && test -z "$$(gofmt -l . | tee /dev/stderr)" && go vet ./... && go tool staticcheck ./... \
	  && GOARCH=386 go vet ./... && GOOS=darwin go vet ./... && GOOS=windows go vet ./...)
	$(if $(filter rust,$(SDKS_BUILT)),cd sdk/rust && cargo fmt --check && cargo clippy --quiet --release --locked --jobs $(SDK_JOBS) --all-targets -- -D warnings \
	  && cargo clippy --quiet --release --locked --jobs $(SDK_JOBS) --package fractal-lba-native -- -D warnings \
	  && cargo clippy --quiet --release --locked --jobs $(SDK_JOBS) --package fractal-lba-client -- -D warnings)

# Longer runs of the SDKs' own: Go's native fuzzing, each target for so long, and more rounds of bent inputs in Node.
FUZZ_TIME ?= 60s
FUZZ_ROUNDS ?= 300000
.PHONY: nightly-sdks
nightly-sdks: sdks
	$(if $(filter go,$(SDKS_BUILT)),cd sdk/go && grep -roE 'func Fuzz[A-Za-z0-9]+' --include='*_test.go' . \
	  | sed -E 's|/[^/]*:func | |' | while read -r package name; do \
	    go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZ_TIME) "$$package" </dev/null || exit 1; done)
	$(if $(filter typescript,$(SDKS_BUILT)),cd sdk/typescript && FLBA_FUZZ_ROUNDS=$(FUZZ_ROUNDS) npm test --silent)
