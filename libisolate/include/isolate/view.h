/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the engine: what the API shows and what the executor needs to run an
 * effect. Pointers are borrowed until the next iso_step(). Tables have holes: a
 * loop runs from 0 to iso_*_count(), and iso_*_get() returns false, with nothing
 * written, for an index that is free or unknown.
 */
#ifndef ISOLATE_VIEW_H
#define ISOLATE_VIEW_H

#include <isolate/engine.h>
#include <isolate/snapshot.h>

enum iso_domain_state {
	ISO_DOMAIN_UNKNOWN,     /* not observed yet */
	ISO_DOMAIN_HEALTHY,
	ISO_DOMAIN_CONTAINING,  /* VMs are being killed, mappings verified gone */
	ISO_DOMAIN_RECOVERING,  /* regions and instances are being made again */
	ISO_DOMAIN_WAITING,     /* for a named tenant, device or person */
	ISO_DOMAIN_ISOLATED,    /* held by an operator */
	ISO_DOMAIN_QUARANTINED, /* given up, with a reason */
	ISO_DOMAIN_STATES,
};

enum iso_region_state {
	ISO_REGION_ABSENT,
	ISO_REGION_CREATING,
	ISO_REGION_LIVE,
	ISO_REGION_LOST,     /* a fault took it; tenants are being contained */
	ISO_REGION_CLEARING, /* what the kernel left is being removed */
	ISO_REGION_QUARANTINED,
	ISO_REGION_STATES,
};

/* Why an absent region is not being created. */
enum iso_region_wait {
	ISO_WAIT_NOTHING,
	ISO_WAIT_OBSERVATION,
	ISO_WAIT_MEMDEV,        /* a memdev is missing or not bound */
	ISO_WAIT_SETTLING,      /* the kernel is still resetting it */
	ISO_WAIT_DECODER_ORDER, /* higher regions on the same bridge have tenants */
	ISO_WAIT_OPERATOR,      /* isolated until `recover` */
	ISO_WAIT_RETRY,
	ISO_WAIT_OTHER_REGION,  /* another operation on the same bridge */
	ISO_WAIT_WINDOW,        /* no window reaches its memdevs */
	ISO_WAIT_TOO_SMALL,     /* a memdev has less room than its size needs */
	ISO_WAIT_LOCKED,        /* a region that firmware locked is in the way */
	ISO_WAIT_FLAPPING,      /* lost too often: until `recover` */
	ISO_WAIT_ISOLATION,     /* its root port is isolated, or has to be armed first */
	ISO_WAIT_HEALTH,        /* host or memdev is not well: until it is, or `recover` */
};

enum iso_instance_state {
	ISO_INSTANCE_CARVING,
	ISO_INSTANCE_ZEROING,
	ISO_INSTANCE_PROVING,
	ISO_INSTANCE_READY,    /* zero, proved, not handed over */
	ISO_INSTANCE_HANDING,
	ISO_INSTANCE_HELD,     /* node belongs to the lease's owner */
	ISO_INSTANCE_DOOMED,   /* will be removed once nobody maps it */
	ISO_INSTANCE_VERIFYING,/* an orphan: who maps it? */
	ISO_INSTANCE_REMOVING,
	ISO_INSTANCE_STATES,
};

enum iso_lease_state {
	ISO_LEASE_WAITING,    /* wants capacity */
	ISO_LEASE_PREPARING,  /* instances are being carved, zeroed, proved */
	ISO_LEASE_ACQUIRED,   /* granted; expires unless attached */
	ISO_LEASE_ATTACHED,
	ISO_LEASE_KILLED,     /* stopped or sent SIGKILL, not gone yet */
	ISO_LEASE_KEPT,       /* clean exit, capacity kept for a while */
	ISO_LEASE_VERIFYING,  /* gone; who still maps its instances? */
	ISO_LEASE_RETRACTING, /* nodes and links are taken back, instances removed */
	ISO_LEASE_STUCK,      /* something still maps, or it does not exit */
	ISO_LEASE_STATES,
};

struct iso_host_bridge_view {
	const char *path;
};

