/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AER counters in sysfs, of the functions that CXL memory hangs on: what
 * dport* of cxl ports name (root ports, downstream ports of switches), uport
 * (upstream ports) and the memdevs.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../cleanup.h"
#include "../source/aer_counters_decode.h"
#include "observe.h"
#include "readings.h"
#include "sysfs.h"

enum { ATTRIBUTE_BYTES = 4096, FUNCTION_BYTES = 32 };

/* What counts nothing is left out: most of them. */
static int add_value(struct readings *readings, const char *function, const uint64_t *serial,
		     const char *name, uint64_t value)
{
	return value ? readings_add(readings, function, serial, name, value) : 0;
}

/* Several ports may name the same function. */
static bool is_known(const struct readings *readings, const char *function)
{
	for (uint32_t i = 0; i < readings->n; i++)
		if (!strcmp(readings->list[i].unit, function))
			return true;
	return false;
}

static int add_counters(struct port *port, struct readings *readings, const char *function,
			const uint64_t *serial, const char *severity)
{
	struct aer_counter counters[AER_COUNTERS_MAX];
	char text[ATTRIBUTE_BYTES], name[READING_NAME_BYTES];
	size_t n;
	int error;

	/* Not there: a port without AER, or a firmware that keeps it. */
	if (sysfs_read(port->root, text, sizeof(text), "/sys/bus/pci/devices/%s/aer_dev_%s",
		       function, severity))
		return 0;
	n = aer_counters_decode(text, strlen(text), counters);
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%.12s.%.50s", severity, counters[i].name);
		error = add_value(readings, function, serial, name, counters[i].value);
		if (error)
			return error;
	}
	return 0;
}

static int add_total(struct port *port, struct readings *readings, const char *function,
		     const char *kind, const char *name)
{
	char text[64];
	uint64_t value;

	if (sysfs_read(port->root, text, sizeof(text),
		       "/sys/bus/pci/devices/%s/aer_rootport_total_err_%s", function, kind) ||
	    !aer_total_decode(text, strlen(text), &value))
		return 0;
	return add_value(readings, function, NULL, name, value);
}

static int add_function(struct port *port, struct readings *readings, const char *function,
			const uint64_t *serial)
{
	int error;

	if (is_known(readings, function))
		return 0;
	error = add_counters(port, readings, function, serial, "correctable");
	if (!error)
		error = add_counters(port, readings, function, serial, "nonfatal");
	if (!error)
		error = add_counters(port, readings, function, serial, "fatal");
	if (!error)
		error = add_total(port, readings, function, "cor", "received.correctable");
	if (!error)
		error = add_total(port, readings, function, "nonfatal", "received.nonfatal");
	if (!error)
		error = add_total(port, readings, function, "fatal", "received.fatal");
	return error;
}

static int add_link(struct port *port, struct readings *readings, const char *device,
		    const char *link)
{
	char function[FUNCTION_BYTES];
	struct iso_pci_address address;
	const char *end;

	if (sysfs_link(port->root, function, sizeof(function), "/sys/bus/cxl/devices/%s/%s", device,
		       link) ||
	    !observe_pci_address(function, &address, &end) || *end)
		return 0; /* not a PCI function: the root's are ACPI devices */
	return add_function(port, readings, function, NULL);
}

static int add_port(struct port *port, struct readings *readings, const char *device)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/cxl/devices/%s", device);
	struct dirent *entry;
	int error = 0;

	while (!error && dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "dport", 5) || !strcmp(entry->d_name, "uport"))
			error = add_link(port, readings, device, entry->d_name);
	return error;
}

static int add_memdev(struct port *port, struct readings *readings, const char *device)
{
	struct iso_pci_address address;
	char real[PATH_MAX], *slash;
	const char *end;
	uint64_t serial;
	bool has_serial;

	if (sysfs_real(port->root, real, "/sys/bus/cxl/devices/%s", device))
		return 0;
	slash = strrchr(real, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	slash = strrchr(real, '/');
	if (!slash || !observe_pci_address(slash + 1, &address, &end) || *end)
		return 0;
	has_serial = !sysfs_read_u64(port->root, &serial, "/sys/bus/cxl/devices/%s/serial", device);
	return add_function(port, readings, slash + 1, has_serial ? &serial : NULL);
}

int aer_counters_read(struct port *port)
{
	_cleanup_closedir_ DIR *dir = sysfs_open(port->root, "/sys/bus/cxl/devices");
	struct readings readings = {0};
	struct dirent *entry;
	int error = 0;

	while (!error && dir && (entry = readdir(dir))) {
		if (!strncmp(entry->d_name, "mem", 3))
			error = add_memdev(port, &readings, entry->d_name);
		else if (!strncmp(entry->d_name, "port", 4))
			error = add_port(port, &readings, entry->d_name);
	}
	return readings_end(port, &readings, error);
}
