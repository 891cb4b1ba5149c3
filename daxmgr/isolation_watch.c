/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "isolation_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-json.h>

#include "cleanup.h"
#include "clock.h"
#include "daemon.h"
#include "isolation/access.h"
#include "isolation/polling.h"
#include "isolation/record.h"
#include "isolation/registers.h"
#include "log.h"
#include "records.h"

enum {
	HOST_USEC = 5 * 1000 * 1000, /* how often the host's settings are looked at */
	FIND_SECONDS = 10,
};

struct watched {
	struct iso_pci_address port;
	struct iso_isolation words; /* as last told */
	struct isolation_told told; /* by records */
	bool asked; /* a worker looks for its registers */
	bool known;
};

struct isolation_watch {
	struct daemon *daemon;
	struct isolation_poll *poll; /* its ports are those here, by their index */
	sd_event_source *host;
	struct watched ports[ISOLATION_POLL_PORTS_MAX];
	uint32_t n_ports;
	uint32_t obstacles; /* of the host */
	bool host_asked;
};

static uint32_t index_of(const struct isolation_watch *watch, const struct watched *port)
{
	return (uint32_t)(port - watch->ports);
}

static struct isolation_polled *polled_of(struct isolation_watch *watch, const struct watched *port)
{
	return isolation_poll_at(watch->poll, index_of(watch, port));
}

static void read_now(struct isolation_watch *watch, const struct watched *port)
{
	isolation_poll_port(watch->poll, index_of(watch, port));
}

static bool readable(uint32_t source)
{
	return source == ISO_ISOLATION_REGISTERS || source == ISO_ISOLATION_STAND_IN;
}

/* What may be set without outlasting the patience of the CPU. */
static uint16_t safe_ranges(uint64_t cpu_timeout_ns)
{
	uint16_t safe = 0;

	for (size_t i = 0; isolation_range_at(i); i++)
		if (isolation_range_at(i)->most_ns <= cpu_timeout_ns)
			safe |= (uint16_t)(1u << isolation_range_at(i)->code);
	return safe;
}

/* Of a kernel's attributes that is what they say: the rest of the register is not ours to compare. */
static void read_control(struct isolation_watch *watch, struct watched *port)
{
	struct isolation_access *access = &polled_of(watch, port)->access;
	uint32_t control;

	if (access->fd < 0 || isolation_read32(access, ISOLATION_CONTROL, &control) < 0)
		return;
	port->words.control = port->words.source == ISO_ISOLATION_SYSFS
				      ? control & port->words.capability
				      : control;
}

static void tell(struct isolation_watch *watch, struct watched *port)
{
	struct iso_event event = {.kind = ISO_EVENT_ISOLATION_SEEN};

	read_control(watch, port); /* a worker may have armed it since: only the status is polled */
	port->words.obstacles = watch->obstacles;
	/* Lockdown forbids to map registers, and a kernel's own attributes need none. */
	if (port->words.source == ISO_ISOLATION_SYSFS)
		port->words.obstacles &= ~(uint32_t)ISO_OBSTACLE_LOCKDOWN;
	event.isolation_seen.address = port->port;
	event.isolation_seen.isolation = port->words;
	daemon_step(watch->daemon, &event);
}

static void keep(struct isolation_watch *watch, const struct watched *port, uint64_t at_ns)
{
	char fields[ISOLATION_FIELDS_BYTES];
	struct store_event record;

	isolation_record(port->port, &port->words, at_ns, fields, &record);
	records_take(watch->daemon, &record);
}

/* The kills come first, and without a word written or memory taken. */
static void contain(struct isolation_watch *watch, const struct watched *port, uint64_t at_ns)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	event.fault.unit_kind = ISO_UNIT_PORT_ADDRESS;
	event.fault.cause = ISO_CAUSE_ISOLATED;
	event.fault.address = port->port;
	event.fault.record_ns = at_ns;
	daemon_step(watch->daemon, &event);
}

static void on_status(void *userdata, uint32_t index, uint32_t status)
{
	struct isolation_watch *watch = userdata;
	struct watched *port = &watch->ports[index];
	uint64_t at_ns = clock_boottime_ns();
	uint32_t changed = status ^ port->words.status;

	if ((changed & status) & ISOLATION_STATUS_ISOLATED)
		contain(watch, port, at_ns);
	port->words.status = status;
	tell(watch, port);
	if (isolation_is_news(&port->told, status))
		keep(watch, port, at_ns);
}

static void on_lost(void *userdata, uint32_t index)
{
	struct isolation_watch *watch = userdata;
	struct watched *port = &watch->ports[index];

	port->known = false;
	log_line(LOG_WARNING, "%04x:%02x:%02x.%x: its isolation status cannot be read any more",
		 port->port.segment, port->port.bus, port->port.device, port->port.function);
}

