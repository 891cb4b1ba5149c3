/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients that are clumsy or mean: whatever they send, the server answers or
 * hangs up, serves the next one, and keeps neither descriptors nor leases.
 */
#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "control_server.h"

enum { CONNECTIONS = 200 };

static int raw_connect(struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->socket);
	cr_assert_geq(fd, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Return: bytes of the answer, 0 when the server hung up, -1 when it said nothing for 5 s. */
static ssize_t raw_answer(int fd, char *to, size_t room)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (poll(&wait, 1, 5000) != 1)
		return -1;
	n = recv(fd, to, room - 1, 0);
	n = n < 0 ? 0 : n; /* reset: hung up */
	to[n] = '\0';
	return n;
}

/* Sends a whole message. Return: as raw_answer(). */
static ssize_t raw_ask(struct fixture *f, const char *message, char *answer, size_t room)
{
	int fd = raw_connect(f);
	ssize_t n;

	(void)!send(fd, message, strlen(message) + 1, MSG_NOSIGNAL);
	n = raw_answer(fd, answer, room);
	close(fd);
	return n;
}

static void expect_served(struct fixture *f)
{
	char answer[4096];

	cr_assert_gt(raw_ask(f, "{\"method\":\"" CLIENT_METHOD("GetStatus") "\"}", answer,
			     sizeof(answer)),
		     0);
	cr_assert(strstr(answer, "\"ready\":true"), "%s", answer);
}

