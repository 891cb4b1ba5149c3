/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * 32-bit accesses to a mapped register block.
 *
 * The kernel takes such a mapping away when one of its drivers claims a block
 * on the same page; the next access is a SIGBUS, and mapping again works. So
 * each access is guarded and maps again once. A function that has gone reads
 * as all ones, as ever on PCI.
 */
#ifndef DAXMGR_ISOLATION_ACCESS_H
#define DAXMGR_ISOLATION_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct isolation_access {
	int fd; /* owned; -1: none */
	uint64_t offset; /* of the first register in the file */
	size_t bytes;
	uint64_t map_offset;
	size_t map_bytes;
	void *map; /* NULL: not mapped now */
	bool writable;
	uint32_t n_remapped;
};

#define ISOLATION_ACCESS_NULL ((struct isolation_access){.fd = -1})

/*
 * Maps `bytes` at `offset` of `fd`, which is the access's from now on, also when
 * this fails. Return: 0; -ERANGE when the file ends before; or a negative errno.
 */
int isolation_access_open(int fd, uint64_t offset, size_t bytes, bool writable,
			  struct isolation_access *ret);

void isolation_access_close(struct isolation_access *access);

/* `at` is a multiple of 4 and lies in the block. Return: 0; -EFAULT when it cannot be reached; -errno. */
int isolation_read32(struct isolation_access *access, uint32_t at, uint32_t *ret);
int isolation_write32(struct isolation_access *access, uint32_t at, uint32_t value);

#endif
