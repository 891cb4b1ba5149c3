/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Types of org.daxmgr.Manager. States are strings and not enums because
 * Varlink enums cannot carry the dashes that the same words have everywhere
 * else. Serial numbers are strings ("0x10") because they use all 64 bits.
 */
#include "varlink_interface.h"

#define COMMENT             SD_VARLINK_FIELD_COMMENT
#define FIELD(name, type)   SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, 0)
#define MAYBE(name, type)   SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, SD_VARLINK_NULLABLE)
#define LIST(name, type)    SD_VARLINK_DEFINE_FIELD(name, SD_VARLINK_##type, SD_VARLINK_ARRAY)
#define LIST_OF(name, type) SD_VARLINK_DEFINE_FIELD_BY_TYPE(name, type, SD_VARLINK_ARRAY)

SD_VARLINK_DEFINE_STRUCT_TYPE(HostBridge, COMMENT("hb and the ACPI UID, e.g. hb12"),
			      FIELD(path, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Port, COMMENT("Stable path: host bridge and device.function chain, e.g. hb12/00.0"),
	FIELD(path, STRING),
	COMMENT("PCI address now, e.g. 0000:0c:00.0; changes with bus numbers"),
	MAYBE(address, STRING), COMMENT("root-port, switch-upstream or switch-downstream"),
	FIELD(kind, STRING), COMMENT("Path of its host bridge"), FIELD(hostBridge, STRING),
	COMMENT("Path of the port right above; absent for a root port"), MAYBE(parent, STRING),
	COMMENT("Isolation domain, named by the path of its first root port"),
	MAYBE(domain, STRING),
	COMMENT("State of that domain: unknown, healthy, containing, recovering, waiting, isolated, quarantined"),
	FIELD(state, STRING), COMMENT("Why it is in that state"), MAYBE(reason, STRING),
	FIELD(present, BOOL), COMMENT("Held until Recover(): by Isolate(), or as flapping"),
	FIELD(held, BOOL), COMMENT("Held because it was lost too often in a short time"),
	FIELD(flapping, BOOL));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	RootPort, FIELD(path, STRING), MAYBE(address, STRING), FIELD(present, BOOL),
	COMMENT("How its registers are reached: unknown, not-offered, locked-down, failed, registers, stand-in (another function that configuration names for it), sysfs"),
	FIELD(source, STRING), COMMENT("It has isolation of CXL.mem"), FIELD(offered, BOOL),
	COMMENT("It can take its link down when it isolates; else that has to be forced"),
	FIELD(linkDownOffered, BOOL), FIELD(linkDownEnabled, BOOL),
	COMMENT("It can end accesses that are not answered in time"), FIELD(timeoutOffered, BOOL),
	FIELD(timeoutEnabled, BOOL), COMMENT("It can signal by ERR_COR"),
	FIELD(errCorOffered, BOOL), FIELD(errCorEnabled, BOOL),
	COMMENT("It can interrupt; only a driver in the kernel could take that"),
	FIELD(interruptOffered, BOOL), FIELD(interruptEnabled, BOOL),
	COMMENT("Its interrupt message number"), MAYBE(interruptMessage, INT),
	COMMENT("Timeouts it offers, e.g. 1ms-10ms"), LIST(ranges, STRING),
	COMMENT("Isolation is enabled; absent: its registers cannot be read, and it may be"),
	MAYBE(armed, BOOL), COMMENT("The timeout that is set"), MAYBE(range, STRING),
	COMMENT("By configuration or by an operator"), FIELD(wanted, BOOL),
	COMMENT("An operator's own: default, armed, disarmed"), FIELD(wish, STRING),
	COMMENT("The timeout it shall have"), FIELD(wantedRange, STRING), FIELD(isolated, BOOL),
	COMMENT("Since when, CLOCK_BOOTTIME"), MAYBE(isolatedNs, INT),
	COMMENT("Its link was seen down since it isolated"), FIELD(linkWasDown, BOOL),
	COMMENT("RP Busy"), FIELD(busy, BOOL), COMMENT("The words of its registers"),
	MAYBE(capability, INT), MAYBE(control, INT), MAYBE(status, INT),
	COMMENT("Nothing uses memory behind it: it can be armed at once"), FIELD(quiesced, BOOL),
	COMMENT("A region that uses it"), MAYBE(usedBy, STRING),
	COMMENT("What forbids to arm it, as words: unknown, not-offered, lockdown, access, isolated, system-ram, consent, pinning, cpu, cpu-unknown, panic-on-oops, panic-on-warn, machine-check, range, timeout, host-unknown, memory-failure"),
	LIST(obstacles, STRING), COMMENT("The same for people"), LIST(reasons, STRING),
	COMMENT("What went wrong last"), MAYBE(reason, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Memdev, FIELD(path, STRING), COMMENT("Kernel name memN; changes at re-plug"),
	MAYBE(name, STRING), COMMENT("Serial number, e.g. 0x10"), FIELD(serial, STRING),
	MAYBE(address, STRING), COMMENT("Path of the port right above"), MAYBE(port, STRING),
	FIELD(volatileBytes, INT), FIELD(persistentBytes, INT), FIELD(present, BOOL),
	COMMENT("The memory device driver is bound and its endpoint is there"), FIELD(bound, BOOL),
	COMMENT("The kernel is still resetting it"), FIELD(settling, BOOL),
	COMMENT("Another device reports the same serial number: not used"),
	FIELD(duplicateSerial, BOOL), COMMENT("Names of the regions with a target on it"),
	LIST(regions, STRING), COMMENT("Known to be bad, as the hardware said"),
	FIELD(badBytes, INT),
	COMMENT("When its poison list was read last, CLOCK_BOOTTIME; absent: not yet"),
	MAYBE(poisonReadNs, INT), COMMENT("Why its poison list cannot be read"),
	MAYBE(poisonProblem, STRING), COMMENT("Why nobody is placed on it"), MAYBE(closed, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Region, FIELD(name, STRING), COMMENT("absent, creating, live, lost, clearing, quarantined"),
	FIELD(state, STRING),
	COMMENT("What an absent region waits for: observation, memdev, settling, decoder-order, operator, retry, other-region, window, too-small, locked, flapping, isolation; absent when for nothing"),
	MAYBE(wait, STRING), COMMENT("Last failure, or why it is quarantined"),
	MAYBE(reason, STRING), COMMENT("Isolation domain it belongs to"), MAYBE(domain, STRING),
	FIELD(ways, INT), COMMENT("Interleave granularity asked for in bytes; 0: the window's"),
	FIELD(granularity, INT), COMMENT("Serial numbers in target order"), LIST(memdevs, STRING),
	COMMENT("Kernel name of this epoch, e.g. region0"), MAYBE(device, STRING),
	COMMENT("Root decoder it is or will be created in, e.g. decoder0.1"), MAYBE(window, STRING),
	MAYBE(hpaStart, INT), COMMENT("Size; 0 when it is not there"), FIELD(bytes, INT),
	COMMENT("Held by no instance, and good"), FIELD(freeBytes, INT),
	COMMENT("Held by none and not given away because of bad memory: whole 2 MiB"),
	FIELD(badBytes, INT), COMMENT("Why nobody is placed in it for what is bad"),
	MAYBE(closed, STRING), FIELD(epoch, INT), FIELD(instances, INT),
	COMMENT("Made by CreateRegion() and not by the configuration"), FIELD(fromOperator, BOOL),
	COMMENT("It shall exist"), FIELD(desired, BOOL),
	COMMENT("Makes way for a lower region: takes no new leases"), FIELD(draining, BOOL),
	COMMENT("Firmware holds its decoders: it is used as it is and never removed"),
	FIELD(locked, BOOL), COMMENT("What it will be made with; absent while that is not known"),
	MAYBE(plannedBytes, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Instance, COMMENT("Kernel name of this epoch, e.g. dax0.1"), MAYBE(device, STRING),
	FIELD(region, STRING), COMMENT("Lease it belongs to; absent for an orphan"),
	MAYBE(lease, STRING), COMMENT("N of /dev/daxmgr/vm/NAME/memN"), MAYBE(part, INT),
	COMMENT("carving, zeroing, proving, ready, handing-over, held, doomed, verifying, removing"),
	FIELD(state, STRING), FIELD(bytes, INT), FIELD(align, INT), FIELD(epoch, INT),
	MAYBE(hpaStart, INT), COMMENT("Its region went away under it"), FIELD(lost, BOOL),
	COMMENT("Of an orphan: a process that maps it"), MAYBE(mapper, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Fence, COMMENT("fence, quarantine (of a domain), retire (of a memory device)"),
	FIELD(kind, STRING), COMMENT("Path of a port of the domain, or of the memory device"),
	FIELD(unit, STRING), COMMENT("Of the memory device"), MAYBE(serial, STRING),
	COMMENT("Of the port; absent: it is not there"), MAYBE(domain, STRING),
	COMMENT("That asked for it"), FIELD(rule, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	PartWish, COMMENT("Bytes, a multiple of the alignment"), FIELD(size, INT),
	COMMENT("Name of the region it must come from; absent: the planner chooses"),
	MAYBE(region, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(Part, COMMENT("Stable path to open, e.g. /dev/daxmgr/vm/a/mem0"),
			      FIELD(path, STRING), FIELD(bytes, INT),
			      COMMENT("What QEMU's align= must be"), FIELD(align, INT),
			      COMMENT("Region it was placed in"), MAYBE(region, STRING),
			      COMMENT("Kernel name of this epoch, e.g. dax0.1"),
			      MAYBE(device, STRING),
			      COMMENT("State of the instance; absent while there is none"),
			      MAYBE(state, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Lease, FIELD(name, STRING),
	COMMENT("waiting, preparing, acquired, attached, killed, kept, verifying, retracting, stuck"),
	FIELD(state, STRING), FIELD(uid, INT), FIELD(gid, INT),
	COMMENT("Process of the VM while it is attached"), MAYBE(pid, INT), FIELD(restart, BOOL),
	FIELD(align, INT), FIELD(keepNs, INT), FIELD(epoch, INT),
	COMMENT("Place in the queue: lower is earlier"), FIELD(sequence, INT),
	COMMENT("We killed its VM and it has not been attached again"), FIELD(wasKilled, BOOL),
	COMMENT("Incident that killed it last"), MAYBE(incident, INT),
	COMMENT("CLOCK_BOOTTIME, nanoseconds"), MAYBE(attachedNs, INT), MAYBE(killedNs, INT),
	MAYBE(exitedNs, INT), MAYBE(expiresAtNs, INT), COMMENT("What it waits for, for people"),
	MAYBE(waitsFor, STRING), COMMENT("stuck: processes that still map its instances"),
	LIST(mappers, INT),
	COMMENT("What makes it pin its memory, as last seen: direct-io, io-uring, vfio, vhost, rdma, outstanding, unknown. Empty: nothing was found"),
	LIST(pins, STRING), COMMENT("What was seen of that, e.g. \"fd 12: O_DIRECT /srv/a.img\""),
	MAYBE(evidence, STRING),
	COMMENT("A process that maps its memory and is not its virtual machine"),
	MAYBE(stranger, INT), COMMENT("stuck: its memory was taken from it, it only has to exit"),
	FIELD(revoked, BOOL),
	COMMENT("What becomes of it when its memory is poisoned: default, kill, notify or ignore"),
	FIELD(poison, STRING), LIST_OF(parts, Part));

SD_VARLINK_DEFINE_STRUCT_TYPE(Component, COMMENT("store, trace, uevents, guard, workers, ..."),
			      FIELD(name, STRING), COMMENT("ok, degraded, missing or failed"),
			      FIELD(state, STRING), COMMENT("What that means for this host"),
			      MAYBE(text, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(DomainStatus, COMMENT("Path of its first root port"),
			      FIELD(domain, STRING), FIELD(state, STRING), MAYBE(reason, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Victim, FIELD(name, STRING), MAYBE(pid, INT),
	COMMENT("When it was stopped or sent SIGKILL, CLOCK_BOOTTIME of the incident's boot"),
	MAYBE(killedNs, INT), COMMENT("Its end was seen"), MAYBE(exitedNs, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Note, COMMENT("Order within the incident"), MAYBE(seq, INT),
	COMMENT("When it happened: CLOCK_BOOTTIME, nanoseconds"), FIELD(atNs, INT),
	COMMENT("The same moment as wall clock, microseconds since 1970"), FIELD(realtimeUs, INT),
	MAYBE(bootId, STRING),
	COMMENT("fault, correlated, domain, region, lease, kill, exit, contained, waiting, recovered, failed, stranger, guard, pinning, revoked, reconcile, isolation, policy, poison"),
	FIELD(kind, STRING), FIELD(text, STRING), MAYBE(incident, INT), MAYBE(lease, STRING),
	MAYBE(region, STRING), MAYBE(port, STRING), MAYBE(pid, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Incident, FIELD(id, INT),
	COMMENT("surprise-down, fatal-error, link-down, device-gone, region-gone, operator, evicted, isolated, policy, poison"),
	FIELD(cause, STRING), COMMENT("The fault unit: stable path of a port or memory device"),
	FIELD(unit, STRING), MAYBE(domain, STRING), FIELD(open, BOOL), FIELD(bootId, STRING),
	COMMENT("The kernel's own timestamp of the first record, CLOCK_BOOTTIME of that boot"),
	FIELD(recordNs, INT), COMMENT("The same moment as wall clock, microseconds since 1970"),
	FIELD(realtimeUs, INT), COMMENT("Read by the daemon"), MAYBE(detectedNs, INT),
	COMMENT("Last victim gone and no mapping left"), MAYBE(containedNs, INT),
	COMMENT("Regions back, and the leases that wanted to come back attached again"),
	MAYBE(recoveredNs, INT), FIELD(killed, INT), FIELD(exited, INT),
	COMMENT("A drill: its first record was injected"), FIELD(synthetic, BOOL),
	COMMENT("Records that were correlated to it"), FIELD(records, INT),
	FIELD(capacityBeforeBytes, INT), MAYBE(capacityAfterBytes, INT), LIST_OF(victims, Victim),
	COMMENT("Only when one incident was asked for"),
	SD_VARLINK_DEFINE_FIELD_BY_TYPE(timeline, Note, SD_VARLINK_ARRAY | SD_VARLINK_NULLABLE));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Event, COMMENT("Grows by one per stored row: the sequence number"), FIELD(id, INT),
	COMMENT("trace, uevent, kernel-log, ..."), FIELD(source, STRING),
	COMMENT("As the source calls it; gap: records were lost"), FIELD(kind, STRING),
	COMMENT("info, warning, error or fatal"), FIELD(severity, STRING), MAYBE(cpu, INT),
	COMMENT("The kernel's timestamp where it has one: CLOCK_BOOTTIME, nanoseconds"),
	FIELD(atNs, INT), FIELD(realtimeUs, INT), FIELD(bootId, STRING),
	COMMENT("PCI address, memN, daxX.Y: whom the record names"), MAYBE(unit, STRING),
	COMMENT("Path of the first root port of its domain"), MAYBE(domain, STRING),
	COMMENT("Whose memory it is about"), MAYBE(lease, STRING), MAYBE(incident, INT),
	FIELD(text, STRING),
	COMMENT("How many records it stands for, which differ in time and CPU only; grows for about a minute"),
	FIELD(count, INT), COMMENT("Of the last of them"), MAYBE(lastAtNs, INT),
	COMMENT("Memory device and range of memory it is about; addresses are texts, as 0x1090000000"),
	MAYBE(serial, STRING), MAYBE(hpa, STRING), MAYBE(dpa, STRING), MAYBE(bytes, INT),
	COMMENT("Of a gap: how many; absent: not known"), MAYBE(lost, INT),
	COMMENT("Injected by an operator"), MAYBE(synthetic, BOOL),
	COMMENT("Every field that was decoded"), MAYBE(fields, OBJECT),
	COMMENT("Number of the stored format that the raw record is in"), MAYBE(format, STRING),
	COMMENT("The record as the kernel gave it, base64; of the first"), MAYBE(raw, STRING),
	COMMENT("Of the last, when there are several"), MAYBE(lastRaw, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Replayed, COMMENT("As it is stored"), SD_VARLINK_DEFINE_FIELD_BY_TYPE(event, Event, 0),
	COMMENT("decoded, partial, unreadable, unreadable-format, no-format, no-raw"),
	FIELD(outcome, STRING),
	COMMENT("none, contain (a unit was lost), poison (it names bad memory), rule (only a rule of policy acts)"),
	FIELD(decision, STRING), MAYBE(why, STRING),
	COMMENT("Where they are not as they were stored: its text and fields as decoded today"),
	MAYBE(text, STRING), MAYBE(fields, OBJECT),
	COMMENT("Virtual machines it would be about, on the host as it is now"),
	LIST(victims, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(Worker, FIELD(pid, INT),
			      COMMENT("Lane it serves; absent for a spare"), MAYBE(lane, INT),
			      COMMENT("idle, busy or hung"), FIELD(state, STRING),
			      COMMENT("Job it runs"), MAYBE(job, STRING),
			      COMMENT("Since when, CLOCK_BOOTTIME"), MAYBE(sinceNs, INT),
			      COMMENT("Kernel function it sleeps in"), MAYBE(wchan, STRING),
			      COMMENT("State letter of /proc/PID/stat"), MAYBE(process, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Source, FIELD(name, STRING),
	COMMENT("ok, missing (this host has none of it), refused (it cannot be read) or off"),
	FIELD(state, STRING), COMMENT("Why it is missing or refused"), MAYBE(why, STRING),
	COMMENT("Time of the newest record, CLOCK_BOOTTIME"), MAYBE(lastEventNs, INT),
	COMMENT("When it was last read or heard, CLOCK_BOOTTIME"), MAYBE(lastReadNs, INT),
	COMMENT("How long ago that is"), MAYBE(sinceReadNs, INT),
	COMMENT("Records since the daemon started"), FIELD(records, INT),
	COMMENT("What it said that means nothing here"), FIELD(ignored, INT),
	COMMENT("Records of the gaps whose size is known"), FIELD(lost, INT), FIELD(gaps, INT),
	COMMENT("Of the last record: from its own time until it was durable"), MAYBE(lagNs, INT),
	MAYBE(lagMaxNs, INT),
	COMMENT("Pages with records that are not durable yet, and how many find room; absent: it has no spool"),
	MAYBE(waitingPages, INT), MAYBE(roomPages, INT), COMMENT("For people"),
	FIELD(tells, STRING), COMMENT("On any host"), FIELD(cannot, STRING),
	COMMENT("Beside that, as found on this one; absent: nothing is known of that kind"),
	MAYBE(cannotHere, STRING), COMMENT("What follows from its absence; absent when it works"),
	MAYBE(without, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(Verdict, COMMENT("host, domain, memdev or vm"), FIELD(scope, STRING),
			      COMMENT("Path of a domain, serial of a memdev, name of a lease"),
			      MAYBE(unit, STRING), COMMENT("ok, degraded or failing"),
			      FIELD(state, STRING), COMMENT("The worst first; absent when ok"),
			      MAYBE(reasons, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(AffectedRegion, FIELD(name, STRING), FIELD(state, STRING),
			      FIELD(bytes, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(AffectedVm, FIELD(name, STRING), FIELD(state, STRING),
			      MAYBE(pid, INT), COMMENT("It wants its capacity back after a kill"),
			      FIELD(restart, BOOL), COMMENT("All the memory it leases"),
			      FIELD(bytes, INT), COMMENT("As of a Lease"), LIST(pins, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Finding,
	COMMENT("host-rebooted, memdev-gone, memdev-new, memdev-renamed, memdev-moved, memdev-duplicate, region-gone, region-broken, region-found, region-renamed, region-geometry, region-twin, region-undefined, region-quarantined, region-busy, instance-gone, instance-unbound, instance-orphan, instance-empty, instance-kmem, lease-without-instance, vm-gone, stranger, recovery-unfinished"),
	FIELD(kind, STRING), COMMENT("E.g. memdev 0x10, region low, dax0.1, VM web"),
	FIELD(object, STRING), COMMENT("What is there"), FIELD(seen, STRING),
	COMMENT("What was thought to be; absent: nothing was known"), MAYBE(believed, STRING),
	COMMENT("Who does something about it: itself (the manager), person or nothing"),
	FIELD(remedy, STRING), COMMENT("What is done, or has to be"), FIELD(action, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	BadRange, COMMENT("Of its memory device; absent: only its place in a region is known"),
	MAYBE(serial, STRING), COMMENT("Kernel name memN, while it is there"),
	MAYBE(memdev, STRING), COMMENT("Stable path of the memory device"), MAYBE(path, STRING),
	COMMENT("Address on the memory device"), MAYBE(dpa, INT),
	COMMENT("Host physical address now; absent: in no region, or that is not known"),
	MAYBE(hpa, INT), COMMENT("As the hardware said: 64 for a line, 4096 for a page"),
	FIELD(bytes, INT),
	COMMENT("How it came to be known: media, list, inject, clear, memory-failure, machine-check; with synthetic: injected by an operator, the hardware does not say so"),
	LIST(evidence, STRING),
	COMMENT("bad; cleared: as was said, and not leased yet; verified: the memory device's list agrees"),
	FIELD(state, STRING), COMMENT("Where it lies now"), MAYBE(region, STRING),
	COMMENT("From the start of that region"), MAYBE(offset, INT),
	COMMENT("Instance that has it now, e.g. dax0.1"), MAYBE(device, STRING),
	COMMENT("Virtual machine that has it now"), MAYBE(vm, STRING),
	COMMENT("Virtual machine that had it when it was found last"), MAYBE(hit, STRING),
	COMMENT("First and last record, CLOCK_BOOTTIME of this boot; absent: of an earlier one"),
	MAYBE(firstNs, INT), MAYBE(lastNs, INT), MAYBE(clearedNs, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	RuleAction, COMMENT("notify, fence, kill, isolate, quarantine, retire, start-unit UNIT"),
	FIELD(action, STRING), COMMENT("When the next one follows if this one did not help"),
	MAYBE(deadlineNs, INT));

SD_VARLINK_DEFINE_STRUCT_TYPE(
	Rule, FIELD(name, STRING), COMMENT("What is counted apart: unit, domain, vm, host"),
	FIELD(per, STRING), FIELD(threshold, INT), FIELD(windowNs, INT), FIELD(holdOffNs, INT),
	SD_VARLINK_DEFINE_FIELD_BY_TYPE(actions, RuleAction, SD_VARLINK_ARRAY),
	COMMENT("Records that matched, and actions, since it was loaded"), FIELD(matched, INT),
	FIELD(fired, INT), COMMENT("Actions whose deadline has not passed"), FIELD(acting, INT),
	COMMENT("The highest count within the window now"), FIELD(count, INT),
	COMMENT("Whose that is"), MAYBE(countedFor, STRING));

SD_VARLINK_DEFINE_STRUCT_TYPE(RuleExplanation, FIELD(rule, STRING), FIELD(matches, BOOL),
			      COMMENT("It would act now"), FIELD(fires, BOOL), FIELD(why, STRING),
			      COMMENT("That follows, or is under way"), FIELD(action, STRING),
			      FIELD(threshold, INT), FIELD(windowNs, INT),
			      COMMENT("Unit, domain or VM"), MAYBE(countedFor, STRING),
			      COMMENT("Within the window, this one included"), MAYBE(count, INT),
			      COMMENT("CLOCK_BOOTTIME until which it is held off or acting"),
			      MAYBE(untilNs, INT));
