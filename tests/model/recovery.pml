/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recovery of two regions that share decoders, for spin. What libisolate's
 * machines decide (region.c, region_wait.c, lease.c, verify.c, stuck.c,
 * operation.c) is in the inlines; each runs as a whole after each event, as
 * iso_step() does. The processes are what is outside: ports, workers, the
 * observer, VMs and their clients, the crash of the daemon. docs/model.md says
 * what is proved and what is left out.
 *
 * -DFAULTS=N        how many things may go wrong in one run
 * -DODD_VMS         VMs that do not exit, that share their memory, that pin it
 * -DTENANTS_LEAVE   VMs also exit by themselves, and new ones ask, for ever
 * -DMISTAKE=N       a seeded mistake, which must be found (check.py names them)
 */
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef MISTAKE
#define MISTAKE 0
#endif

#define ATTEMPTS 2
#define other(r) (1 - (r))

/* enum iso_region_state */
#define ABSENT      0
#define CREATING    1
#define LIVE        2
#define LOST        3
#define CLEARING    4
#define QUARANTINED 5

/* enum iso_lease_state; NOBODY: there is no lease */
#define NOBODY     0
#define WAITING    1
#define PREPARING  2
#define ACQUIRED   3
#define ATTACHED   4
#define KILLED     5
#define VERIFYING  6
#define RETRACTING 7
#define STUCK      8

/* Operations. PREPARE is carve, zero, prove and hand over; TAKE is retract and remove; ORPHAN is verify and remove. */
#define NOTHING 0
#define CREATE  1
#define REFILL  2
#define CLEAR   3
#define PREPARE 4
#define VERIFY  5
#define REVOKE  6
#define TAKE    7
#define ORPHAN  8
#define is_on_region(kind) ((kind) == CREATE || (kind) == REFILL || (kind) == CLEAR)
#define needs_intent(kind) ((kind) != VERIFY)

/* Stages of an operation */
#define INTENT 0
#define DEED   1
#define DONE   2

/* What the kernel has of a region */
#define NONE   0
#define WHOLE  1
#define BROKEN 2

/* --- the world: what is true --------------------------------------------------------------- */

bool up[2] = true;     /* the port, and the memdev below it */
byte object[2];
byte place[2];         /* 1, 2: which decoder, in the order of addresses; 0: none */
bool dax[2];           /* the instance exists */
bool vm[2];            /* the process lives */
bool killed[2];        /* it was sent SIGKILL */
bool mapped[2];        /* somebody maps the instance */
bool pinned[2];        /* somebody pins pages of it */
bool stubborn[2];      /* the VM does not exit when killed */
bool shared[2];        /* a stranger keeps the mapping when the VM exits */
bool pinning[2];       /* the VM pins, and its pins outlive it for a while */
byte faults_left = FAULTS;

/* --- the store: what is durable ------------------------------------------------------------- */

byte intent[2];

/* --- the engine: what is believed ------------------------------------------------------------ */

byte region[2];
byte known[2];         /* the kernel's object, as last seen */
bool bound[2];         /* the memdev, as last seen */
bool settling[2];      /* the kernel resets it */
bool unobserved[2] = true;
bool stale[2];         /* an operation or a loss overlapped the observation under way */
bool busy_fault[2];    /* lost during an operation */
bool refill_failed[2];
byte failures[2];
byte lease[2];
bool instance[2];
bool lost[2];          /* the instance's region went from under it */
bool named[2];         /* the instance may exist in the kernel */
bool was_killed[2];
bool process[2];       /* there is one that has not been seen to exit */
bool pending[2];       /* not yet shown unmapped: the domain is containing */
bool revoked[2];
bool refused[2];       /* revocation; nothing has changed since */
bool orphan[2];
bool paused[2];        /* after a failure, before the next try: longer than an observation takes */
byte op[2];
byte stage[2];
bool result[2];
bool late[2];          /* a completion that comes after its operation was given up */
bool observe_wanted = true;
bool observing;
bool observed;         /* at least once */
byte seen_object[2];
bool seen_up[2];
bool seen_dax[2];

hidden byte again;
hidden byte i;
hidden byte good;

