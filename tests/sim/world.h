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
	WORLD_LEASES = 64,
	WORLD_TASKS = 256,
	WORLD_INTENTS = 128,
	WORLD_ASKED = 4096,
	WORLD_REPLIES = 1 << 15,
	WORLD_PLANS = 16,
	WORLD_TRACE_BYTES = 1 << 18,
	WORLD_FIRST_PID = 1000,
	WORLD_SLOTS = 8,
	WORLD_LINES = 24,
	WORLD_BAD = 64,
	WORLD_FENCES = 64,
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
	uint64_t listed_ns; /* when its poison list was read last */
	uint64_t reset_until_ns; /* the kernel's own recovery */
	uint32_t reset_by;
	bool plugged;
	bool detached; /* by DETACH_PORT: a rescan finds it again */
	bool unbound;  /* the kernel's own recovery has failed: a rescan binds it */
	bool unbinding; /* by the kernel, after a surprise down */
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
	char tenant[ISO_NAME_BYTES]; /* whose bytes made it dirty */
	bool node; /* is a tenant's */
	uint64_t pinned_until_ns; /* by who is gone already ... */
	uint32_t pinned_life; /* ... as this engine could know */
	uint32_t unbinding_life; /* the kernel is about to unbind it, as this engine was told */
	uint32_t object, id, minor;
	uint64_t bytes;
	uint64_t begun_ns;
	uint32_t n_pieces;
	struct iso_hpa_range pieces[ISO_PIECES_MAX];
};

struct world_process {
	int32_t pid;
	uint32_t lease, lease_epoch;
	char name[ISO_NAME_BYTES];
	bool running, stubborn, is_vm;
	bool condemned; /* a policy rule said so: it may be killed */
	uint32_t pins; /* enum iso_pin */
	uint32_t kills;
	uint64_t killed_step;
	uint32_t stopped_life; /* the daemon that has stopped it, and kills it later ... */
	uint64_t exit_ns; /* ... from when on it takes so long */
	uint32_t n_maps, maps[ISO_LEASE_PARTS_MAX];
};

enum world_task_kind {
	WORLD_TASK_DEED, /* of an operation: it is carried out */
	WORLD_TASK_COMPLETE, /* and this is when the engine hears of it */
	WORLD_TASK_EXIT,
	WORLD_TASK_EVENT,
	WORLD_TASK_UNBIND, /* the kernel has unbound what stood on a memdev */
};

/* Something that will happen. */
struct world_task {
	bool used;
	uint32_t kind; /* enum world_task_kind */
	uint64_t at_ns, order;
	uint32_t life; /* of the engine that asked */
	uint32_t next_free;
	uint32_t process; /* EXIT; of UNBIND the memdev */
	int32_t pid; /* EXIT: its place in the table may be another's */
	struct iso_effect effect; /* of an operation, as the rest */
	struct iso_completion completion;
	struct world_picture *picture; /* of an observation */
	uint64_t end_ns; /* when the completion comes */
	bool fails; /* the completion says so */
	bool undone; /* the deed is not done */
	bool lost; /* no completion ever comes */
	bool leftover; /* a failed creation leaves its object behind */
	bool twice; /* it completes a second time */
	bool done; /* has completed once */
	bool dies; /* the daemon, right after the deed */
	bool stopped; /* EXIT: of a VM that is stopped first, and killed by the same daemon later */
	struct iso_event event; /* EVENT */
};

/* Of a root port: its registers, and what happens behind them. */
struct world_isolation {
	uint32_t capability; /* 0: it has none */
	uint32_t control, status;
	uint32_t obstacles; /* of the host, as the daemon tells them */
	uint64_t busy_until_ns;
	bool link_was_down; /* since it isolated */
	bool link_disabled; /* nothing behind it is found until it is enabled */
	bool never_ends; /* RP Busy */
};

/* What can go wrong with one effect. */
enum world_spoil_kind {
	WORLD_SPOIL_NONE,
	WORLD_SPOIL_EBUSY,
	WORLD_SPOIL_EIO,
	WORLD_SPOIL_ENODEV,
	WORLD_SPOIL_EINVAL,
	WORLD_SPOIL_NEVER, /* neither done nor heard of; of a kill: the process does not exit */
	WORLD_SPOIL_LOST, /* done and never heard of */
	WORLD_SPOIL_LATE, /* heard of after its deadline */
	WORLD_SPOIL_TWICE, /* completes twice */
	WORLD_SPOIL_LIED, /* done, but reported as failed */
	WORLD_SPOIL_CRASH_BEFORE, /* the daemon dies before the deed */
	WORLD_SPOIL_CRASH_AFTER,
	WORLD_SPOILS,
};

