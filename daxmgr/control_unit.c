/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WhatIf(), Isolate(), Recover(), Confirm(). */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "varlink_interface.h"

static int build_affected_regions(const struct iso_engine *engine, const uint32_t *indices,
				  uint32_t n, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < n; i++) {
		struct iso_region_view region;
		sd_json_variant *item;

		if (!iso_region_get(engine, indices[i], &region))
			continue;
		r = sd_json_buildo(
			&item, SD_JSON_BUILD_PAIR_STRING("name", region.definition->name),
			SD_JSON_BUILD_PAIR_STRING("state", iso_region_state_name(region.state)),
			SD_JSON_BUILD_PAIR_UNSIGNED("bytes", region.range.bytes));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_affected_vm(const struct iso_lease_view *lease, sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *pins = NULL;
	uint64_t bytes = 0;
	int r;

	r = control_json_pins(lease->pins, &pins);
	if (r < 0)
		return r;
	for (uint32_t part = 0; part < lease->terms->n_parts; part++)
		bytes += lease->terms->parts[part].bytes;
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("name", lease->terms->name),
		SD_JSON_BUILD_PAIR_STRING("state", iso_lease_state_name(lease->state)),
		SD_JSON_BUILD_PAIR_CONDITION(lease->pid > 0, "pid",
					     SD_JSON_BUILD_INTEGER(lease->pid)),
		SD_JSON_BUILD_PAIR_BOOLEAN("restart", lease->terms->restart),
		SD_JSON_BUILD_PAIR_UNSIGNED("bytes", bytes),
		SD_JSON_BUILD_PAIR_VARIANT("pins", pins));
}

static int build_affected_vms(const struct iso_engine *engine, const uint32_t *indices, uint32_t n,
			      sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < n; i++) {
		struct iso_lease_view lease;
		sd_json_variant *item;

		if (!iso_lease_get(engine, indices[i], &lease))
			continue;
		r = build_affected_vm(&lease, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

struct unit {
	uint32_t port; /* ISO_NONE: a memory device */
	uint32_t memdev;
	const char *path;
	const char *domain; /* may be NULL */
};

static bool find_unit(const struct iso_engine *engine, const char *text, struct unit *ret)
{
	struct iso_port_view port;
	struct iso_memdev_view memdev;

	*ret = (struct unit){.port = iso_port_find(engine, text), .memdev = ISO_NONE};
	if (ret->port != ISO_NONE && iso_port_get(engine, ret->port, &port)) {
		ret->path = port.path;
		ret->domain = control_port_path(engine, port.domain);
		return true;
	}
	ret->port = ISO_NONE;
	ret->memdev = iso_memdev_find(engine, text);
	if (ret->memdev == ISO_NONE || !iso_memdev_get(engine, ret->memdev, &memdev))
		return false;
	ret->path = memdev.path;
	if (memdev.port != ISO_NONE && iso_port_get(engine, memdev.port, &port))
		ret->domain = control_port_path(engine, port.domain);
	return true;
}

static int no_such_unit(sd_varlink *link, const char *what, const char *text)
{
	return control_error(link, VARLINK_ERROR("NoSuchUnit"),
			     "'%.80s' is no %s of this host; 'daxmgrctl topology' lists them", text,
			     what);
}

/* In words what the loss can do to the host as a whole; empty: nothing. */
static void describe_hazard(const struct iso_engine *engine, const struct iso_what_if *what,
			    char *text, size_t room)
{
	struct iso_lease_view lease;
	char evidence[ISO_EVIDENCE_BYTES];
	int length = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < what->n_leases && !length; i++) {
		if (!iso_lease_get(engine, what->leases[i], &lease) || !lease.pins)
			continue;
		control_text(evidence, sizeof(evidence),
			     lease.evidence[0] ? lease.evidence : iso_pin_name(lease.pins));
		length = snprintf(text, room, "the host may panic: VM %s pins its memory: %s",
				  lease.terms->name, evidence);
	}
	if (length && what->n_pinning > 1 && (size_t)length < room)
		snprintf(text + length, room - (size_t)length, "; so do %u others",
			 what->n_pinning - 1);
}

static int reply_what_if(sd_varlink *link, const struct iso_engine *engine, const struct unit *unit,
			 const struct iso_what_if *what)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *regions = NULL, *vms = NULL,
							  *blockers = NULL;
	char hazard[2 * ISO_TEXT_BYTES];
	int r;

	describe_hazard(engine, what, hazard, sizeof(hazard));
	if ((r = build_affected_regions(engine, what->regions, what->n_regions, &regions)) < 0 ||
	    (r = build_affected_vms(engine, what->leases, what->n_leases, &vms)) < 0 ||
	    (r = build_affected_vms(engine, what->blockers, what->n_blockers, &blockers)) < 0)
		return r;
	return sd_varlink_replybo(
		link, SD_JSON_BUILD_PAIR_STRING("kind", unit->port == ISO_NONE ? "memdev" : "port"),
		SD_JSON_BUILD_PAIR_STRING("path", unit->path),
		SD_JSON_BUILD_PAIR_CONDITION(!!unit->domain, "domain",
					     SD_JSON_BUILD_STRING(unit->domain)),
		SD_JSON_BUILD_PAIR_VARIANT("regions", regions),
		SD_JSON_BUILD_PAIR_VARIANT("vms", vms),
		SD_JSON_BUILD_PAIR_VARIANT("blockers", blockers),
		SD_JSON_BUILD_PAIR_UNSIGNED("bytes", what->bytes),
		SD_JSON_BUILD_PAIR_UNSIGNED("pinning", what->n_pinning),
		SD_JSON_BUILD_PAIR_CONDITION(!!hazard[0], "hazard", SD_JSON_BUILD_STRING(hazard)));
}

