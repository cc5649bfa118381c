# Tollgate's build. `make help` lists what can be asked for.

VERSION = 0.1.0

# The parts of the Redis library, in the order in which they are joined: a part may use what
# stands before it. policy.lua is not among them, it is embedded as a text of its own.
REDIS_LIBRARY = head.lua json.lua credit.lua policy_text.lua policy_tools.lua policy_host.lua booking.lua \
                queue.lua gate.lua accounts.lua seats.lua decide.lua series.lua record.lua leases.lua \
                take.lua sweep.lua settle.lua changes.lua book.lua operate.lua rule.lua terms.lua audit.lua \
                gates.lua graph.lua views.lua view_accounts.lua view_attention.lua view_story.lua \
                view_system.lua overview.lua secrets.lua functions.lua

## V=release          which build: release, dev (-O1 -g), asan (address, undefined), cov (gcov)
V ?= release
## CC=cc              the compiler; one with clang in its name builds into a folder of its own
## WERROR=1           makes warnings errors (CI does; a newer compiler must not break your build)
WERROR ?=
## PREFIX=/usr/local  where `make install` puts things, below DESTDIR
PREFIX ?= /usr/local
DESTDIR ?=
## ALLOCATOR=…        malloc of the release build: mimalloc where it is found, else libc's
## PYTHON=…           runs the tests; the system's own, because that one has the packages
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
## VERBOSE=1          prints whole commands
VERBOSE ?=
## CFLAGS, CPPFLAGS, LDFLAGS are added to the project's own flags

PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format
CLANG_TIDY ?= clang-tidy
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BUILD = build/$(V)$(if $(findstring clang,$(CC)),-clang)
Q = $(if $(VERBOSE),,@)
comma := ,

# ---- Flags ----

# Of the flags $(1), those that this compiler knows.
cc-ok = $(foreach f,$(1),$(shell $(CC) -Werror $(f) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(f)))

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations \
    -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla -Wformat=2 \
    -Wnull-dereference -Wimplicit-fallthrough -Wswitch-enum -Wconversion -Wdouble-promotion \
    $(call cc-ok,-Wformat-signedness -Wlogical-op -Wduplicated-cond -Wduplicated-branches \
    -Wjump-misses-init -Walloc-zero -Wcast-align=strict -Wcomma -Wconditional-uninitialized)

# -U_FORTIFY_SOURCE first: some distributions' compilers set it themselves, and it needs -O2.
cflags_release = -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE -fno-common \
    $(call cc-ok,-fstack-clash-protection -fcf-protection=full -mbranch-protection=standard \
    -ftrivial-auto-var-init=zero)
ldflags_release = -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
cflags_dev = -O1 -g -U_FORTIFY_SOURCE -fno-common
cflags_asan = -O1 -g -U_FORTIFY_SOURCE -fno-common -fno-omit-frame-pointer \
    -fsanitize=address,undefined -fno-sanitize-recover=all
# Its own crypt_r only calls the library's, and would let the linker leave that out.
ldflags_asan = -fsanitize=address,undefined -Wl,--no-as-needed -lcrypt
cflags_cov = -O0 -g -U_FORTIFY_SOURCE --coverage
ldflags_cov = --coverage
$(if $(cflags_$(V)),,$(error V=$(V) is none of release, dev, asan, cov))

# Both programs make and drop hundreds of small objects for each booking, most of them json-c's.
ALLOCATOR ?= $(shell echo 'int main(void) { return 0; }' | $(CC) -x c - -o /dev/null -lmimalloc 2>/dev/null && echo mimalloc)
# It has to stand before libc, and to stay though nothing names it.
malloc_release := $(if $(filter mimalloc,$(ALLOCATOR)),-Wl$(comma)--no-as-needed -lmimalloc -Wl$(comma)--as-needed)

