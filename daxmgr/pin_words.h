/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What makes a process pin memory, in the words of the API, the store and the
 * tools: one word per iso_pin, "direct-io,vfio" for a set. Used by the daemon
 * and by the tools.
 */
#ifndef DAXMGR_PIN_WORDS_H
#define DAXMGR_PIN_WORDS_H

#include <stddef.h>
#include <stdint.h>

enum { PIN_WORDS_BYTES = 96 };

/* How many kinds there are; kind `i` is the bit 1 << i. */
uint32_t pin_words_count(void);
/* Word of kind `i` < pin_words_count(). */
const char *pin_words_get(uint32_t i);
/* The bit of a word. Return: 0 for a word that is none. */
uint32_t pin_words_find(const char *word);

/* "direct-io,vfio"; empty for an empty set. */
const char *pin_words_format(uint32_t pins, char text[PIN_WORDS_BYTES]);
/* Reads it back; words that are none are left out. */
uint32_t pin_words_parse(const char *text);

#endif
