/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything the engine may ask of the outside world.
 *
 * Effects with a non-zero `operation` end with exactly one ISO_EVENT_COMPLETION
 * (after an ISO_EVENT_SNAPSHOT for OBSERVE and an ISO_EVENT_INSPECTION for INSPECT
 * of everybody); a late or repeated one is ignored.
 */
#ifndef ISOLATE_EFFECT_H
#define ISOLATE_EFFECT_H

#include <isolate/types.h>

enum iso_effect_kind {
	ISO_EFFECT_KILL,          /* the VM of `lease` runs no more, from now on, and dies */
	ISO_EFFECT_REPLY,         /* answer a request */
	ISO_EFFECT_NOTE,          /* one line of a timeline: subscribers, journal, store */
	ISO_EFFECT_SAVE_LEASE,    /* store the lease as it stands (or its end) */
	ISO_EFFECT_SAVE_REGION,
	ISO_EFFECT_SAVE_INCIDENT,
	ISO_EFFECT_SAVE_FENCE,    /* store the fence as it stands (or its end) */
	ISO_EFFECT_SAVE_POISON, /* store the bad range `bad` as it stands (or that it is none) */
	ISO_EFFECT_INTENT, /* make `intent` durable, then complete */
	ISO_EFFECT_OBSERVE, /* read the world; answer with SNAPSHOT */
	ISO_EFFECT_CREATE_REGION, /* object `region` */
	ISO_EFFECT_REFILL_REGION, /* put the lost legs back into the object the kernel kept */
	ISO_EFFECT_CLEAR_REGION, /* delete region, its instances, free all legs' decoders */
	ISO_EFFECT_CARVE, /* object `instance`: create, size, bind, id removed */
	ISO_EFFECT_ZERO, /* write zeroes to all of it */
	ISO_EFFECT_PROVE, /* another process reads that it is zero */
	ISO_EFFECT_HAND_OVER, /* object `lease`: nodes to the owner, links in place */
	ISO_EFFECT_RETRACT, /* object `lease`: nodes back to root, links away */
	ISO_EFFECT_VERIFY, /* object `lease` or `instance`: who maps its instances */
	ISO_EFFECT_INSPECT, /* object `lease`: what its process pins; without one: who maps
				   * any instance, answered with INSPECTION */
	ISO_EFFECT_REVOKE, /* object `lease` or `instance`: take its instances from whoever
				   * still maps them, if all of these are shown to be pin-free */
	ISO_EFFECT_REMOVE, /* object `instance`: remove_id, unbind, size 0, delete */
	ISO_EFFECT_DETACH_PORT, /* object `port`: remove the functions below it */
	ISO_EFFECT_RESCAN_PORT, /* object `port`: look for functions below it */
	ISO_EFFECT_FORCE_LINK_DOWN, /* object `port`: take its link down and see that it is */
	ISO_EFFECT_CLEAR_ISOLATION, /* object `port`: wait for RP Busy to end, clear the status
				     * if it is isolated, give its link back if it was taken */
	ISO_EFFECT_ARM_PORT, /* object `port`: as iso_port_view says it shall be, armed or not */
	ISO_EFFECT_SAVE_PORT, /* store what an operator asked of it */
	ISO_EFFECT_READ_POISON, /* object `memdev`: what its poison list says comes as POISON
				   * events before the completion */
	ISO_EFFECT_ABANDON, /* nobody wants what comes of `abandoned`, a ZERO or PROVE: it may
			     * end at once, and completes all the same */
	ISO_EFFECT_KINDS,
};

