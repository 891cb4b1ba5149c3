/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything that can happen to the engine. An event carries its own time
 * (CLOCK_BOOTTIME nanoseconds); the engine reads no clock. Pointers inside an
 * event are borrowed for the duration of iso_step().
 */
#ifndef ISOLATE_EVENT_H
#define ISOLATE_EVENT_H

#include <isolate/snapshot.h>
#include <isolate/types.h>

enum iso_event_kind {
	ISO_EVENT_TIMER,          /* a deadline of iso_next_deadline() may have passed */
	ISO_EVENT_FAULT,          /* something failed: contain it */
	ISO_EVENT_SETTLED,        /* the kernel's own error recovery of a function has ended */
	ISO_EVENT_CHANGED,        /* the world may have changed (uevent, gap): observe */
	ISO_EVENT_COMPLETION,     /* an operation ended, well or badly */
	ISO_EVENT_SNAPSHOT,       /* what OBSERVE found */
	ISO_EVENT_INSPECTION,     /* what INSPECT of everybody found */
	ISO_EVENT_VM_EXITED,      /* the pidfd of an attached VM became readable */
	ISO_EVENT_REGION_DEFINE,  /* configuration or operator: this region shall exist */
	ISO_EVENT_REGION_DESTROY, /* operator: it shall not */
	ISO_EVENT_ACQUIRE,
	ISO_EVENT_ATTACH,
	ISO_EVENT_RELEASE,
	ISO_EVENT_WITHDRAW,       /* the waiting client of a lease went away */
	ISO_EVENT_ISOLATE,
	ISO_EVENT_RECOVER,
	ISO_EVENT_ADOPT,          /* an instance made by hand, and its process, become a lease */
	ISO_EVENT_RECONCILE,      /* look at everything now and say what is not as believed */
	ISO_EVENT_RESTORE_REGION, /* from the store, before the first snapshot */
	ISO_EVENT_RESTORE_LEASE,
	ISO_EVENT_RESTORE_INCIDENT,
	ISO_EVENT_RESTORE_POISON,
	ISO_EVENT_HOLD,           /* the leases are not known: hand nothing out until CONFIRM */
	ISO_EVENT_CONFIRM,        /* operator: what is observed is all there is */
	ISO_EVENT_ISOLATION_SEEN, /* what the isolation registers of a root port say now */
	ISO_EVENT_ARM,            /* operator: arm a root port, or disarm it */
	ISO_EVENT_RESTORE_PORT,   /* from the store, before the first snapshot */
	ISO_EVENT_HEALTH, /* whether host or memdev is well enough to make again what was lost */
	ISO_EVENT_POLICY, /* a policy rule fired: do what it says */
	ISO_EVENT_RESTORE_FENCE, /* from the store, before the first snapshot */
	ISO_EVENT_POISON, /* a range of memory is bad, or was cleared */
	ISO_EVENT_POISON_LIST_READ, /* all that is bad on a memdev has been told since */
	ISO_EVENT_READ_POISON, /* operator, gap: read the poison lists anew */
};

enum iso_cause {
	ISO_CAUSE_SURPRISE_DOWN, /* AER: surprise down at a port */
	ISO_CAUSE_FATAL_ERROR, /* AER: another fatal uncorrectable error */
	ISO_CAUSE_LINK_DOWN, /* pci_hp_event LINK_DOWN or CARD_NOT_PRESENT */
	ISO_CAUSE_DEVICE_GONE, /* uevent or observation: the memdev left */
	ISO_CAUSE_REGION_GONE, /* observation: region or instance no longer works */
	ISO_CAUSE_OPERATOR, /* daxmgrctl isolate */
	ISO_CAUSE_EVICTED, /* made way for a lower region in the decoder order, by policy */
	ISO_CAUSE_ISOLATED, /* a root port has isolated: its status says so */
	ISO_CAUSE_POLICY, /* a policy rule, which the timeline names */
	ISO_CAUSE_POISON, /* memory of the VM is poisoned */
};

enum iso_unit_kind {
	ISO_UNIT_PORT_ADDRESS, /* PCI address of a port or of a memdev's function */
	ISO_UNIT_MEMDEV_SERIAL,
	ISO_UNIT_INSTANCE, /* daxX.Y */
};

