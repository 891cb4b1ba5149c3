/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "pin_words.h"

enum { TEXT_BYTES = 512 };

struct report {
	const struct doctor_facts *facts;
	sd_json_variant *findings;
	int error;
};

/* What is known about something by its name: a component's failure or a region's wait. */
struct advice {
	const char *name;
	const char *consequence;
	const char *remedy;
};

__attribute__((format(printf, 6, 7))) static void find(struct report *report, const char *topic,
						       const char *object, const char *consequence,
						       const char *remedy, const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (report->error < 0)
		return;
	report->error = sd_json_variant_append_arraybo(
		&report->findings, SD_JSON_BUILD_PAIR_STRING("topic", topic),
		SD_JSON_BUILD_PAIR_STRING("object", object),
		SD_JSON_BUILD_PAIR_STRING("text", text),
		SD_JSON_BUILD_PAIR_STRING("consequence", consequence),
		SD_JSON_BUILD_PAIR_STRING("remedy", remedy));
}

static void examine_pins(struct report *report)
{
	bool consent = format_flag(report->facts->status, "hostMayPanic");
	sd_json_variant *lease;
	char pins[PIN_WORDS_BYTES];

	if (consent)
		find(report, "consent", "host",
		     "the loss of a port below a VM that pins its memory panics the host",
		     "[Pins] HostMayPanic=no, once no VM needs it",
		     "VMs that pin their memory are admitted (HostMayPanic=yes)");
	FORMAT_EACH(lease, format_list(report->facts->topology, "leases"))
	{
		sd_json_variant *list = format_list(lease, "pins");
		const char *evidence = format_text(lease, "evidence");

		if (!sd_json_variant_elements(list) || !format_has(lease, "pid"))
			continue;
		find(report, "pins", format_text(lease, "name"),
		     "when its port is lost, the kernel panics, with every VM of the host",
		     "restart it with cache=writeback disks and nothing passed through",
		     "pins its memory: %s%s%s%s%s", format_words(list, ",", pins, sizeof(pins)),
		     *evidence ? " (" : "", evidence, *evidence ? ")" : "",
		     consent ? "" : ", without consent");
	}
}

static void examine_leases(struct report *report)
{
	sd_json_variant *lease;

	FORMAT_EACH(lease, format_list(report->facts->topology, "leases"))
	{
		const char *name = format_text(lease, "name"),
			   *waits_for = format_text(lease, "waitsFor");

		if (format_has(lease, "stranger"))
			find(report, "stranger", name,
			     "it can read and write the VM's memory, and holds up recovery if it pins it",
			     "find out who started it; end it",
			     "process %" PRIu64 " maps its memory and is not its VM",
			     format_number(lease, "stranger"));
		if (strcmp(format_text(lease, "state"), "stuck"))
			continue;
		if (format_flag(lease, "revoked"))
			find(report, "stuck", name,
			     "its name cannot be used again; memory and domain are not held up",
			     "find out what its process sleeps on; a reboot ends it for certain",
			     "its memory was taken from it, but process %" PRIu64 " does not exit",
			     format_number(lease, "pid"));
		else
			find(report, "stuck", name, "its domain does not recover before it ends",
			     "end what still maps its memory, or what its process sleeps on",
			     "does not go away%s%s", *waits_for ? ": " : "", waits_for);
	}
}

static const struct advice component_advice[] = {
	{"store",
	 "VMs are still killed when their port is lost, but no memory is handed out and no recovery goes on",
	 "see to the disk below the state directory: make room, remount it, replace it; it is tried again each second"},
	{"trace", "faults are seen later, by uevents and looking, or with less detail",
	 "mount tracefs; see daxmgrd(8) for kernels that lack an event"},
	{"uevents", "devices that come and go are seen late", "see the journal of daxmgrd"},
	{"guard", "managed memory can become System RAM; its loss then takes the host down",
	 "keep kmem out: 'install kmem /bin/false' in /etc/modprobe.d and the initramfs"},
	{"memory", "the daemon may be paged out when it has to kill", "raise LimitMEMLOCK="},
	{"workers", "recovery of what they work on waits for the kernel",
	 "'daxmgrctl workers' shows where they sleep"},
};

static const struct advice wait_advice[] = {
	{"memdev", "its capacity is missing", "plug the memory device, or see why it is not bound"},
	{"decoder-order", "its capacity is missing until those above it have left",
	 "move or stop them, or 'daxmgrctl recover PORT --evict'"},
	{"operator", "its capacity is missing", "'daxmgrctl recover PORT'"},
	{"window", "it is never made", "Memdevs= must lie below one window, in its order"},
	{"too-small", "it is never made", "a smaller Size=, or a larger memory device"},
	{"locked", "it is not made before the next boot",
	 "remove the region from the firmware's settings, and reboot"},
	{"flapping", "its capacity is missing",
	 "replace cable or device; 'daxmgrctl recover PORT'"},
};

static const struct advice other_advice = {"", "its capacity is missing",
					   "wait; 'daxmgrctl incidents' shows how it goes"};
static const struct advice quarantine_advice = {"", "its capacity is missing",
						"repair, then 'daxmgrctl recover PORT'"};

static const struct advice *advice_of(const struct advice *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return &other_advice;
}

#define ADVICE_OF(table, name) advice_of(table, sizeof(table) / sizeof((table)[0]), name)

