/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records: formats, marks and what is told of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store_internal.h"

/* FNV-1a: the same text has the same number in every run and on every host. */
static uint64_t hash(uint64_t so_far, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		so_far = (so_far ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
	return so_far;
}

uint64_t store_save_format(struct store *store, const char *system, const char *name,
			   const char *text, size_t bytes)
{
	uint64_t number = UINT64_C(0xcbf29ce484222325);

	(void)store;
	number = hash(number, system, strlen(system) + 1);
	number = hash(number, name, strlen(name) + 1);
	number = hash(number, text, bytes);
	return number ? number : 1;
}

int store_load_mark(struct store *store, enum store_log log, const char *spool,
		    struct store_mark *ret)
{
	(void)store;
	(void)log;
	(void)spool;
	(void)ret;
	return -ENOENT;
}

void store_set_spool(struct store *store, const char *spool)
{
	snprintf(store->spool_id, sizeof(store->spool_id), "%s", spool);
}

void store_set_record_handlers(struct store *store, const struct store_record_handlers *handlers)
{
	store->record_handlers = *handlers;
}

void store_watch_records(struct store *store, bool watch)
{
	pthread_mutex_lock(&store->mutex);
	store->watched = watch;
	pthread_mutex_unlock(&store->mutex);
}
