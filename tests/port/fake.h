/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A directory that plays the root of a host: files and links instead of
 * sysfs, procfs and devices. What is written to an attribute stays in it.
 */
#ifndef TESTS_PORT_FAKE_H
#define TESTS_PORT_FAKE_H

#include <stdbool.h>

#include "job.h"
#include "port/port.h"

struct fake {
	char root[64];
	struct iso_completion completion;
	struct port port; /* root and completion as above, deadline in 2 s */
};

void fake_make(struct fake *fake);
void fake_remove(struct fake *fake);

/* Paths are below the root and start with '/'; directories above are made. */
void fake_directory(struct fake *fake, const char *path);
void fake_file(struct fake *fake, const char *path, const char *text);
void fake_link(struct fake *fake, const char *path, const char *target);

/* The attributes of a dax device in `directory`: 2 MiB alignment; `driver` NULL: bound to none. */
void fake_dax(struct fake *fake, const char *directory, const char *size, const char *dev,
	      const char *driver);

/* Content of a file; "" when there is none. Valid until the next call. */
const char *fake_text(struct fake *fake, const char *path);
bool fake_exists(struct fake *fake, const char *path);

/* Lays out a recorded tree: lines "d PATH", "f PATH TEXT", "l PATH TARGET". */
void fake_tree(struct fake *fake, const char *file);

/*
 * Puts the tree's /sys and /dev on the real ones, for libcxl, in a mount
 * namespace of this process. Return: false when that is not allowed here.
 */
bool fake_mount(struct fake *fake);

#endif
