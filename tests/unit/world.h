/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A simulated platform for the engine: a host with CXL, its kernel's rules for
 * decoders and dax devices, VM processes, a store, and a clock that only moves
 * when nothing is left to do. Deterministic: the same calls give the same run.
 *
 * After every step it runs iso_check() and looks for what must never happen
 * (a kill outside the blast radius, memory taken from under a mapping, a deed
 * without its intent, a tenant on memory that was not zeroed). The first
 * finding is kept in `broken`.
 */
#ifndef TESTS_WORLD_H
#define TESTS_WORLD_H

#include <isolate/engine.h>
#include <isolate/view.h>

enum {
	WORLD_BRIDGES = 8,
	WORLD_PORTS = 24,
	WORLD_MEMDEVS = 16,
	WORLD_WINDOWS = 8,
	WORLD_OBJECTS = 24,
	WORLD_DAX = 64,
	WORLD_PROCESSES = 96,
	WORLD_TASKS = 256,
	WORLD_REPLIES = 2048,
	WORLD_PLANS = 16,
	WORLD_TRACE_BYTES = 1 << 18,
	WORLD_FIRST_PID = 1000,
	WORLD_SLOTS = 8,
};

#define WORLD_MS     1000000ull
#define WORLD_SECOND (1000 * WORLD_MS)
#define WORLD_UNIT   (256ull << 20) /* what one memdev holds; also how regions are aligned */
#define WORLD_PART   (64ull << 20)

/* Decoders of a host bridge or of a switch: slots in use in commit order. */
struct world_decoders {
	uint32_t slot[WORLD_SLOTS]; /* object index + 1 */
};

struct world_memdev {
	uint64_t bytes;
	uint64_t reset_until_ns; /* the kernel's own recovery */
	uint32_t reset_by;
	bool plugged;
	bool detached; /* by DETACH_PORT: a rescan finds it again */
	bool unbound;  /* the kernel's own recovery has failed: a rescan binds it */
};

/* A region object of the kernel; it outlives the loss of its targets. */
struct world_object {
	bool used, committed;
	bool locked; /* firmware holds its decoders */
	bool foreign; /* made by somebody else */
	bool condemned; /* the engine was told that it is lost: its VMs may be killed */
	uint32_t ways, granularity;
	struct iso_observed_target targets[ISO_WAYS_MAX];
	struct iso_hpa_range range;
};

/* Index in world.dax is the mapping's identity; names and minors are used again. */
struct world_dax {
	bool used; /* something remembers it: the kernel or a mapping */
	bool exists;
	bool bound;
	bool dirty, proved;
	uint32_t object, id, minor;
	uint64_t bytes;
};

struct world_process {
	int32_t pid;
	uint32_t lease, lease_epoch;
	char name[ISO_NAME_BYTES];
	bool running, stubborn, is_vm;
	uint32_t pins; /* enum iso_pin */
	uint32_t kills;
	uint64_t killed_step;
	uint32_t n_maps, maps[ISO_LEASE_PARTS_MAX];
};

/* Something that will happen: the deed or the completion of an operation, an exit, an event. */
struct world_task {
	bool used;
	uint32_t kind;
	uint64_t at_ns, order;
	struct iso_effect effect;
	struct iso_completion completion;
	struct world_picture *picture; /* of an observation */
	uint32_t life; /* of the engine that asked */
	uint32_t process;
	struct iso_event event;
};

/* What goes wrong: the nth effect of a kind from now on, and `times` from there. */
struct world_plan {
	uint32_t kind, nth, times;
	int32_t error;
	bool lost; /* no completion ever comes */
	bool leftover; /* a failed creation leaves its object behind */
	uint64_t late_ns;
};

struct world_stored {
	struct iso_restore_lease leases[64];
	struct iso_restore_region regions[WORLD_OBJECTS];
	struct iso_restore_incident incidents[16];
	uint32_t n_leases, n_regions, n_incidents;
};

struct world {
	struct iso_engine *engine;
	void *memory;
	struct iso_limits limits;
	struct iso_policy policy;
	uint64_t now_ns, steps, order, seqnum;
	uint32_t life;
	uint64_t random; /* 0: durations are fixed */

	struct iso_observed_host_bridge bridges[WORLD_BRIDGES];
	struct iso_observed_port ports[WORLD_PORTS];
	struct iso_observed_memdev seen_memdevs[WORLD_MEMDEVS];
	struct iso_observed_window windows[WORLD_WINDOWS];
	struct world_memdev memdevs[WORLD_MEMDEVS];
	struct world_decoders bridge_decoders[WORLD_BRIDGES], switch_decoders[WORLD_PORTS];
	struct world_object objects[WORLD_OBJECTS];
	struct world_dax dax[WORLD_DAX];
	struct world_process processes[WORLD_PROCESSES];
	struct world_task tasks[WORLD_TASKS];
	struct world_plan plans[WORLD_PLANS];
	uint32_t n_bridges, n_ports, n_memdevs, n_windows, n_processes, n_plans;

	struct iso_region_definition defined[WORLD_OBJECTS];
	uint32_t n_defined;
	struct world_stored stored;

	uint64_t operation_ns; /* how long one takes */
	uint64_t exit_ns; /* from SIGKILL to gone */
	uint64_t reset_ns; /* the kernel's recovery after a surprise down */
	bool no_uevents;
	bool evicts; /* VMs above in the decoder order may be killed */
	bool pins_outstanding; /* the kernel counts pins of nobody that maps anything */
	bool objects_vanish; /* with their leg, as some kernels do */
	uint32_t next_pins; /* of the process that attaches next */
	bool recovery_fails; /* of the kernel's own, from now on */
	uint32_t next_lease; /* while restoring */
	bool amnesia; /* the store loses what is saved from now on */