#define legs_fine(r)  (bound[r] && !settling[r])
#define stuck_on(r)   (instance[r] && lease[r] == STUCK && !revoked[r])
/* order_blocks(): a live region in the upper place keeps the other out, wherever that would lie. */
#define blocks(o)     (region[o] == LIVE && place[o] == 2)
#if MISTAKE == 5
#define order_holds(r) false
#else
#define order_holds(r) blocks(other(r))
#endif
/* region_decoders_wait() of one that is absent, without the order. */
#define other_is_busy(r) (region[other(r)] == CREATING || region[other(r)] == CLEARING ||                    \
			  (region[other(r)] == LOST && !stuck_on(other(r)) && !(region[r] == LOST && place[r] == 1)))
#define comes_first(o)   (region[o] == ABSENT && !unobserved[o] && legs_fine(o) && !blocks(other(o)) && (o) == 0)
#define held_up(r)       (region[r] == ABSENT && !unobserved[r] && legs_fine(r) && blocks(other(r)))
#if MISTAKE == 4
#define draining(r) false
#else
#define draining(r) (region[r] == LIVE && held_up(other(r)))
#endif
#if MISTAKE == 3
#define open(r) (region[r] == LIVE || region[r] == LOST)
#else
#define open(r) (region[r] == LIVE && !draining(r) && legs_fine(r) && !pending[r])
#endif

inline start(r, kind)
{
	assert(op[r] == NOTHING);
	/* The order of decoders is respected as far as it is known, and one works on them at a time. */
	assert(kind != CREATE && kind != REFILL || !blocks(other(r)) && !is_on_region(op[other(r)]));
	op[r] = kind;
#if MISTAKE == 6
	stage[r] = DEED;
#else
	stage[r] = (needs_intent(kind) -> INTENT : DEED);
#endif
	if
	:: kind != VERIFY && kind != REVOKE -> stale[r] = true
	:: else
	fi;
	if
	:: is_on_region(kind) -> unobserved[r] = true
	:: else
	fi;
	again = true;
}

/* lease_begin_end() */
inline begin_end(r)
{
	lease[r] = VERIFYING;
	again = true;
}

/* lease_fault(): an instance of this lease is lost */
inline lease_fault(r)
{
	lost[r] = true;
	if
	:: lease[r] == ATTACHED ->
		lease[r] = KILLED; was_killed[r] = true; killed[r] = true; pending[r] = true
#if MISTAKE != 10
	:: lease[r] == PREPARING || lease[r] == ACQUIRED -> /* the grant is void */
		pending[r] = true; begin_end(r)
#endif
	:: else
	fi;
	again = true;
}

/* region_lose() */
inline lose(r)
{
	if
	:: region[r] == CREATING || region[r] == CLEARING -> busy_fault[r] = true
	:: region[r] == LIVE ->
		failures[r] = 0; refill_failed[r] = false;
		if
		:: instance[r] -> lease_fault(r)
		:: else
		fi;
		region[r] = LOST; unobserved[r] = true; stale[r] = true; observe_wanted = true;
		again = true
	:: else
	fi;
}

/* lease_ended(): its client, who is told, asks again when it wants to */
inline ended(r)
{
	pending[r] = false; revoked[r] = false; refused[r] = false; lost[r] = false;
	was_killed[r] = false; instance[r] = false; named[r] = false;
	lease[r] = NOBODY;
	again = true;
}

inline advance_lease(r)
{
	if
	:: op[r] != NOTHING -> skip
	:: else ->
		if
		:: lease[r] == WAITING && observed && open(r) && !orphan[r] ->
			/* No lease on a fenced domain. */
			assert(region[r] == LIVE && !pending[r] && legs_fine(r));
			lease[r] = PREPARING; instance[r] = true; start(r, PREPARE); named[r] = true
		:: lease[r] == VERIFYING && observed ->
			if
			:: !named[r] -> pending[r] = false; lease[r] = RETRACTING; again = true
#if MISTAKE == 1
			:: named[r] -> pending[r] = false; lease[r] = RETRACTING; again = true
#else
			:: named[r] -> start(r, VERIFY)
#endif
			fi
		:: lease[r] == STUCK && revoked[r] && instance[r] -> start(r, TAKE)
		:: lease[r] == STUCK && revoked[r] && !instance[r] && !process[r] -> ended(r)
		:: lease[r] == STUCK && !revoked[r] && !refused[r] && observed -> start(r, REVOKE)
		:: lease[r] == RETRACTING ->
			if
			/* Nothing to remove, or its region takes it along. */
			:: !named[r] || lost[r] -> ended(r)
			:: else -> start(r, TAKE)
			fi
		:: else
		fi
	fi;
}

