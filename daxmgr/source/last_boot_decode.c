/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "last_boot_decode.h"

#include <string.h>

static const char *find(const char *text, size_t bytes, const char *phrase)
{
	return memmem(text, bytes, phrase, strlen(phrase));
}

static bool has_any(const char *text, size_t bytes, const char *const *phrases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (find(text, bytes, phrases[i]))
			return true;
	return false;
}

#define HAS_ANY(text, bytes, phrases)                                                              \
	has_any(text, bytes, phrases, sizeof(phrases) / sizeof(phrases[0]))

static void copy_printable(char *to, size_t room, const char *from, size_t bytes)
{
	size_t n = 0;

	for (; bytes && n + 1 < room; from++, bytes--)
		to[n++] = *from >= ' ' && *from <= '~' ? *from : '?';
	to[n] = '\0';
}

/* The same for ever: it is stored. */
static uint64_t hash(const char *at, size_t bytes)
{
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	for (; bytes; at++, bytes--)
		value = (value ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
	return value;
}

static const char *find_reason(const char *text, size_t bytes, bool *ret_panic)
{
	static const char *const oopses[] = {"BUG: unable to handle", "BUG: kernel NULL pointer",
					     "kernel BUG at ", "general protection fault",
					     "Oops: "};
	const char *at = find(text, bytes, "Kernel panic - not syncing"), *first = NULL;

	*ret_panic = at != NULL;
	for (size_t i = 0; !*ret_panic && i < sizeof(oopses) / sizeof(oopses[0]); i++) {
		at = find(text, bytes, oopses[i]);
		if (at && (!first || at < first))
			first = at;
	}
	return *ret_panic ? at : first;
}

/* "RIP: 0010:bio_check_pages_dirty+0x2d/0xc0" */
static void find_function(const char *text, size_t bytes, char *to)
{
	static const char mark[] = "RIP: 0010:";
	const char *at = find(text, bytes, mark), *end = text + bytes, *stop;

	to[0] = '\0';
	if (!at)
		return;
	at += sizeof(mark) - 1;
	for (stop = at; stop < end && *stop != '+' && *stop > ' '; stop++)
		;
	copy_printable(to, LAST_BOOT_FUNCTION_BYTES, at, (size_t)(stop - at));
}

/*
 * A line that shows CXL at work: a function of it in a stack, or its link that
 * went. That its modules are there says nothing, they are named in every oops.
 */
static bool line_involves_cxl(const char *line, size_t bytes)
{
	static const char *const functions[] = {"cxl_", "dax_", "memunmap_pages", "pciehp_"};
	static const char *const messages[] = {"): Link Down", "Uncorrectable (Fatal)",
					       "DPC: containment"};

	return HAS_ANY(line, bytes, messages) ||
	       (find(line, bytes, "+0x") && HAS_ANY(line, bytes, functions));
}

static bool involves_cxl(const char *text, size_t bytes)
{
	const char *end = text + bytes, *stop;

	for (; text < end; text = stop + 1) {
		stop = memchr(text, '\n', (size_t)(end - text));
		if (!stop)
			stop = end;
		if (line_involves_cxl(text, (size_t)(stop - text)))
			return true;
	}
	return false;
}

bool last_boot_decode(const char *text, size_t bytes, struct last_boot_panic *ret)
{
	static const char *const machine_check[] = {"Machine check", "machine check",
						    "Machine Check", "mce: [Hardware Error]"};
	struct last_boot_panic found = {0};
	const char *reason, *line, *end = text + bytes, *stop;

	reason = find_reason(text, bytes, &found.panic);
	if (!reason)
		return false;
	for (line = reason; line > text && line[-1] != '\n'; line--)
		;
	stop = memchr(reason, '\n', (size_t)(end - reason));
	if (!stop)
		stop = end;
	copy_printable(found.text, sizeof(found.text), reason, (size_t)(stop - reason));
	found.key = hash(line, (size_t)(stop - line));
	found.at = (size_t)(line - text);
	found.machine_check = HAS_ANY(text, bytes, machine_check);
	found.cxl = involves_cxl(text, bytes);
	find_function(text, bytes, found.function);
	*ret = found;
	return true;
}