enum iso_reply {
	ISO_REPLY_DONE, /* lease: granted, attached or released; region: see state */
	ISO_REPLY_WAITING, /* acquire: accepted, another reply follows */
	ISO_REPLY_NO_SUCH_NAME,
	ISO_REPLY_BAD_NAME,
	ISO_REPLY_BAD_SIZE, /* zero, not a multiple of the alignment, too many parts */
	ISO_REPLY_NAME_IN_USE,
	ISO_REPLY_NO_CAPACITY,
	ISO_REPLY_FENCED, /* the domain is not healthy */
	ISO_REPLY_NOT_GRANTED, /* attach: the lease is not waiting for one */
	ISO_REPLY_GRANT_VOID, /* a fault came between acquire and attach */
	ISO_REPLY_PROCESS_TAKEN, /* attach: the process is the VM of another lease */
	ISO_REPLY_TABLE_FULL,
	ISO_REPLY_BUSY, /* region destroy: leases stand on it */
	ISO_REPLY_NOT_ATTACHED_GONE, /* release: refused, the VM is still running */
	ISO_REPLY_ALREADY, /* nothing to do */
	ISO_REPLY_WITHDRAWN,
	ISO_REPLY_BAD_REGION, /* definition: ways, granularity or serials make no sense */
	ISO_REPLY_NOT_READY, /* the first observation has not ended */
	ISO_REPLY_PINNING, /* the VM pins its memory and the host may not panic */
	ISO_REPLY_NOT_ADOPTABLE, /* adopt: see the text */
	ISO_REPLY_NOT_OBSERVED, /* reconcile, adopt: the text says what could not be looked at */
	ISO_REPLY_LOCKED, /* region destroy: firmware has locked its decoders */
	ISO_REPLY_ON_HOLD, /* acquire: nothing is handed out now; the text says why */
	ISO_REPLY_REFUSED, /* arm: the port must not be; the text says why */
};

enum iso_note_kind {
	ISO_NOTE_FAULT, /* first record of an incident */
	ISO_NOTE_CORRELATED, /* a further record of the same one */
	ISO_NOTE_DOMAIN, /* domain changed state */
	ISO_NOTE_REGION,
	ISO_NOTE_LEASE,
	ISO_NOTE_KILL,
	ISO_NOTE_EXIT,
	ISO_NOTE_CONTAINED,
	ISO_NOTE_WAITING, /* recovery waits; text says for whom */
	ISO_NOTE_RECOVERED,
	ISO_NOTE_FAILED, /* an operation failed; it is retried or given up, see text */
	ISO_NOTE_STRANGER, /* somebody else maps an instance */
	ISO_NOTE_GUARD, /* a managed instance was found as System RAM */
	ISO_NOTE_PINNING, /* a VM pins its memory: a loss can panic the host */
	ISO_NOTE_REVOKED, /* mappings that outlived the kill were taken away */
	ISO_NOTE_RECONCILE, /* seen otherwise than believed; text says what is done */
	ISO_NOTE_ISOLATION, /* of a root port's isolation: armed, forced down, cleared, refused */
	ISO_NOTE_POLICY, /* a policy rule fired; text says what is done */
	ISO_NOTE_POISON, /* memory is bad, or good again */
};

struct iso_effect {
	uint32_t kind; /* enum iso_effect_kind */
	uint64_t operation; /* 0: does not complete */
	uint64_t deadline_ns; /* CLOCK_BOOTTIME; of operations */
	uint32_t lane; /* domain whose worker lane runs it */
	uint32_t intent; /* INTENT: kind of the effect that will follow */
	uint32_t region; /* indices, ISO_NONE when not meant */
	uint32_t instance;
	uint32_t lease;
	uint32_t lease_epoch;
	uint32_t port;
	uint32_t memdev;
	uint32_t bad; /* place in the ledger of bad ranges */
	uint32_t fence;
	uint64_t incident; /* 0: none */
	/* KILL: a bit for each part of the lease that the kernel unbinds by itself now */
	uint32_t unbinding;
	uint32_t note; /* enum iso_note_kind */
	uint64_t at_ns; /* NOTE: when it happened */
	uint64_t request; /* REPLY */
	uint64_t abandoned; /* ABANDON: an operation */
	uint32_t reply; /* enum iso_reply */
	const char *text; /* NOTE, REPLY: one line for a person; valid until the next iso_step() */
};

/*
 * What one iso_step() asks for. Kills are apart so that the executor sends
 * them all before it looks at anything else; there is room for one per lease.
 */
struct iso_effects {
	const struct iso_effect *kills; /* ISO_EFFECT_KILL only */
	uint32_t n_kills;
	const struct iso_effect *others;
	uint32_t n_others;
};

#endif
