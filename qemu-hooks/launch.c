/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

enum { GROUPS_MAX = 64, FILE_MAX = 1 << 20 };

char **launch_command(const struct wish *wish, uint64_t align, char *const command[])
{
	size_t n = 0, at, pointers;
	char **result, *text;

	while (command[n])
		n++;
	pointers = (n + 2 * wish->n_parts + 4 + 1) * sizeof(*result);
	result = calloc(1, pointers + (wish->n_parts + 1) * WISH_QEMU_BYTES);
	if (!result)
		return NULL;
	text = (char *)result + pointers;
	memcpy(result, command, n * sizeof(*result));
	at = n;
	for (size_t i = 0; i < wish->n_parts; i++, text += WISH_QEMU_BYTES) {
		wish_format_qemu(wish->name, i, wish->parts[i].bytes, align, text);
		result[at++] = (char *)"-object";
		result[at++] = text;
	}
	if (wish->qmp) {
		snprintf(text, WISH_QEMU_BYTES, "socket,id=daxmgr-qmp,path=%s,server=on,wait=off",
			 wish->qmp);
		result[at++] = (char *)"-chardev";
		result[at++] = text;
		result[at++] = (char *)"-mon";
		result[at++] = (char *)"chardev=daxmgr-qmp,mode=control";
	}
	return result;
}

char *launch_read_file(void *userdata, const char *path)
{
	/* Not blocked by a FIFO that nobody writes. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text;
	ssize_t n;

	(void)userdata;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static bool is_plain(const char *word)
{
	return *word &&
	       strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			    "_-./:=,+@%") == strlen(word);
}

void launch_print(char *const command[])
{
	for (size_t i = 0; command[i]; i++) {
		if (i)
			putchar(' ');
		if (is_plain(command[i])) {
			fputs(command[i], stdout);
			continue;
		}
		putchar('\'');
		for (const char *c = command[i]; *c; c++) {
			if (*c == '\'')
				fputs("'\\''", stdout);
			else
				putchar(*c);
		}
		putchar('\'');
	}
	putchar('\n');
}

static int read_groups(struct launch_user *user)
{
	const struct group *kvm;
	int n = GROUPS_MAX;

	user->groups = calloc(GROUPS_MAX + 1, sizeof(*user->groups));
	if (!user->groups)
		return -ENOMEM;
	if (!user->name) {
		user->groups[0] = user->gid;
		n = 1;
	} else if (getgrouplist(user->name, user->gid, user->groups, &n) < 0) {
		return -E2BIG;
	}
	kvm = getgrnam("kvm");
	if (kvm)
		user->groups[n++] = kvm->gr_gid;
	user->n_groups = (size_t)n;
	return 0;
}

int launch_read_user(const struct wish *wish, struct launch_user *ret)
{
	const struct passwd *entry;

	*ret = (struct launch_user){.uid = wish->uid, .gid = wish->gid};
	if (wish->uid == 0)
		return 0;
	entry = getpwuid(wish->uid);
	if (entry) {
		ret->name = strdup(entry->pw_name);
		ret->home = strdup(entry->pw_dir);
		if (!ret->name || !ret->home)
			return -ENOMEM;
	}
	return read_groups(ret);
}

void launch_user_free(struct launch_user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
}

/* What root's environment says of root is not true of the user any more. */
static void set_environment(const struct launch_user *user)
{
	if (user->name) {
		setenv("USER", user->name, 1);
		setenv("LOGNAME", user->name, 1);
		setenv("HOME", user->home, 1);
	} else {
		unsetenv("USER");
		unsetenv("LOGNAME");
		unsetenv("HOME");
	}
	unsetenv("SHELL");
}

int launch_drop_privileges(const struct launch_user *user)
{
	if (user->uid == 0)
		return 0;
	set_environment(user);
	if (setgroups(user->n_groups, user->groups) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}