# TLS to Redis exists where hiredis was built with it (Debian 13, not 12).
redis_packages := hiredis $(shell $(PKG_CONFIG) --exists hiredis_ssl 2>/dev/null && echo hiredis_ssl libssl)
event_packages := libevent libevent_pthreads
ingest_packages := $(event_packages) $(redis_packages) json-c libcrypto libcrypt sqlite3
worker_packages := $(event_packages) $(redis_packages) json-c libcurl libcrypto
fake_packages := $(event_packages) json-c libcrypto
test_packages := $(worker_packages) libcrypt sqlite3 cmocka
libs = $(shell $(PKG_CONFIG) --libs $(1))

# Libraries' headers come in by -isystem: their warnings are not ours.
cppflags := -D_GNU_SOURCE -DTOLLGATE_VERSION='"$(VERSION)"' -I. $(if $(malloc_$(V)),-DHAVE_MIMALLOC) \
    $(if $(filter hiredis_ssl,$(redis_packages)),-DHAVE_HIREDIS_SSL) \
    $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(worker_packages) sqlite3 2>/dev/null))
# No build says in which folder it was made: the same sources give the same programs anywhere.
compile := $(CC) -std=c11 -pthread -ffile-prefix-map='$(CURDIR)'=. $(cppflags) $(warnings) $(if $(WERROR),-Werror) $(cflags_$(V)) $(CPPFLAGS) $(CFLAGS)
link := $(CC) -pthread $(cflags_$(V)) $(CFLAGS) $(ldflags_$(V)) -Wl,--as-needed $(LDFLAGS)

