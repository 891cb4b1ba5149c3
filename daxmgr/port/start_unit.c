/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "port/start_unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"
#include "port/port.h"

#define MANAGER   "org.freedesktop.systemd1"
#define PATH      "/org/freedesktop/systemd1"
#define INTERFACE "org.freedesktop.systemd1.Manager"

/* The job of the service manager that starts the unit. */
struct start {
	char path[128];
	char result[32]; /* empty: it has not ended */
};

static int on_removed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
	struct start *start = userdata;
	const char *path, *unit, *result;
	uint32_t id;

	(void)error;
	if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) < 0)
		return 0;
	/* One that ends before we know its path is the unit's own all the same: asked before. */
	if (!start->path[0] || strcmp(path, start->path))
		return 0;
	snprintf(start->result, sizeof(start->result), "%s", result);
	return 0;
}

static int say(struct port *port, int r, const char *unit, const sd_bus_error *error)
{
	return port_fail(port, r, "%.80s: %s", unit,
			 error->message ? error->message : strerror(-r));
}

static int ask(struct port *port, sd_bus *bus, const char *unit, struct start *start)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *path;
	int r;

	r = sd_bus_match_signal(bus, NULL, MANAGER, PATH, INTERFACE, "JobRemoved", on_removed,
				start);
	if (r >= 0)
		r = sd_bus_call_method(bus, MANAGER, PATH, INTERFACE, "Subscribe", &error, NULL,
				       "");
	if (r >= 0)
		r = sd_bus_call_method(bus, MANAGER, PATH, INTERFACE, "StartUnit", &error, &reply,
				       "ss", unit, "replace");
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return say(port, r, unit, &error);
	snprintf(start->path, sizeof(start->path), "%s", path);
	return 0;
}

/* Signals that came with the reply are still queued: none is missed. */
static int wait_for_end(struct port *port, sd_bus *bus, const char *unit, struct start *start)
{
	int r;

	while (!start->result[0]) {
		uint64_t now_ns = port_now_ns();

		if (now_ns >= port->deadline_ns)
			return port_fail(port, -ETIME, "%.80s has not started in time", unit);
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, (port->deadline_ns - now_ns) / 1000);
		if (r < 0)
			return port_fail(port, r, "%.80s: %s", unit, strerror(-r));
	}
	if (!strcmp(start->result, "done") || !strcmp(start->result, "skipped"))
		return 0;
	return port_fail(port, -ENOEXEC, "%.80s: %s", unit, start->result);
}

int start_unit(struct port *port, const char *unit)
{
	_cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	struct start start = {0};
	int r;

	r = sd_bus_open_system(&bus);
	if (r < 0)
		return port_fail(port, r, "the system bus: %s", strerror(-r));
	r = ask(port, bus, unit, &start);
	return r < 0 ? r : wait_for_end(port, bus, unit, &start);
}
