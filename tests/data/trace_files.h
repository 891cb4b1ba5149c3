/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads what was recorded on real kernels: data/trace/VERSION/SYSTEM-EVENT.format
 * and raw ring pages, *.page. For tests and benchmarks; ends the program when a
 * file is not there.
 */
#ifndef TESTS_DATA_TRACE_FILES_H
#define TESTS_DATA_TRACE_FILES_H

#include "source/trace_formats.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline size_t trace_file_read(const char *path, void *ret, size_t room)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	if (!file) {
		perror(path);
		exit(2);
	}
	n = fread(ret, 1, room, file);
	fclose(file);
	return n;
}

static inline void trace_files_formats(const char *directory, struct trace_formats *formats)
{
	static char text[64 * 1024];
	DIR *files = opendir(directory);
	struct dirent *entry;

	if (!files) {
		perror(directory);
		exit(2);
	}
	while ((entry = readdir(files))) {
		char path[PATH_MAX], system[TRACE_NAME_BYTES];
		size_t n = strcspn(entry->d_name, "-");

		if (!strstr(entry->d_name, ".format") || n >= sizeof(system))
			continue;
		memcpy(system, entry->d_name, n);
		system[n] = '\0';
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		n = trace_file_read(path, text, sizeof(text));
		if (trace_formats_add(formats, system, text, n) < 0) {
			fprintf(stderr, "%s: not a format\n", path);
			exit(2);
		}
	}
	closedir(files);
}

#endif
