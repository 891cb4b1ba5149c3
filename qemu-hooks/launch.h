/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last step before QEMU runs: its command line, and giving up root. */
#ifndef QEMU_HOOKS_LAUNCH_H
#define QEMU_HOOKS_LAUNCH_H

#include <sys/types.h>

#include "wish.h"

/*
 * `command` followed by one "-object" argument per part of that alignment (0:
 * 2 MiB), and by a monitor where the wish has one. Return: a NULL terminated vector in one allocation, which the caller frees, or NULL without
 * memory.
 */
char **launch_command(const struct wish *wish, uint64_t align, char *const command[]);

/* Whole text of a regular file of at most 1 MiB, to be freed. Return: NULL when it cannot be read. */
char *launch_read_file(void *userdata, const char *path);

/* Prints a command so that a shell reads it back as it is. */
void launch_print(char *const command[]);

/* Who QEMU runs as. */
struct launch_user {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* its own, and kvm */
	size_t n_groups;
	char *name, *home; /* NULL for a user without an entry in the user database */
};

/*
 * Looks up the wish's user and its groups, which takes its time with some user
 * databases. For root there is nothing to look up. Return: 0 or negative errno;
 * what was read is launch_user_free()'s to free either way.
 */
int launch_read_user(const struct wish *wish, struct launch_user *ret);

/* Frees what launch_read_user() has filled in, in part or not at all. */
void launch_user_free(struct launch_user *user);

/*
 * Becomes this user for good: no program run from here on gains privileges.
 * Does nothing for root. Return: 0 or negative errno; on failure the process
 * must not go on.
 */
int launch_drop_privileges(const struct launch_user *user);

#endif
