/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves what is read from a VM's monitor, and that nothing a hostile VM sends
 * there becomes more than a bounded, counted nothing. Lines are QEMU 10's and
 * 11's own.
 */
#include "source/qmp_decode.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_FAILURE                                                                             \
	"{\"timestamp\": {\"seconds\": 1790000000, \"microseconds\": 123456}, "                    \
	"\"event\": \"MEMORY_FAILURE\", \"data\": {\"recipient\": \"hypervisor\", "                \
	"\"action\": \"ignore\", \"flags\": {\"action-required\": false, \"recursive\": true}}}"

static struct qmp_event event;
static char seen[8][64];
static unsigned int n_seen;

static enum qmp_kind decode(const char *line)
{
	size_t bytes = strlen(line);
	char *copy = malloc(bytes + (bytes == 0));
	enum qmp_kind kind;

	memcpy(copy, line, bytes);
	kind = qmp_decode(copy, bytes, &event);
	free(copy);
	cr_assert_eq(kind, event.kind);
	return kind;
}

Test(qmp_decode, a_memory_failure_has_all_its_fields)
{
	cr_assert_eq(decode(MEMORY_FAILURE), QMP_MEMORY_FAILURE);
	cr_assert_str_eq(event.recipient, "hypervisor");
	cr_assert_str_eq(event.action, "ignore");
	cr_assert(event.has_action_required);
	cr_assert_not(event.action_required);
	cr_assert(event.has_recursive);
	cr_assert(event.recursive);
	cr_assert(event.has_vm_us);
	cr_assert_eq(event.vm_us, UINT64_C(1790000000123456));
}

Test(qmp_decode, what_is_missing_is_absent)
{
	cr_assert_eq(decode("{\"event\": \"MEMORY_FAILURE\"}"), QMP_MEMORY_FAILURE);
	cr_assert_str_empty(event.recipient);
	cr_assert_not(event.has_recursive);
	cr_assert_not(event.has_vm_us);
}

Test(qmp_decode, other_lines_have_their_kind)
{
	cr_assert_eq(decode("{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}"),
		     QMP_GREETING);
	cr_assert_eq(decode("{\"return\": {}}"), QMP_NOTHING);
	cr_assert_eq(decode("{\"error\": {\"class\": \"CommandNotFound\"}}"), QMP_ERROR);
	cr_assert_eq(decode("{\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 0}}"), QMP_NOTHING);
	cr_assert_eq(decode("{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"pause\"}}"),
		     QMP_GUEST_PANICKED);
	cr_assert_str_eq(event.action, "pause");
	cr_assert_eq(decode("{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"host-signal\"}}"),
		     QMP_SHUTDOWN);
	cr_assert_str_eq(event.reason, "host-signal");
}

Test(qmp_decode, words_of_a_hostile_vm_are_not_taken)
{
	cr_assert_eq(
		decode("{\"event\": \"MEMORY_FAILURE\", \"data\": {\"recipient\": "
		       "\"\\u001b[2J\", \"action\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", "
		       "\"flags\": [1], \"x\": {}}, \"timestamp\": {\"seconds\": -1}}"),
		QMP_MEMORY_FAILURE);
	cr_assert_str_empty(event.recipient);
	cr_assert_str_empty(event.action);
	cr_assert_not(event.has_action_required);
	cr_assert_not(event.has_vm_us);
}

Test(qmp_decode, what_is_no_line_of_qmp_is_malformed)
{
	static const char *const lines[] = {
		"", "x", "[]", "1", "{}", "{\"event\": 5}", "{", "{\"a\"", "{\"return\": {}} x"};
	char line[QMP_LINE_BYTES_MAX + 2], deep[256];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert_eq(decode(lines[i]), QMP_MALFORMED, "%s", lines[i]);
	memset(line, ' ', sizeof(line));
	memcpy(line, "{\"return\": 1}", 13);
	line[sizeof(line) - 1] = '\0';
	cr_assert_eq(decode(line), QMP_MALFORMED, "too long");
	cr_assert_eq(qmp_decode("{\"return\"\0: 1}", 14, &event), QMP_MALFORMED, "NUL inside");
	snprintf(deep, sizeof(deep), "{\"return\": %.*s%.*s}", 40,
		 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 40,
		 "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	cr_assert_eq(decode(deep), QMP_MALFORMED, "too deep");
	cr_assert_eq(decode("{\"return\": \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), QMP_NOTHING,
		     "brackets in a text are none");
}

static void on_line(void *userdata, const char *line, size_t bytes)
{
	(void)userdata;
	cr_assert_lt(n_seen, 8);
	snprintf(seen[n_seen++], sizeof(seen[0]), "%.*s", (int)bytes, line);
}

Test(qmp_lines, pieces_become_lines)
{
	struct qmp_lines lines = {0};

	qmp_lines_take(&lines, "a\r\nb", 4, on_line, NULL);
	qmp_lines_take(&lines, "c", 1, on_line, NULL);
	qmp_lines_take(&lines, "\n\nd\n", 4, on_line, NULL);
	cr_assert_eq(n_seen, 3);
	cr_assert_str_eq(seen[0], "a");
	cr_assert_str_eq(seen[1], "bc");
	cr_assert_str_eq(seen[2], "d");
	cr_assert_eq(lines.too_long, 0);
	cr_assert_null(lines.partial, "nothing is kept while no line waits");
	qmp_lines_done(&lines);
}

Test(qmp_lines, an_endless_line_is_counted_once_and_what_follows_is_read)
{
	struct qmp_lines lines = {0};
	char junk[1000];

	memset(junk, 'x', sizeof(junk));
	for (int i = 0; i < 20; i++)
		qmp_lines_take(&lines, junk, sizeof(junk), on_line, NULL);
	cr_assert_eq(n_seen, 0);
	cr_assert_eq(lines.too_long, 1);
	qmp_lines_take(&lines, "x\ngood\n", 7, on_line, NULL);
	cr_assert_eq(n_seen, 1);
	cr_assert_str_eq(seen[0], "good");
	cr_assert_eq(lines.too_long, 1);
	qmp_lines_done(&lines);
}