/* advance_clear() */
inline advance_clear(r)
{
	if
	:: instance[r] || orphan[r] || op[r] != NOTHING || unobserved[r] || settling[r] ||
	   is_on_region(op[other(r)]) -> skip
	:: else ->
		if
		:: region[r] == LOST && !refill_failed[r] && known[r] != NONE && legs_fine(r) ->
			if
			/* The lower one that was lost as well is refilled first. */
			:: region[other(r)] == LOST && place[other(r)] == 1 && place[r] == 2 &&
			   !stuck_on(other(r)) -> skip
			:: else ->
				if
				:: !order_holds(r) && !other_is_busy(r) ->
					start(r, REFILL); region[r] = CREATING
				:: else ->
					start(r, CLEAR); region[r] = CLEARING
				fi
			fi
		:: else ->
			start(r, CLEAR); region[r] = CLEARING
		fi
	fi;
}

inline advance_region(r)
{
	if
	:: op[r] != NOTHING -> skip
	:: else ->
		if
		:: orphan[r] && observed && !refused[r] -> start(r, ORPHAN)
		:: region[r] == ABSENT && unobserved[r] -> observe_wanted = true
		:: region[r] == ABSENT && !unobserved[r] && observed && legs_fine(r) &&
		   !order_holds(r) && !other_is_busy(r) && !(r == 1 && comes_first(0)) ->
			start(r, CREATE); region[r] = CREATING
		:: region[r] == LIVE && draining(r) -> advance_clear(r)
		:: region[r] == LOST -> advance_clear(r)
		:: else
		fi
	fi;
}

/* What iso_step() does after the event itself. */
inline advance()
{
	again = true;
	do
	:: again ->
		again = false;
		advance_lease(0); advance_lease(1);
		advance_region(0); advance_region(1)
	:: else -> break
	od;
	again = false;
}

/* region_created() */
inline created(r)
{
	region[r] = LIVE; failures[r] = 0; known[r] = WHOLE;
	if
	:: busy_fault[r] -> busy_fault[r] = false; lose(r)
	:: else
	fi;
}

inline failed(r, back)
{
	failures[r]++;
	if
	:: failures[r] >= ATTEMPTS -> region[r] = QUARANTINED
	:: else -> region[r] = back
	fi;
}

inline region_completed(r, kind)
{
	unobserved[r] = true; observe_wanted = true;
	if
	:: kind != CLEAR && good -> created(r)
	:: kind == CREATE && !good -> failed(r, ABSENT)
	:: kind == REFILL && !good -> refill_failed[r] = true; region[r] = LOST
	:: kind == CLEAR && good -> region[r] = ABSENT; known[r] = NONE
	:: kind == CLEAR && !good -> failed(r, LOST)
	fi;
	busy_fault[r] = false;
}

inline lease_completed(r, kind)
{
	if
	:: kind == PREPARE && lease[r] == PREPARING && good -> lease[r] = ACQUIRED
	:: kind == PREPARE && lease[r] == PREPARING && !good ->
		paused[r] = true; observe_wanted = true; begin_end(r)
	:: kind == VERIFY && lease[r] == VERIFYING && good ->
		if
		:: pinning[r] && !revoked[r] -> lease[r] = STUCK /* pins may outlive it */
		:: else -> pending[r] = false; lease[r] = RETRACTING
		fi
	:: kind == VERIFY && lease[r] == VERIFYING && !good -> lease[r] = STUCK
	:: kind == REVOKE && lease[r] == STUCK && good -> revoked[r] = true; pending[r] = false
	:: kind == REVOKE && lease[r] == STUCK && !good -> refused[r] = true
	:: kind == TAKE && good && lease[r] == RETRACTING -> ended(r)
	:: kind == TAKE && good && lease[r] == STUCK -> instance[r] = false; named[r] = false
	:: kind == ORPHAN && good -> orphan[r] = false
	:: kind == ORPHAN && !good -> refused[r] = true; observe_wanted = true
	:: else
	fi;
}