static void ask_host(struct isolation_watch *watch)
{
	struct job_request request = {.kind = JOB_ISOLATION_HOST};

	if (watch->host_asked)
		return;
	request.isolation.cpu_recovers = watch->daemon->config->isolation.cpu_recovers;
	request.deadline_ns = clock_boottime_ns() + FIND_SECONDS * UINT64_C(1000000000);
	watch->host_asked = worker_pool_submit(watch->daemon->workers, LANE_ISOLATION, &request) >=
			    0;
}

/* Settings change, and ports that could not be read may be readable now. */
static int on_host(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct isolation_watch *watch = userdata;

	ask_host(watch);
	isolation_watch_ports(watch);
	sd_event_source_set_time(source, usec + HOST_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

bool isolation_stand_in(const struct daemon *daemon, const char *path, struct job_isolation *ret)
{
	const struct config_isolation *config = &daemon->config->isolation;

	for (uint32_t i = 0; i < config->n_blocks; i++) {
		if (strcmp(config->blocks[i].port, path))
			continue;
		ret->has_stand_in = true;
		ret->function = config->blocks[i].function;
		ret->bar = config->blocks[i].bar;
		ret->offset = config->blocks[i].offset;
		return true;
	}
	return false;
}

static struct watched *watched_at(struct isolation_watch *watch, struct iso_pci_address address)
{
	for (uint32_t i = 0; i < watch->n_ports; i++)
		if (iso_pci_address_equal(watch->ports[i].port, address))
			return &watch->ports[i];
	return NULL;
}

static struct watched *watched_new(struct isolation_watch *watch, struct iso_pci_address address)
{
	struct watched *port;

	if (watch->n_ports == ISOLATION_POLL_PORTS_MAX)
		return NULL;
	port = &watch->ports[watch->n_ports++];
	*port = (struct watched){.port = address};
	return port;
}

static void find(struct isolation_watch *watch, struct watched *port, const char *path)
{
	struct job_request request = {.kind = JOB_ISOLATION_FIND};

	request.isolation.port = port->port;
	isolation_stand_in(watch->daemon, path, &request.isolation);
	request.deadline_ns = clock_boottime_ns() + FIND_SECONDS * UINT64_C(1000000000);
	port->asked = worker_pool_submit(watch->daemon->workers, LANE_ISOLATION, &request) >= 0;
}

/*
 * It stays set until it is cleared, and hides the next. Not at once: a port that
 * goes on with it makes a record now and then, and the last one is stored by now.
 */
static void clear_timeout(struct isolation_watch *watch, struct watched *port)
{
	if (!readable(port->words.source) ||
	    !isolation_timeout_alone(&port->told, port->words.status))
		return;
	port->told.clearing = true;
	isolation_poll_clear_timeout(watch->poll, index_of(watch, port));
}

void isolation_watch_ports(struct isolation_watch *watch)
{
	const struct iso_engine *engine;
	struct iso_port_view view;
	struct watched *port;

	if (!watch)
		return;
	engine = watch->daemon->engine;
	for (uint32_t i = 0; i < iso_port_count(engine); i++) {
		if (!iso_port_get(engine, i, &view) || view.kind != ISO_PORT_ROOT ||
		    !view.present || !view.address.known)
			continue;
		port = watched_at(watch, view.address);
		if (!port)
			port = watched_new(watch, view.address);
		if (!port || port->asked)
			continue;
		if (!port->known) {
			find(watch, port, view.path);
			continue;
		}
		read_now(watch, port); /* so that nothing old is told */
		/* Told while the engine did not have the port, or had an older reading of a worker. */
		if (port->known && iso_port_get(engine, i, &view) &&
		    (view.isolation.source == ISO_ISOLATION_UNKNOWN ||
		     (view.isolation.status ^ port->words.status) & ISOLATION_STATUS_ISOLATED))
			tell(watch, port);
		clear_timeout(watch, port);
	}
}

static void take_host(struct isolation_watch *watch, const struct job_reply *reply)
{
	uint32_t obstacles = reply->completion.result < 0 ? (uint32_t)ISO_OBSTACLE_HOST_UNKNOWN
							  : reply->isolation.obstacles;

	watch->host_asked = false;
	if (obstacles == watch->obstacles)
		return;
	watch->obstacles = obstacles;
	for (uint32_t i = 0; i < watch->n_ports; i++)
		if (watch->ports[i].known) {
			read_now(watch, &watch->ports[i]);
			tell(watch, &watch->ports[i]);
		}
}

/* The words are read once more here: those of the worker are of a while ago. */
static void begin_polling(struct isolation_watch *watch, struct watched *port,
			  const struct job_isolation_found *found, int fd)
{
	struct isolation_polled *polled = polled_of(watch, port);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	uint32_t first;

	if (own < 0 ||
	    isolation_access_open(own, found->offset, ISOLATION_BYTES, true, &polled->access) < 0) {
		isolation_access_close(&polled->access);
		if (port->words.source != ISO_ISOLATION_SYSFS)
			port->words.source = ISO_ISOLATION_FAILED;
		return;
	}
	read_control(watch, port);
	polled->status = port->words.status = 0;
	/* What was told of and is set no more may be told of again. */
	if (isolation_read32(&polled->access, ISOLATION_STATUS, &first) == 0)
		port->told.status &= first;
	read_now(watch, port);
	isolation_poll_start(watch->poll);
}

void isolation_watch_found(struct isolation_watch *watch, const struct job_reply *reply, int fd)
{
	const struct job_isolation_found *found = &reply->isolation;
	struct isolation_capability can;
	struct watched *port;

	if (!watch)
		return;
	if (reply->kind == JOB_ISOLATION_HOST) {
		take_host(watch, reply);
		return;
	}
	port = watched_at(watch, found->port);
	if (!port)
		return;
	port->asked = false;
	isolation_capability_decode(found->capability, &can);
	isolation_access_close(&polled_of(watch, port)->access);
	port->words = (struct iso_isolation){
		.source = reply->completion.result < 0 ? (uint32_t)ISO_ISOLATION_FAILED
						       : found->source,
		.capability = found->capability,
		.control = found->control,
		.status = found->status,
		.ranges = can.ranges,
		.ranges_safe = safe_ranges(watch->daemon->config->isolation.cpu_timeout_ns),
	};
	/* What failed is looked for again; what is not offered will not be. */
	port->known = port->words.source != ISO_ISOLATION_FAILED &&
		      port->words.source != ISO_ISOLATION_LOCKED;
	if (port->words.source == ISO_ISOLATION_FAILED && reply->completion.message[0])
		log_line(LOG_DEBUG, "isolation: %s", reply->completion.message);
	if ((readable(port->words.source) || port->words.source == ISO_ISOLATION_SYSFS) && fd >= 0)
		begin_polling(watch, port, found, fd);
	tell(watch, port);
}

void isolation_watch_told(struct isolation_watch *watch, const struct store_told *row)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *fields = NULL;
	struct iso_pci_address address;
	struct watched *port;
	sd_json_variant *status;

	if (!watch || !row->same_boot || !iso_pci_address_parse(row->unit, &address) ||
	    sd_json_parse(row->fields, 0, &fields, NULL, NULL) < 0)
		return;
	status = sd_json_variant_by_key(fields, "status");
	port = watched_at(watch, address) ?: watched_new(watch, address);
	if (port && sd_json_variant_is_unsigned(status))
		port->told.status = (uint32_t)sd_json_variant_unsigned(status);
}

int isolation_watch_new(struct daemon *daemon, struct isolation_watch **ret)
{
	static const struct isolation_poll_handlers handlers = {.changed = on_status,
								.lost = on_lost};
	struct isolation_watch *watch;
	int r;

	if (daemon->config->isolation.mode == CONFIG_ISOLATION_OFF)
		return 0;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	watch->daemon = daemon;
	watch->obstacles = ISO_OBSTACLE_HOST_UNKNOWN;
	*ret = watch;
	r = isolation_poll_new(daemon->event, PRIORITY_TRACE,
			       daemon->config->isolation.poll_ns / 1000, &handlers, watch,
			       &watch->poll);
	if (r >= 0)
		r = sd_event_add_time_relative(daemon->event, &watch->host, CLOCK_BOOTTIME,
					       HOST_USEC, 0, on_host, watch);
	if (r >= 0)
		ask_host(watch);
	return r < 0 ? r : 0;
}

struct isolation_watch *isolation_watch_free(struct isolation_watch *watch)
{
	if (!watch)
		return NULL;
	isolation_poll_free(watch->poll);
	sd_event_source_disable_unref(watch->host);
	free(watch);
	return NULL;
}

void isolation_watch_count(const struct isolation_watch *watch, struct isolation_watch_report *ret)
{
	*ret = (struct isolation_watch_report){0};
	if (!watch)
		return;
	ret->n_polls = isolation_poll_count(watch->poll, &ret->n_failed);
	for (uint32_t i = 0; i < watch->n_ports; i++) {
		const struct isolation_access *access = &isolation_poll_at(watch->poll, i)->access;

		ret->n_ports += watch->ports[i].words.source != ISO_ISOLATION_UNKNOWN;
		ret->n_polled += access->fd >= 0;
		ret->n_offered += (watch->ports[i].words.capability & ISO_ISOLATION_ENABLE) != 0;
		ret->n_remapped += access->n_remapped;
	}
}
