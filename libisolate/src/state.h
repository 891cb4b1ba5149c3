/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the engine believes. One block of memory given at init holds all of it;
 * the tables never grow, an index is a handle together with its epoch.
 */
#ifndef ISOLATE_STATE_H
#define ISOLATE_STATE_H

#include <assert.h>
#include <string.h>

#include <isolate/engine.h>
#include <isolate/reconcile.h>
#include <isolate/view.h>

struct host_bridge {
	char path[ISO_PATH_BYTES];
	uint32_t n_root_ports; /* more than one: it has real decoders, which keep an order */
};

/* Of a root port: what its isolation registers say and what is done about it. */
struct isolation {
	struct iso_isolation seen;
	uint64_t since_ns; /* isolated; 0: not */
	uint64_t down_ns;  /* when its link was last known to be down; 0: never */
	uint64_t known_by_ns; /* regions wait until then to learn of its registers; 0: not begun */
	uint64_t cleared_ns;
	uint64_t retry_at_ns;
	uint32_t failures;
	uint32_t arm_failures;
	uint32_t wish; /* enum iso_arm_wish */
	uint32_t range; /* of the operator; ISO_NONE: the policy's */
	uint32_t told; /* obstacles as last told */
	bool link_down; /* seen since it isolated */
	bool link_taken; /* by us, perhaps: to be given back, also after a restart */
	bool cleared_unheard; /* its status was seen cleared, the clearing has not ended */
	bool synthetic; /* it has not: that was injected */
	bool given_up;
	bool system_ram; /* behind it, as last observed; or it cannot be told whose it is */
	bool committed; /* some region behind it, as last observed */
	uint32_t foreign; /* N of a committed regionN behind it that is not managed, or ISO_NONE */
	bool told_foreign;
	bool told_waiting;
	bool arming; /* what an ARM_PORT under way writes: armed, or not */
	char reason[ISO_TEXT_BYTES];
};

struct port {
	struct isolation isolation;
	char path[ISO_PATH_BYTES];
	struct iso_pci_address address;
	uint32_t kind;
	uint32_t host_bridge;
	uint32_t parent;
	uint32_t domain;
	uint64_t operation;
	uint64_t rescan_at_ns; /* not before */
	uint64_t changed_ns; /* when an operation on it ended */
	uint32_t rescans; /* in a row without success */
	bool present;
	uint64_t losses_ns[ISO_PORT_LOSSES_MAX]; /* the last ones, in order */
	uint32_t n_losses;
	bool held;
	bool flapping; /* held because it was lost too often */
	bool detach_wanted;
	bool rescan_wanted;
};

struct memdev {
	char path[ISO_PATH_BYTES];
	char name[16];
	uint64_t serial;
	struct iso_pci_address address;
	uint32_t port;
	uint64_t volatile_bytes;
	uint64_t persistent_bytes;
	uint64_t settling_until_ns; /* 0: not settling */
	uint64_t settled_ns; /* when the kernel last said that its recovery had ended */
	uint64_t seen_ns; /* when the observation began that showed it last */
	uint64_t poison_operation; /* reads its poison list */
	uint64_t poison_began_ns; /* when the last reading of it began ... */
	uint64_t poison_read_ns; /* ... when the last complete one did ... */
	uint64_t poison_checked_ns; /* ... and the last that told all that can be known */
	uint64_t poison_retry_ns;
	uint32_t poison_failures; /* in a row */
	bool poison_due;
	uint64_t closed_ns; /* since when nobody is placed on it; 0: may be */
	const char *closed; /* why */
	char poison_problem[ISO_TEXT_BYTES];
	bool present;
	bool bound;
	bool duplicate_serial;
};

/* Nothing is made on it again by itself. */
struct unwell_memdev {
	uint64_t serial;
	char reason[ISO_TEXT_BYTES];
};

struct window {
	struct iso_observed_window observed;
};