/* operation_complete() */
inline complete(r, is_good)
{
	i = op[r];
	good = is_good; /* an inline's argument is its text: what it speaks of changes below */
	op[r] = NOTHING; stage[r] = INTENT; intent[r] = NOTHING; result[r] = false;
	if
	:: i != VERIFY && i != REVOKE -> stale[r] = true
	:: else
	fi;
	if
	:: is_on_region(i) -> region_completed(r, i)
	:: else -> lease_completed(r, i)
	fi;
	i = 0; good = 0;
}

/* region_take_in() and instance_take_in(), of what was seen */
inline take_in(r)
{
	if
	:: region[r] == ABSENT && seen_object[r] == WHOLE -> region[r] = LIVE; known[r] = WHOLE
	:: region[r] == ABSENT && seen_object[r] == BROKEN -> region[r] = LOST; known[r] = BROKEN
	:: region[r] == LIVE && seen_object[r] != WHOLE ->
		lose(r); unobserved[r] = false; stale[r] = false; known[r] = seen_object[r]
	:: else -> known[r] = seen_object[r]
	fi;
	if /* from before a restart, on a region that is not there any more */
	:: region[r] != LIVE && instance[r] && !lost[r] -> lease_fault(r)
	:: region[r] == LIVE && instance[r] && named[r] && !lost[r] && !seen_dax[r] && op[r] == NOTHING ->
		lease_fault(r)
	:: region[r] == LIVE && !instance[r] && !orphan[r] && seen_dax[r] && op[r] == NOTHING ->
		orphan[r] = true
	:: else
	fi;
}

inline deliver(r)
{
	if
	:: !seen_up[r] ->
		if
		:: bound[r] -> lose(r)
		:: else
		fi;
		bound[r] = false; settling[r] = false
	:: else -> bound[r] = true
	fi;
	if
#if MISTAKE == 9
	:: is_on_region(op[r]) -> observe_wanted = true
#else
	:: op[r] != NOTHING && op[r] != VERIFY && op[r] != REVOKE -> observe_wanted = true
	:: stale[r] && (op[r] == NOTHING || op[r] == VERIFY || op[r] == REVOKE) -> observe_wanted = true
#endif
	:: else -> unobserved[r] = false; paused[r] = false; take_in(r)
	fi;
}

/* --- the world acts ------------------------------------------------------------------------- */

/* A port is lost at any time. The kernel takes the instance away at once, or nothing but the port tells of it. */
proctype port(bool r)
{
end:	do
	:: atomic { up[r] && faults_left > 0 ->
		faults_left--; up[r] = false;
		if
		:: object[r] == WHOLE -> object[r] = BROKEN
		:: else
		fi;
		if
		:: !pinned[r] -> dax[r] = false; mapped[r] = false
		:: skip
		fi }
		if
		:: d_step { settling[r] = true; lose(r); observe_wanted = true; advance() } /* the record */
		:: skip; /* nobody tells: it is found by an observation, which a uevent asks for */
			d_step { observe_wanted = true; advance() }
		fi
		if
		:: d_step { up[r] = true; settling[r] = false; observe_wanted = true;
			if
			:: region[r] == LOST -> unobserved[r] = true; stale[r] = true
			:: else
			fi;
			advance() }
		:: break /* it does not come back */
		fi
	od
}

/* What taking an instance from its holders does to the kernel when pages are pinned. */
inline unbind(r)
{
	assert(!pinned[r]);
	dax[r] = false;
}