/* The nth effect is spoiled, or with `for_ever` from there on every one of its kind. */
struct world_spoil {
	enum world_spoil_kind kind;
	uint32_t nth; /* 1 is the first; 0: none */
	bool for_ever;
	uint32_t effect_kind, hits; /* for ever: of what kind the nth was */
};

/* What the store's disk does when the daemon dies. */
enum world_disk {
	WORLD_DISK_GOOD,
	WORLD_DISK_TORN, /* what was written last is not there */
	WORLD_DISK_LYING, /* nothing is there that was written from some moment on */
	WORLD_DISK_FULL, /* nothing can be written, and who asks is told so */
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
	struct iso_restore_lease leases[WORLD_LEASES];
	struct iso_restore_region regions[WORLD_OBJECTS];
	struct iso_restore_incident incidents[16];
	struct iso_restore_poison poison[WORLD_BAD]; /* by slot; bytes 0: none */
	struct iso_restore_port ports[WORLD_PORTS];
	struct iso_restore_fence fences[WORLD_FENCES];
	uint32_t n_leases, n_regions, n_incidents, n_poison, n_ports, n_fences;
};

/* A line of a memdev that is bad, or was. */
struct world_line {
	uint32_t memdev;
	uint64_t dpa;
	bool bad;
	uint64_t bad_ns; /* since when */
	uint64_t doubt_ns; /* since when no list has shown it to be good */
	uint64_t cleared_ns;
	uint64_t told_ns; /* time of the last record that said so; 0: none was heard */
	uint32_t heard_life; /* the engine that heard it */
};

/* What tells of a line that has become bad. */
enum world_telling {
	WORLD_TELLS_NOBODY, /* it is in the poison list only */
	WORLD_TELLS_ALL, /* the device: all addresses are known */
	WORLD_TELLS_DPA, /* and the kernel does not know the host's */
	WORLD_TELLS_PAGE, /* the kernel has taken its page out of use */
	WORLD_TELLINGS,
};

struct world {
	struct iso_engine *engine;
	void *memory;
	struct iso_limits limits;
	struct iso_policy policy;
	uint64_t now_ns, steps, order, seqnum;
	uint32_t life;
	uint64_t life_ns; /* when it began */
	struct world_line lines[WORLD_LINES];
	uint32_t n_lines;
	uint64_t random; /* 0: durations are fixed */

	struct iso_observed_host_bridge bridges[WORLD_BRIDGES];
	struct iso_observed_port ports[WORLD_PORTS];
	struct iso_observed_memdev seen_memdevs[WORLD_MEMDEVS];
	struct iso_observed_window windows[WORLD_WINDOWS];
	struct world_memdev memdevs[WORLD_MEMDEVS];
	bool clears_by_half; /* the daemon dies after the status, before the link */
	struct world_isolation isolation[WORLD_PORTS];
	struct world_decoders bridge_decoders[WORLD_BRIDGES], switch_decoders[WORLD_PORTS];
	struct world_object objects[WORLD_OBJECTS];
	struct world_dax dax[WORLD_DAX];
	struct world_process processes[WORLD_PROCESSES];
	struct world_task tasks[WORLD_TASKS];
	uint32_t due[WORLD_TASKS], n_due, n_tasks, free_task;
	uint64_t upset_ns; /* when something outside of the engine last changed the host */
	struct world_plan plans[WORLD_PLANS];
	struct {
		uint64_t request; /* 0: nobody asks */
		uint32_t process;
	} attaching;
	uint32_t n_plugged;
	uint32_t n_bridges, n_ports, n_memdevs, n_windows, n_processes, n_started, n_plans;

	struct iso_region_definition defined[WORLD_OBJECTS];
	uint32_t n_defined;
	struct world_stored stored;
	struct world_stored *synced; /* what survives a crash, unless the disk is good */
	struct world_stored *batch; /* what is being written ... */
	uint64_t batch_end_ns; /* ... until then; 0: nothing is */
	bool queued; /* more has been saved since that began */
	enum world_disk disk;
	uint64_t full_ns; /* since when this daemon has had no room on it ... */
	uint32_t n_refused_intents; /* ... and how often it has tried */
	bool saves_were_lost; /* a daemon died that could not write what it saved last */
	bool store_was_lost; /* or whose disk lied */

