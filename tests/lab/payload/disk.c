/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A driver for one legacy virtio drive that keeps all its slots busy, with data buffers inside the instance: so
 * that there is always I/O on its way into memory that may be lost.
 */
#include "beat.h"

#define VIRTIO_VENDOR_AND_BLOCK 0x10011af4u
#define FEATURE_FLUSH           (1u << 9)
#define MAX_QUEUE               1024
#define PAGE_BYTES              4096
#define SECTOR_BYTES            512

enum { CONFIG_ID = 0, CONFIG_COMMAND = 4, CONFIG_BAR0 = 0x10, CONFIG_LINE = 0x3c };
enum { COMMAND_IO = 1, COMMAND_MASTER = 4 };
enum {
	FEATURES = 0,
	WISHES = 4,
	QUEUE_PAGE = 8,
	QUEUE_SIZE = 12,
	QUEUE_SELECT = 14,
	NOTIFY = 16,
	STATUS = 18,
	INTERRUPT = 19,
	CAPACITY = 20,
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4 };
enum { NEXT = 1, DEVICE_WRITES = 2 };
enum { REQUEST_READ, REQUEST_WRITE, REQUEST_FLUSH = 4 };

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags;
	uint16_t next;
};

struct used_entry {
	uint32_t head;
	uint32_t bytes;
};

/* What the driver offers and what the device has done: indices count on, entries follow. */
struct ring_head {
	uint16_t flags;
	volatile uint16_t index;
};

struct request {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
	volatile uint8_t outcome;
};

/* The descriptors, what is offered behind them, and on the next page what is done; the device says how many there are. */
static uint8_t queue[PAGE_BYTES * 8] __attribute__((aligned(PAGE_BYTES)));
static struct descriptor *descriptors;
static struct ring_head *offers, *done;
static uint16_t queue_size;
static struct request requests[DISK_SLOTS];
static uint16_t base, taken;
static uint32_t data, next_sector, sectors, completed, offered;
static enum disk_work wanted;

static uint32_t config(unsigned int device, unsigned int at)
{
	out32(0xcf8, 0x80000000u | device << 11 | at);
	return in32(0xcfc);
}

static unsigned int find_drive(void)
{
	for (unsigned int device = 0; device < 32; device++)
		if (config(device, CONFIG_ID) == VIRTIO_VENDOR_AND_BLOCK)
			return device;
	stop("there is no virtio drive");
}

static void start_queue(void)
{
	uint32_t offered_end;

	out16(base + QUEUE_SELECT, 0);
	queue_size = in16(base + QUEUE_SIZE);
	if (queue_size < 3 * DISK_SLOTS || queue_size > MAX_QUEUE)
		stop("the drive's queue has an unexpected size");
	offered_end = sizeof(struct descriptor) * queue_size + sizeof(struct ring_head) +
		      2 * queue_size + 2;
	descriptors = (struct descriptor *)queue;
	offers = (struct ring_head *)(descriptors + queue_size);
	done = (struct ring_head *)(queue +
				    (offered_end + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
	out32(base + QUEUE_PAGE, (uint32_t)(uintptr_t)queue / PAGE_BYTES);
}

static uint16_t *offered_head(unsigned int at)
{
	return (uint16_t *)(offers + 1) + at % queue_size;
}

static const struct used_entry *done_entry(unsigned int at)
{
	return (const struct used_entry *)(done + 1) + at % queue_size;
}

static void describe(unsigned int at, uint32_t address, uint32_t bytes, uint16_t flags)
{
	descriptors[at] = (struct descriptor){address, bytes, flags, (uint16_t)(at + 1)};
}

/* Three descriptors per slot: what to do, the data, how it went. */
static void offer(unsigned int slot, uint32_t type)
{
	struct request *request = &requests[slot];
	unsigned int head = slot * 3;

	request->type = type;
	request->sector = type == REQUEST_FLUSH ? 0 : next_sector;
	request->outcome = 0xff;
	describe(head, (uint32_t)(uintptr_t)request, 16, NEXT);
	if (type != REQUEST_FLUSH) {
		next_sector += DISK_SLOT_BYTES / SECTOR_BYTES;
		if (next_sector + DISK_SLOT_BYTES / SECTOR_BYTES > sectors)
			next_sector = 0;
		describe(head + 1, data + slot * DISK_SLOT_BYTES, DISK_SLOT_BYTES,
			 type == REQUEST_READ ? NEXT | DEVICE_WRITES : NEXT);
	} else {
		descriptors[head].next = (uint16_t)(head + 2);
	}
	describe(head + 2, (uint32_t)(uintptr_t)&request->outcome, 1, DEVICE_WRITES);
	*offered_head(offers->index) = (uint16_t)head;
	__asm__ volatile("" : : : "memory");
	offers->index++;
	offered++;
	__asm__ volatile("" : : : "memory");
	out16(base + NOTIFY, 0);
}

static uint32_t next_type(void)
{
	if (wanted == DISK_READ || offered % 2 == 0)
		return REQUEST_READ;
	return wanted == DISK_FLUSH && offered % 4 == 3 ? REQUEST_FLUSH : REQUEST_WRITE;
}

unsigned int disk_start(enum disk_work work, uint32_t buffers)
{
	unsigned int device = find_drive();

	wanted = work;
	data = buffers;
	base = (uint16_t)(config(device, CONFIG_BAR0) & ~3u);
	out32(0xcf8, 0x80000000u | device << 11 | CONFIG_COMMAND);
	out16(0xcfc, COMMAND_IO | COMMAND_MASTER);
	out8(base + STATUS, 0);
	out8(base + STATUS, ACKNOWLEDGE | DRIVER);
	out32(base + WISHES, in32(base + FEATURES) & FEATURE_FLUSH);
	start_queue();
	sectors = in32(base + CAPACITY);
	if (sectors < DISK_SLOT_BYTES / SECTOR_BYTES)
		stop("the drive is too small");
	out8(base + STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
	for (unsigned int slot = 0; slot < DISK_SLOTS; slot++)
		offer(slot, next_type());
	return config(device, CONFIG_LINE) & 0xff;
}

unsigned int disk_poll(unsigned int at_most)
{
	unsigned int count = 0;

	for (; count < at_most && taken != done->index; count++) {
		unsigned int slot = done_entry(taken++)->head / 3;

		if (requests[slot].outcome)
			put_text("IO failed\n");
		completed++;
		offer(slot, next_type());
	}
	return count;
}

uint32_t disk_completed(void)
{
	return completed;
}

void disk_interrupt(void)
{
	in8(base + INTERRUPT);
}
