/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of this host would turn a read of isolated memory into a panic. */
#include <cpuid.h>
#include <string.h>

#include "isolation.h"
#include "sysfs.h"

enum { CPUID_RAS = 0x80000007, RAS_SUCCOR = 1u << 1 };

static bool is_set(struct port *port, const char *path)
{
	uint64_t value;

	return sysfs_read_u64(port->root, &value, "%s", path) == 0 && value != 0;
}

/*
 * AMD tells in cpuid. Intel tells in a register that only a privileged process
 * may read: daxmgr-cpu.service has, and wrote it down.
 */
static uint32_t cpu_obstacle(struct port *port)
{
	unsigned int a, b, c, d;
	uint64_t recovers;
	char vendor[13] = "";

	if (__get_cpuid(0, &a, &b, &c, &d)) {
		memcpy(vendor, &b, 4);
		memcpy(vendor + 4, &d, 4);
		memcpy(vendor + 8, &c, 4);
	}
	if (!strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine"))
		return __get_cpuid(CPUID_RAS, &a, &b, &c, &d) && (b & RAS_SUCCOR)
			       ? 0
			       : ISO_OBSTACLE_CPU;
	if (sysfs_read_u64(port->root, &recovers, "/run/daxmgr/recoverable-machine-checks") < 0)
		return ISO_OBSTACLE_CPU_UNKNOWN;
	return recovers ? 0 : ISO_OBSTACLE_CPU;
}

/* Old kernels have a level of tolerance, whose lowest is panic for whatever cannot be corrected. */
static bool machine_checks_panic(struct port *port)
{
	uint64_t tolerant;

	return sysfs_read_u64(port->root, &tolerant,
			      "/sys/devices/system/machinecheck/machinecheck0/tolerant") == 0 &&
	       tolerant == 0;
}

/* Without the setting the kernel has no memory_failure() that could panic. */
static bool memory_failures_panic(struct port *port)
{
	uint64_t recovers;

	return sysfs_read_u64(port->root, &recovers, "/proc/sys/vm/memory_failure_recovery") == 0 &&
	       recovers == 0;
}

int isolation_host(struct port *port, bool cpu_is_known_to_recover, uint32_t *ret_obstacles)
{
	uint32_t obstacles = cpu_is_known_to_recover ? 0 : cpu_obstacle(port);
	char lockdown[128];

	if (is_set(port, "/proc/sys/kernel/panic_on_oops"))
		obstacles |= ISO_OBSTACLE_PANIC_ON_OOPS;
	if (is_set(port, "/proc/sys/kernel/panic_on_warn"))
		obstacles |= ISO_OBSTACLE_PANIC_ON_WARN;
	if (machine_checks_panic(port))
		obstacles |= ISO_OBSTACLE_MACHINE_CHECK;
	if (memory_failures_panic(port))
		obstacles |= ISO_OBSTACLE_MEMORY_FAILURE;
	if (sysfs_read(port->root, lockdown, sizeof(lockdown), "/sys/kernel/security/lockdown") ==
		    0 &&
	    !strstr(lockdown, "[none]"))
		obstacles |= ISO_OBSTACLE_LOCKDOWN;
	*ret_obstacles = obstacles;
	return 0;
}