struct iso_fault {
	uint32_t unit_kind; /* enum iso_unit_kind */
	uint32_t cause; /* enum iso_cause */
	struct iso_pci_address address;
	uint64_t serial;
	uint32_t region_kernel_id; /* ISO_UNIT_INSTANCE */
	uint32_t kernel_id;
	uint64_t record_ns; /* the kernel's own timestamp of the first record, boottime */
	bool synthetic; /* a drill */
	uint64_t uevent_seqnum; /* of the uevent that told; 0: another source. Older than
				 * what was observed since: ignored, the name has a new owner */
};

/* What a finished operation brought; which part is valid depends on its kind. */
struct iso_completion {
	uint64_t operation;
	bool intent; /* of the INTENT, which has the same operation as the deed that follows it */
	int32_t result; /* 0 or negative errno; -ETIME: the deadline passed */
	char message[ISO_TEXT_BYTES]; /* why it failed, for people; may be empty */
	uint32_t kernel_id; /* CREATE_REGION: regionN; CARVE: Y of daxX.Y */
	uint32_t region_kernel_id; /* CARVE: X of daxX.Y */
	struct iso_hpa_range range; /* CREATE_REGION; CARVE: only where it starts */
	uint32_t n_pieces; /* CARVE: 0: where it lies is not known */
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	uint32_t major; /* CARVE */
	uint32_t minor;
	uint64_t uevent_seqnum; /* CARVE: the kernel's counter when it was done */
	uint64_t bytes; /* ZERO, PROVE: how much */
	uint32_t n_mappers; /* VERIFY, REVOKE (when it was refused) */
	int32_t mappers[ISO_MAPPERS_MAX];
	char evidence[ISO_EVIDENCE_BYTES]; /* VERIFY, REVOKE: state and place of the first mapper;
					    * INSPECT: what pins. Empty when there is nothing */
	uint32_t pins; /* INSPECT, REVOKE: enum iso_pin, of all processes together */
	bool has_isolation; /* of operations on a port: the words as read at the end */
	uint32_t control, status;
};

/* One process that maps one instance. */
struct iso_observed_mapper {
	int32_t pid;
	uint64_t process_start; /* ticks since boot: tells it from a later owner of the pid */
	uint32_t region_kernel_id; /* X of daxX.Y */
	uint32_t kernel_id; /* Y */
	uint32_t pins; /* enum iso_pin */
	char evidence[ISO_EVIDENCE_BYTES]; /* what pins, as "fd 12: O_DIRECT /var/lib/x.img"; may be empty */
};

struct iso_inspection {
	const struct iso_observed_mapper *mappers;
	uint32_t n_mappers;
	uint64_t uevent_seqnum; /* the kernel's counter before anything was read */
};

/* The process must be known not to have ended, e.g. by a pidfd that was opened before. */
struct iso_adopt {
	uint64_t request;
	char name[ISO_NAME_BYTES]; /* of the lease to be */
	uint32_t region_kernel_id; /* X of daxX.Y */
	uint32_t kernel_id; /* Y */
	int32_t pid;
};

struct iso_region_definition {
	char name[ISO_NAME_BYTES];
	uint32_t ways;
	uint32_t granularity; /* bytes; 0: the window's */
	uint64_t serials[ISO_WAYS_MAX]; /* in target order */
	uint64_t bytes; /* 0: all there is */
};

struct iso_lease_part {
	uint64_t bytes;
	char region[ISO_NAME_BYTES]; /* empty: the planner chooses */
};

struct iso_acquire {
	uint64_t request; /* token given back in the REPLY effect */
	char name[ISO_NAME_BYTES];
	uint32_t uid; /* who will own the nodes */
	uint32_t gid;
	uint32_t n_parts;
	struct iso_lease_part parts[ISO_LEASE_PARTS_MAX];
	uint64_t align; /* bytes; 0: 2 MiB */
	uint64_t keep_ns; /* keep the capacity this long after a clean exit */
	uint64_t expires_ns; /* how long a grant lives without an attach; 0: default */
	bool restart; /* wants its capacity back after we killed it */
	bool wait; /* wait for capacity; else refuse at once */
	uint32_t pins; /* enum iso_pin: what its command line says it will do */
	char evidence[ISO_EVIDENCE_BYTES]; /* in its own words, e.g. "-drive ...cache=none" */
	uint32_t poison; /* enum iso_poison_action */
};

/* A region as it was known when the daemon stopped. */
struct iso_restore_region {
	struct iso_region_definition definition;
	uint32_t kernel_id; /* valid only within the same boot, else ISO_NONE */
	struct iso_hpa last_hpa;
	bool has_hpa;
	bool from_operator; /* made by `region create`, not by configuration */
	bool creation_interrupted; /* an intent without an outcome was found */
};

