/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory.h"

#include <errno.h>
#include <malloc.h>
#include <numa.h>
#include <stdbool.h>
#include <sys/mman.h>

enum {
	STACK_BYTES = 256 * 1024,
	PAGE_BYTES = 4096,
	OWN_MAPPING_BYTES = 64 * 1024, /* blocks of records are as large (store_block.h) */
	KEPT_BYTES = 128 * 1024,
	ROOM_BYTES = 256 << 20, /* more than is ever mapped */
};

/* A node without CPUs is memory behind a port; what fails with it must not hold us. */
static bool node_has_cpus(int node)
{
	struct bitmask *cpus = numa_allocate_cpumask();
	bool has = numa_node_to_cpus(node, cpus) == 0 && numa_bitmask_weight(cpus) > 0;

	numa_free_cpumask(cpus);
	return has;
}

void memory_bind(void)
{
	struct bitmask *nodes;
	int node;

	if (numa_available() < 0)
		return;
	nodes = numa_allocate_nodemask();
	for (node = 0; node <= numa_max_node(); node++)
		if (numa_bitmask_isbitset(numa_all_nodes_ptr, node) && node_has_cpus(node))
			numa_bitmask_setbit(nodes, node);
	if (numa_bitmask_weight(nodes))
		numa_set_membind(nodes);
	numa_free_nodemask(nodes);
}

/* A stack that has to grow takes a page, and a page may have to be waited for. */
static void __attribute__((noinline)) touch_stack(void)
{
	volatile char room[STACK_BYTES];
	size_t i;

	for (i = 0; i < sizeof(room); i += PAGE_BYTES)
		room[i] = 0;
}

/* What is freed after a storm goes back: the heap would keep it, and keep it locked. */
static void return_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

static bool locked;

int memory_lock(void)
{
	void *room;

	return_memory();
	touch_stack();
	/* AddressSanitizer reserves terabytes of shadow: locking those is not what is meant. */
#if !defined(__SANITIZE_ADDRESS__)
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		return -errno;
	locked = true;
#endif
	/* Under a limit that is reached later, later allocations would fail: then nothing is locked. */
	room = memory_reserve(ROOM_BYTES);
	if (!room) {
		locked = false;
		(void)munlockall();
		return -EAGAIN;
	}
	memory_release(room, ROOM_BYTES);
	return 0;
}

void *memory_reserve(size_t bytes)
{
	void *memory;

	/*
	 * For this one mapping only: of what is locked on its first touch nothing is
	 * there before, not even with MAP_POPULATE, and a kill may be the first.
	 */
	if (locked)
		(void)mlockall(MCL_FUTURE | MCL_ONFAULT);
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (locked)
		(void)mlockall(MCL_FUTURE);
	if (memory == MAP_FAILED)
		return NULL;
	(void)madvise(memory, bytes, MADV_NOHUGEPAGE); /* one page of it is one page, not 2 MiB */
	return memory;
}

void memory_release(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}
