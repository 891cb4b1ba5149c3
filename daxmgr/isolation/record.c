/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <stdio.h>

#include "../records.h"
#include "registers.h"

bool isolation_is_news(struct isolation_told *told, uint32_t status)
{
	/* RP Busy alone comes and goes. */
	uint32_t changed = (status ^ told->status) & ISOLATION_STATUS_CLEARABLE;

	if (told->clearing && !(status & ISOLATION_STATUS_TIMEOUT)) {
		told->clearing = false;
		changed &= ~(uint32_t)ISOLATION_STATUS_TIMEOUT;
	}
	told->status = status;
	return changed;
}

bool isolation_timeout_alone(const struct isolation_told *told, uint32_t status)
{
	const uint32_t all = ISOLATION_STATUS_CLEARABLE | ISOLATION_STATUS_RP_BUSY;

	return (status & all) == ISOLATION_STATUS_TIMEOUT &&
	       told->status & ISOLATION_STATUS_TIMEOUT;
}

static uint32_t severity_of(uint32_t status)
{
	return status & ISOLATION_STATUS_ISOLATED  ? STORE_FATAL
	       : status & ISOLATION_STATUS_TIMEOUT ? STORE_ERROR
						   : STORE_INFO;
}

void isolation_record(struct iso_pci_address port, const struct iso_isolation *words,
		      uint64_t at_ns, char fields[ISOLATION_FIELDS_BYTES], struct store_event *ret)
{
	uint32_t status = words->status;

	*ret = (struct store_event){.source = "isolation",
				    .at_ns = at_ns,
				    .severity = severity_of(status),
				    .fields = fields,
				    .raw = &words->status,
				    .raw_bytes = sizeof(words->status)};
	snprintf(ret->kind, sizeof(ret->kind), "%s",
		 status & ISOLATION_STATUS_ISOLATED  ? "isolated"
		 : status & ISOLATION_STATUS_TIMEOUT ? "timeout"
						     : "status");
	iso_pci_address_format(port, ret->unit);
	snprintf(ret->text, sizeof(ret->text), "status 0x%x control 0x%x%s%s%s", status,
		 words->control,
		 words->source == ISO_ISOLATION_STAND_IN ? ", of a stand-in for the port" : "",
		 status & ISOLATION_STATUS_BY_LINK ? ", because its link went down" : "",
		 status & ISOLATION_STATUS_RP_BUSY ? ", RP Busy" : "");
	snprintf(fields, ISOLATION_FIELDS_BYTES, "{\"status\":%u,\"control\":%u,\"capability\":%u}",
		 status, words->control, words->capability);
	ret->likeness = records_likeness(ret);
}
