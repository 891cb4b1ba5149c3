/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What another boot left open, and nobody can bring to its end any more. */
#include "store_internal.h"

/* Return: an SQLite result code; `ret_row` (may be NULL): whether there was a row. */
static int run(struct store *store, const char *sql, bool *ret_row)
{
	sqlite3_stmt *statement;
	int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);

	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_text(statement, 1, store->boot_id, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return code;
	if (ret_row)
		*ret_row = code == SQLITE_ROW;
	return SQLITE_OK;
}

int store_close_old_incidents(struct store *store)
{
	static const char look[] = "SELECT 1 FROM incidents WHERE open AND boot_id != ?1 LIMIT 1";
	static const char close[] = "UPDATE incidents SET open = 0 WHERE open AND boot_id != ?1";
	bool any = false;
	int code;

	if (!store->db) /* it is not known what there was */
		return 0;
	/* A disk that takes no writes refuses one that would change nothing as well. */
	code = run(store, look, &any);
	if (code == SQLITE_OK && any)
		code = run(store, close, NULL);
	return store_errno(code);
}
