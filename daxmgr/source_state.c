/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "source_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct source_words {
	const char *name, *tells, *cannot, *without;
};

static const struct source_words words[SOURCES] = {
	[SOURCE_TRACE] =
		{
			"trace",
			"errors of ports and devices, poison, failed pages and machine checks, with the "
			"kernel's own time, also those of while the daemon was down",
			"isolation of a port without link-down",
			"faults are seen by uevents, the kernel log and observation only, and later",
		},
	[SOURCE_UEVENT] =
		{
			"uevent",
			"devices that come and go, and the kernel's own recovery",
			"what came while the daemon was down: it is observed instead",
			"changes are seen by observation only",
		},
	[SOURCE_KERNEL_LOG] =
		{
			"kernel-log",
			"oops, lockup, hung task, IOMMU fault, DPC, lost links, processes that died of bad memory",
			"what the kernel does not print; texts differ between kernels",
			"the health of the host is not known, and before kernel 7.0 a lost link is seen later",
		},
	[SOURCE_AER_COUNTERS] =
		{
			"aer-counters",
			"how many PCIe errors each CXL port and device had, also those whose records were lost",
			"when they were, other than between two readings",
			"errors whose records were lost stay unknown",
		},
	[SOURCE_DEVICE_HEALTH] =
		{
			"device-health",
			"wear, temperature and media state as the device judges them",
			"anything of a device that does not answer Get Health Info",
			"a device that wears out is seen when it fails",
		},
	[SOURCE_POISON_LIST] =
		{
			"poison-list",
			"bad ranges that the device knows of, however they came about",
			"when they came about",
			"poison that raised no record is found by who reads it",
		},
	[SOURCE_ISOLATION] =
		{
			"isolation",
			"timeout and isolation of a root port, from its own status register",
			"which access was not answered; anything of a port without that capability",
			"isolation is seen by what follows from it: a lost link, or reads that fail",
		},
	[SOURCE_QMP] =
		{
			"qmp",
			"what a virtual machine was told of failed memory, and that it stopped",
			"the address; anything of a VM without a monitor socket for the manager",
			"what a guest was told of its memory is not known",
		},
	[SOURCE_LAST_BOOT] =
		{
			"last-boot",
			"that an earlier boot ended in a panic, why, and whether CXL was part of it",
			"a reset without a panic; anything without pstore, ERST or EFI variables to hold it",
			"a host that died of CXL looks like any other reboot",
		},
};

const char *source_name(enum source_id id)
{
	return id < SOURCES ? words[id].name : "unknown";
}

enum source_id source_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < SOURCES && strcmp(words[i].name, name); i++)
		;
	return i;
}

const char *source_condition_name(uint32_t condition)
{
	static const char *const names[SOURCE_CONDITIONS] = {
		[SOURCE_OFF] = "off",
		[SOURCE_MISSING] = "missing",
		[SOURCE_REFUSED] = "refused",
		[SOURCE_OK] = "ok",
	};

	return condition < SOURCE_CONDITIONS ? names[condition] : "unknown";
}

const char *source_tells(enum source_id id)
{
	return id < SOURCES ? words[id].tells : "";
}

const char *source_cannot(enum source_id id)
{
	return id < SOURCES ? words[id].cannot : "";
}

const char *source_without(enum source_id id)
{
	return id < SOURCES ? words[id].without : "";
}

void source_ok(struct source_table *table, enum source_id id)
{
	table->states[id].condition = SOURCE_OK;
	table->states[id].why[0] = '\0';
}

void source_not(struct source_table *table, enum source_id id, enum source_condition condition,
		const char *format, ...)
{
	struct source_state *state = &table->states[id];
	va_list arguments;

	state->condition = condition;
	va_start(arguments, format);
	vsnprintf(state->why, sizeof(state->why), format, arguments);
	va_end(arguments);
}

void source_can_here(struct source_table *table, enum source_id id)
{
	table->states[id].cannot_here[0] = '\0';
}

void source_cannot_here(struct source_table *table, enum source_id id, const char *format, ...)
{
	static const char more[] = "; and more";
	char *here = table->states[id].cannot_here;
	size_t used = strlen(here), room = ISO_TEXT_BYTES - sizeof(more) + 1;
	va_list arguments;
	int n;

	if (used >= room)
		return;
	n = snprintf(here + used, room - used, "%s", used ? "; " : "");
	if ((size_t)n < room - used) {
		va_start(arguments, format);
		n += vsnprintf(here + used + n, room - used - (size_t)n, format, arguments);
		va_end(arguments);
	}
	if ((size_t)n >= room - used)
		snprintf(here + used, sizeof(more), "%s", used ? more : more + 2);
}

enum source_condition source_condition_of(int error)
{
	switch (-error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case ENOTTY:
	case EOPNOTSUPP:
		return SOURCE_MISSING;
	default:
		return SOURCE_REFUSED;
	}
}

void source_read(struct source_table *table, enum source_id id, uint64_t now_ns)
{
	table->states[id].last_read_ns = now_ns;
}

void source_record(struct source_table *table, enum source_id id, uint64_t at_ns, bool is_gap,
		   uint64_t lost)
{
	struct source_state *state = &table->states[id];

	if (is_gap) {
		state->gaps++;
		state->lost += lost;
	} else {
		state->records++;
	}
	if (at_ns > state->last_event_ns)
		state->last_event_ns = at_ns;
}

void source_sample(struct source_table *table, enum source_id id, uint64_t page, uint32_t index,
		   uint64_t at_ns)
{
	struct source_state *state = &table->states[id];

	if (state->sample_ns)
		return;
	state->sample_ns = at_ns;
	state->sample_page = page;
	state->sample_index = index;
}

void source_marked(struct source_table *table, enum source_id id, uint64_t page, uint32_t index,
		   uint64_t now_ns)
{
	struct source_state *state = &table->states[id];

	if (!state->sample_ns || page < state->sample_page ||
	    (page == state->sample_page && index < state->sample_index))
		return;
	state->durable++;
	state->lag_ns = now_ns > state->sample_ns ? now_ns - state->sample_ns : 0;
	if (state->lag_ns > state->lag_max_ns)
		state->lag_max_ns = state->lag_ns;
	state->sample_ns = 0;
}
