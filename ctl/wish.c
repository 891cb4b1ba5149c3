/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wish.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "pin_words.h"
#include "units.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

void wish_init(struct wish *wish)
{
	*wish = (struct wish){.restart = true, .wait = true};
}

/* The same rule as the daemon's, so that a typing error is seen without it. */
static bool name_valid(const char *name)
{
	size_t length = strlen(name);

	if (!length || length >= WISH_NAME_BYTES || !isalnum((unsigned char)name[0]))
		return false;
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") ==
	       length;
}

const char *wish_set_name(struct wish *wish, const char *text)
{
	if (!name_valid(text))
		return "a name is up to 64 letters, digits, '_', '.', '-', and begins with a letter or digit";
	wish->name = text;
	return NULL;
}

const char *wish_add_size(struct wish *wish, const char *text)
{
	const char *at = strchr(text, '@');
	struct wish_part part = {0};
	char size[32];
	size_t length = at ? (size_t)(at - text) : strlen(text);

	if (wish->n_parts == WISH_PARTS_MAX)
		return "a VM has at most 4 pieces of memory";
	if (length >= sizeof(size))
		return "not a size; write for example 512M or 2G@REGION";
	memcpy(size, text, length);
	size[length] = '\0';
	if (units_parse_size(size, &part.bytes) < 0 || !part.bytes)
		return "not a size; write for example 512M or 2G@REGION";
	if (at) {
		if (!name_valid(at + 1))
			return "what follows '@' is not the name of a region";
		snprintf(part.region, sizeof(part.region), "%s", at + 1);
	}
	wish->parts[wish->n_parts++] = part;
	return NULL;
}

const char *wish_set_user(struct wish *wish, const char *text)
{
	struct passwd *user = getpwnam(text);
	char *end;
	unsigned long uid;

	if (!user && isdigit((unsigned char)text[0])) {
		errno = 0;
		uid = strtoul(text, &end, 10);
		if (errno || *end || uid >= UINT32_MAX)
			return "not a user";
		user = getpwuid((uid_t)uid);
		if (!user) {
			wish->uid = (uid_t)uid;
			wish->gid = (gid_t)uid;
			return NULL;
		}
	}
	if (!user)
		return "no such user";
	wish->uid = user->pw_uid;
	wish->gid = user->pw_gid;
	return NULL;
}

const char *wish_set_align(struct wish *wish, const char *text)
{
	uint64_t align;

	if (units_parse_size(text, &align) < 0 || (align != 2 * MIB && align != GIB))
		return "the alignment is 2M or 1G";
	wish->align = align;
	return NULL;
}

const char *wish_set_qmp(struct wish *wish, const char *text)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_-./";

	/* QEMU's options would need others quoted; sun_path has 108 bytes. */
	if (strncmp(text, "/run/", 5) || strstr(text, "/../") || strlen(text) >= 104 ||
	    text[strspn(text, allowed)])
		return "a path below /run, of letters, digits and '_-./', of at most 103";
	wish->qmp = text;
	return NULL;
}

static const char *set_time(uint64_t *ns, const char *text)
{
	/* The API carries signed 64-bit numbers. */
	if (units_parse_time(text, ns) < 0 || *ns > INT64_MAX)
		return "not a time; write for example 30s or 5min";
	return NULL;
}

const char *wish_set_keep(struct wish *wish, const char *text)
{
	return set_time(&wish->keep_ns, text);
}

const char *wish_set_expires(struct wish *wish, const char *text)
{
	return set_time(&wish->expires_ns, text);
}

const char *wish_set_poison(struct wish *wish, const char *text)
{
	if (strcmp(text, "kill") && strcmp(text, "notify") && strcmp(text, "ignore"))
		return "kill, notify or ignore";
	wish->poison = text;
	return NULL;
}

const char *wish_add_pins(struct wish *wish, const char *text)
{
	uint32_t pin = pin_words_find(text);

	if (!pin)
		return "the kinds are direct-io, io-uring, vfio, vhost, rdma, outstanding, unknown";
	wish->pins |= pin;
	return NULL;
}

/* Array of words. Return: 0 or negative errno. */
static int build_pins(uint32_t pins, sd_json_variant **ret)
{
	int r = 0;

	for (uint32_t i = 0; r >= 0 && i < pin_words_count(); i++)
		if (pins & 1u << i)
			r = sd_json_variant_append_arrayb(ret,
							  SD_JSON_BUILD_STRING(pin_words_get(i)));
	return r;
}

const char *wish_check(const struct wish *wish)
{
	uint64_t align = wish->align ? wish->align : 2 * MIB;

	if (!wish->name)
		return "a name is needed";
	if (!wish->n_parts)
		return "at least one --size is needed";
	for (size_t i = 0; i < wish->n_parts; i++)
		if (wish->parts[i].bytes % align)
			return "each size must be a multiple of the alignment (2M unless --align says otherwise)";
	return NULL;
}

int wish_build(const struct wish *wish, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parts = NULL, *pins = NULL;
	int r;

	for (size_t i = 0; i < wish->n_parts; i++) {
		const struct wish_part *part = &wish->parts[i];

		r = sd_json_variant_append_arraybo(
			&parts, SD_JSON_BUILD_PAIR_UNSIGNED("size", part->bytes),
			SD_JSON_BUILD_PAIR_CONDITION(part->region[0], "region",
						     SD_JSON_BUILD_STRING(part->region)));
		if (r < 0)
			return r;
	}
	r = build_pins(wish->pins, &pins);
	if (r < 0)
		return r;
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("name", wish->name),
		SD_JSON_BUILD_PAIR_UNSIGNED("uid", wish->uid),
		SD_JSON_BUILD_PAIR_UNSIGNED("gid", wish->gid),
		SD_JSON_BUILD_PAIR_VARIANT("parts", parts),
		SD_JSON_BUILD_PAIR_CONDITION(wish->align != 0, "align",
					     SD_JSON_BUILD_UNSIGNED(wish->align)),
		SD_JSON_BUILD_PAIR_UNSIGNED("keepNs", wish->keep_ns),
		SD_JSON_BUILD_PAIR_CONDITION(wish->expires_ns != 0, "expiresNs",
					     SD_JSON_BUILD_UNSIGNED(wish->expires_ns)),
		SD_JSON_BUILD_PAIR_BOOLEAN("restart", wish->restart),
		SD_JSON_BUILD_PAIR_BOOLEAN("wait", wish->wait),
		SD_JSON_BUILD_PAIR_CONDITION(wish->poison != NULL, "poison",
					     SD_JSON_BUILD_STRING(wish->poison)),
		SD_JSON_BUILD_PAIR_CONDITION(wish->pins != 0, "pins", SD_JSON_BUILD_VARIANT(pins)),
		SD_JSON_BUILD_PAIR_CONDITION(wish->pins && wish->evidence, "evidence",
					     SD_JSON_BUILD_STRING(wish->evidence)));
}

void wish_format_qemu(const char *name, size_t part, uint64_t bytes, uint64_t align,
		      char text[WISH_QEMU_BYTES])
{
	char align_text[UNITS_SIZE_BYTES];

	/* align= because QEMU may be built without libdaxctl and then maps 4 KiB aligned, which the kernel refuses. */
	snprintf(text, WISH_QEMU_BYTES,
		 "memory-backend-file,id=mem%zu,mem-path=/dev/daxmgr/vm/%s/mem%zu,size=%" PRIu64
		 ",align=%s,share=on,prealloc=off",
		 part, name, part, bytes, units_format_exact(align ? align : 2 * MIB, align_text));
}