	struct world_spoil spoil;
	uint8_t asked[WORLD_ASKED]; /* kinds of the effects so far, as many as fit */
	uint32_t n_asked, n_faults, n_crashes;

	uint64_t operation_ns; /* how long one takes */
	uint64_t exit_ns; /* from SIGKILL to gone */
	uint64_t uevent_ns; /* how long what the kernel tells is on its way, a few times this */
	uint64_t reset_ns; /* the kernel's recovery after a surprise down */
	uint64_t unbind_ns; /* how much of that it unbinds by itself; 0: it is done at once */
	uint64_t late_ns; /* how long some records of bad memory take */
	bool no_uevents;
	bool unwell; /* the host, as the engine was told in this life */
	bool despite; /* an operator asked for something since */
	bool evicts; /* VMs above in the decoder order may be killed */
	bool pins_outstanding; /* the kernel counts pins of nobody that maps anything */
	bool objects_vanish; /* with their leg, as some kernels do */
	uint32_t next_pins; /* of the process that attaches next */
	bool recovery_fails; /* of the kernel's own, from now on */
	uint32_t next_lease; /* while restoring */
	bool restoring; /* not all is known yet */
	bool amnesia; /* the store loses what is saved from now on */

	uint32_t replies[WORLD_REPLIES]; /* by request: last enum iso_reply + 1 */
	uint64_t said_to; /* the request that was replied to last, */
	char said[ISO_TEXT_BYTES]; /* and its words */
	uint64_t request;
	uint32_t n_kills, n_effects[ISO_EFFECT_KINDS];
	uint32_t n_refused; /* regions that the kernel did not make for the order of its decoders */
	uint64_t intended[WORLD_INTENTS]; /* operations whose intent is durable */
	uint32_t n_intended;
	struct iso_effects effects; /* of the last step */
	char broken[512], why[160];
	bool silent; /* no trace is kept */
	uint64_t story_ns; /* when the story begins that is told; 0: none is */
	uint64_t story_told_ns; /* the time of its last line ... */
	char story_told[512]; /* ... and that line */
	char *trace; /* every note's text, one a line */
	size_t trace_length;
};

/* world.c: what the engine asks for */
struct world *world_new(void);
struct world *world_new_with(const struct iso_limits *limits, const struct iso_policy *policy);
/* The end of a run. world_free() ends the program, and so fails the test, when something was broken. */
void world_close(struct world *w);
void world_free(struct world *w);
void world_give_up(struct world *w, const char *format, ...)
	__attribute__((noreturn, format(printf, 2, 3)));
