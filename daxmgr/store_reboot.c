/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What another boot left open, and nobody can bring to its end any more. */
#include "store_internal.h"

int store_close_old_incidents(struct store *store)
{
	static const char sql[] = "UPDATE incidents SET open = 0 WHERE open AND boot_id != ?1";
	sqlite3_stmt *statement;
	int code;

	code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return store_errno(code);
	sqlite3_bind_text(statement, 1, store->boot_id, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? 0 : store_errno(code);
}
