/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "state.h"

/* Callers check lengths where they matter; this only never overruns. */
void copy_text(char *to, size_t room, const char *from)
{
	size_t length = strnlen(from, room - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool iso_name_valid(const char *name)
{
	size_t i;

	if (!is_alphanumeric(name[0]))
		return false;
	for (i = 1; name[i]; i++)
		if (i >= ISO_NAME_BYTES - 1 ||
		    (!is_alphanumeric(name[i]) && !strchr("_.-", name[i])))
			return false;
	return true;
}

static bool parse_hex(const char **text, size_t digits_min, size_t digits_max, uint32_t *ret)
{
	uint32_t value = 0;
	size_t n;

	for (n = 0; n < digits_max; n++) {
		char c = (*text)[n];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value = value << 4 | (uint32_t)(c - 'A' + 10);
		else
			break;
	}
	if (n < digits_min)
		return false;
	*text += n;
	*ret = value;
	return true;
}

bool iso_pci_address_parse(const char *text, struct iso_pci_address *ret)
{
	uint32_t segment, bus, device, function;

	if (!parse_hex(&text, 4, 8, &segment) || *text++ != ':' || !parse_hex(&text, 2, 2, &bus) ||
	    *text++ != ':' || !parse_hex(&text, 2, 2, &device) || *text++ != '.' ||
	    !parse_hex(&text, 1, 1, &function) || *text || device > 31 || function > 7)
		return false;
	*ret = (struct iso_pci_address){
		.segment = segment,
		.bus = (uint8_t)bus,
		.device = (uint8_t)device,
		.function = (uint8_t)function,
		.known = 1,
	};
	return true;
}

void iso_pci_address_format(struct iso_pci_address address, char text[16])
{
	if (address.known)
		snprintf(text, 16, "%04x:%02x:%02x.%x", address.segment & 0xffffff, address.bus,
			 address.device & 0x1f, address.function & 7);
	else
		text[0] = '\0';
}

#define NAME_TABLE(function, last, ...)                                                            \
	const char *function(uint32_t value)                                                       \
	{                                                                                          \
		static const char *const names[] = {__VA_ARGS__};                                  \
		_Static_assert(sizeof(names) / sizeof(names[0]) == (last),                         \
			       "a name for each value");                                           \
		return value < (last) ? names[value] : "unknown";                                  \
	}

NAME_TABLE(iso_domain_state_name, ISO_DOMAIN_STATES, "unknown", "healthy", "containing",
	   "recovering", "waiting", "isolated", "quarantined")
NAME_TABLE(iso_region_state_name, ISO_REGION_STATES, "absent", "creating", "live", "lost",
	   "clearing", "quarantined")
NAME_TABLE(iso_region_wait_name, ISO_WAIT_HEALTH + 1, "nothing", "observation", "memdev",
	   "settling", "decoder-order", "operator", "retry", "other-region", "window", "too-small",
	   "locked", "flapping", "isolation", "health")
NAME_TABLE(iso_instance_state_name, ISO_INSTANCE_STATES, "carving", "zeroing", "proving", "ready",
	   "handing-over", "held", "doomed", "verifying", "removing")
NAME_TABLE(iso_lease_state_name, ISO_LEASE_STATES, "waiting", "preparing", "acquired", "attached",
	   "killed", "kept", "verifying", "retracting", "stuck")
NAME_TABLE(iso_cause_name, ISO_CAUSE_POISON + 1, "surprise-down", "fatal-error", "link-down",
	   "device-gone", "region-gone", "operator", "evicted", "isolated", "policy", "poison")
NAME_TABLE(iso_action_name, ISO_ACTIONS, "notify", "fence", "kill", "isolate", "quarantine",
	   "retire", "start-unit")
NAME_TABLE(iso_fence_name, ISO_FENCES, "fence", "quarantine", "retire")
NAME_TABLE(iso_note_name, ISO_NOTE_POISON + 1, "fault", "correlated", "domain", "region", "lease",
	   "kill", "exit", "contained", "waiting", "recovered", "failed", "stranger", "guard",
	   "pinning", "revoked", "reconcile", "isolation", "policy", "poison")
NAME_TABLE(iso_effect_name, ISO_EFFECT_KINDS, "kill", "reply", "note", "save-lease", "save-region",
	   "save-incident", "save-fence", "save-poison", "intent", "observe", "create-region",
	   "refill-region", "clear-region", "carve", "zero", "prove", "hand-over", "retract",
	   "verify", "inspect", "revoke", "remove", "detach-port", "rescan-port", "force-link-down",
	   "clear-isolation", "arm-port", "save-port", "read-poison", "abandon")
NAME_TABLE(iso_bad_state_name, ISO_BAD_STATES, "bad", "cleared", "verified")
NAME_TABLE(iso_poison_action_name, ISO_POISON_ACTIONS, "default", "kill", "notify", "ignore")
NAME_TABLE(iso_port_kind_name, ISO_PORT_SWITCH_DOWNSTREAM + 1, "root-port", "switch-upstream",
	   "switch-downstream")
NAME_TABLE(iso_reply_text, ISO_REPLY_REFUSED + 1, "done", "waiting", "no such name",
	   "the name must match [A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
	   "the size must be a positive multiple of the alignment", "the name is in use",
	   "no region has enough free capacity", "the isolation domain is not healthy",
	   "the lease is not waiting for an attach",
	   "a fault came between acquire and attach; acquire again",
	   "the process is already the VM of another lease", "the table is full",
	   "leases still stand on it", "the VM is still running; stop it first",
	   "there is nothing to do", "withdrawn",
	   "ways, granularity or memdev serials make no sense",
	   "the first observation has not ended yet; try again",
	   "the VM pins its memory: the loss of its port would panic the host",
	   "the instance cannot be adopted", "the host could not be looked at",
	   "firmware has locked its decoders", "nothing is handed out now",
	   "the port must not be armed")
NAME_TABLE(iso_finding_name, ISO_FINDING_KINDS, "host-rebooted", "memdev-gone", "memdev-new",
	   "memdev-renamed", "memdev-moved", "memdev-duplicate", "region-gone", "region-broken",
	   "region-found", "region-renamed", "region-geometry", "region-twin", "region-undefined",
	   "region-quarantined", "region-busy", "instance-gone", "instance-unbound",
	   "instance-orphan", "instance-empty", "instance-kmem", "lease-without-instance",
	   "vm-gone", "stranger", "recovery-unfinished")
NAME_TABLE(iso_remedy_name, ISO_REMEDIES, "nothing", "itself", "person")

NAME_TABLE(iso_isolation_source_name, ISO_ISOLATION_SOURCES, "unknown", "not-offered",
	   "locked-down", "failed", "registers", "stand-in", "sysfs")
NAME_TABLE(iso_arm_wish_name, ISO_ARM_WISHES, "default", "armed", "disarmed")
NAME_TABLE(iso_obstacle_name, ISO_OBSTACLES, "unknown", "not-offered", "lockdown", "access",
	   "isolated", "system-ram", "consent", "pinning", "cpu", "cpu-unknown", "panic-on-oops",
	   "panic-on-warn", "machine-check", "range", "timeout", "host-unknown", "memory-failure")
NAME_TABLE(iso_obstacle_text, ISO_OBSTACLES, "its registers were not looked at yet",
	   "it does not offer isolation",
	   "the kernel is locked down: its registers cannot be mapped",
	   "its registers cannot be read", "it is isolated now",
	   "memory behind it is System RAM, or may be: the kernel would lose its own",
	   "somebody who never asked for it uses memory behind it",
	   "a VM on it pins its memory: its loss would panic the host",
	   "the CPU has no recoverable machine checks: reading isolated memory would panic the host",
	   "nobody could tell whether the CPU has recoverable machine checks",
	   "kernel.panic_on_oops is set", "kernel.panic_on_warn is set",
	   "machine checks are set to panic the host", "it does not offer that timeout",
	   "that timeout may last longer than the CPU waits, which is a panic",
	   "the host's settings were not looked at yet",
	   "vm.memory_failure_recovery is 0: memory that fails panics the host")

const char *iso_pin_name(uint32_t pins)
{
	static const char *const names[] = {
		"direct I/O",       "io_uring buffers",   "VFIO", "vhost or vdpa", "RDMA",
		"outstanding pins", "cannot be looked at"};
	uint32_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (pins & (1u << i))
			return names[i];
	return "nothing";
}

void iso_poison_evidence_format(uint32_t evidence, char *text)
{
	static const char *const names[] = {"media",          "list",          "inject",   "clear",
					    "memory-failure", "machine-check", "synthetic"};
	size_t length = 0;
	uint32_t i;

	text[0] = '\0';
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (evidence & (1u << i))
			length += snprintf(text + length, ISO_TEXT_BYTES - length, "%s%s",
					   length ? "," : "", names[i]);
}
