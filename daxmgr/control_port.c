/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListPorts(), ArmPort(), DisarmPort(): isolation of root ports. */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "daemon.h"
#include "isolation/registers.h"
#include "varlink_interface.h"

enum { RANGES_MAX = 16 };

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING
#define FLAG(name, value)          SD_JSON_BUILD_PAIR_BOOLEAN(name, !!(value))

static bool has_registers(uint32_t source)
{
	return source == ISO_ISOLATION_REGISTERS || source == ISO_ISOLATION_STAND_IN ||
	       source == ISO_ISOLATION_SYSFS;
}

static void list_ranges(uint16_t ranges, const char *texts[RANGES_MAX + 1])
{
	const struct isolation_range *range;
	size_t n = 0;

	for (size_t i = 0; (range = isolation_range_at(i)); i++)
		if (ranges >> range->code & 1 && n < RANGES_MAX)
			texts[n++] = range->text;
	texts[n] = NULL;
}

static void list_obstacles(uint32_t obstacles, const char *names[ISO_OBSTACLES + 1],
			   const char *texts[ISO_OBSTACLES + 1])
{
	size_t n = 0;

	for (uint32_t i = 0; i < ISO_OBSTACLES; i++)
		if (obstacles >> i & 1) {
			names[n] = iso_obstacle_name(i);
			texts[n++] = iso_obstacle_text(i);
		}
	names[n] = texts[n] = NULL;
}

static const char *range_text(uint32_t code)
{
	const struct isolation_range *range = isolation_range_of(code);

	return range ? range->text : "reserved";
}

/* Members of a port that say what of `control` it can and does. Return: 0 or a negative errno. */
static int add_abilities(sd_json_variant **port, const struct iso_isolation *is)
{
	bool has = has_registers(is->source);
	uint32_t on = has ? is->control : 0;
	struct isolation_capability can;

	isolation_capability_decode(has ? is->capability : 0, &can);
	return sd_json_variant_merge_objectbo(
		port, FLAG("linkDownOffered", can.link_down),
		FLAG("linkDownEnabled", on & ISOLATION_CONTROL_LINK_DOWN),
		FLAG("timeoutOffered", can.timeout),
		FLAG("timeoutEnabled", on & ISOLATION_CONTROL_TIMEOUT),
		FLAG("errCorOffered", can.err_cor),
		FLAG("errCorEnabled", on & ISOLATION_CONTROL_ERR_COR),
		FLAG("interruptOffered", can.interrupt),
		FLAG("interruptEnabled", on & ISOLATION_CONTROL_INTERRUPT),
		IF(can.interrupt, "interruptMessage", SD_JSON_BUILD_UNSIGNED(can.message)));
}

static int build_port(const struct iso_engine *engine, uint32_t index,
		      const struct iso_port_view *port, sd_json_variant **ret)
{
	const char *names[ISO_OBSTACLES + 1], *texts[ISO_OBSTACLES + 1], *ranges[RANGES_MAX + 1];
	const struct iso_isolation *is = &port->isolation;
	bool has = has_registers(is->source);
	struct iso_arming arming = {0};
	struct iso_region_view region;
	char address[16] = "", reason[ISO_TEXT_BYTES] = "";

	iso_arming(engine, index, ISO_NONE, &arming);
	list_obstacles(arming.obstacles, names, texts);
	list_ranges(has ? is->ranges : 0, ranges);
	iso_pci_address_format(port->address, address);
	control_text(reason, sizeof(reason), port->isolation_reason);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("path", port->path),
		IF(address[0], "address", TEXT(address)), FLAG("present", port->present),
		SD_JSON_BUILD_PAIR_STRING("source", iso_isolation_source_name(is->source)),
		FLAG("offered", has && is->capability & ISO_ISOLATION_ENABLE),
		SD_JSON_BUILD_PAIR_STRV("ranges", (char **)ranges),
		IF(port->armed_known, "armed", SD_JSON_BUILD_BOOLEAN(port->armed)),
		IF(has, "range", TEXT(range_text(is->control & ISOLATION_CONTROL_RANGE))),
		FLAG("wanted", port->arm_wanted),
		SD_JSON_BUILD_PAIR_STRING("wish", iso_arm_wish_name(port->arm_wish)),
		SD_JSON_BUILD_PAIR_STRING("wantedRange", range_text(port->arm_range)),
		FLAG("isolated", port->isolated_ns),
		IF(port->isolated_ns, "isolatedNs", SD_JSON_BUILD_UNSIGNED(port->isolated_ns)),
		FLAG("linkWasDown", port->link_was_down),
		FLAG("busy", has && is->status & ISO_ISOLATION_BUSY),
		IF(has, "capability", SD_JSON_BUILD_UNSIGNED(is->capability)),
		IF(has, "control", SD_JSON_BUILD_UNSIGNED(is->control)),
		IF(has, "status", SD_JSON_BUILD_UNSIGNED(is->status)),
		FLAG("quiesced", arming.quiesced),
		IF(iso_region_get(engine, arming.region, &region), "usedBy",
		   TEXT(iso_region_get(engine, arming.region, &region) ? region.definition->name
								       : "")),
		SD_JSON_BUILD_PAIR_STRV("obstacles", (char **)names),
		SD_JSON_BUILD_PAIR_STRV("reasons", (char **)texts),
		IF(reason[0], "reason", TEXT(reason)));
}

