/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of verbs. */
#include "verb.h"

#define ASKS                                                                                       \
	"  --dry-run   only show what it would do\n"                                               \
	"  --yes       do not ask\n"

#define FILTERS                                                                                    \
	"  --since ID       only those after this one\n"                                           \
	"  --source NAME    of this source: trace, uevent, ...\n"                                  \
	"  --kind NAME      of this kind: aer_event, gap, ...\n"                                   \
	"  --unit NAME      that name this device\n"                                               \
	"  --severity NAME  info, warning, error, fatal: this one or a worse one\n"                \
	"  --domain PATH    of this isolation domain\n"                                            \
	"  --vm NAME        about this VM or bad memory of it\n"                                   \
	"  --incident ID    of this incident\n"

const struct verb verbs[] = {
	{"status", "", "whether all is well",
	 "  --exit-code   0 healthy, 10 degraded, 11 a domain is not healthy\n", false,
	 verb_status},
	{"doctor", "", "dangers and faults of this host, and what to do", NULL, false, verb_doctor},
	{"topology", "", "ports, memory devices, regions, instances, VMs", NULL, false,
	 verb_topology},
	{"region list", "", "regions as they shall be and are", NULL, false, verb_region_list},
	{"region create", "NAME SERIAL...", "define a region and have it made",
	 "  --granularity SIZE   interleave granularity, 256 to 16K (the window's)\n"
	 "  --size SIZE          (all there is)\n",
	 false, verb_region_create},
	{"region destroy", "NAME", "remove a region that no VM uses", ASKS, true,
	 verb_region_destroy},
	{"vm acquire", "NAME --size SIZE[@REGION]", "lease memory",
	 "  --size SIZE[@REGION]   e.g. 512M or 2G@left; up to four times\n"
	 "  --user USER            who owns the device nodes (root)\n"
	 "  --uid UID              the same as a number\n"
	 "  --align 2M|1G          (daxmgrd.conf)\n"
	 "  --keep TIME            keep the memory this long after a clean exit (0)\n"
	 "  --expires TIME         how long the grant lives without its VM (daxmgrd.conf)\n"
	 "  --restart[=no]         it wants its memory back after a kill (yes)\n"
	 "  --wait                 wait for free memory instead of failing\n"
	 "  --pins KIND            it will pin its memory: direct-io, io-uring, vfio, vhost, rdma; repeatable\n"
	 "  --poison ACTION        when its memory is poisoned: kill, notify, ignore (daxmgrd.conf)\n"
	 "  --qemu                 print the arguments for QEMU and nothing else\n",
	 false, verb_vm_acquire},
	{"vm release", "NAME", "end the lease of a VM that does not run", ASKS, true,
	 verb_vm_release},
	{"vm adopt", "NAME DEVICE", "make a VM of an instance made by hand and who maps it", ASKS,
	 true, verb_vm_adopt},
	{"vm list", "", "leases in the order they are served", NULL, false, verb_vm_list},
	{"vm show", "NAME", "one lease with all there is to know", NULL, false, verb_vm_show},
	{"what-if", "PORT|MEMDEV", "what its loss would mean now", NULL, false, verb_what_if},
	{"isolate", "PORT", "take a port out of use; kills the VMs below it", ASKS, true,
	 verb_isolate},
	{"recover", "PORT|MEMDEV", "end an isolation, or try again",
	 "  --evict     kill the VMs that its regions would have to wait for\n" ASKS, true,
	 verb_recover},
	{"port list", "", "isolation of the root ports", NULL, false, verb_port_list},
	{"port show", "PORT", "one root port, its registers, and what forbids to arm it", NULL,
	 false, verb_port_show},
	{"port arm", "PORT", "enable isolation on it, once nothing uses it",
	 "  --range RANGE   timeout: 1ms-10ms, or a time such as 5ms (daxmgrd.conf)\n" ASKS, true,
	 verb_port_arm},
	{"port disarm", "PORT", "disable isolation on it, once nothing uses it", ASKS, true,
	 verb_port_disarm},
	{"confirm", "", "after a damaged database: what is observed is all there is", ASKS, true,
	 verb_confirm_observed},
	{"incidents", "[ID]", "incidents, or one with its timeline",
	 "  --limit N     (100)\n"
	 "  --latency     how long containment took: quantiles and histogram\n"
	 "  --decisions   of one: only what was decided, without times\n",
	 false, verb_incidents},
	{"events replay", "", "stored records through today's decoder, without acting", FILTERS,
	 false, verb_events_replay},
	{"events", "", "stored records of the kernel",
	 "  --limit N        (100)\n"
	 "  --follow         goes on with those that come, until interrupted\n"
	 "  --raw            the bytes as the kernel gave them\n" FILTERS,
	 false, verb_events},
	{"poison list", "", "memory that is bad, or was", NULL, false, verb_poison_list},
	{"poison read", "[MEMDEV]", "have poison lists read now", NULL, false, verb_poison_read},
	{"reconcile", "", "compare the host with what is believed of it",
	 "  --dry-run   only look: correct nothing\n", false, verb_reconcile},
	{"monitor", "", "notes and events as they happen",
	 "  --raw            the bytes as the kernel gave them\n" FILTERS, false, verb_monitor},
	{"policy check", "[DIR]",
	 "read rules of policy and say what is wrong with them; needs no daemon", NULL, false,
	 verb_policy_check},
	{"policy list", "", "rules of policy and how they stand", NULL, false, verb_policy_list},
	{"policy reload", "", "have the daemon read its rules anew", NULL, false,
	 verb_policy_reload},
	{"policy explain", "ID", "what each rule makes of a stored record, and why",
	 "  --record FILE   instead of ID: a record as for inject\n", false, verb_policy_explain},
	{"inject", "", "inject a record, or say what would come of it",
	 "  --source SOURCE      e.g. trace, uevent\n"
	 "  --kind KIND          e.g. aer_event, cxl_dram\n"
	 "  --unit UNIT          PCI address, memN, path\n"
	 "  --severity SEVERITY  info, warning, error, fatal\n"
	 "  --field NAME=VALUE   a decoded field; repeatable\n"
	 "  --record FILE        all of that as a JSON object; - is standard input\n"
	 "  --id ID              a stored record once more\n"
	 "  --raw FILE           a raw record of the trace ring\n"
	 "  --system SYSTEM      with --raw: of its event, e.g. ras\n"
	 "  --format FILE        with --raw: the event's format file\n"
	 "  --dry-run            only say what would be decided (so it is without --live)\n"
	 "  --live               act; [Inject] Allow=yes is needed\n"
	 "  --i-know VM,...      with --live: all VMs that it would kill\n",
	 false, verb_inject},
	{"drill", "FILE", "inject, wait, compare with what was expected, clean up",
	 "  --live           do it; without, only say what each record would do\n"
	 "  --i-know VM,...  with --live: all VMs that it would kill\n",
	 false, verb_drill},
	{"sources", "", "where records come from, how each source is, and what it cannot tell",
	 NULL, false, verb_sources},
	{"health", "", "one verdict for host, domains, memory devices and VMs",
	 "  --exit-code   0 all ok, 10 something degraded, 11 something failing\n", false,
	 verb_health},
	{"workers", "", "worker processes and what they do", NULL, false, verb_workers},
	{NULL, NULL, NULL, NULL, false, NULL},
};