static void examine_hold(struct report *report)
{
	const char *hold = format_text(report->facts->status, "hold");

	if (*hold)
		find(report, "hold", "daxmgrd",
		     "no memory is handed out, and none that belongs to no lease is removed",
		     "see that 'daxmgrctl vm list' names every VM that runs, then 'daxmgrctl confirm'",
		     "leases are not known: %s", hold);
}

static void examine_components(struct report *report)
{
	sd_json_variant *component;

	if (!format_flag(report->facts->status, "ready"))
		find(report, "start", "daxmgrd", "nothing is known yet", "wait, and ask again",
		     "still looks at the host for the first time");
	FORMAT_EACH(component, format_list(report->facts->status, "components"))
	{
		const char *name = format_text(component, "name"),
			   *state = format_text(component, "state"),
			   *text = format_text(component, "text");
		const struct advice *advice = ADVICE_OF(component_advice, name);

		/* A trace event that the kernel does not have is told, but is no fault. */
		if (!strcmp(state, "ok"))
			continue;
		find(report, "component", name, advice->consequence, advice->remedy, "%s%s%s",
		     state, *text ? ": " : "", text);
	}
}

static void examine_regions(struct report *report)
{
	sd_json_variant *region;

	FORMAT_EACH(region, format_list(report->facts->topology, "regions"))
	{
		const char *name = format_text(region, "name"),
			   *state = format_text(region, "state"),
			   *wait = format_text(region, "wait"),
			   *reason = format_text(region, "reason");
		const struct advice *advice = !strcmp(state, "quarantined")
						      ? &quarantine_advice
						      : ADVICE_OF(wait_advice, wait);

		if (strcmp(state, "live") && format_flag(region, "desired"))
			find(report, "region", name, advice->consequence, advice->remedy,
			     "%s%s%s%s%s", state, *wait ? ", waits for " : "", wait,
			     *reason ? ": " : "", reason);
		if (format_flag(region, "locked"))
			find(report, "locked", name,
			     "after a loss it can only be refilled; where the kernel refuses, it waits for a reboot",
			     "have the firmware not make it, and let daxmgrd",
			     "firmware has locked its decoders");
	}
}

static void examine_ports(struct report *report)
{
	sd_json_variant *port, *memdev;

	FORMAT_EACH(port, format_list(report->facts->topology, "ports"))
	{
		const char *path = format_text(port, "path");

		if (format_flag(port, "flapping"))
			find(report, "flapping", path, "nothing below it is used",
			     "replace cable or device; 'daxmgrctl recover PORT'",
			     "was lost too often in a short time");
		else if (format_flag(port, "held"))
			find(report, "held", path, "nothing below it is used",
			     "'daxmgrctl recover PORT'", "isolated by an operator");
	}
	FORMAT_EACH(memdev, format_list(report->facts->topology, "memdevs"))
	if (format_flag(memdev, "duplicateSerial"))
		find(report, "memdev", format_text(memdev, "path"), "neither is used",
		     "have the vendor give it a serial number of its own",
		     "another device has its serial number %s", format_text(memdev, "serial"));
}

/* How long recovery takes is then for tenants to say that were not hit at all. */
static void examine_decoder_order(struct report *report)
{
	sd_json_variant *reply, *vm;

	FORMAT_EACH(reply, report->facts->what_if)
	{
		char names[160];
		size_t length = 0;

		names[0] = '\0';
		FORMAT_EACH(vm, format_list(reply, "blockers"))
		{
			int n = snprintf(names + length, sizeof(names) - length, "%s%s",
					 length ? " " : "", format_text(vm, "name"));

			if (n < 0 || (size_t)n >= sizeof(names) - length)
				break;
			length += (size_t)n;
		}
		if (length)
			find(report, "decoder-order", format_text(reply, "path"),
			     "its capacity and its VMs come back only when those have left",
			     "one region per host bridge, or [Recovery] DecoderOrder=evict",
			     "if it is lost, its regions wait for VMs above them: %s", names);
	}
}

static void examine_kernel(struct report *report)
{
	if (report->facts->panic_on_warn > 0)
		find(report, "kernel", "panic_on_warn",
		     "the kernel warns where nothing is wrong when regions are torn down: it panics then",
		     "sysctl kernel.panic_on_warn=0", "kernel.panic_on_warn is %d",
		     report->facts->panic_on_warn);
	if (report->facts->panic_on_oops > 0)
		find(report, "kernel", "panic_on_oops",
		     "an oops while a port is lost takes the host down, and not one process",
		     "sysctl kernel.panic_on_oops=0, if the host shall go on",
		     "kernel.panic_on_oops is %d", report->facts->panic_on_oops);
	if (report->facts->vhost_zero_copy > 0)
		find(report, "kernel", "vhost_net",
		     "a VM with vhost=on pins what it sends, and nobody sees it: its port's loss panics the host",
		     "load vhost_net with experimental_zcopytx=0",
		     "vhost_net.experimental_zcopytx is %d", report->facts->vhost_zero_copy);
}

int doctor_examine(const struct doctor_facts *facts, sd_json_variant **ret)
{
	struct report report = {.facts = facts};

	examine_pins(&report);
	examine_leases(&report);
	examine_hold(&report);
	examine_components(&report);
	examine_kernel(&report);
	examine_ports(&report);
	examine_regions(&report);
	examine_decoder_order(&report);
	if (report.error >= 0 && !report.findings)
		report.error = sd_json_variant_new_array(&report.findings, NULL, 0);
	if (report.error < 0) {
		sd_json_variant_unref(report.findings);
		return report.error;
	}
	*ret = report.findings;
	return 0;
}