static int build_ports(const struct iso_engine *engine, uint32_t only, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	struct iso_port_view port;
	sd_json_variant *item;
	int r;

	for (uint32_t i = 0; i < iso_port_count(engine); i++) {
		if ((only != ISO_NONE && i != only) || !iso_port_get(engine, i, &port) ||
		    port.kind != ISO_PORT_ROOT)
			continue;
		r = build_port(engine, i, &port, &item);
		if (r >= 0 && (r = add_abilities(&item, &port.isolation)) < 0)
			sd_json_variant_unref(item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

struct parameters {
	const char *port;
	const char *range;
	bool dry_run;
};

/* Return: 0 and an index, or what control_error() returned, with ISO_NONE. */
static int find_port(sd_varlink *link, const struct iso_engine *engine, const char *text,
		     uint32_t *ret)
{
	struct iso_port_view port;

	*ret = iso_port_find(engine, text);
	if (*ret != ISO_NONE && iso_port_get(engine, *ret, &port) && port.kind == ISO_PORT_ROOT)
		return 0;
	*ret = ISO_NONE;
	return control_error(link, VARLINK_ERROR("NoSuchUnit"), "no root port is called '%.80s'",
			     text);
}

int control_list_ports(sd_varlink *link, sd_json_variant *parameters,
		       sd_varlink_method_flags_t flags, void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"port", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct parameters, port), 0},
		{0},
	};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *ports = NULL;
	struct control *control = userdata;
	const struct iso_engine *engine = daemon_engine(control->daemon);
	struct parameters p = {0};
	uint32_t only = ISO_NONE;
	int r;

	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	if (p.port) {
		r = find_port(link, engine, p.port, &only);
		if (only == ISO_NONE)
			return r;
	}
	r = build_ports(engine, only, &ports);
	return r < 0 ? r : sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("ports", ports));
}

static int reply_outcome(sd_varlink *link, const char *outcome, const char *text,
			 uint32_t obstacles)
{
	const char *names[ISO_OBSTACLES + 1], *texts[ISO_OBSTACLES + 1];

	list_obstacles(obstacles, names, texts);
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_STRING("outcome", outcome),
				  SD_JSON_BUILD_PAIR_STRING("text", text),
				  SD_JSON_BUILD_PAIR_STRV("obstacles", (char **)names),
				  SD_JSON_BUILD_PAIR_STRV("reasons", (char **)texts));
}

static int answer(struct control_request *request, const struct iso_effect *reply)
{
	const struct iso_engine *engine = daemon_engine(request->control->daemon);
	struct iso_port_view port;
	bool known = iso_port_get(engine, iso_port_find(engine, request->object), &port) &&
		     port.armed_known;

	return reply_outcome(request->link, known ? "done" : "unknown",
			     reply->text ? reply->text : "", 0);
}

static int show_decision(sd_varlink *link, const struct iso_engine *engine, uint32_t port,
			 uint32_t wish, uint32_t range)
{
	enum iso_arm_outcome outcome;
	uint32_t obstacles;

	if (!iso_arm_try(engine, port, wish, range, &outcome, &obstacles))
		return -EINVAL;
	switch (outcome) {
	case ISO_ARM_REFUSED:
		return reply_outcome(link, "refused", iso_reply_text(ISO_REPLY_REFUSED), obstacles);
	case ISO_ARM_ALREADY:
		return reply_outcome(link, "done", "it is so already", 0);
	case ISO_ARM_NOW:
		return reply_outcome(link, "done", "it would be done now", 0);
	case ISO_ARM_UNKNOWN:
		return reply_outcome(link, "unknown", "it is not known whether it is armed", 0);
	case ISO_ARM_WAITS:
		break;
	}
	return reply_outcome(link, "waits", "it would wait until it is quiesced", 0);
}

static int run(struct control *control, sd_varlink *link, const struct parameters *p, uint32_t wish)
{
	const struct iso_engine *engine = daemon_engine(control->daemon);
	struct iso_event event = {.kind = ISO_EVENT_ARM};
	struct control_request *request;
	struct iso_port_view view;
	uint32_t port;
	int r;

	r = find_port(link, engine, p->port, &port);
	if (port == ISO_NONE)
		return r;
	event.arm.wish = wish;
	event.arm.range = ISO_NONE;
	iso_port_get(engine, port, &view);
	if (p->range &&
	    isolation_range_parse(p->range, view.isolation.ranges, &event.arm.range) < 0)
		return control_error(
			link, VARLINK_ERROR("BadSize"),
			"'%.40s' is not a timeout range of this port, nor a time in one", p->range);
	if (p->dry_run)
		return show_decision(link, engine, port, wish, event.arm.range);
	request = control_request_new(control, link, answer, view.path);
	if (!request)
		return -ENOBUFS;
	request->method = wish == ISO_ARM_YES ? "ArmPort" : "DisarmPort";
	snprintf(event.arm.port, sizeof(event.arm.port), "%s", view.path);
	return control_run(request, &event);
}

static int dispatch(sd_varlink *link, sd_json_variant *parameters, struct control *control,
		    uint32_t wish)
{
	static const sd_json_dispatch_field table[] = {
		{"port", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct parameters, port), SD_JSON_MANDATORY},
		{"dryRun", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
		 offsetof(struct parameters, dry_run), 0},
		{"range", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct parameters, range), 0},
		{0},
	};
	struct parameters p = {0};
	int r;

	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	return r != 0 ? r : run(control, link, &p, wish);
}

int control_arm_port(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		     void *userdata)
{
	(void)flags;
	return dispatch(link, parameters, userdata, ISO_ARM_YES);
}

int control_disarm_port(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	(void)flags;
	return dispatch(link, parameters, userdata, ISO_ARM_NO);
}
