/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* incidents --latency: how long it took from the first record to the end of the last victim. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "verb.h"

enum { WIDTH = 40 };

/* Upper bounds, milliseconds; the last is open. */
static const uint64_t bounds_ms[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000};

enum { N_BOUNDS = sizeof(bounds_ms) / sizeof(bounds_ms[0]) };

struct latencies {
	uint64_t *ns;
	size_t n;
	size_t n_open; /* not contained, or not known when */
};

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void gather(struct latencies *l, sd_json_variant *incidents, const char *from)
{
	sd_json_variant *incident;

	FORMAT_EACH(incident, incidents)
	{
		uint64_t begin = format_number(incident, from);
		uint64_t end = format_number(incident, "containedNs");

		if (!begin || end < begin)
			l->n_open++;
		else
			l->ns[l->n++] = end - begin;
	}
	qsort(l->ns, l->n, sizeof(*l->ns), compare);
}

static void show(const struct latencies *l, const char *title)
{
	uint64_t most = 1, counts[N_BOUNDS + 1] = {0};
	size_t k;

	for (size_t i = 0; i < l->n; i++) {
		for (k = 0; k < N_BOUNDS && l->ns[i] >= bounds_ms[k] * 1000000; k++)
			;
		counts[k]++;
		most = counts[k] > most ? counts[k] : most;
	}
	printf("%s: %zu incidents, %zu without containment\n", title, l->n, l->n_open);
	if (!l->n)
		return;
	printf("  p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, most %.3f ms\n",
	       (double)l->ns[l->n / 2] / 1e6, (double)l->ns[l->n * 9 / 10] / 1e6,
	       (double)l->ns[l->n * 99 / 100] / 1e6, (double)l->ns[l->n - 1] / 1e6);
	for (k = 0; k <= N_BOUNDS; k++) {
		int bar = (int)((counts[k] * WIDTH + most - 1) / most);

		if (!counts[k])
			continue;
		if (k < N_BOUNDS)
			printf("  < %6" PRIu64 " ms ", bounds_ms[k]);
		else
			printf("    longer   ");
		printf("%6" PRIu64 "  %.*s\n", counts[k], bar,
		       "########################################");
	}
}

int verb_show_latency(sd_json_variant *incidents)
{
	struct latencies l = {.ns = calloc(sd_json_variant_elements(incidents) + 1, sizeof(*l.ns))};

	if (!l.ns)
		return verb_out_of_memory();
	gather(&l, incidents, "detectedNs");
	show(&l, "From detection to containment");
	l.n = l.n_open = 0;
	gather(&l, incidents, "recordNs");
	show(&l, "From the kernel's first record to containment");
	free(l.ns);
	return CLIENT_OK;
}
