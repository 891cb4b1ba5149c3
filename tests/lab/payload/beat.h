/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the payload share. */
#pragma once

#include <stdint.h>

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void put_text(const char *text);
void put_number(uint32_t number);
_Noreturn void stop(const char *why);

/* The disk's data buffers are the last so many bytes of the instance. */
#define DISK_SLOTS      4
#define DISK_SLOT_BYTES 65536u
#define DISK_BYTES      (DISK_SLOTS * DISK_SLOT_BYTES)

enum disk_work { DISK_NONE, DISK_READ, DISK_WRITE, DISK_FLUSH };

/* Starts the first drive; returns its interrupt line. */
unsigned int disk_start(enum disk_work work, uint32_t buffers);
/* Takes what has completed and gives the drive new work, at most so many requests; returns how many. */
unsigned int disk_poll(unsigned int at_most);
uint32_t disk_completed(void);
/* The drive's interrupt, before the interrupt controllers are told. */
void disk_interrupt(void);