# ---- What is built from what ----

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
programs := $(addprefix $(BUILD)/,tollgate-ingest tollgate-worker fake-calcom)
# A test links what it uses out of these; main.c stays outside, a test has its own main.
archives := $(addprefix $(BUILD)/,libingest.a libworker.a libcommon.a)
test_sources := $(wildcard tests/unit/test_*.c)
tests := $(test_sources:tests/unit/%.c=$(BUILD)/tests/%)
test_helpers := $(call objects,$(filter-out $(test_sources),$(wildcard tests/unit/*.c)))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all tests check unit integration monitoring packaging compose-test console-test mutants chaos chaos-ci soak chaos-plants costs growth bench bench-quick coverage pages install uninstall deb deb-test clean help FORCE lint format format-check \
    lint-tidy lint-cppcheck lint-shell lint-lua lint-python lint-layers lint-space

all: $(programs)  ## the two programs, and the fake Cal.com that demo and tests use
tests: $(tests)  ## the unit test programs, without running them

$(BUILD)/tollgate-ingest: $(call objects,ingest/main.c) $(BUILD)/libingest.a $(BUILD)/libcommon.a
	$(Q)echo "  LINK  $@"; $(link) -o $@ $^ $(malloc_$(V)) $(call libs,$(ingest_packages))

$(BUILD)/tollgate-worker: $(call objects,worker/main.c) $(BUILD)/libworker.a $(BUILD)/libcommon.a
	$(Q)echo "  LINK  $@"; $(link) -o $@ $^ $(malloc_$(V)) $(call libs,$(worker_packages))

$(BUILD)/fake-calcom: $(call objects,$(wildcard tests/fake_calcom/*.c))
	$(Q)echo "  LINK  $@"; $(link) -o $@ $^ $(call libs,$(fake_packages))

$(tests): $(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(test_helpers) $(archives)
	$(Q)mkdir -p $(@D); echo "  LINK  $@"; $(link) -o $@ $^ $(malloc_$(V)) $(call libs,$(test_packages))

$(BUILD)/libcommon.a: $(call objects,$(wildcard common/*.c)) $(BUILD)/gen/redis_library.o common
$(BUILD)/libingest.a: $(call objects,$(filter-out ingest/main.c,$(wildcard ingest/*.c ingest/console/*.c))) \
    $(BUILD)/gen/console_templates.o $(BUILD)/gen/console_assets.o ingest ingest/console
$(BUILD)/libworker.a: $(call objects,$(filter-out worker/main.c,$(wildcard worker/*.c))) worker

# Made anew each time, and whenever the source folder changes: a file that is gone leaves the archive.
$(archives):
	$(Q)rm -f $@; echo "  AR    $@"; $(AR) rcsD $@ $(filter %.o,$^)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	$(Q)mkdir -p $(@D); echo "  CC    $<"; $(compile) -MMD -MP -c -o $@ $<

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/flags
	$(Q)echo "  CC    $<"; $(compile) -MMD -MP -c -o $@ $<

# The joined library stays as a file: Redis names its line numbers in errors.
$(BUILD)/gen/redis_library.lua: $(addprefix common/redis/,$(REDIS_LIBRARY)) Makefile
	$(Q)mkdir -p $(@D); cat $(filter %.lua,$^) > $@

$(BUILD)/gen/redis_library.c: $(BUILD)/gen/redis_library.lua common/redis/policy.lua scripts/embed-lua
	$(Q)echo "  EMBED $@"; scripts/embed-lua common/redis_library.h redis_library_text $< \
	    redis_default_policy_text common/redis/policy.lua > $@

# A file that is gone must leave the table: the folder is younger then.
$(BUILD)/gen/console_templates.c: $(wildcard ingest/console/templates/*.html) ingest/console/templates scripts/embed-files
	$(Q)mkdir -p $(@D); echo "  EMBED $@"; scripts/embed-files ingest/console/embedded.h console_templates $(filter %.html,$^) > $@

$(BUILD)/gen/console_assets.c: $(wildcard ingest/console/assets/*) ingest/console/assets scripts/embed-files
	$(Q)mkdir -p $(@D); echo "  EMBED $@"; scripts/embed-files ingest/console/embedded.h console_assets \
	    $(filter ingest/console/assets/%,$^) > $@

# Written only when it changes, so that objects of different flags or compilers never mix.
$(BUILD)/flags: FORCE
	$(Q)mkdir -p $(@D); $(PKG_CONFIG) --exists --print-errors $(worker_packages) sqlite3 || \
	    { echo "make: libraries are missing: run scripts/install-deps build" >&2; exit 1; }
	$(Q)printf '%s\n' '$(subst ','\'',$(compile) ; $(link))' | cmp -s - $@ || \
	    printf '%s\n' '$(subst ','\'',$(compile) ; $(link))' > $@

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- Tests ----

## PYTEST_ARGS=-k…    more arguments for pytest
PYTEST_ARGS ?=
# Tests wait more than they compute: two for each core.
PYTEST_JOBS = $(shell $(PYTHON) -c 'import xdist' 2>/dev/null && echo --numprocesses=$$(( $(JOBS) * 2 )))
TEST_TIMEOUT ?= 1200
export ASAN_OPTIONS ?= detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export PYTHONDONTWRITEBYTECODE = 1

check: unit integration  ## both kinds of tests, against build/$V

unit: $(tests)  ## the unit tests (cmocka)
	@scripts/run-unit $(tests)

# SIGINT and not SIGTERM at the time limit: pytest then still stops what it started.
integration: $(programs)  ## the integration tests (pytest, a Redis of their own)
	@TOLLGATE_BUILD=$(BUILD) timeout --foreground -s INT -k 30 $(TEST_TIMEOUT) \
	    $(PYTHON) -m pytest -q $(PYTEST_JOBS) tests/integration $(PYTEST_ARGS)

monitoring: $(programs)  ## what watches it: metrics, alert rules (each fires by a real fault and ends), dashboard
	@TOLLGATE_BUILD=$(BUILD) timeout --foreground -s INT -k 30 $(TEST_TIMEOUT) \
	    $(PYTHON) -m pytest -q $(PYTEST_JOBS) tests/monitoring $(PYTEST_ARGS)

## FULL=1             the long runs of `make compose-test`
FULL ?=

compose-test: $(programs)  ## docker-compose.yml and the images in a real engine (starts one where none runs; needs root then)
	@TOLLGATE_BUILD=$(BUILD) timeout --foreground -s INT -k 30 $(TEST_TIMEOUT) \
	    $(PYTHON) -m pytest -q tests/compose $(if $(FULL),--full) $(PYTEST_ARGS)

packaging: $(programs)  ## tests of what is installed: make install, units, man pages, manifests
	@TOLLGATE_BUILD=$(BUILD) timeout --foreground -s INT -k 30 $(TEST_TIMEOUT) \
	    $(PYTHON) -m pytest -q tests/packaging $(PYTEST_ARGS)

console-test: $(programs) tests/console/axe/node_modules/.package-lock.json  ## the operator's page in a real Chromium, over 100 000 bookings; screenshots into build/console
	@TOLLGATE_BUILD=$(BUILD) timeout --foreground -s INT -k 30 $(TEST_TIMEOUT) \
	    $(PYTHON) -m pytest -q tests/console $(PYTEST_ARGS)

tests/console/axe/node_modules/.package-lock.json: tests/console/axe/package-lock.json
	$(Q)command -v npm >/dev/null || { echo "make: npm is missing: run scripts/install-deps console" >&2; exit 1; }
	$(Q)cd $(@D)/.. && npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules/.package-lock.json

## ROWS=twins…       the rows of real life that `make mutants` takes (tests/mutants/real_life.py); none: all
ROWS ?=

mutants: $(programs)  ## that end-to-end tests fail when the line of the Redis library they are for is taken out
	@TOLLGATE_BUILD=$(BUILD) $(PYTHON) tests/mutants/run $(ROWS)

## SEED=…, MINUTES=3, RATE=50   of `make chaos` and `make soak`: the script, for how long, bookings per second
## CHAOS_ARGS=--only…  more arguments for it (tests/chaos/chaos.py --help)
SEED ?=
MINUTES ?= 3
RATE ?= 50
CHAOS_ARGS ?=

chaos: $(programs)  ## members book while everything breaks; a checker reads what came of it
	@TOLLGATE_BUILD=$(BUILD) $(PYTHON) tests/chaos/chaos.py $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) \
	    --rate $(RATE) $(CHAOS_ARGS)

chaos-ci:  ## the same within 200 seconds
	@$(MAKE) --no-print-directory chaos MINUTES=1.7 CHAOS_ARGS='--calm 75 $(CHAOS_ARGS)'

soak: $(programs)  ## whether memory stays flat under faults
	@TOLLGATE_BUILD=$(BUILD) $(PYTHON) tests/chaos/soak.py $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) \
	    --rate $(RATE) $(CHAOS_ARGS)

chaos-plants:  ## plants faults in copies of the sources; the checker has to see each
	@$(PYTHON) tests/chaos/plants.py

## UPDATE=1, SIZES='1000 100000'   of `make costs`: records the counts anew; of `make growth`: bookings that wait
UPDATE ?=
SIZES ?= 1000 100000

costs: $(programs)  ## instructions of the hot paths (valgrind), held against tests/bench/costs.json
	@TOLLGATE_BUILD=$(BUILD) TOLLGATE_TEST_TIMEOUT=120 $(PYTHON) tests/bench/costs.py $(if $(UPDATE),--update)

growth: $(programs)  ## that no function of the library takes more when many bookings wait
	@TOLLGATE_BUILD=$(BUILD) TOLLGATE_TEST_TIMEOUT=600 $(PYTHON) tests/bench/costs.py --growth $(SIZES)

## BENCH_ARGS=--only…   of `make bench` (tests/bench/bench.py --help)
BENCH_ARGS ?=

bench: $(programs)  ## our programs beside what people would use instead; tables and plots into build/bench
	@TOLLGATE_BUILD=$(BUILD) $(PYTHON) tests/bench/bench.py $(BENCH_ARGS)

bench-quick:  ## the same below two minutes
	@$(MAKE) --no-print-directory bench BENCH_ARGS='--quick $(BENCH_ARGS)'

coverage:  ## runs the tests with V=cov and prints the lines covered per file
	@$(MAKE) --no-print-directory V=cov check
	@find build/cov/obj -name '*.gcda' | LC_ALL=C sort | xargs gcov -n | awk -F"'" '/^File/ { f = $$2 } \
	    /^Lines/ && f ~ /^(common|ingest|worker)\// { sub("Lines executed:", ""); print f ": " $$0; f = "" }'

# ---- House rules; each tool that is missing stops with the name of its package ----

c_files := $(wildcard common/*.[ch] ingest/*.[ch] ingest/console/*.[ch] worker/*.[ch]) $(shell find tests -name '*.[ch]' 2>/dev/null)
c_sources := $(filter %.c,$(c_files))
scripts_of = $(shell find scripts tests .ci -type f -not -path '*/node_modules/*' 2>/dev/null | \
    xargs -r awk 'FNR == 1 && /^$(hash)!.*$(1)/ { print FILENAME } FNR > 1 { nextfile }')
hash := \#
space := $(subst ,, )
need = command -v $(1) >/dev/null || { echo "make: $(1) is missing (package $(2)): run scripts/install-deps lint" >&2; exit 1; }

lint: format-check lint-readme lint-tidy lint-cppcheck lint-shell lint-lua lint-python lint-layers lint-space  ## all checks of the source

format:  ## rewrites the C sources in the project's style
	@$(call need,$(CLANG_FORMAT),clang-format)
	$(Q)printf '%s\n' $(c_files) | xargs -r $(CLANG_FORMAT) -i

format-check:  ## says where the C sources are not in the project's style
	@$(call need,$(CLANG_FORMAT),clang-format)
	$(Q)printf '%s\n' $(c_files) | xargs -r $(CLANG_FORMAT) --dry-run -Werror

# The output is kept back unless something is wrong: clang-tidy also counts what it suppressed.
lint-tidy:
	@$(call need,$(CLANG_TIDY),clang-tidy)
	$(Q)printf '%s\n' $(c_sources) | xargs -r -P $(JOBS) -I{} sh -c 'echo "  TIDY  {}"; \
	    out=$$($(CLANG_TIDY) --quiet {} -- -std=c11 -Wall -Wextra "$$@" 2>&1) || { printf "%s\n" "$$out"; exit 1; }' tidy $(cppflags)

# cppcheck stops at LIST_HEAD and its kin unless it reads sys/queue.h, which it does not find itself.
lint-cppcheck:
	@$(call need,cppcheck,cppcheck)
	$(Q)cppcheck --quiet -j $(JOBS) --std=c11 --enable=warning,performance,portability --inline-suppr \
	    --error-exitcode=1 --library=posix -I. -D_GNU_SOURCE -DTOLLGATE_VERSION='"$(VERSION)"' \
	    --include=$(shell echo '$(hash)include <sys/queue.h>' | $(CC) -M -x c - | tr ' ' '\n' | grep /sys/queue.h) \
	    $(c_sources)

# The README's table of settings is the programs' own.
lint-readme: $(BUILD)/tollgate-ingest
	$(Q)$< --help=markdown >$(BUILD)/settings.md; sed -n '/^<!-- settings/,/^<!-- end/{/^<!--/d;p}' README.md | diff -u $(BUILD)/settings.md -

lint-shell:
	@$(call need,shellcheck,shellcheck)
	$(Q)shellcheck $(call scripts_of,[/ ](ba|da)?sh)

# The joined text as well: Lua's limit on local names counts over all parts, and a name that no part
# before knows becomes a global one. A part that nobody lists would be dead code.
LUA_GLOBALS = redis cjson math string table collectgarbage error ipairs loadstring next pairs pcall select setmetatable \
    tonumber tostring type unpack
lint-lua: $(BUILD)/gen/redis_library.lua
	@$(call need,luac5.1,lua5.1)
	$(Q)for f in common/redis/*.lua common/redis/examples/*.lua $<; do luac5.1 -p $$f || exit 1; done
	$(Q)for f in $(filter-out policy.lua $(REDIS_LIBRARY),$(notdir $(wildcard common/redis/*.lua))); do \
	    echo "common/redis/$$f is not in REDIS_LIBRARY (Makefile)" >&2; exit 1; done
	$(Q)unknown=$$(luac5.1 -l -p $< | sed -nE 's/.*[GS]ETGLOBAL.*; (.*)/\1/p' | sort -u | \
	    grep -vxE '$(subst $(space),|,$(strip $(LUA_GLOBALS)))'); [ -z "$$unknown" ] || \
	    { echo "the Redis library uses names that it does not know:" $$unknown >&2; exit 1; }

lint-python:
	@$(PYTHON) -c 'import pyflakes' 2>/dev/null || { echo "make: pyflakes is missing (package python3-pyflakes):" \
	    "run scripts/install-deps lint" >&2; exit 1; }
	$(Q)$(PYTHON) -m pyflakes $(sort $(call scripts_of,python) $(shell find tests scripts -name '*.py' \
	    -not -path '*/node_modules/*'))

lint-layers:
	$(Q)$(PYTHON) scripts/check-layers

lint-space:
	@! grep -rInE '[[:blank:]]+$$' . --exclude-dir=.git --exclude-dir=build --exclude-dir=spool \
	    --exclude-dir=node_modules --exclude-dir=samples --exclude-dir=.hypothesis --exclude-dir=.pytest_cache || \
	    { echo "lint: white space at the end of these lines" >&2; exit 1; }

# ---- The rest ----

OPERATORS = credit doctor explain policy queue
# Where shells look for completion; Debian's packages have zsh's in share/zsh/vendor-completions.
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
BINDIR = $(PREFIX)/bin
# The operator's scripts and what they share; bin/ has links to them.
LIBDIR = $(PREFIX)/lib/tollgate
DOCDIR = $(PREFIX)/share/doc/tollgate
MANDIR = $(PREFIX)/share/man
SYSCONFDIR ?= /etc
# Where systemd looks for units beside its own: so under /usr/local as well.
UNITDIR ?= $(PREFIX)/lib/systemd/system
units := tollgate-ingest.service tollgate-worker@.service tollgate.target
deploy := scripts/deploy
# What a page or a unit calls by its place.
fill = sed -e 's|@BINDIR@|$(BINDIR)|; s|@SYSCONFDIR@|$(SYSCONFDIR)|; s|@DOCDIR@|$(DOCDIR)|; s|@VERSION@|$(VERSION)|'

# Made anew each time: it takes a second, and what it is made of are all of the operator's scripts.
pages: FORCE
	$(Q)rm -rf $(BUILD)/pages; $(PYTHON) scripts/make-pages $(BUILD)/pages

install: $(filter-out %/fake-calcom,$(programs)) pages  ## puts programs, operator's scripts, man pages and units below $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR)/lib/tollgate $(LIBDIR)/lib/policy $(DOCDIR)/examples $(UNITDIR) \
	    $(PREFIX)/lib/sysusers.d $(PREFIX)/lib/tmpfiles.d $(MANDIR)/man1 $(MANDIR)/man8 $(BASHDIR) $(ZSHDIR))
	install -m 755 $(BUILD)/tollgate-ingest $(BUILD)/tollgate-worker $(DESTDIR)$(BINDIR)
	install -m 755 $(addprefix scripts/,$(OPERATORS) tollgate) $(DESTDIR)$(LIBDIR)
	install -m 644 scripts/lib/tollgate/*.py $(DESTDIR)$(LIBDIR)/lib/tollgate
	install -m 644 scripts/lib/policy/*.py $(DESTDIR)$(LIBDIR)/lib/policy
	install -m 644 README.md LICENSE $(DESTDIR)$(DOCDIR)
	install -m 644 common/redis/examples/*.lua $(deploy)/systemd/credentials-*.conf $(DESTDIR)$(DOCDIR)/examples
	$(Q)set -e; for script in $(OPERATORS); do ln -sf ../lib/tollgate/$$script $(DESTDIR)$(BINDIR)/tollgate-$$script; done
	$(Q)ln -sf ../lib/tollgate/tollgate $(DESTDIR)$(BINDIR)/tollgate
	$(Q)set -e; for page in $(BUILD)/pages/man/*.1; do $(fill) $$page >$(DESTDIR)$(MANDIR)/man1/$${page##*/}; done
	install -m 644 $(BUILD)/pages/bash/* $(DESTDIR)$(BASHDIR)
	install -m 644 $(BUILD)/pages/zsh/* $(DESTDIR)$(ZSHDIR)
	$(Q)set -e; for program in ingest worker; do $(BUILD)/tollgate-$$program --help=markdown | \
	    awk -v program=$$program -f $(deploy)/man/settings.awk >$(BUILD)/settings.roff; \
	    $(fill) -e '/^@SETTINGS@/{r $(BUILD)/settings.roff' -e 'd}' $(deploy)/man/tollgate-$$program.8.in \
	    >$(DESTDIR)$(MANDIR)/man8/tollgate-$$program.8; done
	$(Q)set -e; for unit in $(units); do $(fill) $(deploy)/systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit; done
	install -m 644 $(deploy)/systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/tollgate.conf
	$(Q)$(fill) $(deploy)/systemd/tmpfiles.conf >$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tollgate.conf
	install -d -m 750 $(DESTDIR)$(SYSCONFDIR)/tollgate
	[ -e $(DESTDIR)$(SYSCONFDIR)/tollgate/tollgate.env ] || \
	    install -m 640 $(deploy)/systemd/tollgate.env $(DESTDIR)$(SYSCONFDIR)/tollgate

uninstall:  ## removes what install put there, but for the settings
	rm -f $(DESTDIR)$(BINDIR)/tollgate $(addprefix $(DESTDIR)$(BINDIR)/tollgate-,ingest worker $(OPERATORS)) \
	    $(DESTDIR)$(MANDIR)/man1/tollgate.1 $(DESTDIR)$(MANDIR)/man[18]/tollgate-*.[18] \
	    $(addprefix $(DESTDIR)$(BASHDIR)/tollgate,'' $(addprefix -,$(OPERATORS))) $(addprefix $(DESTDIR)$(ZSHDIR)/_tollgate,'' $(addprefix -,$(OPERATORS))) \
	    $(addprefix $(DESTDIR)$(UNITDIR)/,$(units)) $(addsuffix .d/tollgate.conf,$(addprefix $(DESTDIR)$(PREFIX)/lib/,sysusers tmpfiles))
	rm -rf $(DESTDIR)$(LIBDIR) $(DESTDIR)$(DOCDIR)

# The package's version says for which release it is built: another one has other libraries. One from
# a newer release is the newer version. The time is the last commit's, so that a second build is the same.
deb_release = $(shell . /etc/os-release && echo "~$$ID$${VERSION_ID:-0}" | sed 's/debian/deb/')
deb_tree = build/deb/tollgate-$(VERSION)

deb:  ## a Debian package for this release, in build/deb
	@$(call need,dh,debhelper)
	$(Q)rm -rf build/deb && mkdir -p $(deb_tree)
	$(Q)cp -a Makefile README.md LICENSE common ingest worker scripts $(deploy)/debian $(deb_tree)
	$(Q)sed -n '5,$$ { s/^$$/./; s/^/ /; p }' LICENSE >>$(deb_tree)/debian/copyright
	$(Q)when=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)} && \
	    printf 'tollgate (%s) unstable; urgency=medium\n\n  * Version %s.\n\n -- %s  %s\n' '$(VERSION)$(deb_release)' '$(VERSION)' \
	    'The Tollgate authors <tollgate@example.org>' "$$(date -uRd @$$when)" >$(deb_tree)/debian/changelog
	cd $(deb_tree) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage --no-sign -b

deb-test:  ## builds the package for each Debian release, and uses it there under systemd (Docker; some minutes)
	@$(PYTHON) -m pytest -q tests/packaging/debian.py $(PYTEST_ARGS)

clean:  ## removes build/
	rm -rf build

help:  ## this list
	@echo "Targets:"; sed -n 's/^\([a-z-]*\):[^=]*  ## \(.*\)/\1\t\2/p' Makefile | awk -F'\t' '{ printf "  %-14s %s\n", $$1, $$2 }'
	@echo "Variables:"; sed -n 's/^## /  /p' Makefile
