/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words for what pins memory: one per bit, and a set of them reads back as it was. */
#include <criterion/criterion.h>

#include <string.h>

#include <isolate/types.h>

#include "pin_words.h"

Test(pin_words, every_bit_has_a_word_of_its_own)
{
	for (uint32_t i = 0; i < pin_words_count(); i++) {
		cr_assert_eq(pin_words_find(pin_words_get(i)), 1u << i, "%s", pin_words_get(i));
		cr_assert_null(strchr(pin_words_get(i), ','));
	}
	cr_assert_eq(1u << (pin_words_count() - 1), ISO_PIN_UNKNOWN);
	cr_assert_eq(pin_words_find(""), 0);
	cr_assert_eq(pin_words_find("direct"), 0);
}

Test(pin_words, a_set_reads_back)
{
	const uint32_t all = (1u << pin_words_count()) - 1;
	char text[PIN_WORDS_BYTES];

	for (uint32_t pins = 0; pins <= all; pins++)
		cr_assert_eq(pin_words_parse(pin_words_format(pins, text)), pins, "%s", text);
	cr_assert_str_eq(pin_words_format(ISO_PIN_VFIO | ISO_PIN_DIRECT_IO, text),
			 "direct-io,vfio");
	cr_assert_eq(pin_words_parse("later-word,vfio"), ISO_PIN_VFIO, "of a newer version");
}