struct iso_restore_part {
	uint32_t region_kernel_id;
	uint32_t kernel_id;
	uint64_t bytes;
	uint64_t begun_ns; /* when it was carved, in this boot; 0: not known */
	char region[ISO_NAME_BYTES];
};

/* A lease as it was known when the daemon stopped. */
struct iso_restore_lease {
	struct iso_acquire terms;
	uint64_t sequence; /* fairness order */
	uint32_t state; /* enum iso_lease_state as saved */
	bool was_killed; /* by us */
	bool rebooted; /* of another boot: it ended with that and is only counted */
	bool has_process; /* the pidfd came back from the fd store and lives */
	int32_t pid;
	uint64_t process_start; /* of that pid, ticks since boot: tells it from a later owner */
	uint64_t incident; /* 0: none */
	uint32_t n_parts;
	struct iso_restore_part parts[ISO_LEASE_PARTS_MAX];
};

struct iso_restore_incident {
	uint64_t id;
	uint32_t cause;
	char unit[ISO_PATH_BYTES];
	uint64_t record_ns;
	uint64_t detected_ns;
	uint64_t contained_ns; /* 0: not yet */
	uint64_t capacity_before_bytes;
	uint32_t n_killed, n_exited, n_records;
	char held_port[ISO_PATH_BYTES]; /* kept away until RECOVER; empty: none */
	bool held_flapping; /* because it was lost too often, not by an operator */
	bool synthetic;
	bool rebooted; /* it was open in another boot and ended with that: only counted */
	bool open; /* false: only keeps the numbering going */
};

/* Whether the host, or one memdev, is well enough that what was lost on it is made again by itself. */
struct iso_health {
	bool ok;
	bool of_memdev; /* else of the host */
	uint64_t serial; /* of the memdev, which need not have been seen yet */
	char why[ISO_TEXT_BYTES]; /* not ok: for people */
};

/*
 * A record that names memory. Where both are known the host address decides
 * whose memory it is: the kernel knows its own arithmetic.
 */
struct iso_poison {
	bool has_serial, has_dpa, has_hpa;
	bool cleared; /* it is good again, as somebody says; else it is bad */
	bool synthetic; /* a drill */
	uint64_t serial; /* of the memdev */
	struct iso_dpa dpa;
	struct iso_hpa hpa;
	uint64_t bytes; /* as the hardware said; 0: not said, one line */
	uint64_t record_ns; /* CLOCK_BOOTTIME of the record */
	uint32_t evidence; /* enum iso_poison_evidence */
};

enum iso_bad_state {
	ISO_BAD_BAD,
	ISO_BAD_CLEARED, /* as was said; not leased yet */
	ISO_BAD_VERIFIED, /* the memdev's list was read since and does not have it */
	ISO_BAD_STATES,
};

/* A bad range as it was known when the daemon stopped. Times of another boot are 0. */
struct iso_restore_poison {
	uint32_t slot; /* its place in the ledger */
	uint32_t state; /* enum iso_bad_state */
	bool has_dpa;
	uint64_t serial;
	struct iso_dpa dpa;
	char region[ISO_NAME_BYTES]; /* empty: not known by its place in a region */
	struct iso_region_off offset;
	uint64_t bytes;
	uint32_t evidence; /* enum iso_poison_evidence */
	uint64_t first_ns, last_ns, cleared_ns;
	char lease[ISO_NAME_BYTES]; /* whose memory it was when it was found last; may be empty */
	uint64_t hit_begun_ns; /* and when that was carved; 0: nobody's */
};

/* What an operator asked of a port, and its losses, as known when the daemon stopped. */
struct iso_restore_port {
	char path[ISO_PATH_BYTES];
	uint32_t wish; /* enum iso_arm_wish */
	uint32_t range; /* timeout code; ISO_NONE: the policy's */
	bool held; /* kept away until RECOVER; only of the same boot */
	bool flapping;
	bool link_taken; /* and not given back yet; only of the same boot */
	uint64_t losses_ns[ISO_PORT_LOSSES_MAX]; /* oldest first; only of the same boot */
	uint32_t n_losses;
};

