/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a source that is asked has told before: read once, before the loop runs. */
#include <string.h>

#include "store_internal.h"

int store_load_told(struct store *store, int (*each)(void *userdata, const struct store_told *told),
		    void *userdata)
{
	static const char sql[] =
		"SELECT source, unit, kind, text, fields, boot_id FROM events WHERE id IN (SELECT "
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
		told.same_boot = boot && !strcmp(boot, store->boot_id);
		r = each(userdata, &told);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}