struct iso_port_view {
	const char *path;
	struct iso_pci_address address;
	uint32_t kind; /* enum iso_port_kind */
	uint32_t host_bridge;
	uint32_t parent;
	uint32_t domain; /* index of the domain's first root port; its identity */
	bool present;
	bool held; /* by `isolate`, or because it was lost too often */
	bool flapping;
	const uint64_t *losses_ns; /* when it last took capacity with it, oldest first ... */
	uint32_t n_losses; /* ... since an operator gave it back */
	struct iso_isolation isolation; /* of a root port, as last read */
	uint64_t isolated_ns; /* since when it is isolated; 0: it is not */
	bool link_was_down;   /* seen since then */
	bool link_taken;      /* taken down for that, and to be given back when it is over */
	bool armed;           /* isolation is enabled ... */
	bool armed_known;     /* ... false: its registers cannot be read, and it may be */
	bool arm_wanted;      /* by the policy or by an operator */
	bool arming;          /* of an ARM_PORT under way: it is to be armed, else disarmed */
	uint32_t arm_wish;    /* enum iso_arm_wish: an operator's own */
	uint32_t arm_range;   /* the timeout code it shall have */
	uint32_t range_wish;  /* an operator's own, ISO_NONE: none */
	const char *isolation_reason; /* what went wrong last, or why given up; empty when nothing */
};

struct iso_memdev_view {
	const char *path;
	const char *name; /* memN */
	uint64_t serial;
	struct iso_pci_address address;
	uint32_t port;
	uint64_t volatile_bytes;
	uint64_t persistent_bytes;
	bool present;
	bool bound;
	bool settling;
	bool duplicate_serial;
	uint64_t poison_read_ns; /* when its poison list was read last; 0: not yet */
	const char *poison_problem; /* why it cannot be read; empty when it can */
	const char *closed; /* why nobody is placed on it; empty when that may be */
	uint64_t bad_bytes; /* known to be bad, as the hardware said */
};

struct iso_region_view {
	const struct iso_region_definition *definition;
	uint32_t state; /* enum iso_region_state */
	uint32_t wait; /* enum iso_region_wait, when absent */
	uint32_t epoch;
	uint32_t domain;
	uint32_t kernel_id; /* N of regionN, ISO_NONE when there is none */
	uint32_t window_kernel_id; /* N of decoder0.N to create it in, or ISO_NONE */
	uint64_t window_granularity;
	struct iso_hpa_range range; /* bytes 0 when not there */
	bool has_hpa; /* range.start is known from now or before */
	uint64_t free_bytes; /* not held by any instance, and good */
	uint64_t bad_bytes; /* of it not given away because of bad memory: whole units */
	const char *closed; /* why nobody is placed on it for bad memory; empty when that may be */
	uint32_t n_instances;
	bool from_operator;
	bool desired;
	bool draining; /* makes way for a lower region: no new leases */
	bool locked; /* firmware holds its decoders: never cleared */
	uint64_t planned_bytes; /* what it will be made with; 0 when that is not known */
	const char *reason; /* last failure or why quarantined; empty when none */
};

struct iso_instance_view {
	uint32_t state; /* enum iso_instance_state */
	uint32_t region;
	uint32_t lease; /* ISO_NONE: an orphan */
	uint32_t part; /* N of memN */
	uint32_t epoch;
	bool named; /* region_kernel_id and kernel_id are known */
	uint32_t region_kernel_id; /* X of daxX.Y */
	uint32_t kernel_id; /* Y */
	uint32_t major, minor;
	uint64_t bytes;
	uint64_t align;
	struct iso_hpa start;
	uint64_t begun_ns; /* when it was carved; a record that is older is not about it */
	uint32_t n_pieces; /* 0: where it lies is not known */
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	bool lost; /* its region went away under it */
	int32_t mapper; /* of an orphan: a process that maps it, as last seen; 0: none */
};

struct iso_lease_view {
	const struct iso_acquire *terms;
	uint32_t state; /* enum iso_lease_state */
	uint32_t epoch;
	uint64_t sequence; /* fairness order */
	int32_t pid; /* 0: none */
	uint64_t incident; /* that killed it last, 0: none */
	bool was_killed;
	bool client_waits;
	uint64_t killed_ns, exited_ns, attached_ns, expires_at_ns;
	uint32_t n_instances;
	uint32_t instances[ISO_LEASE_PARTS_MAX];
	uint32_t n_mappers; /* STUCK: who */
	int32_t mappers[ISO_MAPPERS_MAX];
	const char *waits_for; /* one line for a person; empty when nothing */
	uint32_t pins; /* enum iso_pin, as last seen */
	const char *evidence; /* what was seen of that; empty when nothing */
	int32_t stranger; /* another process that maps its memory, 0: none */
	bool revoked; /* STUCK: its memory was taken from it, it only has to exit */
};

