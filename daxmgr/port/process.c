/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "process.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "sysfs.h"

enum { PROCESS_STAT_BYTES = 1024, PROCESS_START_FIELD = 22 };

const char *process_next(DIR *dir)
{
	struct dirent *entry;

	while ((entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    strlen(entry->d_name) < PROCESS_NAME_BYTES)
			return entry->d_name;
	return NULL;
}

bool process_stat_parse(const char *line, char *ret_state, uint64_t *ret_start)
{
	const char *at = strrchr(line, ')'); /* the name before it may hold anything */
	uint64_t start;

	if (!at || at[1] != ' ' || !isalpha((unsigned char)at[2]))
		return false;
	*ret_state = at[2];
	at += 2;
	for (int field = 3; field < PROCESS_START_FIELD; field++) {
		at = strchr(at, ' ');
		if (!at)
			return false;
		at++;
	}
	if (sscanf(at, "%" SCNu64, &start) != 1)
		return false;
	*ret_start = start;
	return true;
}

static int process_stat(const struct port *port, const char *task, char *ret_state,
			uint64_t *ret_start)
{
	char line[PROCESS_STAT_BYTES];
	int error = sysfs_read(port->root, line, sizeof(line), "/proc/%s/stat", task);

	if (error)
		return error == -ENOENT ? -ESRCH : error;
	return process_stat_parse(line, ret_state, ret_start) ? 0 : -EBADMSG;
}

int process_start(const struct port *port, int32_t pid, uint64_t *ret)
{
	char name[PROCESS_NAME_BYTES], state;

	snprintf(name, sizeof(name), "%" PRId32, pid);
	return process_stat(port, name, &state, ret);
}

/* Which state says most about why a process is still there. */
static int process_rank(char state)
{
	switch (state) {
	case 'D':
		return 4;
	case 'Z':
	case 'X':
		return 1;
	case 'R':
	case 'S':
		return 2;
	default: /* stopped, traced */
		return 3;
	}
}

static void process_place(const struct port *port, const char *task, char state,
			  char ret[ISO_EVIDENCE_BYTES])
{
	char wchan[64];

	if (sysfs_read(port->root, wchan, sizeof(wchan), "/proc/%s/wchan", task) || !wchan[0] ||
	    !strcmp(wchan, "0"))
		snprintf(ret, ISO_EVIDENCE_BYTES, "%c", state);
	else
		snprintf(ret, ISO_EVIDENCE_BYTES, "%c in %s", state, wchan);
}

void process_where(const struct port *port, int32_t pid, char ret[ISO_EVIDENCE_BYTES])
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/proc/%" PRId32 "/task", pid);
	const char *entry;
	int best = 0;

	snprintf(ret, ISO_EVIDENCE_BYTES, "gone");
	while (dir && (entry = process_next(dir))) {
		char task[3 * PROCESS_NAME_BYTES], state;
		uint64_t start;

		snprintf(task, sizeof(task), "%" PRId32 "/task/%s", pid, entry);
		if (process_stat(port, task, &state, &start) || process_rank(state) <= best)
			continue;
		best = process_rank(state);
		process_place(port, task, state, ret);
	}
}
