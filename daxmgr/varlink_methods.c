/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Methods of org.daxmgr.Manager: what goes in and what comes out. */
#include "varlink_interface.h"

#define COMMENT                  SD_VARLINK_FIELD_COMMENT
#define IN(name, type)           SD_VARLINK_DEFINE_INPUT(name, SD_VARLINK_##type, 0)
#define IN_MAYBE(name, type)     SD_VARLINK_DEFINE_INPUT(name, SD_VARLINK_##type, SD_VARLINK_NULLABLE)
#define OUT(name, type)          SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_##type, 0)
#define OUT_MAYBE(name, type)    SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_##type, SD_VARLINK_NULLABLE)
#define OUT_LIST_OF(name, type)  SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(name, type, SD_VARLINK_ARRAY)
#define OUT_MAYBE_OF(name, type) SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(name, type, SD_VARLINK_NULLABLE)

SD_VARLINK_DEFINE_METHOD(
	GetStatus, OUT(version, STRING),
	COMMENT("healthy, degraded (works, but something is missing: see components) or isolated (a domain is not healthy)"),
	OUT(state, STRING), COMMENT("The first observation has ended; requests are taken"),
	OUT(ready, BOOL), OUT(bootId, STRING), COMMENT("CLOCK_BOOTTIME now, nanoseconds"),
	OUT(nowNs, INT), COMMENT("Of regions that are live"), OUT(capacityBytes, INT),
	OUT(freeBytes, INT),
	COMMENT("Neither held nor free, because memory in them is bad: whole 2 MiB"),
	OUT(badBytes, INT), OUT(regions, INT), OUT(regionsLive, INT), OUT(leases, INT),
	OUT(leasesAttached, INT), COMMENT("Leases that wait for capacity"), OUT(leasesWaiting, INT),
	OUT(leasesStuck, INT),
	COMMENT("Leases whose virtual machine pins its memory: the loss of its port can panic the host"),
	OUT(leasesPinning, INT),
	COMMENT("Leases whose memory a process maps that is not their virtual machine"),
	OUT(strangers, INT), COMMENT("Consent of the operator: [Pins] HostMayPanic="),
	OUT(hostMayPanic, BOOL), OUT(incidentsOpen, INT),
	COMMENT("The worst verdict of GetHealth()"), OUT(health, STRING),
	COMMENT("Why nothing that was lost is made again by itself; absent: the host is well"),
	OUT_MAYBE(recoveryWaits, STRING),
	COMMENT("Why nothing is handed out until Confirm(); absent: nothing is held"),
	OUT_MAYBE(hold, STRING), OUT_LIST_OF(domains, DomainStatus),
	OUT_LIST_OF(components, Component));

SD_VARLINK_DEFINE_METHOD(
	GetTopology,
	COMMENT("The tree as flat lists that refer to each other: port to parent and hostBridge, memdev to port and regions, region to memdevs, instance to region and lease"),
	OUT_LIST_OF(hostBridges, HostBridge), OUT_LIST_OF(ports, Port),
	OUT_LIST_OF(memdevs, Memdev), OUT_LIST_OF(regions, Region),
	OUT_LIST_OF(instances, Instance), OUT_LIST_OF(leases, Lease),
	COMMENT("What rules of policy keep new tenants from"), OUT_LIST_OF(fences, Fence));

SD_VARLINK_DEFINE_METHOD(ListRegions, OUT_LIST_OF(regions, Region));