struct region {
	struct iso_region_definition definition;
	uint32_t state;
	uint32_t wait;
	uint32_t waits_for; /* the region of ISO_WAIT_OTHER_REGION */
	uint32_t epoch;
	uint32_t domain;
	uint32_t kernel_id;
	uint32_t window;
	uint64_t began_ns; /* when this daemon began to make it; 0: it was there before */
	struct iso_hpa_range range;
	struct iso_hpa last_hpa;
	uint64_t held_bytes;
	uint64_t spare_bytes; /* what the planner may still give away; 0 when closed */
	uint32_t n_instances;
	uint32_t first_instance;
	uint32_t legs[ISO_WAYS_MAX]; /* memdevs in target order, ISO_NONE: never seen */
	struct iso_dpa_range leg_dpa[ISO_WAYS_MAX]; /* as seen; bytes 0: not known */
	uint32_t granularity; /* as seen; 0: not known */
	uint64_t live_ns; /* since when; the lists of its memdevs are read after it */
	uint64_t bad_bytes; /* free, but not given away: whole units around bad ranges */
	const char *closed; /* to new tenants, for what is bad; NULL: open */
	bool newly_closed; /* who is about to become one has to be found another place */
	uint32_t n_operations; /* that change what is observed of it or of its instances */
	uint64_t operation;
	uint32_t operation_topology; /* what was known of the topology when it began */
	uint64_t retry_at_ns;
	uint32_t failures, clear_failures;
	bool used;
	bool desired;
	bool from_operator;
	bool leaving; /* not defined any more: ours as long as somebody stands on it */
	bool draining;
	bool open; /* to new tenants, as the planner saw it last ... */
	bool reading; /* ... or as soon as the poison lists of its memdevs are read */
	bool has_hpa;
	bool fault_while_busy; /* lost while an operation on it was under way */
	bool observation_stale; /* an operation overlapped the observation under way */
	bool look_stale; /* the same of one that is only looked at, for a dry run */
	bool observe_again; /* an observation passed it over while an operation ran */
	bool unobserved; /* not seen since the last operation on it */
	bool doubted; /* live, but the kernel gave its number to another one since */
	bool refill_failed; /* since it was lost: the object has to go */
	bool locked; /* firmware holds its decoders */
	bool despite_health; /* an operator wants it made although not all is well */
	bool evict; /* an operator said so: who is above it makes way */
	uint64_t planned_bytes; /* what it will be made with; 0: not known */
	bool over_hole; /* live, but decoders below it were given up out of order */
	bool untold; /* that it is being cleared: it tries a failing store each second */
	bool creation_interrupted;
	char reason[ISO_TEXT_BYTES];
};

struct instance {
	uint32_t state;
	uint32_t region;
	uint32_t lease;
	uint32_t part;
	uint32_t epoch;
	uint32_t region_kernel_id;
	uint32_t kernel_id;
	uint32_t major, minor;
	uint64_t bytes;
	uint64_t align;
	struct iso_hpa start;
	uint64_t begun_ns; /* older records are not about it */
	uint32_t n_pieces; /* 0: where it lies is not known */
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
	uint64_t seqnum_floor; /* uevents up to this one speak of an earlier owner of the name */
	uint64_t operation;
	uint64_t retry_at_ns;
	uint32_t failures;
	uint32_t next, prev; /* in the region's list */
	bool used;
	bool named;
	bool lost;
	bool system_ram; /* kmem has it, as was told */
	bool seen; /* in the snapshot being taken in */
	bool adopting; /* not removed meanwhile */
	int32_t stranger; /* of an orphan: who maps it, as was told; 0: nobody */
	bool was_mapped; /* an orphan, by somebody whose pins may outlive him */
};

/* What an inspection finds of one lease, until it is compared with the last one. */
struct look {
	uint32_t pins;
	int32_t stranger;
	bool seen;
};

struct lease {
	struct iso_acquire terms;
	uint32_t state;
	uint32_t epoch;
	uint64_t sequence;
	int32_t pid;
	uint64_t incident;
	uint64_t request; /* of the client that waits for the grant; 0: none */
	uint64_t killed_ns, exited_ns, attached_ns;
	uint64_t deadline_ns; /* grant expiry, exit deadline, end of keep; 0: none */
	uint64_t retry_at_ns;
	uint64_t operation;
	uint32_t failures;
	uint32_t n_instances;
	uint32_t instances[ISO_LEASE_PARTS_MAX];
	uint32_t n_mappers;
	int32_t mappers[ISO_MAPPERS_MAX];
	uint32_t pins; /* enum iso_pin, as last seen */
	char evidence[ISO_EVIDENCE_BYTES];
	struct look look;
	uint32_t stuck_pins; /* why it could not be revoked, as last told */
	int32_t stranger; /* another process that maps its memory; 0: none */
	struct {
		uint64_t request; /* 0: nobody asks */
		int32_t pid;
	} attaching; /* to be inspected first */
	uint32_t next_dirty;
	uint32_t hash_next;
	uint32_t queue_next, queue_prev; /* while WAITING: in fairness order */
	uint32_t named_regions[ISO_LEASE_PARTS_MAX]; /* where its parts' region was last found */
	uint64_t saved_step;
	bool used;
	bool dirty;
	bool client_waits;
	bool gathering; /* waits a moment for others that are about to exit */
	bool ahead; /* made ready for a client that has not asked yet */
	bool was_killed;
	bool contain_pending; /* counted in its incident's n_pending */
	bool restore_pending; /* counted in its incident's n_unrestored */
	bool handed_over;
	bool told_stuck;
	bool pinned; /* has pinned memory: its exit does not prove that the pins have gone */
	bool adopted; /* made by hand: it never asked for memory that may fail */
	bool revoked; /* nobody can reach its instances any more, who still maps them or not */
	bool ending; /* released or withdrawn: no restart */
	bool comes_back; /* a fault took its capacity and it wishes to be restarted */
	bool died_unseen; /* before a restart of ours: perhaps of a fault that shows soon */
	bool voided; /* a fault came between acquire and attach */
	char waits_for[ISO_TEXT_BYTES];
};

