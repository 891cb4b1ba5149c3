/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "mappers.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cleanup.h"
#include "process.h"
#include "sysfs.h"

/* Most lines are private mappings of libraries: not worth taking apart. */
static bool mappers_worth_parsing(const char *text)
{
	const char *flags = strchr(text, ' ');

	return flags && strnlen(flags, 5) == 5 && flags[4] == 's';
}

static bool mappers_gone(int error)
{
	return error == -ENOENT || error == -ESRCH;
}

static void mappers_take_in(struct mappers_walk *walk, const char *pid, char *text)
{
	struct mapping_line line;
	uint32_t index;

	if (!mappers_worth_parsing(text) || !mapping_parse(text, &line))
		return;
	index = mapping_find(walk->set, walk->port->root, pid, &line);
	if (index == ISO_NONE || walk->seen[index] == walk->n_processes)
		return;
	walk->seen[index] = walk->n_processes;
	walk->maps[walk->n_maps++] = index;
}

/* `task` is PID or PID/task/TID. Return: 1 when there was a line; 0; or a negative errno, told. */
static int mappers_read_maps(struct mappers_walk *walk, const char *pid, const char *task)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	int lines = 0, error;
	size_t room = 0;

	snprintf(path, sizeof(path), "%s/proc/%s/maps", walk->port->root, task);
	file = fopen(path, "re");
	error = file ? 0 : -errno;
	while (file && (errno = 0, getline(&text, &room, file)) >= 0) {
		mappers_take_in(walk, pid, text);
		lines = 1;
	}
	if (file && ferror(file))
		error = errno ? -errno : -EIO;
	if (error && !mappers_gone(error))
		return port_fail(walk->port, error, "/proc/%s/maps: %s", task, strerror(-error));
	return lines;
}

typedef int (*mappers_read)(struct mappers_walk *walk, const char *pid, const char *task);

/*
 * A first thread that has ended shows nothing, although memory and descriptors
 * of the process live on until its last thread has ended.
 */
static int mappers_other_tasks(struct mappers_walk *walk, const char *pid, mappers_read read)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(walk->port->root, "/proc/%s/task", pid);
	const char *entry;
	int result = 0;

	while (!result && dir && (entry = process_next(dir))) {
		char task[3 * PROCESS_NAME_BYTES];

		if (!strcmp(entry, pid))
			continue;
		snprintf(task, sizeof(task), "%s/task/%s", pid, entry);
		result = read(walk, pid, task);
	}
	return result;
}

/* Return: 1 when there was a descriptor. */
static int mappers_read_descriptors(struct mappers_walk *walk, const char *pid, const char *task)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(walk->port->root, "/proc/%s/fd", task);
	const char *entry;
	int any = 0;

	(void)pid;
	while (!walk->holds && dir && (entry = process_next(dir))) {
		char target[128];
		ssize_t length = readlinkat(dirfd(dir), entry, target, sizeof(target) - 1);

		any = 1;
		if (length <= 0)
			continue;
		target[length] = '\0';
		walk->holds = mapping_find_name(walk->set, target) != ISO_NONE;
	}
	return any;
}

static int mappers_look(struct mappers_walk *walk, const char *pid)
{
	int lines = mappers_read_maps(walk, pid, pid);

	if (!lines)
		lines = mappers_other_tasks(walk, pid, mappers_read_maps);
	if (lines < 0)
		return lines;
	if (walk->holders && !walk->n_maps && !mappers_read_descriptors(walk, pid, pid))
		mappers_other_tasks(walk, pid, mappers_read_descriptors);
	return 0;
}

int mappers_walk_open(struct port *port, const struct mapping_set *set, bool holders,
		      struct mappers_walk *ret)
{
	struct mappers_walk walk = {.port = port, .set = set, .holders = holders};

	walk.proc = sysfs_open(port->root, "/proc");
	if (!walk.proc)
		return port_fail(port, -errno, "%s/proc: %s", port->root, strerror(errno));
	walk.maps = calloc(set->n ? set->n : 1, sizeof(*walk.maps));
	walk.seen = calloc(set->n ? set->n : 1, sizeof(*walk.seen));
	*ret = walk; /* the caller closes it in any case */
	return walk.maps && walk.seen ? 0 : port_fail(port, -ENOMEM, "walk of /proc: no memory");
}

