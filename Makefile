# The front door. Each target installs what is missing (tools/setup), builds what it needs and
# stops at the first failure. The build itself is CMake: see CMakePresets.json.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
# Configuring builds the engine when there is none yet: with the Rust that tools/setup found.
CMAKE = PATH="$$(tools/setup --rust-dir):$$PATH" cmake

.PHONY: build demo examples check tsan wrap coverage torture acceptance mutants bench abi-baseline install format clean clean-engine setup help

build: setup ## the program, at build/bin/cis
	@test -f build/release/build.ninja || $(CMAKE) --preset release
	@$(CMAKE) --build --preset release -j $(JOBS) --target cis scheduler shell
	@mkdir -p build/bin && ln -sfn ../release/bin/cis build/bin/cis
	@echo "built build/bin/cis"

demo: build ## install an example skill, run it, show what it left behind
	@$(CMAKE) --build --preset release -j $(JOBS) --target skills
	@tools/demo.sh

examples: build ## components in JavaScript and Python, with toolchains that it installs, built and checked
	@$(CMAKE) --build --preset release -j $(JOBS) --target examples_httpd
	@tools/examples.sh

build/check/.made: build/dev/.built build/asan/.built build/release-tests/.built
	@mkdir -p build/check && cp tools/check.ctest build/check/CTestTestfile.cmake

check: build/check/.made ## all tests, also under the sanitizers and, those that attack, on a release build; the summary comes last
	@rm -f build/{dev,asan,release-tests}/not-tested
	@set -o pipefail; ctest --test-dir build/check -LE '^(torture|acceptance)$$' -j $(JOBS) --output-on-failure \
		--no-tests=error | tools/not-tested.sh build/{dev,asan,release-tests}

build/%/.built: setup
	@test -f build/$*/build.ninja || $(CMAKE) --preset $*
	@$(CMAKE) --build --preset $* -j $(JOBS)

tsan: build/tsan/.built ## tests under the thread sanitizer
	ctest --preset tsan -j $(JOBS)

wrap: build/wrap/.built ## tests built by clang that stop where unsigned arithmetic wraps unannounced
	ctest --preset wrap -j $(JOBS)

coverage: build/coverage/.built ## line coverage of the tests
	ctest --preset coverage -j $(JOBS)
	@tools/coverage.sh build/coverage

torture: build/dev/.built ## the long runs
	ctest --preset torture --no-tests=error

acceptance: build/check/.made ## what check has a sample of: conformance on every backend, programs of others, PostgreSQL everywhere; then mutants
	@command -v chromium >/dev/null || tools/setup --install chromium || true # shows the page of a load test
	ctest --test-dir build/check -L '^acceptance$$' -j $(JOBS) --output-on-failure --no-tests=error
	@$(MAKE) mutants

bench: build ## figures, with ratios to the peers
	@$(CMAKE) --build --preset release -j $(JOBS) --target benches
	@bench/run build/release
	@bench/mount build/release
	@bench/wasi build/release
	@bench/component build/release
	@bench/shell build/release
	@$(CMAKE) --build --preset release -j $(JOBS) --target http-server
	@bench/scenario build/release
	@bench/agents build/release
	@bench/mount build/release --postgres

mutants: build/dev/.built build/asan/.built ## lines of src/ broken one by one: does a test fail? goes on where it ended
	@tools/mutants.py --build build/dev --again build/asan --number 320 --jobs $(JOBS)

abi-baseline: build/dev/.built ## the C API as it is becomes what `make check` compares with: at a release (docs/abi-policy.md)
	tools/abi.py write build/dev

install: build ## program, library, headers, man pages; PREFIX=/usr/local, DESTDIR=
	@$(CMAKE) --build --preset release -j $(JOBS)
	cmake --install build/release --prefix $(PREFIX)

format: ## clang-format every C file
	@git ls-files '*.c' '*.h' | xargs clang-format -i

setup:
	@tools/setup

clean: ## remove everything that was built (not the cached engine)
	rm -rf build

clean-engine: setup ## remove engines of earlier versions from the user's cache
	@PATH="$$(tools/setup --rust-dir):$$PATH" tools/clean-engine.sh

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20