struct operation {
	uint64_t id; /* 0: free */
	uint32_t kind;
	uint32_t region, instance, lease, port, memdev;
	uint32_t object_epoch;
	uint32_t lane;
	uint64_t deadline_ns;
	uint32_t next_free;
	bool intent_pending;
	uint32_t before; /* state of its region when it began */
};

/* Memory that is bad, or was. */
struct bad_range {
	bool used;
	bool has_dpa;
	bool unsaved;
	uint32_t state; /* enum iso_bad_state */
	uint32_t evidence;
	uint64_t serial;
	struct iso_dpa dpa;
	uint32_t region; /* and offset: where its memdev does not tell; ISO_NONE: it does */
	uint32_t region_epoch;
	struct iso_region_off offset;
	uint64_t bytes;
	uint64_t first_ns, last_ns, cleared_ns;
	uint64_t saved_ns; /* last_ns as it was saved last */
	uint32_t legs_read; /* of a cleared one known by its region: whose lists were read since */
	uint64_t hit_begun_ns; /* of the instance that lay on it when it was found last; 0: none */
	char lease[ISO_NAME_BYTES];
};

/* Of a region, in bytes from its start. */
struct region_span {
	struct iso_region_off start;
	uint64_t bytes;
};

enum place {
	PLACE_ELSEWHERE,
	PLACE_HERE,
	PLACE_UNKNOWN, /* perhaps here: nothing tells */
};

struct domain {
	uint32_t state;
	char reason[ISO_TEXT_BYTES];
};

struct incident {
	uint64_t id; /* 0: free */
	uint32_t cause;
	char unit[ISO_PATH_BYTES];
	uint32_t domain;
	uint64_t record_ns, detected_ns, contained_ns, recovered_ns;
	uint32_t n_killed, n_exited, n_records;
	uint32_t n_pending; /* leases not yet shown unmapped */
	uint32_t first_pending; /* none of them has a lower index */
	uint32_t n_unrestored; /* victims that want to come back and have not */
	uint64_t capacity_before_bytes, capacity_after_bytes;
	char held_port[ISO_PATH_BYTES]; /* a restart must not forget it */
	bool held_flapping; /* by us, because it was lost too often */
	bool synthetic; /* all of its records were injected */
	bool open;
};

/* What domain_update() finds of one domain. */
struct verdict {
	enum iso_domain_state state;
	bool has_incident;
	char reason[ISO_TEXT_BYTES];
};

enum { OTHERS_PER_LEASE = 3, TEXTS_PER_LEASE = 1 }; /* effects of a step that kills it */
enum { OTHER_TEXTS = 512, LEASE_BUCKETS = 4096 };

enum {
	EARLY_MAX = 1024,
	EARLY_FAULTS_MAX = 128,
	LEDGER_SAVES_MAX = 128,
	UNWELL_MEMDEVS_MAX = 64,
};

enum { FINDINGS_MAX = 512, RECONCILES_MAX = 16 };

enum reconcile_stage {
	RECONCILE_IDLE,
	RECONCILE_ASKED, /* an observation is wanted */
	RECONCILE_LOOKING, /* it is under way */
	RECONCILE_COMPARED, /* an inspection is wanted */
	RECONCILE_INSPECTING, /* it is under way */
};

/* Requests are answered one after another; the first is the one under way. */
struct reconcile {
	struct {
		uint64_t request;
		bool dry_run;
	} asked[RECONCILES_MAX];
	uint32_t n_asked;
	uint32_t stage; /* enum reconcile_stage */
	uint64_t asked_ns; /* when the first one became so */
	struct iso_finding *findings; /* of the last request */
	struct iso_finding *gap_findings; /* scratch: those that nobody asked for */
	uint32_t n_findings;
	uint64_t told[FINDINGS_MAX]; /* of those that still stand: each is told once */
	uint32_t n_told;
	uint32_t n_leases_rebooted, n_incidents_rebooted; /* ended with another boot */
	bool gap; /* something may have been missed since the last observation began */
	bool looks_at_gap; /* the observation under way is the first after that */
};

enum adoption_stage { ADOPTION_IDLE, ADOPTION_ASKED, ADOPTION_LOOKING };