struct iso_incident_view {
	uint64_t id;
	uint32_t cause; /* enum iso_cause */
	const char *unit;
	uint32_t domain;
	uint64_t record_ns, detected_ns, contained_ns, recovered_ns; /* 0: not yet */
	uint32_t n_killed, n_exited;
	uint32_t n_records; /* correlated to it */
	uint64_t capacity_before_bytes, capacity_after_bytes;
	const char *held_port; /* kept away until `recover`; empty: none */
	bool held_flapping; /* because it was lost too often */
	bool synthetic; /* a drill: nothing of it has happened to the hardware */
	bool open;
};

/* A bad range of memory. */
struct iso_bad_view {
	uint32_t state; /* enum iso_bad_state */
	uint32_t evidence; /* enum iso_poison_evidence */
	bool has_dpa;
	uint64_t serial;
	struct iso_dpa dpa;
	uint64_t bytes;
	uint64_t first_ns, last_ns, cleared_ns; /* 0: not in this boot */
	uint32_t memdev; /* ISO_NONE: not known */
	uint32_t region; /* where it lies now; ISO_NONE: in none, or that is not known */
	struct iso_region_off offset; /* when there is a region */
	struct iso_hpa hpa; /* the same */
	uint32_t instance; /* that lies on it; ISO_NONE: none */
	const char *lease; /* whose memory it was when it was found last; empty: nobody's */
	const char *region_name; /* by whose offset it is known; empty: by its memdev */
	uint64_t hit_begun_ns;
};

/* Where memory lies that a record names, and whose it is. */
struct iso_memory_view {
	uint32_t region;
	uint32_t lease; /* that has had it since before the record; ISO_NONE: none, or more than one */
};

struct iso_fence_view {
	uint32_t kind; /* enum iso_fence_kind */
	const char *unit; /* path of a port of the domain, or of the memdev */
	uint64_t serial; /* MEMDEV */
	const char *rule; /* that asked for it */
	bool lifted; /* in the last step: SAVE_FENCE speaks of its end */
};

/* One more than the highest index of a host bridge. */
uint32_t iso_host_bridge_count(const struct iso_engine *e);
/* Reads host bridge `i`. Return: whether there is one. */
bool iso_host_bridge_get(const struct iso_engine *e, uint32_t i, struct iso_host_bridge_view *ret);

/* One more than the highest index of a port. */
uint32_t iso_port_count(const struct iso_engine *e);
/* Reads port `i`, also one that is not present now. Return: whether there is one. */
bool iso_port_get(const struct iso_engine *e, uint32_t i, struct iso_port_view *ret);

/* One more than the highest index of a memdev. */
uint32_t iso_memdev_count(const struct iso_engine *e);
/* Reads memdev `i`, also one that is not present now. Return: whether there is one. */
bool iso_memdev_get(const struct iso_engine *e, uint32_t i, struct iso_memdev_view *ret);

/* One more than the highest index of a region. */
uint32_t iso_region_count(const struct iso_engine *e);
/* Reads region `i`, whether or not the kernel has it now. Return: whether there is one. */
bool iso_region_get(const struct iso_engine *e, uint32_t i, struct iso_region_view *ret);

/* One more than the highest index of an instance. */
uint32_t iso_instance_count(const struct iso_engine *e);
/* Reads instance `i`. Return: whether there is one. */
bool iso_instance_get(const struct iso_engine *e, uint32_t i, struct iso_instance_view *ret);

/* One more than the highest index of a lease. */
uint32_t iso_lease_count(const struct iso_engine *e);
/* Reads lease `i`. Return: whether there is one. */
bool iso_lease_get(const struct iso_engine *e, uint32_t i, struct iso_lease_view *ret);

/* The process that asks to become the VM of lease `i` and is being inspected. Return: 0 when none does. */
int32_t iso_attaching_pid(const struct iso_engine *e, uint32_t i);

