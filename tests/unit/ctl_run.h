/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs of daxmgrctl against the server of control_server.h: what they print, and their exit status. */
#ifndef TESTS_CTL_RUN_H
#define TESTS_CTL_RUN_H

#include "control_server.h"

#include <fcntl.h>
#include <getopt.h>

#include "verb.h"

struct run {
	int status;
	char out[16384];
	char err[4096];
};

static inline void read_back(FILE *file, char *text, size_t room)
{
	size_t n;

	rewind(file);
	n = fread(text, 1, room - 1, file);
	text[n] = '\0';
	fclose(file);
}

static inline const struct verb *find_verb(const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			return verb;
	cr_assert(false, "no verb '%s'", name);
	return NULL;
}

/* Runs a verb in this process with its output caught. */
static inline void run_verb(struct fixture *f, struct run *ret, const char *name, int argc,
			    const char *const *arguments)
{
	struct context context = {
		.verb = find_verb(name), .socket = f->socket, .json = SD_JSON_FORMAT_OFF};
	FILE *out = tmpfile(), *err = tmpfile();
	int old_out = dup(1), old_err = dup(2), old_in = dup(0), null = open("/dev/null", O_RDONLY);
	char *argv[16] = {(char *)"verb"};

	for (int i = 0; i < argc; i++)
		argv[i + 1] = (char *)arguments[i];
	optind = 0;
	fflush(stdout);
	fflush(stderr);
	dup2(fileno(out), 1);
	dup2(fileno(err), 2);
	dup2(null, 0);
	ret->status = context.verb->run(&context, argc + 1, argv);
	fflush(stdout);
	fflush(stderr);
	dup2(old_out, 1);
	dup2(old_err, 2);
	dup2(old_in, 0);
	close(old_out);
	close(old_err);
	close(old_in);
	close(null);
	read_back(out, ret->out, sizeof(ret->out));
	read_back(err, ret->err, sizeof(ret->err));
}

#define RUN(f, ret, name, ...)                                                                     \
	do {                                                                                       \
		const char *const arguments_[] = {__VA_ARGS__ __VA_OPT__(, ) NULL};                \
		run_verb((f), (ret), (name), (int)(sizeof(arguments_) / sizeof(char *)) - 1,       \
			 arguments_);                                                              \
	} while (0)

static inline void expect(const struct run *run, int status, const char *part)
{
	cr_assert_eq(run->status, status, "status %d\n%s%s", run->status, run->out, run->err);
	cr_assert(strstr(run->out, part) || strstr(run->err, part), "no '%s' in:\n%s%s", part,
		  run->out, run->err);
}

#endif
