/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pin_words.h"

#include <stdio.h>
#include <string.h>

#include <isolate/types.h>

struct word {
	uint32_t pin;
	const char *word;
};

/* In the order of their bits. */
static const struct word words[] = {
	{ISO_PIN_DIRECT_IO, "direct-io"}, {ISO_PIN_IO_URING, "io-uring"},
	{ISO_PIN_VFIO, "vfio"},           {ISO_PIN_VHOST, "vhost"},
	{ISO_PIN_RDMA, "rdma"},           {ISO_PIN_OUTSTANDING, "outstanding"},
	{ISO_PIN_UNKNOWN, "unknown"},
};

enum { KINDS = sizeof(words) / sizeof(words[0]) };

uint32_t pin_words_count(void)
{
	return KINDS;
}

const char *pin_words_get(uint32_t i)
{
	return words[i].word;
}

static uint32_t pin_of(const char *word, size_t length)
{
	for (uint32_t i = 0; i < KINDS; i++)
		if (strlen(words[i].word) == length && !memcmp(words[i].word, word, length))
			return words[i].pin;
	return 0;
}

uint32_t pin_words_find(const char *word)
{
	return pin_of(word, strlen(word));
}

const char *pin_words_format(uint32_t pins, char text[PIN_WORDS_BYTES])
{
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < KINDS; i++)
		if (pins & words[i].pin)
			at += (size_t)snprintf(text + at, PIN_WORDS_BYTES - at, "%s%s",
					       at ? "," : "", words[i].word);
	return text;
}

uint32_t pin_words_parse(const char *text)
{
	uint32_t pins = 0;
	size_t length;

	for (; *text; text += length + (text[length] == ',')) {
		length = strcspn(text, ",");
		pins |= pin_of(text, length);
	}
	return pins;
}
