# storeengine: an ordered key-value store with a gap-free change feed.
#
#   make && sudo make install       build and install
#   make installcheck               test against a running server
#   ./scripts/check                 build, install and test on a private server

EXTENSION = storeengine
DATA = $(wildcard sql/storeengine--*.sql)
MODULE_big = storeengine
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))
PCRE2_CONFIG ?= pcre2-config
PG_CPPFLAGS = $(shell $(PCRE2_CONFIG) --cflags)
SHLIB_LINK = $(shell $(PCRE2_CONFIG) --libs8)

REGRESS = $(patsubst sql/%.sql,%,$(sort $(filter-out sql/storeengine--%,$(wildcard sql/*.sql))))
REGRESS_OPTS = --load-extension=storeengine
ISOLATION = $(patsubst specs/%.spec,%,$(sort $(wildcard specs/*.spec)))
ISOLATION_OPTS = --load-extension=storeengine
TAP_TESTS = 1

# WERROR=1 turns warnings into errors.  PostgreSQL's own headers do not pass two
# of -Wextra's; its flags for gcc are unknown to clang.
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare $(if $(WERROR),-Werror)
ifneq (,$(findstring clang,$(CC)))
PG_CFLAGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument \
	-Wno-ignored-attributes
endif

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Every object is rebuilt when any header changes; there are few of both.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h)