SD_VARLINK_DEFINE_METHOD(CreateRegion, IN(name, STRING),
			 COMMENT("Serial numbers in target order, \"0x10\" or decimal"),
			 SD_VARLINK_DEFINE_INPUT(memdevs, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
			 COMMENT("Interleave ways; absent: one per memory device"),
			 IN_MAYBE(ways, INT),
			 COMMENT("Interleave granularity in bytes; absent: the window's"),
			 IN_MAYBE(granularity, INT), COMMENT("Size; absent: all there is"),
			 IN_MAYBE(size, INT), OUT_MAYBE_OF(region, Region));

SD_VARLINK_DEFINE_METHOD(DestroyRegion, IN(name, STRING),
			 COMMENT("done, or already when there was nothing to do"),
			 OUT(outcome, STRING));

SD_VARLINK_DEFINE_METHOD_FULL(
	Acquire, SD_VARLINK_SUPPORTS_MORE,
	COMMENT("Name of the VM: [A-Za-z0-9][A-Za-z0-9_.-]{0,63}"), IN(name, STRING),
	COMMENT("Who will own the device nodes"), IN(uid, INT), IN(gid, INT),
	COMMENT("One per memN"), SD_VARLINK_DEFINE_INPUT_BY_TYPE(parts, PartWish, SD_VARLINK_ARRAY),
	COMMENT("Bytes; absent: the configured one"), IN_MAYBE(align, INT),
	COMMENT("Keep the capacity this long after a clean exit; absent: 0"), IN_MAYBE(keepNs, INT),
	COMMENT("How long the grant lives without Attach(); absent: the configured time"),
	IN_MAYBE(expiresNs, INT),
	COMMENT("It wants its capacity back after we killed it; absent: true"),
	IN_MAYBE(restart, BOOL),
	COMMENT("Wait for capacity instead of failing; a client that disconnects while it waits withdraws the request"),
	IN_MAYBE(wait, BOOL),
	COMMENT("What will make it pin its memory, as far as the caller can tell: direct-io, io-uring, vfio, vhost, rdma, unknown; absent: nothing"),
	SD_VARLINK_DEFINE_INPUT(pins, SD_VARLINK_STRING, SD_VARLINK_ARRAY | SD_VARLINK_NULLABLE),
	COMMENT("Why the caller thinks so, e.g. \"-drive file=a,cache=none\""),
	IN_MAYBE(evidence, STRING),
	COMMENT("What becomes of it when its memory is poisoned: kill, notify or ignore; absent: [Poison] Action="),
	IN_MAYBE(poison, STRING),
	COMMENT("With 'more': one message per step, the last one has state acquired"),
	OUT(name, STRING), OUT(state, STRING), OUT_MAYBE(waitsFor, STRING),
	OUT_MAYBE(expiresAtNs, INT),
	SD_VARLINK_DEFINE_OUTPUT_BY_TYPE(parts, Part, SD_VARLINK_ARRAY | SD_VARLINK_NULLABLE));

SD_VARLINK_DEFINE_METHOD(
	Attach, IN(name, STRING),
	COMMENT("Index of a pidfd sent along; absent: the caller itself. It must be the caller or a child of the caller that runs as the lease's uid or as root"),
	IN_MAYBE(pidfd, INT),
	COMMENT("Socket of a monitor (QMP) for the manager, below /run, that a process of the lease's uid listens on; absent: /run/daxmgr-vm/NAME.daxmgr.qmp if there is one"),
	IN_MAYBE(qmp, STRING), OUT(name, STRING), OUT(pid, INT));

SD_VARLINK_DEFINE_METHOD(Release, IN(name, STRING), COMMENT("done or already"),
			 OUT(outcome, STRING));

SD_VARLINK_DEFINE_METHOD(ListLeases, OUT_LIST_OF(leases, Lease));

SD_VARLINK_DEFINE_METHOD(
	WhatIf,
	COMMENT("A port (path or PCI address) or a memory device (serial, memN, path, PCI address)"),
	IN(unit, STRING), COMMENT("port or memdev"), OUT(kind, STRING), COMMENT("Its stable path"),
	OUT(path, STRING), OUT_MAYBE(domain, STRING), OUT_LIST_OF(regions, AffectedRegion),
	COMMENT("VMs that would be killed"), OUT_LIST_OF(vms, AffectedVm),
	COMMENT("VMs that must leave before the regions can be made again (decoder order)"),
	OUT_LIST_OF(blockers, AffectedVm), COMMENT("Memory of the VMs that would be lost"),
	OUT(bytes, INT), COMMENT("How many of the VMs that would be killed pin their memory"),
	OUT(pinning, INT), COMMENT("What the loss would endanger beside the VMs, for people"),
	OUT_MAYBE(hazard, STRING));

SD_VARLINK_DEFINE_METHOD(Isolate, COMMENT("Path or PCI address"), IN(port, STRING),
			 COMMENT("done when containment has begun, or already"),
			 OUT(outcome, STRING));

SD_VARLINK_DEFINE_METHOD(
	Recover, COMMENT("Path or PCI address"), IN(port, STRING),
	COMMENT("Kill the VMs that its regions would have to wait for (decoder order; the blockers of WhatIf()); absent: false"),
	IN_MAYBE(evict, BOOL), COMMENT("done when recovery has begun, or already"),
	OUT(outcome, STRING));

SD_VARLINK_DEFINE_METHOD(Confirm, COMMENT("done, or already when nothing was held"),
			 OUT(outcome, STRING));

SD_VARLINK_DEFINE_METHOD(ListIncidents, COMMENT("Only this one, with its timeline"),
			 IN_MAYBE(id, INT), COMMENT("At most so many, newest first; absent: 100"),
			 IN_MAYBE(limit, INT), OUT_LIST_OF(incidents, Incident));

/* What is given is what an event must have. */
#define EVENT_FILTER                                                                               \
	IN_MAYBE(source, STRING), IN_MAYBE(kind, STRING), IN_MAYBE(unit, STRING),                  \
		COMMENT("This one or a worse one"), IN_MAYBE(severity, STRING),                    \
		COMMENT("Path of the first root port of a domain"), IN_MAYBE(domain, STRING),      \
		COMMENT("Name of a virtual machine that said it or whose memory it names"),        \
		IN_MAYBE(lease, STRING), IN_MAYBE(incident, INT)

SD_VARLINK_DEFINE_METHOD(
	ListEvents, COMMENT("At most so many; absent: 100. Without 'since' the newest"),
	IN_MAYBE(limit, INT),
	COMMENT("Only events with a greater id; all, when there was never one with that id"),
	IN_MAYBE(since, INT), EVENT_FILTER, OUT_LIST_OF(events, Event),
	COMMENT("All up to this number were looked at: 'since' for what follows"), OUT(next, INT));

SD_VARLINK_DEFINE_METHOD(ReplayEvents, COMMENT("At most so many; absent and most: 32"),
			 IN_MAYBE(limit, INT), COMMENT("Only events with a greater id"),
			 IN_MAYBE(since, INT), EVENT_FILTER, OUT_LIST_OF(events, Replayed),
			 COMMENT("As of ListEvents()"), OUT(next, INT),
			 COMMENT("There are some behind it"), OUT(more, BOOL));

SD_VARLINK_DEFINE_METHOD_FULL(
	Monitor, SD_VARLINK_REQUIRES_MORE,
	COMMENT("First what is stored with a greater id or has grown since that one was the newest, then without a hole what comes"),
	IN_MAYBE(since, INT),
	COMMENT("Without 'since': begins after what this one acknowledged, at the oldest when it never did"),
	IN_MAYBE(subscriber, STRING), EVENT_FILTER,
	COMMENT("Notes, too, those of 'lease', 'incident' and 'domain'; absent: when none but 'lease' and 'incident' are given"),
	IN_MAYBE(notes, BOOL),
	COMMENT("One message has one of these. The first has only 'subscribed' and 'newest'"),
	OUT_MAYBE(subscribed, BOOL),
	COMMENT("Number of the newest event: 'since' for who comes back and was shown none; less than the 'since' given: numbers began anew with another database, and all it has follows. Absent: the database cannot be read"),
	OUT_MAYBE(newest, INT), OUT_MAYBE_OF(note, Note),
	COMMENT("It is durable. The same id again: its count has grown"),
	OUT_MAYBE_OF(event, Event),
	COMMENT("So many messages were left out, because the client did not read or they are not kept any more: list what you need again"),
	OUT_MAYBE(gap, INT));

SD_VARLINK_DEFINE_METHOD(Acknowledge, COMMENT("As of Monitor(): a name like that of a lease"),
			 IN(subscriber, STRING),
			 COMMENT("Never goes back; answered when it is durable"), IN(id, INT));

SD_VARLINK_DEFINE_METHOD(GetWorkers, OUT_LIST_OF(workers, Worker));

SD_VARLINK_DEFINE_METHOD(ListSources, OUT_LIST_OF(sources, Source),
			 COMMENT("Blocks of records and other rows that wait for the database"),
			 OUT(storeQueued, INT));

SD_VARLINK_DEFINE_METHOD(GetHealth, COMMENT("The worst of all"), OUT(state, STRING),
			 COMMENT("Why nothing that was lost is made again by itself"),
			 OUT_MAYBE(recoveryWaits, STRING), OUT_LIST_OF(verdicts, Verdict));

SD_VARLINK_DEFINE_METHOD(
	Reconcile, COMMENT("Only look: what is found is not corrected by this look; absent: false"),
	IN_MAYBE(dryRun, BOOL), OUT_LIST_OF(findings, Finding),
	COMMENT("So many more were found than there is room for"), OUT(omitted, INT));

SD_VARLINK_DEFINE_METHOD(
	Adopt, COMMENT("Name of the lease to be"), IN(name, STRING),
	COMMENT("An instance of a managed region that belongs to no lease, e.g. dax0.2"),
	IN(device, STRING),
	COMMENT("Index of a pidfd sent along: the process that maps it, alone and without pinning it"),
	IN(pidfd, INT), OUT(name, STRING), OUT(pid, INT));

SD_VARLINK_DEFINE_METHOD(ListPorts, COMMENT("Only this one: path or PCI address"),
			 IN_MAYBE(port, STRING), OUT_LIST_OF(ports, RootPort));

#define OUT_LIST(name, type) SD_VARLINK_DEFINE_OUTPUT(name, SD_VARLINK_##type, SD_VARLINK_ARRAY)

SD_VARLINK_DEFINE_METHOD(ArmPort, COMMENT("Path or PCI address of a root port"), IN(port, STRING),
			 COMMENT("Timeout, e.g. 1ms-10ms, or a time; absent: the configured one"),
			 IN_MAYBE(range, STRING),
			 COMMENT("Only say what would be decided; absent: false"),
			 IN_MAYBE(dryRun, BOOL),
			 COMMENT("done; only with dryRun: waits (until nothing uses it) or refused"),
			 OUT(outcome, STRING), OUT(text, STRING), COMMENT("As in RootPort"),
			 OUT_LIST(obstacles, STRING), OUT_LIST(reasons, STRING));

SD_VARLINK_DEFINE_METHOD(
	DisarmPort, COMMENT("Path or PCI address of a root port"), IN(port, STRING),
	IN_MAYBE(range, STRING), IN_MAYBE(dryRun, BOOL),
	COMMENT("done; unknown: whether it is armed cannot be read, it is done once it can; with dryRun: waits"),
	OUT(outcome, STRING), OUT(text, STRING), OUT_LIST(obstacles, STRING),
	OUT_LIST(reasons, STRING));
SD_VARLINK_DEFINE_METHOD(ListPoison, OUT_LIST_OF(ranges, BadRange));

SD_VARLINK_DEFINE_METHOD(
	ReadPoison,
	COMMENT("Serial number, memN, path or PCI address of a memory device; absent: all"),
	IN_MAYBE(memdev, STRING), COMMENT("done when it has been asked for"), OUT(outcome, STRING));

SD_VARLINK_DEFINE_METHOD(
	ListRules, OUT_LIST_OF(rules, Rule),
	COMMENT("Records that could not be counted and actions that found no room, since the start"),
	OUT(missed, INT), COMMENT("Why these are not the rules of the files; absent: they are"),
	OUT_MAYBE(problem, STRING));

SD_VARLINK_DEFINE_METHOD(ReloadPolicy, COMMENT("How many there are now"), OUT(rules, INT));

SD_VARLINK_DEFINE_METHOD(ExplainRecord, COMMENT("A stored record"), IN_MAYBE(id, INT),
			 COMMENT("Instead: one that is thought of, as for Inject()"),
			 IN_MAYBE(record, OBJECT), OUT_LIST_OF(rules, RuleExplanation));

SD_VARLINK_DEFINE_METHOD(
	Inject,
	COMMENT("One of record, id and raw. {source, kind, unit, severity, text, lease, serial, hpa, dpa, bytes, fields: {NAME: value}}; source and kind are needed"),
	IN_MAYBE(record, OBJECT), COMMENT("A stored record once more"), IN_MAYBE(id, INT),
	COMMENT("A record of the trace ring, base64, with 'system' and 'format'"),
	IN_MAYBE(raw, STRING), COMMENT("E.g. ras"), IN_MAYBE(system, STRING),
	COMMENT("The text of the event's format file"), IN_MAYBE(format, STRING),
	COMMENT("Act; absent: only say what would be done"), IN_MAYBE(live, BOOL),
	COMMENT("VMs that may die of it; all that would have to be named"),
	SD_VARLINK_DEFINE_INPUT(vms, SD_VARLINK_STRING, SD_VARLINK_ARRAY | SD_VARLINK_NULLABLE),
	COMMENT("dry-run or done"), OUT(outcome, STRING),
	COMMENT("What is decided, in order, as lines of a timeline"),
	SD_VARLINK_DEFINE_OUTPUT(decisions, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
	COMMENT("VMs that are killed"),
	SD_VARLINK_DEFINE_OUTPUT(victims, SD_VARLINK_STRING, SD_VARLINK_ARRAY),
	COMMENT("Decisions and VMs that found no room"), OUT(omitted, INT));
