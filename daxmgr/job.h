/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon asks of a worker process and what comes back. Both ends are
 * the same binary, so the structs travel as they are, one SOCK_SEQPACKET
 * message each. A job may sleep in the kernel for ever; the daemon does not
 * wait for it, it has a deadline and the next worker.
 */
#ifndef DAXMGR_JOB_H
#define DAXMGR_JOB_H

#include <stdbool.h>

#include <isolate/event.h>
#include <isolate/types.h>

enum job_kind {
	JOB_OBSERVE,       /* reply carries a memfd, see snapshot_file.h */
	JOB_CREATE_REGION,
	JOB_REFILL_REGION,
	JOB_CLEAR_REGION,
	JOB_CARVE,
	JOB_ZERO,
	JOB_PROVE,
	JOB_HAND_OVER,
	JOB_RETRACT,
	JOB_VERIFY,
	JOB_INSPECT,       /* of everybody: reply carries a memfd, see inspection_file.h */
	JOB_REVOKE,
	JOB_REMOVE,
	JOB_DETACH_PORT,
	JOB_RESCAN_PORT,
	JOB_READ_POISON,   /* the records come through the trace ring, before the reply */
	JOB_GUARD,         /* keep kmem away; run before the first region is bound */
	JOB_FORCE_LINK_DOWN,
	JOB_CLEAR_ISOLATION,
	JOB_ARM_PORT,
	JOB_ISOLATION_FIND, /* reply carries the file to map */
	JOB_ISOLATION_HOST,
	JOB_AER_COUNTERS,  /* reply carries a memfd, see reading_file.h */
	JOB_DEVICE_HEALTH, /* likewise */
	JOB_LAST_BOOT,     /* likewise */
	JOB_QMP_CONNECT,   /* reply carries the connected socket */
	JOB_START_UNIT,    /* of the service manager, for a rule of policy */
	JOB_KINDS,
};

/* One dax device: daxX.Y is dax<region_kernel_id>.<kernel_id>. */
struct job_instance {
	uint32_t region_kernel_id;
	uint32_t kernel_id;
	uint32_t major, minor;
	uint64_t bytes;
	uint64_t align;
	uint32_t part; /* N of /dev/daxmgr/vm/NAME/memN */
};

/* Bad memory, which it is carved around; without any the kernel chooses the place. */
struct job_carve {
	struct job_instance instance; /* region_kernel_id, bytes, align */
	struct iso_hpa_range region;
	uint32_t n_avoid;
	struct iso_hpa_range avoid[ISO_AVOID_MAX]; /* whole units of `align`, lowest first */
};

struct job_memdev {
	char name[16]; /* memN */
	uint64_t serial; /* whose number changes */
};

struct job_region {
	struct iso_region_definition definition;
	uint32_t window_kernel_id; /* create in decoder0.N */
	uint64_t granularity;      /* effective */
	uint32_t kernel_id;        /* REFILL; CLEAR: regionN, ISO_NONE: only the legs' decoders */
	uint64_t planned_bytes;    /* CREATE: of the whole region; 0: all there is */
};

/* A root port, and where its isolation registers are when not in its own BAR. */
struct job_isolation {
	struct iso_pci_address port;
	bool has_stand_in;
	struct iso_pci_address function;
	uint32_t bar;
	uint64_t offset;
	bool link_only; /* CLEAR_ISOLATION: there is no status to clear */
	bool arm; /* ARM_PORT */
	uint32_t range; /* ARM_PORT: timeout code */
	bool cpu_recovers; /* ISOLATION_HOST: an operator vouches for it */
};

struct job_isolation_found {
	struct iso_pci_address port;
	uint32_t source; /* enum iso_isolation_source */
	uint32_t capability, control, status;
	uint64_t offset; /* of the capability in the file */
	uint32_t obstacles; /* ISOLATION_HOST: enum iso_obstacle */
};

struct job_request {
	uint64_t id;
	uint32_t kind;        /* enum job_kind */
	uint64_t deadline_ns; /* CLOCK_BOOTTIME */
	uint32_t n_joined;    /* VERIFY: so many more of them follow, and one walk answers all */
	union {
		struct job_region region;     /* CREATE_REGION, CLEAR_REGION */
		struct job_carve carve;       /* CARVE */
		struct job_memdev memdev;     /* READ_POISON */
		struct job_instance instance; /* ZERO, PROVE, REMOVE */
		struct {
			char name[ISO_NAME_BYTES]; /* of the lease */
			uint32_t uid, gid;
			uint32_t n;
			struct job_instance instances[ISO_LEASE_PARTS_MAX];
		} lease; /* HAND_OVER, RETRACT, VERIFY, REVOKE */
		int32_t pid; /* INSPECT: of this process; 0: of everybody */
		struct iso_pci_address port; /* DETACH_PORT, RESCAN_PORT */
		struct job_isolation isolation; /* those about isolation */
		struct {
			char path[108]; /* sun_path */
			uint32_t uid; /* of who must listen there */
		} qmp; /* QMP_CONNECT */
		char unit[128]; /* START_UNIT */
	};
};

enum { JOB_JOINED_MAX = 64 }; /* VERIFY jobs answered by one walk */

/* Whether it computes for a moment only, whatever it waits for in between. */
bool job_is_quick(const struct job_request *request);

struct job_reply {
	uint32_t kind; /* enum job_kind, of the request */
	struct iso_completion completion; /* .operation is the request's id */
	struct job_isolation_found isolation; /* ISOLATION_FIND, ISOLATION_HOST */
	uint64_t elapsed_ns;
	bool was_slow; /* the worker has left real time and takes no quick jobs any more */
};

/*
 * Runs one job in the calling (worker) process and fills the reply; may block.
 * `ret_snapshot_fd` is the descriptor that the reply carries (enum job_kind), else -1. `root` is the prefix
 * of /sys, /dev and /proc ("" on a real host; tests give a fake tree).
 */
void job_run(const char *root, const struct job_request *request, struct job_reply *ret,
	     int *ret_snapshot_fd);

/* Runs `n` VERIFY jobs, at most JOB_JOINED_MAX, in one walk of /proc; fills as many replies. */
void job_run_joined(const char *root, const struct job_request *requests, uint32_t n,
		    struct job_reply *ret);

#endif
