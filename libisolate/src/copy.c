/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A second engine that believes the same, to see what would come of an event. */
#include "state.h"

struct iso_engine *iso_engine_copy(void *memory, size_t bytes, const struct iso_engine *engine)
{
	size_t needed = iso_engine_bytes(&engine->limits);
	uint32_t n_findings =
		engine->reconcile.n_findings; /* those without room are counted, too */
	struct iso_engine *copy = memory;

	if (bytes < needed || (uintptr_t)memory % 64)
		return NULL;
	memcpy(memory, engine, (size_t)((char *)engine->regions - (char *)engine));
	engine_place(copy, memory);
	memcpy(copy->regions, engine->regions, engine->n_regions * sizeof(*copy->regions));
	memcpy(copy->operations, engine->operations,
	       engine->n_operations * sizeof(*copy->operations));
	memcpy(copy->bad, engine->bad, engine->n_bad * sizeof(*copy->bad));
	memcpy(copy->reconcile.findings, engine->reconcile.findings,
	       (n_findings < FINDINGS_MAX ? n_findings : FINDINGS_MAX) *
		       sizeof(*copy->reconcile.findings));
	memcpy(copy->instances, engine->instances, engine->n_instances * sizeof(*copy->instances));
	memcpy(copy->leases, engine->leases, engine->n_leases * sizeof(*copy->leases));
	copy->n_kills = copy->n_others = copy->n_texts = 0;
	return copy;
}
