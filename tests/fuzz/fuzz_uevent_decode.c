/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as an uevent: nothing is read outside, what points inside ends inside. */
#include "source/uevent_decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, const char *message, size_t size)
{
	if (!text)
		return;
	assert(text > message && text < message + size);
	assert(memchr(text, 0, (size_t)(message + size - text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *message = malloc(size + (size == 0));
	struct uevent uevent;
	struct uevent_news news;
	struct iso_fault fault;

	if (!message)
		return 0;
	memcpy(message, data, size);
	if (uevent_decode(message, size, &uevent) == UEVENT_DECODED) {
		check_text(uevent.action, message, size);
		check_text(uevent.devpath, message, size);
		check_text(uevent.subsystem, message, size);
		check_text(uevent.devtype, message, size);
		check_text(uevent.driver, message, size);
		check_text(uevent.devname, message, size);
		check_text(uevent.error_event, message, size);
		check_text(uevent.pci_slot_name, message, size);
		uevent_meaning(&uevent, &news);
		check_text(news.name, message, size);
		if (uevent_fault(&news, 1, &fault) && fault.unit_kind == ISO_UNIT_INSTANCE)
			assert(fault.kernel_id != 0 && fault.kernel_id != ISO_NONE);
	}
	free(message);
	return 0;
}