int mappers_walk_next(struct mappers_walk *walk, struct mappers_process *ret)
{
	const char *pid;

	while (walk->set->n && (pid = process_next(walk->proc))) {
		int error;

		walk->n_maps = 0;
		walk->holds = false;
		walk->n_processes++;
		error = mappers_look(walk, pid);
		if (error)
			return error;
		if (!walk->n_maps && !walk->holds)
			continue;
		*ret = (struct mappers_process){
			.pid = (int32_t)strtol(pid, NULL, 10),
			.holds = walk->holds,
			.n_maps = walk->n_maps,
			.maps = walk->maps,
		};
		return 1;
	}
	return 0;
}

void mappers_walk_close(struct mappers_walk *walk)
{
	if (walk->proc)
		closedir(walk->proc);
	free(walk->maps);
	free(walk->seen);
	*walk = MAPPERS_WALK_NULL;
}

void mappers_add(struct port *port, int32_t pid)
{
	struct iso_completion *c = port->completion;

	if (!c->n_mappers)
		process_where(port, pid, c->evidence);
	if (c->n_mappers < ISO_MAPPERS_MAX)
		c->mappers[c->n_mappers] = pid;
	c->n_mappers++;
}

static bool mappers_same_name(const struct job_instance *a, const struct job_instance *b)
{
	return a->region_kernel_id == b->region_kernel_id && a->kernel_id == b->kernel_id;
}

/* In one set a name or a number stands for one device. */
static bool mappers_alike(const struct mappers_question *a, const struct mappers_question *b)
{
	for (uint32_t i = 0; i < a->n; i++)
		for (uint32_t j = 0; j < b->n; j++)
			if (mappers_same_name(&a->instances[i], &b->instances[j]) ||
			    (a->instances[i].major == b->instances[j].major &&
			     a->instances[i].minor == b->instances[j].minor))
				return true;
	return false;
}

static bool mappers_any_alike(const struct mappers_question *questions, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < i; j++)
			if (mappers_alike(&questions[i], &questions[j]))
				return true;
	return false;
}

static bool mappers_asks_for(const struct mappers_question *question,
			     const struct mapping_device *device)
{
	for (uint32_t i = 0; i < question->n; i++)
		if (question->instances[i].region_kernel_id == device->region_kernel_id &&
		    question->instances[i].kernel_id == device->kernel_id)
			return true;
	return false;
}

static void mappers_answer(struct mappers_question *question, const struct mapping_set *set,
			   const struct mappers_process *process)
{
	for (uint32_t i = 0; i < process->n_maps; i++)
		if (mappers_asks_for(question, &set->devices[process->maps[i]])) {
			mappers_add(question->port, process->pid);
			return;
		}
}

/* The walk is done by the first question's port. */
static int mappers_find_together(struct mappers_question *questions, uint32_t n)
{
	_cleanup_(mapping_set_free) struct mapping_set set = {0};
	_cleanup_(mappers_walk_close) struct mappers_walk walk = MAPPERS_WALK_NULL;
	struct mappers_process process;
	int found = 0;

	for (uint32_t i = 0; !found && i < n; i++)
		found = mapping_set_add(questions->port, questions[i].instances, questions[i].n,
					&set);
	if (!found)
		found = mappers_walk_open(questions->port, &set, false, &walk);
	if (found)
		return found;
	while ((found = mappers_walk_next(&walk, &process)) > 0)
		for (uint32_t i = 0; i < n; i++)
			mappers_answer(&questions[i], &set, &process);
	return found;
}

void mappers_find(struct mappers_question *questions, uint32_t n)
{
	uint32_t at_once = mappers_any_alike(questions, n) ? 1 : n;

	for (uint32_t i = 0; i < n; i += at_once) {
		int result = mappers_find_together(&questions[i], at_once);
		const char *why = questions[i].port->completion->message;

		for (uint32_t j = i; j < i + at_once; j++) {
			questions[j].result = result;
			if (result)
				port_fail(questions[j].port, result, "%s", why);
		}
	}
}
