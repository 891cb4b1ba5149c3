/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When records become rows after a start. */
#include <criterion/criterion.h>

#include "sources_internal.h"

#define SECOND UINT64_C(1000000000)

/* Proves: they wait for the first look at the host, but not for ever. */
Test(sources_hold, first_look)
{
	static struct daemon daemon = {.started_ns = 100 * SECOND};

	cr_assert_not(sources_know_host(&daemon, 100 * SECOND));
	cr_assert_not(sources_know_host(&daemon, 110 * SECOND - 1));
	cr_assert(sources_know_host(&daemon, 110 * SECOND), "the host cannot be looked at");
	daemon.ready = true;
	cr_assert(sources_know_host(&daemon, 100 * SECOND));
}