/* One more than the highest index of a bad range. */
uint32_t iso_bad_count(const struct iso_engine *e);
/* Reads bad range `i`. Return: whether there is one. */
bool iso_bad_get(const struct iso_engine *e, uint32_t i, struct iso_bad_view *ret);
/*
 * What carving in region `r` has to go around, in whole units of `align`, which
 * do not overlap, lowest first. `ret` has room for ISO_AVOID_MAX. Return: how many;
 * more than ISO_AVOID_MAX: too many, and nothing may be carved.
 */
uint32_t iso_region_avoid(const struct iso_engine *e, uint32_t r, uint64_t align,
			  struct iso_hpa_range *ret);

/*
 * Finds the memory that a record names, by `has_hpa`, or `has_serial` and `has_dpa`;
 * only its place, `bytes` and `record_ns` are looked at. Changes nothing. Return: false,
 * with nothing written, when it lies in no region, in more than one, or that is not known.
 */
bool iso_memory_find(const struct iso_engine *e, const struct iso_poison *memory,
		     struct iso_memory_view *ret);

/* One more than the highest index of an incident that is still in memory. */
uint32_t iso_incident_count(const struct iso_engine *e);
/* Reads incident `i`. Return: whether there is one. */
bool iso_incident_get(const struct iso_engine *e, uint32_t i, struct iso_incident_view *ret);

/* What arming a root port with this timeout code would meet; ISO_NONE: the one it shall have. */
struct iso_arming {
	uint32_t obstacles; /* enum iso_obstacle, all of them */
	bool quiesced; /* nothing uses memory behind it: it can be done at once */
	uint32_t region; /* a managed one that stands on it, or ISO_NONE */
};
/* Answers without changing anything. Return: false when `port` is no root port. */
bool iso_arming(const struct iso_engine *e, uint32_t port, uint32_t range, struct iso_arming *ret);

enum iso_arm_outcome {
	ISO_ARM_REFUSED,
	ISO_ARM_ALREADY, /* it is so: nothing is written */
	ISO_ARM_NOW,
	ISO_ARM_WAITS, /* until it is quiesced */
	ISO_ARM_UNKNOWN, /* its registers cannot be read: done once they can */
};
/*
 * What ARM with this wish (enum iso_arm_wish) and timeout code (ISO_NONE: the
 * policy's) would be answered, without changing anything. `ret_obstacles`: enum
 * iso_obstacle, all reasons of a refusal. Return: false when `port` is no root port.
 */
bool iso_arm_try(const struct iso_engine *e, uint32_t port, uint32_t wish, uint32_t range,
		 enum iso_arm_outcome *ret, uint32_t *ret_obstacles);
/* One more than the highest index of a fence. */
uint32_t iso_fence_count(const struct iso_engine *e);
/* Reads fence `i`, also one that was lifted in the last step. Return: whether there is one. */
bool iso_fence_get(const struct iso_engine *e, uint32_t i, struct iso_fence_view *ret);
/*
 * Finds what keeps new tenants from a memdev, which need not be there: by its serial
 * number, path, PCI address or name, of an absent one by serial number or the path it
 * had. Return: index of the fence, or ISO_NONE.
 */
uint32_t iso_fence_of_memdev(const struct iso_engine *e, const char *text);

/* Finds a region by name. Return: its index, or ISO_NONE. */
uint32_t iso_region_find(const struct iso_engine *e, const char *name);
/* Finds a lease by the name of its VM. Return: its index, or ISO_NONE. */
uint32_t iso_lease_find(const struct iso_engine *e, const char *name);
/* Finds a port by stable path or PCI address text. Return: its index, or ISO_NONE. */
uint32_t iso_port_find(const struct iso_engine *e, const char *path_or_address);
/* Finds a memdev by serial ("0x10" or decimal), memN, path or PCI address text. Return: its index, or ISO_NONE. */
uint32_t iso_memdev_find(const struct iso_engine *e, const char *text);

/* State of the domain whose first root port is `port`. */
enum iso_domain_state iso_domain_state(const struct iso_engine *e, uint32_t port);
/* Why it is in that state, one line; empty when healthy. */
const char *iso_domain_reason(const struct iso_engine *e, uint32_t port);

/* Why nothing is handed out until ISO_EVENT_CONFIRM. Return: one line, or NULL when nothing is held. */
const char *iso_hold_reason(const struct iso_engine *e);

