/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What makes a process pin memory, in the words of the API, the store and the
 * tools: one word per iso_pin, "direct-io,vfio" for a set. Used by the daemon
 * and by the tools.
 */
#ifndef DAXMGR_PINS_H
#define DAXMGR_PINS_H

#include <stddef.h>
#include <stdint.h>

enum { PINS_TEXT_BYTES = 96 };

/* How many kinds there are; kind `i` is the bit 1 << i. */
uint32_t pins_kinds(void);
/* Word of kind `i` < pins_kinds(). */
const char *pins_word(uint32_t i);
/* The bit of a word. Return: 0 for a word that is none. */
uint32_t pins_of_word(const char *word);

/* "direct-io,vfio"; empty for an empty set. */
const char *pins_format(uint32_t pins, char text[PINS_TEXT_BYTES]);
/* Reads it back; words that are none are left out. */
uint32_t pins_parse(const char *text);

#endif
