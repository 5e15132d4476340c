# The front door.  Meson and ninja do the work underneath; every target sets up what it needs by itself.
#
#   make               build/lastgood
#   make demo          a real nginx is broken by a change, and lastgood goes back
#   make test          all tests, closing with "N passed, N failed"
#   make check         format, linters, sanitizers, a sample of injected faults
#   make bench         the figures, each beside its peers
#   make soak          the long fault-injection runs
#   make fuzz          libFuzzer over everything that reads input (FUZZ_SECONDS= for each)
#   make install       the program and its manual pages; DESTDIR= PREFIX=/usr/local
#   make format        clang-format over the sources
#   make clean         removes all build directories
#
# TESTS='name …' narrows `make test` and `make soak`; BENCHES='name …' narrows `make bench`.

BUILD = build
PREFIX = /usr/local
TESTS =
BENCHES =
FUZZ_SECONDS = 60

# which make to run again once what is missing was installed by hand
SETUP = MAKE_GOALS='$(MAKECMDGOALS)' scripts/setup

all:
	@$(SETUP) build
	@scripts/configure $(BUILD)
	@ninja -C $(BUILD) lastgood

demo:
	@$(SETUP) demo
	@scripts/configure $(BUILD)
	@ninja -C $(BUILD) --quiet lastgood
	@LASTGOOD=$(CURDIR)/$(BUILD)/lastgood scripts/demo

test:
	@$(SETUP) test
	@scripts/configure $(BUILD) tests=enabled
	@ninja -C $(BUILD)
	@scripts/test-runner --build $(BUILD) $(TESTS)

check:
	@$(SETUP) check
	@scripts/check

bench:
	@$(SETUP) bench
	@scripts/configure $(BUILD)
	@scripts/bench --build $(BUILD) $(BENCHES)

soak:
	@$(SETUP) test
	@scripts/configure $(BUILD) tests=enabled
	@ninja -C $(BUILD)
	@scripts/test-runner --build $(BUILD) --suite soak $(TESTS)

fuzz:
	@$(SETUP) check
	@scripts/fuzz $(FUZZ_SECONDS)

install:
	@$(SETUP) build
	@scripts/configure $(BUILD) prefix=$(PREFIX)
	@ninja -C $(BUILD) lastgood man/lastgood.1
	@DESTDIR=$(if $(DESTDIR),$(abspath $(DESTDIR))) meson install -C $(BUILD) --no-rebuild

format:
	@$(SETUP) check
	@scripts/format

clean:
	rm -rf build build-*

.PHONY: all demo test check bench soak fuzz install format clean
