/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is stored of a uevent. */
#include "uevent_record.h"

#include <stdio.h>
#include <systemd/sd-json.h>

#include "sources_internal.h"

/* What the kernel's own recovery failed at, and devices that leave, cost somebody something. */
static uint32_t severity_of(const struct uevent *uevent, const struct uevent_news *news)
{
	if (news->meaning == UEVENT_SETTLED && !news->recovered)
		return STORE_ERROR;
	if (news->meaning == UEVENT_MEMDEV_GONE || news->meaning == UEVENT_INSTANCE_GONE)
		return STORE_ERROR;
	return uevent->error_event ? STORE_WARNING : STORE_INFO;
}

static char *build_fields(const struct uevent *uevent)
{
	sd_json_variant *object = NULL;
	const struct {
		const char *name, *text;
	} texts[] = {
		{"action", uevent->action},          {"devpath", uevent->devpath},
		{"subsystem", uevent->subsystem},    {"devtype", uevent->devtype},
		{"driver", uevent->driver},          {"devname", uevent->devname},
		{"errorEvent", uevent->error_event}, {"pciSlotName", uevent->pci_slot_name},
	};
	char text[ISO_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (!texts[i].text)
			continue;
		snprintf(text, sizeof(text), "%.*s", ISO_TEXT_BYTES - 1, texts[i].text);
		for (char *c = text; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		sd_json_variant_set_field_string(&object, texts[i].name, text);
	}
	if (uevent->has_seqnum)
		sd_json_variant_set_field_unsigned(&object, "seqnum", uevent->seqnum);
	if (uevent->has_device_online)
		sd_json_variant_set_field_boolean(&object, "deviceOnline", uevent->device_online);
	return sources_fields(object);
}

void uevent_record(const struct uevent *uevent, const struct uevent_news *news,
		   struct store_event *ret, char **ret_fields)
{
	*ret_fields = build_fields(uevent);
	*ret = (struct store_event){
		.source = "uevent",
		.severity = severity_of(uevent, news),
		.fields = *ret_fields,
		.raw = uevent->message,
		.raw_bytes = uevent->bytes,
	};
	snprintf(ret->kind, sizeof(ret->kind), "%s", uevent->action);
	snprintf(ret->unit, sizeof(ret->unit), "%s", news->name ? news->name : "");
	snprintf(ret->text, sizeof(ret->text), "%s %s%s%s", uevent->subsystem,
		 uevent->devtype ? uevent->devtype : "", uevent->error_event ? " " : "",
		 uevent->error_event ? uevent->error_event : "");
}
