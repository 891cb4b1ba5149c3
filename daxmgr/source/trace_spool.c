/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cleanup.h"

enum {
	BOOT_ID_ROOM = 40,
	SLOTS_OFFSET = 4096,
	PAGE_BYTES_MIN = 64,
	PAGE_BYTES_MAX = 1 << 24,
	PAGE_HEAD_BYTES = 16, /* time and length of a ring page: not zero where there is a record */
	SLOT_ALIGN = 64,
};

static const char magic[8] = "dxspool";

/* How much was accounted for, up to which page, of which ring. */
struct spool_account {
	uint64_t page;
	uint64_t lost;
	uint64_t ring;
};

/* What never changes. */
struct spool_geometry {
	char magic[8];
	uint32_t version;
	uint32_t n_slots;
	uint64_t page_bytes;
	uint64_t slot_bytes; /* from one slot to the next */
	uint64_t id;
	char boot_id[BOOT_ID_ROOM];
};

struct spool_header {
	struct spool_geometry geometry;
	uint64_t checksum; /* of the geometry */
	uint64_t first, next;
	uint64_t which; /* account that counts; the other is written, then this */
	struct spool_account accounts[2];
	uint64_t dropped;
};

struct spool_slot {
	uint64_t page;
	uint64_t bytes;
	uint64_t lost; /* while a page is skimmed: how many were dropped before it, and one */
	uint32_t cpu;
	uint32_t last_index; /* of this run: valid when handed */
	uint32_t handed;
	uint32_t reserved[7];
};

_Static_assert(sizeof(struct spool_header) <= SLOTS_OFFSET, "the header has a page");
_Static_assert(sizeof(struct spool_slot) == SLOT_ALIGN, "slots are aligned");

struct trace_spool {
	struct spool_header *header;
	size_t map_bytes;
	char path[PATH_MAX];
};

/* ---- where things lie ---- */