/* The deed itself; `result` says what is told of it. */
inline do_it(r)
{
	if
	:: op[r] == CREATE || op[r] == REFILL ->
		if
		:: !up[r] || (object[other(r)] == WHOLE && place[other(r)] == 2) ||
		   (op[r] == CREATE && object[r] != NONE) || (op[r] == REFILL && object[r] == NONE) ->
			result[r] = false
		:: else ->
			object[r] = WHOLE;
			if
			:: !place[r] -> place[r] = (place[other(r)] == 1 -> 2 : 1)
			:: else
			fi;
			result[r] = true
		fi
	:: op[r] == CLEAR ->
		/* Nobody maps what is torn down. */
		assert(!mapped[r]);
		unbind(r);
		object[r] = NONE; place[r] = 0; result[r] = true
	:: op[r] == PREPARE ->
		result[r] = up[r] && object[r] == WHOLE && !dax[r];
		dax[r] = dax[r] || result[r]
	:: op[r] == VERIFY -> result[r] = !mapped[r]
	:: op[r] == REVOKE ->
#if MISTAKE == 2
		result[r] = true;
#else
		result[r] = !pinned[r];
#endif
		if
		:: result[r] -> mapped[r] = false; assert(!pinned[r])
		:: else
		fi
	:: op[r] == TAKE ->
		assert(!mapped[r]);
		unbind(r); result[r] = true
	:: op[r] == ORPHAN ->
		result[r] = !mapped[r] && !pinned[r];
		if
		:: result[r] -> dax[r] = false
		:: else
		fi
	fi;
}

proctype worker(bool r)
{
end:	do
	:: d_step { op[r] != NOTHING && stage[r] == INTENT -> intent[r] = op[r]; stage[r] = DEED }
	:: atomic { op[r] != NOTHING && stage[r] == DEED ->
		/* Nothing irreversible before its durable intent. */
		assert(!needs_intent(op[r]) || intent[r] == op[r]);
		if
		:: d_step { do_it(r); stage[r] = DONE }
		:: d_step { faults_left > 0 -> faults_left--; result[r] = false; stage[r] = DONE }
		:: d_step { faults_left > 0 -> faults_left--; do_it(r); result[r] = false; stage[r] = DONE } /* done, but said to have failed */
		fi }
	:: d_step { op[r] != NOTHING && stage[r] == DONE -> complete(r, result[r]); advance() }
	/* No answer in time; it comes later. */
	:: d_step { op[r] != NOTHING && stage[r] == DONE && result[r] && !late[r] && faults_left > 0 ->
		faults_left--; late[r] = true; complete(r, false); advance() }
	:: d_step { late[r] -> late[r] = false;
#if MISTAKE == 7
		if
		:: op[r] != NOTHING -> complete(r, true); advance()
		:: else
		fi
#endif
		}
	od
}

proctype observer()
{
end:	do
	:: d_step { observe_wanted && !observing ->
		observing = true; observe_wanted = false;
		i = 0;
		do
		:: i < 2 ->
			seen_object[i] = object[i]; seen_up[i] = up[i]; seen_dax[i] = dax[i];
			stale[i] = op[i] != NOTHING && op[i] != VERIFY && op[i] != REVOKE;
			i++
		:: else -> break
		od;
		i = 0 }
	:: d_step { observing ->
		observing = false; 
		deliver(0); deliver(1);
		observed = true;
		seen_object[0] = 0; seen_object[1] = 0; seen_up[0] = 0; seen_up[1] = 0; seen_dax[0] = 0; seen_dax[1] = 0;
		advance() }
	od
}

inline vm_exits(r)
{
	vm[r] = false; killed[r] = false;
	mapped[r] = mapped[r] && shared[r];
	process[r] = false;
	if
	:: lease[r] == ATTACHED || lease[r] == KILLED -> begin_end(r)
	:: else
	fi;
	advance();
}

/* A client who asks, attaches its VM, and asks again when that has died. */
proctype client(bool r)
{
end:	do
	:: d_step { lease[r] == NOBODY && !vm[r] && observed && !paused[r] ->
		lease[r] = WAITING; advance() }
	:: d_step { lease[r] == ACQUIRED && !vm[r] ->
		/* No lease on a fenced domain; after a restart one that was granted before is not yet known to be. */
		assert(unobserved[r] || region[r] == LIVE && !pending[r]);
		lease[r] = ATTACHED; vm[r] = true; process[r] = true;
		mapped[r] = dax[r]; pinned[r] = dax[r] && pinning[r]; advance() }
	:: d_step { vm[r] && killed[r] && !stubborn[r] -> vm_exits(r) }
	:: d_step { vm[r] && killed[r] && stubborn[r] && lease[r] == KILLED -> /* the deadline of its exit */
		lease[r] = STUCK; advance() }
	:: d_step { !vm[r] && pinned[r] -> pinned[r] = false } /* I/O that outlived it has ended */
#if MISTAKE != 8
	/* The timer; that what would be refused again is tried again is left out. */
	:: d_step { refused[r] && op[r] == NOTHING && !pinned[r] && (lease[r] == STUCK || !mapped[r]) ->
		refused[r] = false; advance() }
#endif
	:: d_step { orphan[r] && !vm[r] && mapped[r] -> mapped[r] = false } /* a stranger goes in the end */
#ifdef TENANTS_LEAVE
	:: d_step { vm[r] && !killed[r] && lease[r] == ATTACHED -> vm_exits(r) }
#endif
	od
}

