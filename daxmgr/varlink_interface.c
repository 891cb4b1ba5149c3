/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors of org.daxmgr.Manager, and the interface put together. */
#include "varlink_interface.h"

#define ERROR_WITH_TEXT(name)                                                                      \
	static SD_VARLINK_DEFINE_ERROR(name, SD_VARLINK_DEFINE_FIELD(text, SD_VARLINK_STRING, 0))

ERROR_WITH_TEXT(NotReady);
ERROR_WITH_TEXT(NoSuchName);
ERROR_WITH_TEXT(NoSuchUnit);
ERROR_WITH_TEXT(NoSuchIncident);
ERROR_WITH_TEXT(BadName);
ERROR_WITH_TEXT(BadSize);
ERROR_WITH_TEXT(BadRegion);
ERROR_WITH_TEXT(NameInUse);
ERROR_WITH_TEXT(NoCapacity);
ERROR_WITH_TEXT(Fenced);
ERROR_WITH_TEXT(NotGranted);
ERROR_WITH_TEXT(GrantVoid);
ERROR_WITH_TEXT(ProcessTaken);
ERROR_WITH_TEXT(Refused);
ERROR_WITH_TEXT(TableFull);
ERROR_WITH_TEXT(Busy);
ERROR_WITH_TEXT(StillRunning);
ERROR_WITH_TEXT(Withdrawn);
ERROR_WITH_TEXT(Pinning);
ERROR_WITH_TEXT(Locked);
ERROR_WITH_TEXT(NotAdoptable);
ERROR_WITH_TEXT(BadRecord);
ERROR_WITH_TEXT(NotObserved);
ERROR_WITH_TEXT(OnHold);
ERROR_WITH_TEXT(StoreFailed);

#define TYPE(name, comment)   SD_VARLINK_SYMBOL_COMMENT(comment), &vl_type_##name
#define METHOD(name, comment) SD_VARLINK_SYMBOL_COMMENT(comment), &vl_method_##name
#define ERROR(name, comment)  SD_VARLINK_SYMBOL_COMMENT(comment), &vl_error_##name