/* Every word has to be there before the one that makes it count, also for who dies in between. */
static void put(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static struct spool_slot *slot_of(const struct trace_spool *spool, uint64_t page)
{
	const struct spool_geometry *geometry = &spool->header->geometry;

	return (struct spool_slot *)((uint8_t *)spool->header + SLOTS_OFFSET +
				     page % geometry->n_slots * geometry->slot_bytes);
}

static void *data_of(struct spool_slot *slot)
{
	return slot + 1;
}

static uint64_t slot_bytes_for(uint64_t page_bytes)
{
	uint64_t bytes = sizeof(struct spool_slot) + page_bytes + TRACE_PAGE_SLACK_BYTES;

	return (bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static uint64_t checksum(const struct spool_geometry *geometry)
{
	const uint8_t *bytes = (const uint8_t *)geometry;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < sizeof(*geometry); i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* ---- opening ---- */

__attribute__((format(printf, 2, 3))) static void say(char problem[ISO_TEXT_BYTES],
						      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem, ISO_TEXT_BYTES, format, arguments);
	va_end(arguments);
}

static void fill_geometry(const struct trace_spool_setup *setup, struct spool_geometry *ret)
{
	uint64_t slot_bytes = slot_bytes_for(setup->page_bytes);
	uint64_t n = setup->bytes / slot_bytes;

	if (n < TRACE_SPOOL_SLOTS_MIN)
		n = TRACE_SPOOL_SLOTS_MIN;
	if (n > TRACE_SPOOL_SLOTS_MAX - 1)
		n = TRACE_SPOOL_SLOTS_MAX - 1;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->magic, magic, sizeof(magic));
	ret->version = TRACE_SPOOL_VERSION;
	ret->n_slots = (uint32_t)n + 1;
	ret->page_bytes = setup->page_bytes;
	ret->slot_bytes = slot_bytes;
	snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", setup->boot_id);
}

static size_t map_bytes(const struct spool_geometry *geometry)
{
	return SLOTS_OFFSET + (size_t)geometry->n_slots * geometry->slot_bytes;
}

/* Return: why it cannot be used, NULL when it can. */
static const char *unusable(const struct spool_header *header, uint64_t file_bytes,
			    const struct trace_spool_setup *setup)
{
	const struct spool_geometry *geometry = &header->geometry;

	if (memcmp(geometry->magic, magic, sizeof(magic)))
		return "it is not one";
	if (geometry->version != TRACE_SPOOL_VERSION)
		return "it is of another version";
	if (header->checksum != checksum(geometry))
		return "its header is damaged";
	if (strncmp(geometry->boot_id, setup->boot_id, sizeof(geometry->boot_id)) != 0)
		return "it is of another boot";
	if (!geometry->id || geometry->n_slots < TRACE_SPOOL_SLOTS_MIN ||
	    geometry->n_slots > TRACE_SPOOL_SLOTS_MAX || geometry->page_bytes < PAGE_BYTES_MIN ||
	    geometry->page_bytes > PAGE_BYTES_MAX ||
	    geometry->slot_bytes != slot_bytes_for(geometry->page_bytes) ||
	    file_bytes != map_bytes(geometry))
		return "its size is not what its header says";
	if (header->first == 0 || header->first > header->next || header->next == UINT64_MAX ||
	    header->next - header->first > geometry->n_slots || header->which > 1)
		return "its page numbers make no sense";
	if (header->next > header->first && geometry->page_bytes < setup->page_bytes)
		return "its pages are smaller than the ring's";
	return NULL;
}

/* The slot of the next page, if one was read into it; it is whole. NULL: none was. */
static struct spool_slot *slot_read(const struct trace_spool *spool)
{
	static const uint8_t nothing[PAGE_HEAD_BYTES];
	const struct spool_header *header = spool->header;
	struct spool_slot *slot = slot_of(spool, header->next);

	if (header->next - header->first == header->geometry.n_slots)
		return NULL;
	if (slot->page != header->next || !memcmp(data_of(slot), nothing, sizeof(nothing)))
		return NULL;
	return slot;
}

/* A page that was read when the daemon died is one of ours, unless it was only to be counted. */
static void take_read(struct trace_spool *spool)
{
	struct spool_header *header = spool->header;
	struct spool_slot *slot = slot_read(spool);

	if (!slot || slot->lost)
		return;
	slot->bytes = header->geometry.page_bytes;
	put(&header->next, header->next + 1);
}

/* A slot that makes no sense becomes an entry without page and count: told as a gap. */
static void check_slots(struct trace_spool *spool)
{
	struct spool_header *header = spool->header;

	take_read(spool);
	for (uint64_t page = header->first; page < header->next; page++) {
		struct spool_slot *slot = slot_of(spool, page);

		if (slot->page != page || slot->bytes > header->geometry.page_bytes) {
			memset(slot, 0, sizeof(*slot));
			slot->page = page;
		}
		slot->handed = 0;
	}
}

static int read_header(int fd, struct spool_header *ret, uint64_t *ret_bytes)
{
	struct stat status;
	ssize_t n;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EMEDIUMTYPE;
	n = pread(fd, ret, sizeof(*ret), 0);
	if (n < 0)
		return -errno;
	*ret_bytes = (uint64_t)status.st_size;
	if ((size_t)n < sizeof(*ret))
		memset(ret, 0, sizeof(*ret));
	return 0;
}

static int map(struct trace_spool *spool, int fd, size_t bytes)
{
	int flags = MAP_POPULATE | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	spool->header = at;
	spool->map_bytes = bytes;
	return 0;
}

static int put_aside(const struct trace_spool *spool)
{
	char aside[PATH_MAX + 8];

	snprintf(aside, sizeof(aside), "%s.aside", spool->path);
	return rename(spool->path, aside) < 0 ? -errno : 0;
}

/* Return: 1 when it is mapped, 0 when a new one is to be made, or negative errno. */
static int take_old(struct trace_spool *spool, const struct trace_spool_setup *setup,
		    struct spool_header *ret_old, enum trace_spool_found *ret_found,
		    char problem[ISO_TEXT_BYTES])
{
	_cleanup_close_ int fd = open(spool->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct spool_geometry wanted;
	struct spool_header header;
	const char *why = NULL;
	uint64_t bytes = 0;
	int r = 0;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd >= 0)
		r = read_header(fd, &header, &bytes);
	if (fd < 0 || r < 0)
		why = fd < 0 ? strerror(errno) : "it is no file";
	else
		why = unusable(&header, bytes, setup);
	if (why) {
		say(problem, "%s: cannot be used: %s; put aside as %s.aside", setup->path, why,
		    setup->path);
		*ret_found = TRACE_SPOOL_ASIDE;
		return put_aside(spool);
	}
	fill_geometry(setup, &wanted);
	*ret_old = header;
	r = map(spool, fd, bytes);
	if (r < 0)
		return r;
	check_slots(spool);
	if (spool->header->first == spool->header->next &&
	    (wanted.n_slots != header.geometry.n_slots ||
	     wanted.page_bytes != header.geometry.page_bytes)) {
		munmap(spool->header, spool->map_bytes);
		spool->header = NULL;
		return 0;
	}
	*ret_found = TRACE_SPOOL_KEPT;
	return 1;
}

static int new_id(uint64_t *ret)
{
	uint64_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	/* It is a column of a database: no sign bit. */
	*ret = (id >> 1) | 1;
	return 0;
}

static int begin(struct trace_spool *spool, const struct trace_spool_setup *setup,
		 const struct spool_header *old, int fd)
{
	struct spool_header fresh = {.first = 1, .next = 1, .dropped = old->dropped};
	const struct spool_account *account = &old->accounts[old->which];
	int r;

	fill_geometry(setup, &fresh.geometry);
	r = new_id(&fresh.geometry.id);
	if (r < 0)
		return r;
	fresh.checksum = checksum(&fresh.geometry);
	fresh.accounts[0] = (struct spool_account){.lost = account->lost, .ring = account->ring};
	if (fd >= 0)
		r = -posix_fallocate(fd, 0, (off_t)map_bytes(&fresh.geometry));
	if (r == 0)
		r = map(spool, fd, map_bytes(&fresh.geometry));
	if (r < 0)
		return r;
	*spool->header = fresh;
	return 0;
}

static int make(struct trace_spool *spool, const struct trace_spool_setup *setup,
		const struct spool_header *old)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX + 8];
	int r;

	if (!setup->path)
		return begin(spool, setup, old, -1);
	snprintf(path, sizeof(path), "%s.new", spool->path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = begin(spool, setup, old, fd);
	if (r == 0 && rename(path, spool->path) < 0)
		r = -errno;
	if (r < 0)
		unlink(path);
	return r;
}

int trace_spool_open(const struct trace_spool_setup *setup, struct trace_spool **ret,
		     enum trace_spool_found *ret_found, char problem[ISO_TEXT_BYTES])
{
	enum trace_spool_found found = TRACE_SPOOL_NEW;
	struct spool_header old = {0};
	struct trace_spool *spool;
	int r = 0;

	if (setup->page_bytes < PAGE_BYTES_MIN || setup->page_bytes > PAGE_BYTES_MAX)
		return -EINVAL;
	spool = calloc(1, sizeof(*spool));
	if (!spool)
		return -ENOMEM;
	if (setup->path && (size_t)snprintf(spool->path, sizeof(spool->path), "%s", setup->path) >=
				   sizeof(spool->path))
		r = -ENAMETOOLONG;
	if (r == 0 && setup->path)
		r = take_old(spool, setup, &old, &found, problem);
	if (r == 0)
		r = make(spool, setup, &old);
	if (r < 0) {
		say(problem, "%s: %s", setup->path ? setup->path : "pages in memory", strerror(-r));
		trace_spool_close(spool);
		return r;
	}
	*ret_found = found;
	*ret = spool;
	return 0;
}

struct trace_spool *trace_spool_close(struct trace_spool *spool)
{
	if (!spool)
		return NULL;
	if (spool->header)
		munmap(spool->header, spool->map_bytes);
	free(spool);
	return NULL;
}

/* ---- using it ---- */

uint64_t trace_spool_id(const struct trace_spool *spool)
{
	return spool->header->geometry.id;
}

uint32_t trace_spool_slots(const struct trace_spool *spool)
{
	return spool->header->geometry.n_slots - 1;
}

uint64_t trace_spool_first(const struct trace_spool *spool)
{
	return spool->header->first;
}

uint64_t trace_spool_next(const struct trace_spool *spool)
{
	return spool->header->next;
}

static bool is_full(const struct trace_spool *spool)
{
	return spool->header->next - spool->header->first >= trace_spool_slots(spool);
}

static void *prepare(struct trace_spool *spool, uint32_t cpu, uint64_t lost)
{
	uint64_t page = spool->header->next;
	struct spool_slot *slot = slot_of(spool, page);
	uint64_t *head = data_of(slot);

	/* Empty first, then ours: in between it is one of an old page, and counts for nothing. */
	put(&head[0], 0);
	put(&head[1], 0);
	slot->cpu = cpu;
	slot->bytes = 0;
	put(&slot->lost, lost);
	slot->handed = 0;
	put(&slot->page, page);
	return head;
}

void *trace_spool_prepare(struct trace_spool *spool, uint32_t cpu)
{
	return is_full(spool) ? NULL : prepare(spool, cpu, 0);
}

void trace_spool_add(struct trace_spool *spool, size_t bytes)
{
	struct spool_header *header = spool->header;

	slot_of(spool, header->next)->bytes = bytes;
	put(&header->next, header->next + 1);
}

bool trace_spool_add_loss(struct trace_spool *spool, uint64_t lost)
{
	struct spool_header *header = spool->header;

	if (!trace_spool_prepare(spool, 0))
		return false;
	slot_of(spool, header->next)->lost = lost;
	/* Dying before the page counts tells the loss again from the counters, and only then. */
	put(&header->next, header->next + 1);
	trace_spool_account(spool, header->next - 1, lost);
	return true;
}

bool trace_spool_get(const struct trace_spool *spool, uint64_t page, struct trace_spool_entry *ret)
{
	struct spool_slot *slot;

	if (page < spool->header->first || page >= spool->header->next)
		return false;
	slot = slot_of(spool, page);
	*ret = (struct trace_spool_entry){
		.page = page,
		.cpu = slot->cpu,
		.bytes = slot->bytes,
		.lost = slot->lost,
		.data = data_of(slot),
	};
	return true;
}

/* From the oldest on, as far as that is durable or was nothing for the store at all. */
static void release(struct trace_spool *spool, uint64_t page, uint32_t index)
{
	struct spool_header *header = spool->header;

	while (header->first < header->next) {
		const struct spool_slot *slot = slot_of(spool, header->first);

		if (!slot->handed)
			break;
		if (slot->last_index && header->first > page)
			break;
		if (slot->last_index && header->first == page && slot->last_index > index)
			break;
		put(&header->first, header->first + 1);
	}
}

void trace_spool_handed(struct trace_spool *spool, uint64_t page, uint32_t last_index)
{
	struct spool_slot *slot = slot_of(spool, page);

	if (slot->page != page)
		return;
	slot->last_index = last_index;
	slot->handed = 1;
	release(spool, 0, 0);
}

void trace_spool_durable(struct trace_spool *spool, uint64_t page, uint32_t index)
{
	release(spool, page, index);
}

static const struct spool_account *account_of(const struct trace_spool *spool)
{
	return &spool->header->accounts[spool->header->which];
}

static void set_account(struct trace_spool *spool, struct spool_account account)
{
	uint64_t other = !spool->header->which;

	spool->header->accounts[other] = account;
	put(&spool->header->which, other);
}

void trace_spool_account(struct trace_spool *spool, uint64_t page, uint64_t lost)
{
	struct spool_account account = *account_of(spool);

	if (page <= account.page)
		return;
	account.page = page;
	account.lost += lost;
	set_account(spool, account);
}

uint64_t trace_spool_lost(const struct trace_spool *spool)
{
	return account_of(spool)->lost;
}

uint64_t trace_spool_ring(const struct trace_spool *spool)
{
	return account_of(spool)->ring;
}

void *trace_spool_skim(struct trace_spool *spool, uint32_t cpu)
{
	const struct spool_header *header = spool->header;

	if (header->next - header->first == header->geometry.n_slots)
		return NULL;
	return prepare(spool, cpu, header->dropped + 1);
}

void trace_spool_skimmed(struct trace_spool *spool, uint64_t records)
{
	struct spool_header *header = spool->header;
	struct spool_slot *slot = slot_of(spool, header->next);

	put(&header->dropped, header->dropped + records);
	/* Dying here leaves a page that says that fewer were dropped: it is counted. */
	if (slot->page == header->next)
		put(&slot->page, 0);
}

bool trace_spool_uncounted(const struct trace_spool *spool, struct trace_spool_entry *ret)
{
	struct spool_slot *slot = slot_read(spool);

	if (!slot || slot->lost != spool->header->dropped + 1)
		return false;
	*ret = (struct trace_spool_entry){
		.page = slot->page,
		.cpu = slot->cpu,
		.bytes = spool->header->geometry.page_bytes,
		.data = data_of(slot),
	};
	return true;
}

uint64_t trace_spool_dropped(const struct trace_spool *spool)
{
	return spool->header->dropped;
}

void trace_spool_set_ring(struct trace_spool *spool, uint64_t ring, uint64_t lost)
{
	struct spool_account account = {
		.page = spool->header->next - 1,
		.lost = lost,
		.ring = ring,
	};

	set_account(spool, account);
}
