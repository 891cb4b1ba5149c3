/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void fake_path(const struct fake *fake, const char *path, char full[PATH_MAX])
{
	snprintf(full, PATH_MAX, "%s%s", fake->root, path);
}

void fake_make(struct fake *fake)
{
	*fake = (struct fake){0};
	snprintf(fake->root, sizeof(fake->root), "%s/daxmgr-fake-XXXXXX",
		 getenv("TMPDIR") && strlen(getenv("TMPDIR")) < 32 ? getenv("TMPDIR") : "/tmp");
	cr_assert(mkdtemp(fake->root));
	fake->port = (struct port){.root = fake->root,
				   .deadline_ns = port_now_ns() + 2000000000u,
				   .completion = &fake->completion};
	fake_directory(fake, "/run");
	fake_directory(fake, "/dev");
	fake_directory(fake, "/sys/devices");
	fake_directory(fake, "/proc");
}

static int fake_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fake_remove(struct fake *fake)
{
	nftw(fake->root, fake_unlink, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void fake_parents(char *full)
{
	for (char *at = full + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		cr_assert(mkdir(full, 0755) == 0 || errno == EEXIST, "%s: %s", full,
			  strerror(errno));
		*at = '/';
	}
}

void fake_directory(struct fake *fake, const char *path)
{
	char full[PATH_MAX];

	fake_path(fake, path, full);
	fake_parents(full);
	cr_assert(mkdir(full, 0755) == 0 || errno == EEXIST, "%s: %s", full, strerror(errno));
}

void fake_file(struct fake *fake, const char *path, const char *text)
{
	char full[PATH_MAX];
	FILE *file;

	fake_path(fake, path, full);
	fake_parents(full);
	file = fopen(full, "w");
	cr_assert(file, "%s: %s", full, strerror(errno));
	fprintf(file, "%s\n", text);
	fclose(file);
}

void fake_link(struct fake *fake, const char *path, const char *target)
{
	char full[PATH_MAX];

	fake_path(fake, path, full);
	fake_parents(full);
	unlink(full);
	cr_assert(symlink(target, full) == 0, "%s: %s", full, strerror(errno));
}

void fake_dax(struct fake *fake, const char *directory, const char *size, const char *dev,
	      const char *driver)
{
	char path[PATH_MAX], target[64];

	snprintf(path, sizeof(path), "%s/size", directory);
	fake_file(fake, path, size);
	snprintf(path, sizeof(path), "%s/align", directory);
	fake_file(fake, path, "2097152");
	snprintf(path, sizeof(path), "%s/dev", directory);
	fake_file(fake, path, dev);
	if (!driver)
		return;
	snprintf(path, sizeof(path), "%s/driver", directory);
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	fake_link(fake, path, target);
}

const char *fake_text(struct fake *fake, const char *path)
{
	static char text[4096];
	char full[PATH_MAX];
	size_t length;
	FILE *file;

	fake_path(fake, path, full);
	file = fopen(full, "r");
	if (!file)
		return "";
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	return text;
}

bool fake_exists(struct fake *fake, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	fake_path(fake, path, full);
	return lstat(full, &st) == 0;
}

void fake_tree(struct fake *fake, const char *name)
{
	char line[1024];
	FILE *file = fopen(name, "r");

	cr_assert(file, "%s: %s", name, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		char *path = line + 2, *rest;

		line[strcspn(line, "\n")] = '\0';
		rest = strchr(path, ' ');
		if (rest)
			*rest++ = '\0';
		if (line[0] == 'd')
			fake_directory(fake, path);
		else if (line[0] == 'l')
			fake_link(fake, path, rest);
		else
			fake_file(fake, path, rest ? rest : "");
	}
	fclose(file);
}

bool fake_mount(struct fake *fake)
{
	char sys[PATH_MAX], dev[PATH_MAX];

	fake_path(fake, "/sys", sys);
	fake_path(fake, "/dev", dev);
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount(sys, "/sys", NULL, MS_BIND, NULL) == 0 &&
	       mount(dev, "/dev", NULL, MS_BIND, NULL) == 0;
}
