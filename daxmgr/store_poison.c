/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bad ranges as rows, and back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "store_internal.h"
#include "units.h"

int store_write_poison(struct store *store, const struct iso_restore_poison *poison)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_POISON);
	char serial[24] = "";

	if (poison->has_dpa)
		snprintf(serial, sizeof(serial), "0x%" PRIx64, poison->serial);
	store_bind_number(&b, poison->slot);
	store_bind_text(&b, iso_bad_state_name(poison->state));
	store_bind_name(&b, serial);
	if (poison->has_dpa)
		store_bind_number(&b, poison->dpa.v);
	else
		store_bind_null(&b);
	store_bind_name(&b, poison->region);
	if (poison->region[0])
		store_bind_number(&b, poison->offset.v);
	else
		store_bind_null(&b);
	store_bind_number(&b, poison->bytes);
	store_bind_number(&b, poison->evidence);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, poison->first_ns);
	store_bind_number(&b, poison->last_ns);
	store_bind_number(&b, poison->cleared_ns);
	store_bind_number(&b, clock_read_ns(CLOCK_REALTIME) / 1000);
	store_bind_name(&b, poison->lease);
	store_bind_number(&b, poison->hit_begun_ns);
	return store_bind_run(&b);
}

int store_erase_poison(struct store *store, uint32_t slot)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_POISON_END);

	store_bind_number(&b, slot);
	return store_bind_run(&b);
}

/* Return: 0 or -EUCLEAN. */
static int read_poison(struct store *store, sqlite3_stmt *s, struct iso_restore_poison *ret)
{
	const unsigned char *boot_id = sqlite3_column_text(s, 8);
	bool same_boot = boot_id && !strcmp((const char *)boot_id, store->boot_id);
	char state[STORE_KIND_BYTES], serial[24];

	*ret = (struct iso_restore_poison){
		.slot = (uint32_t)sqlite3_column_int64(s, 0),
		.has_dpa = sqlite3_column_type(s, 2) != SQLITE_NULL,
		.dpa = {(uint64_t)sqlite3_column_int64(s, 3)},
		.bytes = (uint64_t)sqlite3_column_int64(s, 6),
		.evidence = (uint32_t)sqlite3_column_int64(s, 7),
	};
	store_column_text(s, 1, state, sizeof(state));
	if (!store_value_of(iso_bad_state_name, ISO_BAD_STATES, state, &ret->state) || !ret->bytes)
		return -EUCLEAN;
	store_column_text(s, 2, serial, sizeof(serial));
	if (ret->has_dpa && units_parse_serial(serial, &ret->serial) < 0)
		return -EUCLEAN;
	if (!ret->has_dpa || same_boot) {
		store_column_text(s, 4, ret->region, sizeof(ret->region));
		ret->offset.v = (uint64_t)sqlite3_column_int64(s, 5);
	}
	if (!same_boot) /* its clock ended with that */
		return 0;
	ret->first_ns = (uint64_t)sqlite3_column_int64(s, 9);
	ret->last_ns = (uint64_t)sqlite3_column_int64(s, 10);
	ret->cleared_ns = (uint64_t)sqlite3_column_int64(s, 11);
	store_column_text(s, 12, ret->lease, sizeof(ret->lease));
	ret->hit_begun_ns = (uint64_t)sqlite3_column_int64(s, 13);
	return 0;
}

int store_load_poison(struct store *store,
		      int (*each)(void *userdata, const struct iso_restore_poison *poison),
		      void *userdata)
{
	static const char sql[] =
		"SELECT slot, state, serial, dpa, region, region_offset, bytes, evidence, boot_id,"
		" first_ns, last_ns, cleared_ns, lease, hit_begun_ns FROM bad_ranges ORDER BY slot";
	int code = SQLITE_DONE, r;
	sqlite3_stmt *s;

	if (!store->db)
		return 0;
	r = store_errno(sqlite3_prepare_v2(store->db, sql, -1, &s, NULL));
	if (r < 0)
		return r;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct iso_restore_poison poison;

		r = read_poison(store, s, &poison);
		if (r == 0)
			r = each(userdata, &poison);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}