void world_room(struct world *w, uint64_t n, uint64_t most);
struct iso_effects world_step(struct world *w, const struct iso_event *event);
void world_break(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

void world_start_engine(struct world *w);

/* world_time.c */
void world_run(struct world *w, uint64_t ns);
/* Runs until nothing is under way, `limit_ns` at most. Return: whether that was reached. */
bool world_settle(struct world *w, uint64_t limit_ns);
bool world_quiet(const struct world *w);
struct world_task *world_task(struct world *w, enum world_task_kind kind, uint64_t ns);
void world_forget(struct world *w);
/* A worker that runs, or is to run, that operation is ended. */
void world_abandon(struct world *w, uint64_t operation);
/* An event that comes after `ns`, to be filled in. */
struct iso_event *world_later(struct world *w, uint64_t ns);
/* An event that the kernel tells. */
struct iso_event *world_uevent(struct world *w);
/* About `ns`: durations are as random as the run is. */
uint64_t world_duration(struct world *w, uint64_t ns);

/* world_tell.c: what is written down of a run */
void world_trace(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of the story that is told, if one is: who did what. */
void world_tell(struct world *w, const char *who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void world_tell_note(struct world *w, const struct iso_effect *effect);
void world_tell_effect(struct world *w, const struct iso_effect *effect);

/* world_spoil.c: what goes wrong */
enum world_spoil_kind world_spoil_next(struct world *w, const struct iso_effect *effect);
void world_spoil_task(struct world_task *task, enum world_spoil_kind spoil);
bool world_spoil_applies(uint32_t effect_kind, enum world_spoil_kind spoil);
const char *world_spoil_name(enum world_spoil_kind spoil);

/* world_check.c: what must never be asked for, and what must agree when nothing is under way */
void world_check_operation(struct world *w, const struct iso_effect *effect);
void world_check_rest(struct world *w);
/* A bit for each region that is live, and is so on the host; none of them is lost by the next step. */
uint32_t world_regions_live(const struct world *w);
void world_check_loss(struct world *w, uint32_t live);
/* A port has failed and the engine has heard of it: nobody on memory below it lives on. */
void world_check_blast(struct world *w, uint32_t port);

/* world_unbind.c: what the kernel unbinds by itself, and who is killed for it */
void kernel_begin_unbind(struct world *w, uint32_t m, uint32_t port);
void kernel_end_unbind(struct world *w, uint32_t m);
/* Return: how long a VM that has been sent its signal lives on. */
uint64_t world_hold(struct world *w, struct world_process *process, const struct iso_effect *effect,
		    uint64_t exit_ns);
/* The daemon hears that a device has been unbound. */
void world_unbound(struct world *w);

/* world_poison.c: memory that is bad, who is told, who may stand on it */
/* Return: the line, or NULL when this world has no room for more. */
struct world_line *world_poison(struct world *w, uint32_t memdev, uint64_t dpa,
				enum world_telling telling);
void world_clear_poison(struct world *w, struct world_line *line);
void world_clear_all_poison(struct world *w);
void world_read_lists(struct world *w);
void world_poison_heard(struct world *w, const struct iso_poison *poison);
void world_list_heard(struct world *w, uint64_t serial, uint64_t record_ns);
bool world_poisoned(const struct world *w, const struct world_process *process);
void world_check_poison(struct world *w, const struct iso_poison *poison);
void world_check_hand_over(struct world *w, uint32_t lease);
void world_check_carve(struct world *w, uint32_t instance);
void world_store_poison(struct world *w, uint32_t slot);
bool kernel_hpa_of(const struct world *w, const struct world_line *line, struct iso_hpa *ret);
int kernel_read_poison(struct world *w, const struct iso_effect *effect);
int kernel_place(struct world *w, const struct iso_instance_view *view, struct world_dax *dax);

/* world_store.c */
void world_store_before(struct world *w);
void world_store_after(struct world *w);
/* An intent is queued behind what was saved before it. */
void world_store_asked(struct world *w);
void world_store_intent(struct world *w, const struct iso_effect *effect,
			struct iso_completion *ret);
void world_store_done(struct world *w, const struct iso_effect *effect);
void world_store_lease(struct world *w, const struct iso_effect *effect);
void world_store_region(struct world *w, const struct iso_effect *effect);
void world_store_port(struct world *w, uint32_t port);
void world_store_incident(struct world *w, uint64_t id);
void world_store_fence(struct world *w, uint32_t fence);
void world_check_fences(struct world *w);
/* The engine dies and is built again from what the store holds; processes live on. */
void world_restart(struct world *w);
/* The disk of the store from now on; what the daemon could not write it writes when it can again. */
void world_disk(struct world *w, enum world_disk disk);

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
void world_attached(struct world *w, const struct iso_effect *reply);
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

struct iso_lease_view world_lease(struct world *w, const char *name);
bool world_has_lease(const struct world *w, const char *name);
struct iso_region_view world_region(struct world *w, const char *name);
enum iso_domain_state world_domain(const struct world *w, uint32_t port);
const char *world_reason(const struct world *w, uint32_t port);
struct iso_incident_view world_incident(struct world *w, uint64_t id);
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

/* world_isolation.c: root ports that isolate */
void world_offer_isolation(struct world *w, uint32_t port, bool link_down);
void world_tell_isolation(struct world *w, uint32_t port);
void world_tell_isolations(struct world *w);
bool world_isolate(struct world *w, uint32_t port);
void kernel_link_down(struct world *w, uint32_t port);
/* Nothing behind this port is found: the link above it is disabled. */
bool kernel_link_disabled(const struct world *w, uint32_t port);
int kernel_on_isolation(struct world *w, const struct iso_effect *effect, uint32_t port,
			struct iso_completion *ret);
/* world_policy.c: a rule of policy fires, about a VM (may be NULL), else a memdev (may be ISO_NONE), else a port. */
uint64_t world_policy(struct world *w, enum iso_action action, const char *vm, uint32_t memdev,
		      uint32_t port);
/* An operator gives a memdev back that a rule retired. */
uint64_t world_recover_memdev(struct world *w, uint32_t memdev);

/* What both the source of faults and the kernel tell. */
void world_fault_port(struct world *w, uint32_t port, enum iso_cause cause);
void world_surprise_down(struct world *w, uint32_t port);
void world_unplug(struct world *w, uint32_t memdev);
void world_changed(struct world *w);
/* Tells the engine how the host is. */
void world_health(struct world *w, bool ok);

#endif
