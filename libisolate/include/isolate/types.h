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
	ISO_PORT_LOSSES_MAX = 16, /* losses of one port that are remembered */
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
	ISO_POISON_SYNTHETIC = 1u << 6, /* with the others: a drill alone says so, no hardware */
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

/* Through what a root port's isolation registers are reached. */
enum iso_isolation_source {
	ISO_ISOLATION_UNKNOWN, /* not looked at yet */
	ISO_ISOLATION_NONE, /* the port does not offer the capability */
	ISO_ISOLATION_LOCKED, /* the kernel is locked down: nobody may map them */
	ISO_ISOLATION_FAILED, /* they could not be read, for another reason */
	ISO_ISOLATION_REGISTERS, /* the port's own component registers */
	ISO_ISOLATION_STAND_IN, /* another function's memory, which configuration names for it */
	ISO_ISOLATION_SYSFS, /* attributes of the kernel */
	ISO_ISOLATION_SOURCES,
};

/* Bits of the words in struct iso_isolation, for what the engine decides by. */
enum {
	ISO_ISOLATION_TIMEOUT = 1u << 4, /* capability and control: what takes too long is ended */
	ISO_ISOLATION_ERR_COR = 1u << 25, /* capability and control: it is signalled */
	ISO_ISOLATION_ENABLE = 1u << 16, /* capability and control: memory isolation */
	ISO_ISOLATION_LINK_DOWN = 1u
				  << 17, /* capability and control: the port takes its link down */
	ISO_ISOLATION_STATUS = 1u << 8, /* status: isolated; stays until it is cleared */
	ISO_ISOLATION_BY_LINK = 1u << 9, /* status: because the link had gone down */
	ISO_ISOLATION_BUSY = 1u << 14, /* status: accesses are still being ended */
};

/* Why a root port must not be armed. Bits of one word. */
enum iso_obstacle {
	ISO_OBSTACLE_UNKNOWN = 1u << 0, /* its registers were not looked at yet */
	ISO_OBSTACLE_NOT_OFFERED = 1u << 1,
	ISO_OBSTACLE_LOCKDOWN = 1u << 2,
	ISO_OBSTACLE_ACCESS = 1u << 3, /* its registers cannot be read */
	ISO_OBSTACLE_ISOLATED = 1u << 4, /* it is isolated now */
	ISO_OBSTACLE_SYSTEM_RAM = 1u << 5, /* memory behind it is System RAM, or may be */
	ISO_OBSTACLE_CONSENT = 1u << 6, /* somebody who never asked for it uses memory behind it */
	ISO_OBSTACLE_PINNING = 1u << 7, /* a VM on it pins its memory, and the host may not panic */
	ISO_OBSTACLE_CPU = 1u << 8, /* the CPU does not survive reading what is isolated */
	ISO_OBSTACLE_CPU_UNKNOWN = 1u << 9, /* nobody could tell whether it does */
	ISO_OBSTACLE_PANIC_ON_OOPS = 1u << 10,
	ISO_OBSTACLE_PANIC_ON_WARN = 1u << 11,
	ISO_OBSTACLE_MACHINE_CHECK = 1u << 12, /* machine checks are set to panic */
	ISO_OBSTACLE_RANGE = 1u << 13, /* it does not offer that timeout */
	ISO_OBSTACLE_TIMEOUT = 1u << 14, /* that timeout may last longer than the CPU waits */
	ISO_OBSTACLE_HOST_UNKNOWN = 1u << 15, /* the host's settings were not looked at yet */
	ISO_OBSTACLE_MEMORY_FAILURE = 1u << 16, /* the kernel does not recover from failed memory */
};

enum { ISO_OBSTACLES = 17 };

/* What is known of one root port's isolation registers; words as the hardware has them. */
struct iso_isolation {
	uint32_t source; /* enum iso_isolation_source */
	uint32_t capability, control, status;
	uint16_t ranges; /* bit N: timeout code N is offered */
	uint16_t ranges_safe; /* bit N: it ends before the CPU's own patience */
	uint32_t obstacles; /* enum iso_obstacle: those of the host */
};

/* What an operator wants of one port. */
enum iso_arm_wish {
	ISO_ARM_DEFAULT, /* as the policy says for all */
	ISO_ARM_YES,
	ISO_ARM_NO,
	ISO_ARM_WISHES,
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