static unsigned int count_descriptors(pid_t pid)
{
	unsigned int n = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	cr_assert(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void expect_descriptors(struct fixture *f, unsigned int wanted)
{
	unsigned int n = 0;

	for (int i = 0; i < 200; i++) {
		n = count_descriptors(f->server);
		if (n <= wanted)
			return;
		usleep(10000);
	}
	cr_assert_leq(n, wanted, "descriptors leak");
}

/* Refused with `error`, and the name is unknown afterwards. */
static void expect_error(struct fixture *f, const char *parameters, const char *error)
{
	char message[8192], answer[8192];
	ssize_t n;

	snprintf(message, sizeof(message),
		 "{\"method\":\"" CLIENT_METHOD("Acquire") "\",\"parameters\":%s}", parameters);
	n = raw_ask(f, message, answer, sizeof(answer));
	cr_assert_gt(n, 0, "no answer to %s", parameters);
	cr_assert(strstr(answer, error), "%s: %s", parameters, answer);
}

#define ASK(rest)  "{\"name\":\"x\",\"uid\":1,\"gid\":1," rest "}"
#define PART(size) "\"parts\":[{\"size\":" size "}]"

Test(control_hostile, numbers_that_cannot_be)
{
	struct fixture f;

	setup(&f);
	expect_error(&f, ASK(PART("-1")), "InvalidParameter");
	expect_error(&f, ASK(PART("1.5")), "InvalidParameter");
	expect_error(&f, ASK(PART("null")), "InvalidParameter");
	expect_error(&f, ASK(PART("18446744073709551616")), "InvalidParameter");
	expect_error(&f, ASK(PART("18446744073709551615")), "BadSize");
	expect_error(&f, ASK(PART("18446744073707454464")), "NoCapacity");
	expect_error(
		&f,
		ASK("\"parts\":[{\"size\":9223372036854775808},{\"size\":9223372036854775808}]"),
		"NoCapacity");
	expect_error(&f, ASK("\"parts\":[{\"size\":2097152},{\"size\":18446744073707454464}]"),
		     "NoCapacity");
	expect_error(&f, ASK(PART("0")), "BadSize");
	expect_error(&f, ASK("\"parts\":[]"), "BadSize");
	expect_error(&f, ASK(PART("6") ",\"align\":3"), "BadSize");
	expect_error(&f, ASK(PART("6") ",\"align\":1"), "BadSize");
	expect_error(&f, ASK(PART("2097152") ",\"align\":9223372036854775808"), "BadSize");
	expect_error(&f, "{\"name\":\"x\",\"uid\":4294967295,\"gid\":1," PART("2097152") "}",
		     "InvalidParameter");
	expect_error(&f, "{\"name\":\"x\",\"uid\":-1,\"gid\":1," PART("2097152") "}",
		     "InvalidParameter");
	expect_error(&f, ASK(PART("2097152") ",\"whatever\":1"), "InvalidParameter");
	expect_error(&f, ASK("\"parts\":[[[[]]]]"), "InvalidParameter");
	expect_error(&f, ASK("\"parts\":[{\"size\":2097152,\"region\":\"../../x\"}]"),
		     "NoSuchName");
	expect_served(&f);
	teardown(&f);
}

Test(control_hostile, a_time_without_end_does_not_end_at_once)
{
	char answer[4096];
	struct fixture f;

	setup(&f);
	expect_error(&f,
		     ASK(PART("67108864") ",\"expiresNs\":18446744073709551615,"
					  "\"keepNs\":18446744073709551615"),
		     "\"acquired\"");
	usleep(300000);
	cr_assert_gt(raw_ask(&f, "{\"method\":\"" CLIENT_METHOD("ListLeases") "\"}", answer,
			     sizeof(answer)),
		     0);
	cr_assert(strstr(answer, "\"acquired\""), "%s", answer);
	teardown(&f);
}

Test(control_hostile, names_that_cannot_be)
{
	char parameters[2048], name[512];
	struct fixture f;

	setup(&f);
	expect_error(&f, "{\"name\":\"\",\"uid\":1,\"gid\":1," PART("2097152") "}", "BadName");
	expect_error(&f, "{\"name\":\"a/b\",\"uid\":1,\"gid\":1," PART("2097152") "}", "BadName");
	expect_error(&f, "{\"name\":\"a\\nb\",\"uid\":1,\"gid\":1," PART("2097152") "}", "BadName");
	expect_error(&f, "{\"name\":\"\\u00e9\",\"uid\":1,\"gid\":1," PART("2097152") "}",
		     "BadName");
	/* What is quoted in the answer is cut, perhaps within a character. */
	for (int length = 76; length < 84; length++) {
		memset(name, 'x', length);
		strcpy(name + length, "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
		snprintf(parameters, sizeof(parameters),
			 "{\"name\":\"%s\",\"uid\":1,\"gid\":1," PART("2097152") "}", name);
		expect_error(&f, parameters, "BadName");
	}
	expect_served(&f);
	teardown(&f);
}

Test(control_hostile, what_is_no_message)
{
	static const char *const messages[] = {
		"",
		"x",
		"{",
		"[]",
		"null",
		"{\"method\":5}",
		"{\"method\":\"\"}",
		"{\"method\":\"org.daxmgr.Manager.Nothing\"}",
		"{\"parameters\":{}}",
		"{\"method\":\"org.daxmgr.Manager.Acquire\",\"parameters\":[]}",
		"{\"method\":\"org.daxmgr.Manager.GetStatus\",\"oneway\":true}",
	};
	unsigned int before;
	struct fixture f;
	char answer[4096];

	setup(&f);
	before = count_descriptors(f.server);
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		int fd = raw_connect(&f);

		(void)!send(fd, messages[i], strlen(messages[i]) + 1, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		cr_assert_geq(raw_answer(fd, answer, sizeof(answer)), 0, "%s", messages[i]);
		close(fd);
		expect_served(&f);
	}
	expect_descriptors(&f, before);
	teardown(&f);
}

Test(control_hostile, a_message_without_end)
{
	static char block[1 << 20];
	unsigned int before;
	struct fixture f;
	int fd, i;

	setup(&f);
	before = count_descriptors(f.server);
	fd = raw_connect(&f);
	memset(block, ' ', sizeof(block));
	for (i = 0; i < 64 && send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0; i++)
		;
	cr_assert_lt(i, 64, "the server takes 64 MiB of nothing");
	expect_served(&f);
	close(fd);
	expect_descriptors(&f, before);
	teardown(&f);
}

Test(control_hostile, many_that_come_and_go)
{
	const char *message = "{\"method\":\"" CLIENT_METHOD(
		"Acquire") "\",\"more\":true,"
			   "\"parameters\":" ASK(PART("1073741824") ",\"wait\":true") "}";
	int fds[CONNECTIONS];
	unsigned int before;
	struct fixture f;
	char answer[4096];

	setup(&f);
	before = count_descriptors(f.server);
	for (int i = 0; i < CONNECTIONS; i++)
		fds[i] = raw_connect(&f);
	/* Each stage: nothing, half a message, a whole one without reading its answer. */
	for (int i = 0; i < CONNECTIONS; i++)
		if (i % 3)
			(void)!send(fds[i], message, i % 3 == 1 ? 20 : strlen(message) + 1,
				    MSG_NOSIGNAL);
	expect_served(&f);
	for (int i = 0; i < CONNECTIONS; i++)
		close(fds[i]);
	expect_descriptors(&f, before);
	expect_served(&f);
	for (int i = 0; i < 100; i++) {
		cr_assert_gt(raw_ask(&f, "{\"method\":\"" CLIENT_METHOD("ListLeases") "\"}", answer,
				     sizeof(answer)),
			     0);
		if (strstr(answer, "\"leases\":[]"))
			break;
		usleep(20000);
	}
	cr_assert(strstr(answer, "\"leases\":[]"), "a lease of nobody is left: %s", answer);
	teardown(&f);
}
