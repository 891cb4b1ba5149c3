/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine: given the same events it makes the same decisions. It reads no
 * clock, does no I/O, allocates nothing after iso_engine_init() and logs
 * nothing. One engine is used by one thread at a time.
 */
#ifndef ISOLATE_ENGINE_H
#define ISOLATE_ENGINE_H

#include <isolate/effect.h>
#include <isolate/event.h>
#include <isolate/types.h>

struct iso_engine;

/* Times the engine waits for things; all in nanoseconds. */
struct iso_policy {
	uint64_t settle_ns;      /* after a fault, how long the kernel's own recovery may take */
	uint64_t exit_ns;        /* how long a killed VM may take to exit before it is stuck */
	uint64_t retry_ns;       /* first pause between attempts; doubles up to 32 times this */
	uint64_t grant_ns;       /* default life of a grant without an attach */
	uint64_t operation_ns;   /* deadline of an operation other than zeroing */
	uint64_t zero_ns_per_gib;/* added to the deadline of ZERO and PROVE */
	uint64_t observe_ns;     /* how often to observe while something is not healthy */
	uint32_t attempts;       /* failures in a row before a region is quarantined */
	uint64_t inspect_ns;     /* how often to look who maps and pins what; 0: only at attach */
	uint64_t flap_window_ns; /* losses of one root port within this time are flapping ... */
	uint32_t flap_losses;    /* ... when they are this many: quarantined; 0: never */
	bool waits_for_operator; /* after a loss, nothing is made again until ISO_EVENT_RECOVER */
	bool refill; /* reuse the region object that the kernel kept, where it takes it */
	bool evict; /* tenants above in the decoder order are killed to make way */
	bool arm_ports; /* isolation is enabled on root ports that nothing forbids it on */
	uint32_t arm_range; /* with this timeout code */
	uint64_t isolation_known_ns; /* how long regions wait for a port's registers to be looked at */
	bool host_may_panic; /* VMs that pin their memory are admitted */
	uint32_t poison; /* enum iso_poison_action of leases that say nothing */
	bool reads_poison; /* somebody carries READ_POISON out: nothing is carved before */
	uint64_t poison_list_ns; /* how often poison lists are read; 0: only when there is cause */
};

/*
 * The capacities of the daemon: 64 bridges, 576 ports, 256 memdevs, 64 windows,
 * 1024 regions, 16384 instances and leases, 4096 operations, 256 incidents, 2048
 * bad ranges.
 */
void iso_limits_default(struct iso_limits *ret);
/* Times that suit a host; the daemon puts those of its configuration over them. */
void iso_policy_default(struct iso_policy *ret);

/* Bytes of memory an engine with these limits needs, aligned to 64. */
size_t iso_engine_bytes(const struct iso_limits *limits);

/*
 * Builds an engine in `memory`, which stays the caller's and must be at least
 * iso_engine_bytes() long and 64-byte aligned. Return: the engine, or NULL when
 * a limit is 0 or above what the types can hold.
 */
struct iso_engine *iso_engine_init(void *memory, size_t bytes, const struct iso_limits *limits,
				   const struct iso_policy *policy);

/*
 * Takes one event and says what to do about it. The effects stay the engine's
 * and are valid until the next call. Never fails: a bad event changes nothing
 * and is answered by a REPLY or a NOTE where there is somebody to tell.
 */
struct iso_effects iso_step(struct iso_engine *engine, const struct iso_event *event);

/*
 * Makes an engine in `memory`, as of iso_engine_init(), that believes what
 * `engine` does and decides on its own from now on: what would come of an event
 * is seen without its coming. Return: it, or NULL when there are too few bytes.
 */
struct iso_engine *iso_engine_copy(void *memory, size_t bytes, const struct iso_engine *engine);

/* When ISO_EVENT_TIMER is wanted next, CLOCK_BOOTTIME; UINT64_MAX: never. */
uint64_t iso_next_deadline(const struct iso_engine *engine);

/*
 * Checks what must always hold. Return: NULL, or a static sentence naming the
 * invariant that does not.
 */
const char *iso_check(const struct iso_engine *engine);

#endif
