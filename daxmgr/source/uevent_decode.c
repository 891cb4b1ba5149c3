/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "uevent_decode.h"

#include <isolate/view.h>
#include <string.h>

/* Return: what follows "KEY=", or NULL when the text is another key's. */
static const char *value_of(const char *text, const char *key)
{
	size_t n = strlen(key);

	return !strncmp(text, key, n) && text[n] == '=' ? text + n + 1 : NULL;
}

/* Decimal digits to the end and nothing else. */
static bool parse_number(const char *text, const char *end, uint64_t limit, uint64_t *ret)
{
	uint64_t value = 0;

	if (text == end)
		return false;
	for (; text != end; text++) {
		uint64_t digit = (uint64_t)(unsigned char)*text - '0';

		if (digit > 9 || value > (limit - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = value;
	return true;
}

static void read_property(const char *text, struct uevent *uevent)
{
	struct {
		const char *key;
		const char **target;
	} texts[] = {
		{"ACTION", &uevent->action},           {"DEVPATH", &uevent->devpath},
		{"SUBSYSTEM", &uevent->subsystem},     {"DEVTYPE", &uevent->devtype},
		{"DRIVER", &uevent->driver},           {"DEVNAME", &uevent->devname},
		{"ERROR_EVENT", &uevent->error_event}, {"PCI_SLOT_NAME", &uevent->pci_slot_name},
	};
	const char *value;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		value = value_of(text, texts[i].key);
		if (value) {
			*texts[i].target = value;
			return;
		}
	}

	value = value_of(text, "SEQNUM");
	if (value)
		uevent->has_seqnum =
			parse_number(value, value + strlen(value), UINT64_MAX, &uevent->seqnum);
	value = value_of(text, "DEVICE_ONLINE");
	if (value && (!strcmp(value, "0") || !strcmp(value, "1"))) {
		uevent->device_online = *value == '1';
		uevent->has_device_online = true;
	}
}

enum uevent_outcome uevent_decode(const char *message, size_t bytes, struct uevent *ret)
{
	const char *end = message + bytes;
	struct uevent uevent = {0};
	const char *text;

	if (bytes == 0 || message[bytes - 1] != '\0')
		return UEVENT_MALFORMED;
	if (!strcmp(message, "libudev"))
		return UEVENT_NOT_KERNEL;
	/* ACTION@DEVPATH, the same again as properties behind it. */
	text = strchr(message, '@');
	if (!text || text == message || text[1] != '/')
		return UEVENT_MALFORMED;

	for (text = message + strlen(message) + 1; text < end; text += strlen(text) + 1)
		read_property(text, &uevent);
	if (!uevent.action || !uevent.devpath || !uevent.subsystem)
		return UEVENT_MALFORMED;
	uevent.message = message;
	uevent.bytes = bytes;
	*ret = uevent;
	return UEVENT_DECODED;
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is(const char *text, const char *expected)
{
	return text && !strcmp(text, expected);
}

/* The function nearest to the device: the last component of the path that is an address. */
static struct iso_pci_address address_in_path(const char *path)
{
	struct iso_pci_address found = {0};

	while (*path) {
		size_t n = strcspn(path, "/");
		struct iso_pci_address address;
		char component[32];

		if (n < sizeof(component)) {
			memcpy(component, path, n);
			component[n] = '\0';
			if (iso_pci_address_parse(component, &address))
				found = address;
		}
		path += n + (path[n] == '/');
	}
	return found;
}

/* daxX.Y */
static bool parse_instance(const char *name, struct uevent_news *news)
{
	const char *dot = strchr(name, '.');
	uint64_t region, instance;

	if (strncmp(name, "dax", 3) || !dot)
		return false;
	/* The top value is ISO_NONE. */
	if (!parse_number(name + 3, dot, UINT32_MAX - 1, &region) ||
	    !parse_number(dot + 1, name + strlen(name), UINT32_MAX - 1, &instance))
		return false;
	news->region_kernel_id = (uint32_t)region;
	news->kernel_id = (uint32_t)instance;
	return true;
}

static bool leaves_or_comes(const char *action)
{
	return is(action, "add") || is(action, "remove") || is(action, "bind") ||
	       is(action, "unbind");
}

static void meaning_of_dax(const struct uevent *uevent, struct uevent_news *news)
{
	if (!leaves_or_comes(uevent->action))
		return;
	news->meaning = UEVENT_CHANGED;
	/* daxX.0 is nobody's instance but the region's placeholder. */
	if ((is(uevent->action, "remove") || is(uevent->action, "unbind")) &&
	    parse_instance(news->name, news) && news->kernel_id != 0)
		news->meaning = UEVENT_INSTANCE_GONE;
}

static void meaning_of_cxl(const struct uevent *uevent, struct uevent_news *news)
{
	if (!leaves_or_comes(uevent->action))
		return;
	news->meaning = UEVENT_CHANGED;
	if (is(uevent->action, "remove") && is(uevent->devtype, "cxl_memdev"))
		news->meaning = UEVENT_MEMDEV_GONE;
}

static void meaning_of_pci(const struct uevent *uevent, struct uevent_news *news)
{
	if (is(uevent->error_event, "BEGIN_RECOVERY")) {
		news->meaning = UEVENT_RECOVERY_BEGINS;
	} else if (is(uevent->error_event, "SUCCESSFUL_RECOVERY")) {
		news->meaning = UEVENT_SETTLED;
		news->recovered = true;
	} else if (is(uevent->error_event, "FAILED_RECOVERY")) {
		news->meaning = UEVENT_SETTLED;
	} else if (leaves_or_comes(uevent->action)) {
		news->meaning = UEVENT_CHANGED;
	}
}

enum uevent_meaning uevent_meaning(const struct uevent *uevent, struct uevent_news *ret)
{
	*ret = (struct uevent_news){
		.meaning = UEVENT_NOTHING,
		.name = last_component(uevent->devpath),
	};

	if (is(uevent->subsystem, "dax")) {
		meaning_of_dax(uevent, ret);
	} else if (is(uevent->subsystem, "cxl")) {
		ret->address = address_in_path(uevent->devpath);
		meaning_of_cxl(uevent, ret);
	} else if (is(uevent->subsystem, "pci")) {
		if (!uevent->pci_slot_name ||
		    !iso_pci_address_parse(uevent->pci_slot_name, &ret->address))
			ret->address = address_in_path(uevent->devpath);
		meaning_of_pci(uevent, ret);
	}
	return ret->meaning;
}

bool uevent_fault(const struct uevent_news *news, uint64_t read_ns, struct iso_fault *ret)
{
	struct iso_fault fault = {.record_ns = read_ns};

	switch (news->meaning) {
	case UEVENT_MEMDEV_GONE:
		if (!news->address.known)
			return false;
		fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
		fault.cause = ISO_CAUSE_DEVICE_GONE;
		fault.address = news->address;
		break;
	case UEVENT_INSTANCE_GONE:
		fault.unit_kind = ISO_UNIT_INSTANCE;
		fault.cause = ISO_CAUSE_REGION_GONE;
		fault.region_kernel_id = news->region_kernel_id;
		fault.kernel_id = news->kernel_id;
		break;
	case UEVENT_NOTHING:
	case UEVENT_CHANGED:
	case UEVENT_RECOVERY_BEGINS:
	case UEVENT_SETTLED:
		return false;
	}
	*ret = fault;
	return true;
}
