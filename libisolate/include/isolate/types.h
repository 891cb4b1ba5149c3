/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words and numbers shared by everything: address spaces, names, limits.
 *
 * Each address space is a type of its own, so that mixing a device physical
 * address with a host physical one does not compile. Ranges are half open:
 * {start, bytes}.
 */
#ifndef ISOLATE_TYPES_H
#define ISOLATE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Device physical address of one memdev. */
struct iso_dpa {
	uint64_t v;
};

/* Host physical address. */
struct iso_hpa {
	uint64_t v;
};

/* Offset in a region. */
struct iso_region_off {
	uint64_t v;
};

/* Offset in the file of an instance. */
struct iso_dax_off {
	uint64_t v;
};

/* Guest physical address. */
struct iso_gpa {
	uint64_t v;
};

struct iso_dpa_range {
	struct iso_dpa start;
	uint64_t bytes;
};

struct iso_hpa_range {
	struct iso_hpa start;
	uint64_t bytes;
};

/* A PCI function as the kernel names it now; valid for the epoch only. */
struct iso_pci_address {
	uint32_t segment;
	uint8_t bus;
	uint8_t device;
	uint8_t function;
	uint8_t known; /* 0: no address */
};

enum {
	ISO_NAME_BYTES = 65,  /* VM and region names, NUL included */
	ISO_PATH_BYTES = 96,  /* stable port path, NUL included */
	ISO_TEXT_BYTES = 192, /* one line for a person, NUL included */
	ISO_WAYS_MAX = 16,    /* CXL specification, HDM decoder interleave ways */
	ISO_LEASE_PARTS_MAX = 4, /* instances of one lease */
	ISO_MAPPERS_MAX = 8,  /* processes named in one answer */
	ISO_PIECES_MAX = 8, /* ranges of one instance whose place is known */
	ISO_AVOID_MAX = 64, /* ranges of one region that carving goes around */
	ISO_EVIDENCE_BYTES = 96, /* what was seen of a process, for people, NUL included */
};

/* How a range came to be known as bad. Bits of one word. */
enum iso_poison_evidence {
	ISO_POISON_MEDIA = 1u << 0, /* the device's own record: general media, DRAM */
	ISO_POISON_LIST = 1u << 1, /* it was in the device's poison list */
	ISO_POISON_INJECT = 1u << 2, /* somebody injected it */
	ISO_POISON_CLEAR = 1u << 3, /* the record of a clearing */
	ISO_POISON_MEMORY_FAILURE = 1u << 4, /* the kernel took the page out of use */
	ISO_POISON_MACHINE_CHECK = 1u << 5, /* a CPU read it */
};

/* What becomes of a VM whose memory is poisoned. */
enum iso_poison_action {
	ISO_POISON_DEFAULT, /* of a lease: what the policy says */
	ISO_POISON_KILL,
	ISO_POISON_NOTIFY, /* it is told, the VM lives on */
	ISO_POISON_IGNORE, /* it is only written down */
	ISO_POISON_ACTIONS,
};

/*
 * What makes a process hold pages of an instance in a way that outlives the
 * revocation of its mapping: the kernel then oopses or panics (design rules 2
 * and 3). Bits of one word.
 */
enum iso_pin {
	ISO_PIN_DIRECT_IO = 1u << 0, /* a file opened with O_DIRECT: pins while I/O is in flight */
	ISO_PIN_IO_URING = 1u << 1, /* buffers registered with io_uring */
	ISO_PIN_VFIO = 1u << 2, /* a device passed through */
	ISO_PIN_VHOST = 1u << 3, /* vdpa, or memory shared with another process's device */
	ISO_PIN_RDMA = 1u << 4,
	ISO_PIN_OUTSTANDING =
		1u << 5, /* the kernel counts pins not yet released, nobody knows whose */
	ISO_PIN_UNKNOWN = 1u << 6, /* it could not be looked at: not shown to be free of pins */
};

/* Index of "nothing" in every table. */
#define ISO_NONE UINT32_MAX

/*
 * Capacities, fixed at iso_engine_init(). iso_limits_default() is what the
 * daemon uses and what docs/architecture.md states.
 */
struct iso_limits {
	uint32_t host_bridges; /* 64 at most */
	uint32_t ports; /* root ports and switch ports together, 576 at most */
	uint32_t memdevs;
	uint32_t windows;
	uint32_t regions;
	uint32_t instances;
	uint32_t leases;
	uint32_t operations; /* outstanding effects that will complete */
	uint32_t incidents; /* open or recent, kept in memory */
	uint32_t bad_ranges; /* poisoned memory that is known; 0: none is kept, and nobody is placed
			      * on a memdev that has any */
};

static inline bool iso_pci_address_equal(struct iso_pci_address a, struct iso_pci_address b)
{
	return a.known && b.known && a.segment == b.segment && a.bus == b.bus &&
	       a.device == b.device && a.function == b.function;
}

#endif