/* Why nothing that was lost is made again by itself. Return: one line, or NULL when the host is well. */
const char *iso_health_reason(const struct iso_engine *e);
/* Why nothing is made on this memdev again by itself; NULL when it is well. */
const char *iso_health_of_memdev(const struct iso_engine *e, uint64_t serial);

/* Bytes of all regions that are live. */
uint64_t iso_capacity_bytes(const struct iso_engine *e);
/* What of iso_capacity_bytes() no instance holds. */
uint64_t iso_free_bytes(const struct iso_engine *e);

/* What of iso_capacity_bytes() nobody holds and nobody gets, because it is bad. */
uint64_t iso_bad_bytes(const struct iso_engine *e);

/* What the loss of a unit would mean. Arrays are the caller's; counts may exceed room. */
struct iso_what_if {
	uint32_t *regions;
	uint32_t regions_room;
	uint32_t n_regions;
	uint32_t *leases;
	uint32_t leases_room;
	uint32_t n_leases; /* that would be killed */
	uint32_t *blockers;
	uint32_t blockers_room;
	uint32_t n_blockers; /* recovery waits for these */
	uint32_t n_pinning; /* of the leases: those whose loss can panic the host */
	uint64_t bytes; /* held by the victims' instances in lost regions */
};

/*
 * Fills `what` for the loss of a port, or of a memdev when port is ISO_NONE.
 * Return: false when the index names nothing.
 */
bool iso_what_if(const struct iso_engine *e, uint32_t port, uint32_t memdev,
		 struct iso_what_if *what);

/* Whether a lease's VM is to be ended, by policy or a person's word, for what is lost now and lies below its memory. */
bool iso_lease_makes_way(const struct iso_engine *e, uint32_t lease);

/* Name of an iso_domain_state, for people and JSON: lower case, dashes; never NULL, as of all below. */
const char *iso_domain_state_name(uint32_t state);
/* Name of an iso_region_state. */
const char *iso_region_state_name(uint32_t state);
/* Name of an iso_region_wait. */
const char *iso_region_wait_name(uint32_t wait);
/* Name of an iso_instance_state. */
const char *iso_instance_state_name(uint32_t state);
/* Name of an iso_lease_state. */
const char *iso_lease_state_name(uint32_t state);
/* Name of an iso_cause. */
const char *iso_cause_name(uint32_t cause);
/* Name of an iso_action. */
const char *iso_action_name(uint32_t action);
/* Name of an iso_fence_kind, as the action that made it is called. */
const char *iso_fence_name(uint32_t kind);
/* Name of an iso_note_kind. */
const char *iso_note_name(uint32_t note);
/* What an iso_reply means, as half a sentence for people. */
const char *iso_reply_text(uint32_t reply);
/* Name of an iso_effect_kind. */
const char *iso_effect_name(uint32_t kind);
/* Name of an iso_bad_state. */
const char *iso_bad_state_name(uint32_t state);
/* Name of an iso_poison_action. */
const char *iso_poison_action_name(uint32_t action);
/* Names of a set of iso_poison_evidence, with commas; `text` has room for ISO_TEXT_BYTES. */
void iso_poison_evidence_format(uint32_t evidence, char *text);
/* Name of an iso_port_kind. */
const char *iso_port_kind_name(uint32_t kind);

/* Name of the lowest bit of a set of iso_pin; "nothing" for 0. */
const char *iso_pin_name(uint32_t pins);

/* Name of an iso_isolation_source. */
const char *iso_isolation_source_name(uint32_t source);
/* Name of an iso_arm_wish. */
const char *iso_arm_wish_name(uint32_t wish);
/* Name of obstacle number `bit` (not the bit itself), below ISO_OBSTACLES. */
const char *iso_obstacle_name(uint32_t bit);
/* What that obstacle is, as half a sentence for people. */
const char *iso_obstacle_text(uint32_t bit);

/* Whether a VM or region may be called that: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}. */
bool iso_name_valid(const char *name);
/* Reads "0000:0c:00.0". Return: whether it is an address; else nothing is written. */
bool iso_pci_address_parse(const char *text, struct iso_pci_address *ret);
/* Writes "0000:0c:00.0", or "" for an address that is not known. */
void iso_pci_address_format(struct iso_pci_address address, char text[16]);

#endif