int control_what_if(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"unit", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string, 0,
		 SD_JSON_MANDATORY},
		{0},
	};
	struct control *control = userdata;
	const struct iso_engine *engine = daemon_engine(control->daemon);
	_cleanup_free_ uint32_t *indices = NULL;
	struct iso_what_if what = {0};
	const char *text = NULL;
	struct unit unit;
	int r;

	(void)flags;
	if ((r = control_admit_request(control, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &text);
	if (r != 0)
		return r;
	if (!find_unit(engine, text, &unit))
		return no_such_unit(link, "port or memory device", text);
	what.regions_room = iso_region_count(engine);
	what.leases_room = what.blockers_room = iso_lease_count(engine);
	indices = calloc((size_t)what.regions_room + 2 * (size_t)what.leases_room + 1,
			 sizeof(*indices));
	if (!indices)
		return -ENOMEM;
	what.regions = indices;
	what.leases = what.regions + what.regions_room;
	what.blockers = what.leases + what.leases_room;
	if (!iso_what_if(engine, unit.port, unit.memdev, &what))
		return no_such_unit(link, "port or memory device", text);
	return reply_what_if(link, engine, &unit, &what);
}

struct port_parameters {
	const char *port;
	bool evict;
};

/* Only Recover() takes memory devices, and those that were retired and are away, too. */
static bool is_known(const struct iso_engine *engine, uint32_t kind, const char *text)
{
	if (iso_port_find(engine, text) != ISO_NONE)
		return true;
	return kind == ISO_EVENT_RECOVER && (iso_memdev_find(engine, text) != ISO_NONE ||
					     iso_fence_of_memdev(engine, text) != ISO_NONE);
}

static int run_on_port(struct control *control, sd_varlink *link, uint32_t kind, const char *method,
		       const struct port_parameters *p)
{
	struct iso_event event = {.kind = kind, .port = {.evict = p->evict}};
	struct control_request *request;

	if (strlen(p->port) >= sizeof(event.port.port) ||
	    !is_known(daemon_engine(control->daemon), kind, p->port))
		return no_such_unit(link, "port", p->port);
	request = control_request_new(control, link, control_answer_outcome, p->port);
	if (!request)
		return -ENOBUFS;
	request->method = method;
	snprintf(event.port.port, sizeof(event.port.port), "%s", p->port);
	return control_run(request, &event);
}

int control_isolate(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"port", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct port_parameters, port), SD_JSON_MANDATORY},
		{0},
	};
	struct port_parameters p = {0};
	int r;

	(void)flags;
	if ((r = control_admit_request(userdata, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	return run_on_port(userdata, link, ISO_EVENT_ISOLATE, "Isolate", &p);
}

int control_recover(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	static const sd_json_dispatch_field table[] = {
		{"port", SD_JSON_VARIANT_STRING, sd_json_dispatch_const_string,
		 offsetof(struct port_parameters, port), SD_JSON_MANDATORY},
		{"evict", SD_JSON_VARIANT_BOOLEAN, sd_json_dispatch_stdbool,
		 offsetof(struct port_parameters, evict), 0},
		{0},
	};
	struct port_parameters p = {0};
	int r;

	(void)flags;
	if ((r = control_admit_request(userdata, link)) != 0)
		return r;
	r = sd_varlink_dispatch(link, parameters, table, &p);
	if (r != 0)
		return r;
	return run_on_port(userdata, link, ISO_EVENT_RECOVER, p.evict ? "Recover evict" : "Recover",
			   &p);
}

/* Once the engine has gone on; a mark that stays behind only asks a restarted daemon's operator again. */
static int answer_confirm(struct control_request *request, const struct iso_effect *reply)
{
	struct store *store = daemon_store(request->control->daemon);

	if (reply->reply == ISO_REPLY_DONE && store)
		store_end_hold(store);
	return control_answer_outcome(request, reply);
}

int control_confirm(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
		    void *userdata)
{
	struct iso_event event = {.kind = ISO_EVENT_CONFIRM};
	struct control_request *request;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit_request(userdata, link)) != 0)
		return r;
	request = control_request_new(userdata, link, answer_confirm, "hold");
	if (!request)
		return -ENOBUFS;
	request->method = "Confirm";
	return control_run(request, &event);
}
