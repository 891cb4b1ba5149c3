/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A store in a directory of its own, for the tests of the store. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include "store.h"

#define BOOT       "0123456789abcdef0123456789abcdef"
#define OTHER_BOOT "ffffffffffffffffffffffffffffffff"

struct store_fixture {
	char directory[64];
	char path[96];
	sd_event *event;
	struct store *store;
	uint64_t tokens[64];
	int results[64];
	size_t n_done;
	size_t n_readable, n_wants_all;
};

/* What the store gave back at a start: the last row of each kind, and how many. */
struct store_loaded {
	struct iso_restore_lease lease;
	struct iso_restore_region region;
	struct iso_restore_port port;
	struct iso_restore_incident incident;
	struct store_intent intent;
	size_t n_leases, n_regions, n_ports, n_incidents, n_intents;
	bool same_boot;
};

/* A new directory, nothing opened yet. */
void fixture_setup(struct store_fixture *f);
/* Closes the store and removes the directory. */
void fixture_teardown(struct store_fixture *f);
/* The store as a daemon of that boot opens it. */
void fixture_open(struct store_fixture *f, const char *boot_id);
/* Its thread; results are gathered in `f`. */
void fixture_start(struct store_fixture *f);
/* Until `n` results have come in all. */
void fixture_wait(struct store_fixture *f, size_t n);
/* Everything that is loaded at a start. */
void fixture_load(struct store_fixture *f, struct store_loaded *ret);

/* A lease and a region with something in every field. */
/* A number out of the database. */
int64_t fixture_number(struct store_fixture *f, const char *sql);

struct iso_restore_lease fixture_lease(void);
struct iso_restore_region fixture_region(void);

#endif
