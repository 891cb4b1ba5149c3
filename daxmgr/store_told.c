/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was told before, by sources that are asked and by all lately: read once, before the loop runs. */
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

static bool read_serial(sqlite3_stmt *s, int column, uint64_t *ret)
{
	char serial[24];

	store_column_text(s, column, serial, sizeof(serial));
	*ret = strtoull(serial, NULL, 0);
	return serial[0] != '\0';
}

int store_load_told(struct store *store, int (*each)(void *userdata, const struct store_told *told),
		    void *userdata)
{
	static const char sql[] =
		"SELECT source, unit, kind, text, fields, boot_id, serial FROM events WHERE id IN (SELECT "
		"id FROM events WHERE source IN ('aer-counters', 'device-health', 'isolation', 'last-boot') AND synthetic IS NOT 1 "
		"ORDER BY id DESC LIMIT 16384) ORDER BY id";
	struct store_told told = {0};
	sqlite3_stmt *s;
	int code, r;

	if (!store->db)
		return 0;
	code = sqlite3_prepare_v2(store->db, sql, -1, &s, NULL);
	if (code != SQLITE_OK)
		return store_errno(code);
	r = 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		const char *fields = (const char *)sqlite3_column_text(s, 4);
		const char *boot = (const char *)sqlite3_column_text(s, 5);

		store_column_text(s, 0, told.source, sizeof(told.source));
		store_column_text(s, 1, told.unit, sizeof(told.unit));
		store_column_text(s, 2, told.kind, sizeof(told.kind));
		store_column_text(s, 3, told.text, sizeof(told.text));
		told.fields = fields ? fields : "{}";
		told.has_serial = read_serial(s, 6, &told.serial);
		told.same_boot = boot && !strcmp(boot, store->boot_id);
		r = each(userdata, &told);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}

static void read_recent(sqlite3_stmt *s, struct store_event *ret)
{
	char severity[16];

	*ret = (struct store_event){.at_ns = (uint64_t)sqlite3_column_int64(s, 6)};
	store_column_text(s, 0, ret->source, sizeof(ret->source));
	store_column_text(s, 1, ret->kind, sizeof(ret->kind));
	store_column_text(s, 2, severity, sizeof(severity));
	store_value_of(store_severity_name, STORE_SEVERITIES, severity, &ret->severity);
	store_column_text(s, 3, ret->domain, sizeof(ret->domain));
	store_column_text(s, 4, ret->lease, sizeof(ret->lease));
	store_column_text(s, 5, ret->text, sizeof(ret->text));
	ret->has_serial = read_serial(s, 7, &ret->serial);
}

int store_load_recent(struct store *store, uint64_t since_ns,
		      int (*each)(void *userdata, const struct store_event *event), void *userdata)
{
	static const char sql[] =
		"SELECT source, kind, severity, domain, lease, text, max(at_ns, coalesce(last_at_ns, 0)), serial"
		" FROM events WHERE id > (SELECT max(id) - 16384 FROM events) AND boot_id = ?1"
		" AND synthetic IS NOT 1 AND (source = 'device-health'"
		" OR max(at_ns, coalesce(last_at_ns, 0)) >= ?2) ORDER BY id";
	struct store_event event;
	sqlite3_stmt *s;
	int code, r;

	r = store_load_begin(store, sql, &s);
	if (r != 0)
		return r < 0 ? r : 0;
	sqlite3_bind_text(s, 1, store->boot_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (sqlite3_int64)since_ns);
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		read_recent(s, &event);
		r = each(userdata, &event);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}