/* One at a time: a person does it. */
struct adoption {
	struct iso_adopt asked;
	uint32_t stage; /* enum adoption_stage */
};

struct iso_engine {
	struct iso_limits limits;
	struct iso_policy policy;

	struct host_bridge *host_bridges;
	struct port *ports;
	struct memdev *memdevs;
	struct window *windows;
	struct region *regions;
	struct instance *instances;
	struct lease *leases;
	struct operation *operations;
	struct incident *incidents;
	struct bad_range *bad;
	struct iso_poison *early; /* told before the first observation */
	struct fence *fences;
	struct domain *domains; /* indexed by the domain's first root port */
	struct verdict *verdicts; /* scratch: the same */
	uint32_t *held_up; /* regions with ISO_WAIT_DECODER_ORDER, in no order */
	bool *memdev_down; /* scratch: the memdevs of one fault unit */
	uint32_t *name_index; /* scratch: instances by name, open addressing */
	uint32_t *pid_index; /* scratch: attached leases by process, open addressing */
	uint32_t *region_seen; /* scratch: by region, which one of an observation it is */
	struct iso_hpa_range *foreign; /* ranges of regions that are not managed */
	uint32_t *lease_buckets;

	uint32_t n_host_bridges, n_ports, n_memdevs, n_windows;
	uint32_t n_foreign, name_index_size, pid_index_size;
	uint32_t topology; /* counts changes in where memdevs are */
	uint32_t queue_head, queue_tail;
	uint32_t n_regions, n_instances, n_leases, n_operations; /* high water marks */
	uint32_t free_instances, free_operations;
	uint32_t free_lease; /* list through next_dirty */
	uint32_t n_incidents;
	uint32_t n_bad; /* high water mark */
	uint32_t n_not_good; /* of them: bad or cleared */
	uint32_t n_unsaved;
	uint32_t n_early, n_early_lost;
	struct iso_fault early_faults[EARLY_FAULTS_MAX]; /* the same of faults */
	uint32_t n_early_faults, n_early_faults_lost;
	bool ledger_forgot; /* something of a memdev that was not there */
	bool ledger_dirty; /* what regions have to give may be otherwise */
	uint32_t n_fences; /* that stand */
	uint32_t fences_room;

	uint64_t now_ns;
	uint64_t wake_at_ns;
	uint64_t step;
	uint64_t next_operation;
	uint64_t next_incident;
	uint64_t next_sequence;
	uint64_t observed_seqnum;
	uint64_t observe_operation;
	uint64_t observe_began_ns;
	uint64_t seen_ns; /* when the last observation that was taken in began */
	uint32_t n_held_up;
	uint32_t n_dying; /* leases whose VM was killed and has not exited */
	uint32_t n_stuck; /* leases in ISO_LEASE_STUCK */
	uint32_t n_changing; /* operations under way that change what is observed */
	uint64_t inspect_operation;
	uint64_t inspect_at_ns; /* UINT64_MAX: nothing asks for it */
	uint64_t observe_at_ns; /* when the next routine observation is due; UINT64_MAX: none */
	uint64_t observe_hold_ns; /* after a failed one: none before */
	uint32_t observe_failures; /* in a row */
	char observe_problem[ISO_TEXT_BYTES]; /* as last told; the same of inspections: */
	char inspect_problem[ISO_TEXT_BYTES];
	uint32_t dirty_head, dirty_tail;
	uint64_t surveyed_step; /* in which it was last seen what there is to give away */
	uint64_t store_retry_ns; /* when it is tried next whether the store takes intents */
	uint64_t store_probe; /* the operation whose intent tries it now; 0: none */
	char store_reason[ISO_TEXT_BYTES];
	char held_reason[ISO_TEXT_BYTES];
	char unwell_reason[ISO_TEXT_BYTES];
	bool unwell; /* the host: nothing is made again by itself */
	struct unwell_memdev unwell_memdevs[UNWELL_MEMDEVS_MAX];
	uint32_t n_unwell_memdevs;
	bool store_failing; /* the last intent could not be made durable */
	bool held; /* the leases are not known: until an operator confirms */
	bool synthetic; /* the event of this step was injected */
	bool observed; /* at least one snapshot was taken in */
	bool observe_wanted;
	struct reconcile reconcile;
	struct adoption adoption;
	bool regions_dirty;
	bool placement_dirty;
	bool domains_dirty;

	struct iso_effect *kills;
	struct iso_effect *others;
	uint32_t kills_room, others_room;
	uint32_t n_kills, n_others;
	uint32_t n_dropped; /* non-kill effects that found no room: counted, never silent */
	char (*texts)[ISO_TEXT_BYTES];
	uint32_t n_texts, texts_room;
};

#include "functions.h"

#endif