	uint32_t replies[WORLD_REPLIES]; /* by request: last enum iso_reply + 1 */
	uint64_t request;
	uint32_t n_kills, n_effects[ISO_EFFECT_KINDS];
	uint64_t intended[64]; /* operations whose intent is durable */
	uint32_t n_intended;
	struct iso_effects effects; /* of the last step */
	char broken[512], why[160];
	char *trace; /* every note's text, one a line */
	size_t trace_length;
};

/* world.c: time and effects */
struct world *world_new(void);
struct world *world_new_with(const struct iso_limits *limits, const struct iso_policy *policy);
/* Fails the test when something was broken. */
void world_free(struct world *w);
struct iso_effects world_step(struct world *w, const struct iso_event *event);
void world_run(struct world *w, uint64_t ns);
/* Runs until nothing is under way, `limit_ns` at most. Return: whether that was reached. */
bool world_settle(struct world *w, uint64_t limit_ns);
void world_break(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct iso_event *world_later(struct world *w, uint64_t ns);

/* world_store.c */
void world_start_engine(struct world *w);
void store_lease(struct world *w, const struct iso_effect *effect);
void store_region(struct world *w, const struct iso_effect *effect);
void store_incident(struct world *w, uint64_t id);
/* The engine dies and is built again from what the store holds; processes live on. */
void world_restart(struct world *w);

/* world_script.c: what a test does */
uint32_t world_bridge(struct world *w);
uint32_t world_port(struct world *w, enum iso_port_kind kind, uint32_t bridge, uint32_t parent);
uint32_t world_memdev(struct world *w, uint32_t port, uint64_t serial);
uint32_t world_window(struct world *w, uint64_t units, uint32_t n, const uint32_t *bridges);
/* One bridge with a window of its own and n root ports, a memdev below each: serials from `serial` on. */
uint32_t world_simple_bridge(struct world *w, uint32_t n_ports, uint64_t serial);

/* The simplest host: a bridge with two ports, the live region "low" below the first, "high" above it. */
struct world *world_pair(void);

uint64_t world_define(struct world *w, const char *name, uint32_t ways, const uint64_t *serials);
uint64_t world_define_as(struct world *w, const struct iso_region_definition *definition);
uint64_t world_define_one(struct world *w, const char *name, uint64_t serial);
uint64_t world_acquire(struct world *w, const char *name, const char *region, uint64_t bytes);
uint64_t world_acquire_terms(struct world *w, struct iso_acquire *terms);
/* Return: the process's index. */
uint32_t world_attach(struct world *w, const char *name);
/* Acquires, waits for the grant and attaches. */
uint32_t world_start_vm(struct world *w, const char *name, const char *region, uint64_t bytes);
void world_exit(struct world *w, uint32_t process);
uint64_t world_named(struct world *w, enum iso_event_kind kind, const char *name);
uint64_t world_port_request(struct world *w, enum iso_event_kind kind, uint32_t port);
uint32_t world_stranger(struct world *w, const char *lease);
/* ISO_REPLY_*, or -1 when there was none. */
int world_reply(const struct world *w, uint64_t request);
void world_fail(struct world *w, uint32_t kind, uint32_t nth, uint32_t times, int32_t error);
struct world_plan *world_plan(struct world *w, uint32_t kind);
bool world_noted(const struct world *w, const char *text);
uint32_t world_count_notes(const struct world *w, const char *text);

struct iso_lease_view world_lease(const struct world *w, const char *name);
bool world_has_lease(const struct world *w, const char *name);
struct iso_region_view world_region(const struct world *w, const char *name);
enum iso_domain_state world_domain(const struct world *w, uint32_t port);
const char *world_reason(const struct world *w, uint32_t port);
struct iso_incident_view world_incident(const struct world *w, uint64_t id);
uint32_t world_running(const struct world *w);

/* world_kernel.c, world_dax.c, world_picture.c: the kernel's half */
struct world_picture;
struct world_picture *kernel_picture(const struct world *w);
void kernel_picture_event(const struct world_picture *picture, struct iso_event *ret);
void kernel_lose(struct world *w, uint32_t memdev);
void kernel_surprise_down(struct world *w, uint32_t port);
void kernel_unplug(struct world *w, uint32_t memdev);
void kernel_plug(struct world *w, uint32_t memdev);
bool kernel_below(const struct world *w, uint32_t port, uint32_t ancestor);
void kernel_condemn(struct world *w, uint32_t port);
void kernel_do(struct world *w, const struct iso_effect *effect, bool leftover,
	       struct iso_completion *ret);
bool kernel_memdev_works(const struct world *w, uint32_t m);
void kernel_drop_dax(struct world *w, uint32_t o, bool by_us);
uint64_t kernel_available(const struct world *w, uint32_t o);
int kernel_on_instance(struct world *w, const struct iso_effect *effect,
		       struct iso_completion *ret);
int kernel_on_lease(struct world *w, const struct iso_effect *effect, struct iso_completion *ret);
uint32_t kernel_mappers(const struct world *w, struct iso_observed_mapper *mappers, uint32_t room);
uint32_t kernel_dax_of(const struct world *w, const struct iso_instance_view *view);
uint32_t kernel_foreign_region(struct world *w, uint32_t window, uint64_t units);

/* What both the source of faults and the kernel tell. */
void world_fault_port(struct world *w, uint32_t port, enum iso_cause cause);
void world_surprise_down(struct world *w, uint32_t port);
void world_unplug(struct world *w, uint32_t memdev);
void world_changed(struct world *w);

#endif
