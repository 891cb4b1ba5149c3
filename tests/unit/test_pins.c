/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words for what pins memory: one per bit, and a set of them reads back as it was. */
#include <criterion/criterion.h>

#include <string.h>

#include <isolate/types.h>

#include "pins.h"

Test(pins, every_bit_has_a_word_of_its_own)
{
	for (uint32_t i = 0; i < pins_kinds(); i++) {
		cr_assert_eq(pins_of_word(pins_word(i)), 1u << i, "%s", pins_word(i));
		cr_assert_null(strchr(pins_word(i), ','));
	}
	cr_assert_eq(1u << (pins_kinds() - 1), ISO_PIN_UNKNOWN);
	cr_assert_eq(pins_of_word(""), 0);
	cr_assert_eq(pins_of_word("direct"), 0);
}

Test(pins, a_set_reads_back)
{
	const uint32_t all = (1u << pins_kinds()) - 1;
	char text[PINS_TEXT_BYTES];

	for (uint32_t pins = 0; pins <= all; pins++)
		cr_assert_eq(pins_parse(pins_format(pins, text)), pins, "%s", text);
	cr_assert_str_eq(pins_format(ISO_PIN_VFIO | ISO_PIN_DIRECT_IO, text), "direct-io,vfio");
	cr_assert_eq(pins_parse("later-word,vfio"), ISO_PIN_VFIO, "of a newer version");
}
