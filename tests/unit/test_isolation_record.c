/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of an isolation status becomes a record, and how bad it is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "isolation/record.h"
#include "isolation/registers.h"

enum { OWN = 1u << 31 }; /* a bit that no specification names */

static void says(uint32_t status, const char *kind, uint32_t severity)
{
	const struct iso_pci_address port = {.bus = 0x0c, .device = 1, .known = 1};
	const struct iso_isolation words = {.source = ISO_ISOLATION_REGISTERS, .status = status};
	char fields[ISOLATION_FIELDS_BYTES], expected[32];
	struct store_event record;

	isolation_record(port, &words, 7, fields, &record);
	cr_assert_str_eq(record.source, "isolation");
	cr_assert_str_eq(record.kind, kind);
	cr_assert_eq(record.severity, severity, "%s", record.kind);
	cr_assert_str_eq(record.unit, "0000:0c:01.0");
	snprintf(expected, sizeof(expected), "\"status\":%u,", status);
	cr_assert(strstr(record.fields, expected), "%s", record.fields);
	cr_assert_eq(record.at_ns, 7);
	cr_assert_neq(record.likeness, 0);
}

/* Proves: an isolation calls for containment, a timeout may have cost somebody something. */
Test(isolation_record, severity)
{
	says(ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_ISOLATED, "isolated", STORE_FATAL);
	says(ISOLATION_STATUS_TIMEOUT, "timeout", STORE_ERROR);
	says(0, "status", STORE_INFO);
}

/* Proves: each bit is told once, also when it was an earlier daemon that told; RP Busy is not. */
Test(isolation_record, told_once)
{
	struct isolation_told told = {0};

	cr_assert(isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT));
	cr_assert_not(isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT));
	cr_assert_not(
		isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_RP_BUSY));
	cr_assert(isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_ISOLATED));
	cr_assert(isolation_is_news(&told, 0), "it was cleared");
	told = (struct isolation_told){.status = ISOLATION_STATUS_ISOLATED};
	cr_assert_not(isolation_is_news(&told, ISOLATION_STATUS_ISOLATED | OWN));
}

/* Proves: that our own clearing worked is no news; the next timeout is. */
Test(isolation_record, a_timeout_that_was_cleared)
{
	struct isolation_told told = {0};

	cr_assert(isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT | OWN));
	told.clearing = true;
	cr_assert_not(isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT), "not yet");
	cr_assert_not(isolation_is_news(&told, OWN));
	cr_assert(isolation_is_news(&told, ISOLATION_STATUS_TIMEOUT | OWN));
}

/* Proves: only a timeout that was told, and that is all, is cleared beside the order. */
Test(isolation_record, what_is_cleared)
{
	struct isolation_told told = {0};

	cr_assert_not(isolation_timeout_alone(&told, ISOLATION_STATUS_TIMEOUT), "not told yet");
	told.status = ISOLATION_STATUS_TIMEOUT;
	cr_assert(isolation_timeout_alone(&told, ISOLATION_STATUS_TIMEOUT | OWN));
	cr_assert_not(isolation_timeout_alone(&told, 0));
	cr_assert_not(isolation_timeout_alone(&told, ISOLATION_STATUS_TIMEOUT |
							     ISOLATION_STATUS_ISOLATED));
	cr_assert_not(isolation_timeout_alone(&told,
					      ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_BY_LINK));
	cr_assert_not(isolation_timeout_alone(&told,
					      ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_RP_BUSY));
}