/* The daemon dies and starts again: only what is durable or observed is known. */
inline restart(r)
{
	region[r] = ABSENT; known[r] = NONE; bound[r] = false; settling[r] = false;
	unobserved[r] = true; stale[r] = false; busy_fault[r] = false; refill_failed[r] = false;
	failures[r] = 0; refused[r] = false; orphan[r] = false; intent[r] = NOTHING;
	op[r] = NOTHING; stage[r] = INTENT; result[r] = false; late[r] = false; lost[r] = false; process[r] = vm[r]; paused[r] = false;
	if
	:: vm[r] -> /* its pidfd was kept */
		lease[r] = (was_killed[r] -> KILLED : ATTACHED)
	:: !vm[r] && lease[r] == ACQUIRED -> skip
	:: !vm[r] && lease[r] == PREPARING -> /* what was carved shows as an orphan */
		instance[r] = false; named[r] = false; lease[r] = NOBODY
	:: !vm[r] && lease[r] != ACQUIRED && lease[r] != PREPARING && instance[r] ->
		revoked[r] = false; lease[r] = VERIFYING
	:: else -> revoked[r] = false; lease[r] = (vm[r] -> lease[r] : NOBODY)
	fi;
}

proctype crash()
{
end:	do
	:: d_step { faults_left > 0 ->
		faults_left--;
		restart(0); restart(1);
		observed = false; observing = false; observe_wanted = true;
		seen_object[0] = 0; seen_object[1] = 0; seen_up[0] = 0; seen_up[1] = 0; seen_dax[0] = 0; seen_dax[1] = 0;
		advance() }
	od
}

/* --- what is asked for ------------------------------------------------------------------------ */

#define is_well(r)        (region[r] == LIVE && lease[r] == ATTACHED && vm[r] && !killed[r])
#define waits_device(r)   (region[r] == ABSENT && !up[r])
#define waits_tenant(r)   (region[r] == ABSENT && blocks(other(r)) && lease[other(r)] == ATTACHED)
#define is_given_up(r)    (region[r] == QUARANTINED)
#define is_stuck(r)       (lease[r] == STUCK && ((revoked[r] && vm[r]) || (refused[r] && pinned[r])))
#define rests(r)          (op[r] == NOTHING && (is_well(r) || waits_device(r) || waits_tenant(r) ||          \
						is_given_up(r) || is_stuck(r)))

#ifndef TENANTS_LEAVE
/* When nothing more can happen. */
proctype judge()
{
	timeout ->
		assert(!observing && !observe_wanted);
		assert(rests(0));
		assert(rests(1))
}

/* From wherever, and however the processes take turns, as long as each has its turn. */
ltl comes_to_rest { [] <> (rests(0) && rests(1)) }
#else
#define is_served(r) (region[r] == LIVE || region[r] == QUARANTINED || !legs_fine(r))

/* Whoever waits behind the order of decoders is made in the end, also when others ask all the time. */
ltl lower_is_not_starved {
	[] ((held_up(0) -> <> is_served(0)) && (held_up(1) -> <> is_served(1)))
}
#endif

init
{
	atomic {
		if
		:: skip
#ifdef ODD_VMS
		:: stubborn[0] = true
		:: shared[0] = true
		:: pinning[0] = true
		:: stubborn[0] = true; pinning[0] = true
		:: stubborn[1] = true
		:: pinning[1] = true
		:: stubborn[0] = true; stubborn[1] = true; pinning[1] = true
#endif
		fi;
		run port(0); run port(1);
		run worker(0); run worker(1);
		run observer();
		run client(0); run client(1);
		run crash();
#ifndef TENANTS_LEAVE
		run judge()
#endif
	}
}