/* What a policy rule can ask for. */
enum iso_action {
	ISO_ACTION_NOTIFY, /* a line of the timeline */
	ISO_ACTION_FENCE, /* the domain takes no new leases until RECOVER */
	ISO_ACTION_KILL, /* the VM it names, else those of the unit's blast radius */
	ISO_ACTION_ISOLATE, /* as ISO_EVENT_ISOLATE of the port */
	ISO_ACTION_QUARANTINE, /* the domain: fenced, and nothing is made again until RECOVER */
	ISO_ACTION_RETIRE, /* regions on the memdev take no new leases until its RECOVER */
	ISO_ACTION_START_UNIT, /* of the service manager: the outside does it, this notes it */
	ISO_ACTIONS,
};

/*
 * Of what it is about the most exact that is known counts: serial, unit, domain, where
 * the VM is; for KILL the VM before all of them.
 */
struct iso_policy_action {
	uint64_t request;
	uint32_t action; /* enum iso_action */
	char rule[ISO_NAME_BYTES];
	char vm[ISO_NAME_BYTES]; /* may be empty, as the next two */
	char unit[ISO_PATH_BYTES]; /* path, address or name of a port or memdev; a region; daxX.Y */
	char domain[ISO_PATH_BYTES]; /* a port of it */
	uint64_t serial; /* of a memdev */
	bool has_serial;
	bool synthetic; /* a drill */
	uint64_t record_ns; /* of the record that made it fire: who came later is spared; 0: not known */
	char why[ISO_EVIDENCE_BYTES]; /* for people */
};

enum iso_fence_kind {
	ISO_FENCE_DOMAIN,
	ISO_FENCE_QUARANTINE, /* of a domain */
	ISO_FENCE_MEMDEV, /* retired */
	ISO_FENCES,
};

/* A fence as it was known when the daemon stopped. */
struct iso_restore_fence {
	uint32_t kind; /* enum iso_fence_kind */
	char unit[ISO_PATH_BYTES]; /* path of a port of the domain; of the memdev, for people */
	uint64_t serial; /* MEMDEV */
	char rule[ISO_NAME_BYTES];
};

struct iso_event {
	uint32_t kind; /* enum iso_event_kind */
	uint64_t now_ns; /* CLOCK_BOOTTIME */
	uint64_t answers; /* SNAPSHOT, INSPECTION: the operation that asked; when that was given
			   * up it is not taken in. 0: nobody asked */
	union {
		struct iso_fault fault;
		struct iso_pci_address settled;
		struct {
			bool gap; /* something was missed: what is found then is told */
		} changed;
		struct iso_completion completion;
		struct iso_snapshot snapshot;
		struct iso_inspection inspection;
		struct {
			uint32_t lease;
			uint32_t lease_epoch;
		} exited;
		struct {
			uint64_t request;
			struct iso_region_definition definition;
			bool from_operator;
		} define;
		struct iso_acquire acquire;
		struct {
			uint64_t request;
			char name[ISO_NAME_BYTES];
			int32_t pid;
		} attach;
		struct {
			uint64_t request;
			char name[ISO_NAME_BYTES];
		} named; /* RELEASE, WITHDRAW, REGION_DESTROY; CONFIRM (no name) */
		struct {
			uint64_t request;
			char port[ISO_PATH_BYTES];
			bool evict; /* RECOVER: tenants above in the decoder order make way */
		} port; /* ISOLATE, RECOVER: path or address */
		struct iso_adopt adopt;
		struct {
			uint64_t request;
			bool dry_run; /* nothing is corrected by this look */
		} reconcile;
		struct iso_health health;
		const struct iso_restore_region *restore_region;
		const struct iso_restore_lease *restore_lease;
		const struct iso_restore_incident *restore_incident;
		const struct iso_restore_poison *restore_poison;
		struct iso_poison poison;
		struct {
			uint64_t serial;
			uint64_t record_ns; /* when the reading began */
			bool complete; /* false: it does not show what is good again */
		} list_read;
		struct {
			uint64_t request; /* 0: nobody waits for an answer */
			char memdev[ISO_PATH_BYTES]; /* as iso_memdev_find() takes it; empty: all */
		} read_poison;
		const struct iso_restore_port *restore_port;
		const char *hold; /* HOLD: why, for people */
		struct {
			struct iso_pci_address address;
			struct iso_isolation isolation;
		} isolation_seen;
		struct {
			uint64_t request;
			char port[ISO_PATH_BYTES]; /* path or address */
			uint32_t wish; /* enum iso_arm_wish */
			uint32_t range; /* timeout code; ISO_NONE: the policy's */
		} arm;
		struct iso_policy_action policy;
		const struct iso_restore_fence *restore_fence;
	};
};

#endif
