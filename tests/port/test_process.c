/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a process started, and which of its threads says why it is still there. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fake.h"
#include "port/process.h"

static struct fake f;
static char where[ISO_EVIDENCE_BYTES];

static void setup(void)
{
	fake_make(&f);
}

static void teardown(void)
{
	fake_remove(&f);
}

TestSuite(process, .init = setup, .fini = teardown);

static void task(int pid, int tid, char state, const char *wchan)
{
	char path[64], text[128];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	snprintf(text, sizeof(text),
		 "%d (a) b) %c 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 1", tid, state);
	fake_file(&f, path, text);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/wchan", pid, tid);
	fake_file(&f, path, wchan);
}

Test(process, lines_of_stat)
{
	uint64_t start;
	char state;

	cr_assert(process_stat_parse("1 (x) S 0 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 5 6",
				     &state, &start));
	cr_assert_eq(state, 'S');
	cr_assert_eq(start, 5);
	cr_assert_not(process_stat_parse("", &state, &start));
	cr_assert_not(process_stat_parse("1 (x) S 0 1", &state, &start));
	cr_assert_not(process_stat_parse("1 (x)", &state, &start));
	cr_assert_not(process_stat_parse("1 (x S 0 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 5 6",
					 &state, &start));
}

Test(process, start)
{
	uint64_t start = 0;

	fake_file(&f, "/proc/420/stat", "420 (q) Z 1 1 1 0 -1 4 1 0 0 0 1 2 0 0 20 0 1 0 98765 1");
	cr_assert_eq(process_start(&f.port, 420, &start), 0);
	cr_assert_eq(start, 98765);
	cr_assert_eq(process_start(&f.port, 421, &start), -ESRCH);
	fake_file(&f, "/proc/422/stat", "rubbish");
	cr_assert_eq(process_start(&f.port, 422, &start), -EBADMSG);
}

Test(process, the_thread_that_sleeps_in_the_kernel_is_named)
{
	task(420, 420, 'Z', "0");
	process_where(&f.port, 420, where);
	cr_assert_str_eq(where, "Z");
	task(420, 421, 'S', "futex_do_wait");
	process_where(&f.port, 420, where);
	cr_assert_str_eq(where, "S in futex_do_wait");
	task(420, 422, 'D', "folio_wait_bit_common");
	process_where(&f.port, 420, where);
	cr_assert_str_eq(where, "D in folio_wait_bit_common");
	process_where(&f.port, 421, where);
	cr_assert_str_eq(where, "gone");
}
