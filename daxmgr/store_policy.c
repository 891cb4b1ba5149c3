/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What policy has fenced, and which rules have fired: both outlive restarts and reboots. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "store_internal.h"

/* What a fence is known by: a port's path, or a serial number, which stays when the device moves. */
static void object_of(const struct iso_restore_fence *fence, char object[ISO_PATH_BYTES])
{
	if (fence->kind == ISO_FENCE_MEMDEV)
		snprintf(object, ISO_PATH_BYTES, "0x%" PRIx64, fence->serial);
	else
		snprintf(object, ISO_PATH_BYTES, "%s", fence->unit);
}

int store_write_fence(struct store *store, const struct store_fence *item)
{
	const struct iso_restore_fence *fence = &item->fence;
	struct store_binder b =
		store_bind(store, item->lifted ? STORE_STATEMENT_FENCE_END : STORE_STATEMENT_FENCE);
	char object[ISO_PATH_BYTES];

	object_of(fence, object);
	store_bind_text(&b, iso_fence_name(fence->kind));
	store_bind_text(&b, object);
	if (!item->lifted) {
		store_bind_text(&b, fence->unit);
		store_bind_text(&b, fence->rule);
		store_bind_number(&b, clock_read_ns(CLOCK_REALTIME) / 1000);
	}
	return store_bind_run(&b);
}

int store_write_firing(struct store *store, const struct store_firing *firing)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_FIRING);
	char digest[24];

	snprintf(digest, sizeof(digest), "%016" PRIx64, firing->digest);
	store_bind_text(&b, firing->rule);
	store_bind_text(&b, firing->key);
	store_bind_text(&b, digest);
	store_bind_integer(&b, firing->realtime_us);
	return store_bind_run(&b);
}

int store_load_fences(struct store *store,
		      int (*each)(void *userdata, const struct iso_restore_fence *fence),
		      void *userdata)
{
	sqlite3_stmt *s;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, "SELECT kind, object, unit, rule FROM fences", &s);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct iso_restore_fence fence = {0};
		char kind[STORE_KIND_BYTES], object[ISO_PATH_BYTES];

		store_column_text(s, 0, kind, sizeof(kind));
		store_column_text(s, 1, object, sizeof(object));
		store_column_text(s, 2, fence.unit, sizeof(fence.unit));
		store_column_text(s, 3, fence.rule, sizeof(fence.rule));
		if (!store_value_of(iso_fence_name, ISO_FENCES, kind, &fence.kind))
			r = -EUCLEAN;
		if (fence.kind == ISO_FENCE_MEMDEV)
			fence.serial = strtoull(object, NULL, 0);
		if (r == 0)
			r = each(userdata, &fence);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}

int store_load_firings(struct store *store,
		       int (*each)(void *userdata, const struct store_firing *firing),
		       void *userdata)
{
	sqlite3_stmt *s;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, "SELECT rule, key, digest, at_us FROM firings", &s);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct store_firing firing = {.realtime_us = sqlite3_column_int64(s, 3)};
		char digest[24];

		store_column_text(s, 0, firing.rule, sizeof(firing.rule));
		store_column_text(s, 1, firing.key, sizeof(firing.key));
		store_column_text(s, 2, digest, sizeof(digest));
		firing.digest = strtoull(digest, NULL, 16);
		r = each(userdata, &firing);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}

int store_load_last_event(struct store *store, uint64_t *ret_id)
{
	sqlite3_stmt *s;
	int code, r;

	*ret_id = 0;
	r = store_load_begin(store, "SELECT coalesce(max(id), 0) FROM events", &s);
	if (r != 0)
		return r < 0 ? r : 0;
	code = sqlite3_step(s);
	if (code == SQLITE_ROW)
		*ret_id = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return code == SQLITE_ROW ? 0 : store_errno(code);
}