SD_VARLINK_DEFINE_INTERFACE(
	org_daxmgr_Manager, VARLINK_INTERFACE,
	SD_VARLINK_INTERFACE_COMMENT(
		"Manages CXL memory that may isolate: regions, leases of virtual machines, incidents"),
	TYPE(HostBridge, "A CXL host bridge"), TYPE(Port, "A root port or a port of a switch"),
	TYPE(RootPort, "A root port and its isolation capability"), TYPE(Memdev, "A memory device"),
	TYPE(Region, "A region as it shall be and as it is"),
	TYPE(Instance, "One device-dax character device"),
	TYPE(Fence, "What a rule of policy keeps new tenants from"),
	TYPE(PartWish, "Memory asked for"), TYPE(Part, "Memory of a lease"),
	TYPE(Lease, "The claim of one virtual machine on its instances"),
	TYPE(Component, "Something the daemon works with"),
	TYPE(DomainStatus, "State of an isolation domain"),
	TYPE(Victim, "A virtual machine that was killed"), TYPE(Note, "One line of a timeline"),
	TYPE(Incident, "Everything that followed from one cause"),
	TYPE(Event, "A record of a source"),
	TYPE(Replayed, "What would be made of a stored record today"),
	TYPE(Worker, "A process that makes calls that may block"),
	TYPE(Source, "Where records come from"), TYPE(Verdict, "How something is"),
	TYPE(AffectedRegion, "A region that would be lost"),
	TYPE(AffectedVm, "A virtual machine that would be hit"),
	TYPE(Finding, "Something that is not as it was believed to be, or waits for a person"),
	TYPE(BadRange, "Memory that is bad, or was"), TYPE(RuleAction, "One of a rule's actions"),
	TYPE(Rule, "A rule of policy and how it stands"),
	TYPE(RuleExplanation, "What a rule makes of a record"),
	METHOD(GetStatus, "Everything on one screen"),
	METHOD(GetTopology, "Host bridges, ports, memory devices, regions, instances and leases"),
	METHOD(ListRegions, "Regions that shall exist or do exist"),
	METHOD(CreateRegion, "Defines a region and has it made; it comes back at every start"),
	METHOD(DestroyRegion, "Removes a region that no lease stands on"),
	METHOD(Acquire, "Leases memory for a virtual machine"),
	METHOD(Attach,
	       "Says that a process is the virtual machine of a lease: it is watched, and killed when its memory fails"),
	METHOD(Release, "Ends a lease whose virtual machine does not run"),
	METHOD(ListLeases, "Leases in the order they are served"),
	METHOD(WhatIf, "What the loss of a port or memory device would mean now"),
	METHOD(Isolate,
	       "Takes a port out of use: kills the virtual machines below it and keeps it out until Recover()"),
	METHOD(Recover, "Ends Isolate(), or tries again what was given up"),
	METHOD(Confirm,
	       "Says that what is observed is all there is, after the database was damaged: memory is handed out again"),
	METHOD(ListIncidents, "Incidents, newest first"),
	METHOD(ListEvents, "Stored records of the sources, oldest first"),
	METHOD(ReplayEvents, "Stored raw records through today's decoder, without acting"),
	METHOD(Monitor, "Notes as they happen and events once they are durable"),
	METHOD(Acknowledge, "A subscriber needs no event up to that one any more"),
	METHOD(GetWorkers, "Worker processes and what they do"),
	METHOD(ListSources, "How each source of records is, and what it can and cannot tell"),
	METHOD(GetHealth, "One verdict for host, domains, memory devices and virtual machines"),
	METHOD(Adopt,
	       "Makes an instance that was made by hand, with the process that maps it, a lease"),
	METHOD(ListRules, "Rules of policy and how they stand"),
	METHOD(ReloadPolicy, "Reads the rules of policy anew; with any error those there are stay"),
	METHOD(ExplainRecord, "What each rule makes of a record, and why"),
	METHOD(Inject, "Injects a record, marked synthetic, or says what would come of it"),
	METHOD(Reconcile, "Looks at the host now and says what is not as it was believed to be"),
	METHOD(ListPorts, "Root ports and their isolation capability"),
	METHOD(ArmPort, "Enables isolation on a root port, as soon as nothing uses it"),
	METHOD(DisarmPort, "Disables isolation on a root port, as soon as nothing uses it"),
	METHOD(ListPoison,
	       "Memory that is known to be bad, or was until it was cleared and verified"),
	METHOD(ReadPoison, "Has the poison lists of memory devices read now"),
	ERROR(NotReady, "The first observation has not ended: try again"),
	ERROR(NoSuchName, "No lease or region has that name"),
	ERROR(NoSuchUnit, "No port or memory device is called that"),
	ERROR(NoSuchIncident, "No incident has that number"),
	ERROR(BadName, "The name is not allowed"),
	ERROR(BadSize,
	      "A size is zero, not a multiple of the alignment, or there are too many parts"),
	ERROR(BadRegion, "Ways, granularity or serial numbers make no sense"),
	ERROR(NameInUse, "The lease is in use, or a region of that name is defined otherwise"),
	ERROR(NoCapacity, "There is not enough free memory"),
	ERROR(Fenced, "The domain is not healthy"),
	ERROR(NotGranted, "The lease is not waiting for its virtual machine"),
	ERROR(GrantVoid, "A fault took the memory between Acquire() and Attach(): acquire again"),
	ERROR(ProcessTaken, "The process is the virtual machine of another lease"),
	ERROR(Refused, "Policy does not allow it"),
	ERROR(TableFull, "A fixed capacity of the manager is used up"),
	ERROR(Busy, "Leases stand on the region"),
	ERROR(StillRunning, "The virtual machine still runs"),
	ERROR(Withdrawn, "The request was withdrawn"),
	ERROR(Pinning,
	      "The virtual machine pins its memory, and the host may not panic: [Pins] HostMayPanic="),
	ERROR(Locked, "Firmware has locked the decoders of the region"),
	ERROR(NotAdoptable,
	      "It belongs to a lease, is System RAM or being removed, or not that process alone maps it"),
	ERROR(NotObserved, "The host, or who maps what of it, could not be looked at"),
	ERROR(OnHold, "Nothing is handed out now: the database fails, or waits for Confirm()"),
	ERROR(BadRecord, "The record to explain or inject makes no sense"),
	ERROR(StoreFailed, "The store could not be read"));
