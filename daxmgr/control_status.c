/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GetStatus(), GetWorkers(). */
#include "control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"

enum { COMPONENTS_MAX = 32, WORKERS_MAX = 512 };

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING

struct counts {
	uint32_t regions, regions_live;
	uint32_t leases, attached, waiting, stuck, pinning, strangers;
	uint32_t incidents_open;
	bool domain_unhealthy, component_unhealthy;
};

bool control_lease_pins(const struct iso_lease_view *lease)
{
	/* What a launcher said of a VM that does not run yet endangers nothing. */
	return lease->pins && lease->pid > 0;
}

static void count(const struct iso_engine *engine, struct counts *ret)
{
	struct iso_incident_view incident;
	struct iso_region_view region;
	struct iso_lease_view lease;

	for (uint32_t i = 0; i < iso_region_count(engine); i++)
		if (iso_region_get(engine, i, &region)) {
			ret->regions++;
			ret->regions_live += region.state == ISO_REGION_LIVE;
		}
	for (uint32_t i = 0; i < iso_lease_count(engine); i++)
		if (iso_lease_get(engine, i, &lease)) {
			ret->leases++;
			ret->attached += lease.state == ISO_LEASE_ATTACHED;
			ret->waiting += lease.state == ISO_LEASE_WAITING;
			ret->stuck += lease.state == ISO_LEASE_STUCK;
			ret->pinning += control_lease_pins(&lease);
			ret->strangers += lease.stranger > 0;
		}
	for (uint32_t i = 0; i < iso_incident_count(engine); i++)
		ret->incidents_open += iso_incident_get(engine, i, &incident) && incident.open;
}

/* A domain is shown once, by its first root port. */
static int build_domains(const struct iso_engine *engine, struct counts *counts,
			 sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_port_count(engine); i++) {
		struct iso_port_view port;
		sd_json_variant *item;
		enum iso_domain_state state;
		char reason[ISO_TEXT_BYTES];

		if (!iso_port_get(engine, i, &port) || port.domain != i)
			continue;
		state = iso_domain_state(engine, i);
		control_text(reason, sizeof(reason), iso_domain_reason(engine, i));
		counts->domain_unhealthy |= state != ISO_DOMAIN_HEALTHY &&
					    state != ISO_DOMAIN_UNKNOWN;
		r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("domain", port.path),
				   SD_JSON_BUILD_PAIR_STRING("state", iso_domain_state_name(state)),
				   IF(reason[0], "reason", TEXT(reason)));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_components(struct daemon *daemon, struct counts *counts, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	struct daemon_component components[COMPONENTS_MAX];
	size_t n = daemon_components(daemon, components, COMPONENTS_MAX);
	int r;

	for (size_t i = 0; i < n; i++) {
		sd_json_variant *item;

		counts->component_unhealthy |= strcmp(components[i].state, "ok") &&
					       strcmp(components[i].state, "missing");
		r = sd_json_buildo(&item, SD_JSON_BUILD_PAIR_STRING("name", components[i].name),
				   SD_JSON_BUILD_PAIR_STRING("state", components[i].state),
				   IF(components[i].text[0], "text", TEXT(components[i].text)));
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static bool is_degraded(const struct control *control, const struct counts *counts)
{
	return counts->component_unhealthy || counts->stuck || counts->strangers ||
	       (counts->pinning && !control->host_may_panic) ||
	       counts->regions_live < counts->regions;
}

static void worst(void *userdata, uint32_t scope, const char *unit,
		  const struct health_verdict *verdict)
{
	uint32_t *state = userdata;

	(void)scope;
	(void)unit;
	if (verdict->state > *state)
		*state = verdict->state;
}

int control_get_status(sd_varlink *link, sd_json_variant *parameters,
		       sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *domains = NULL, *components = NULL;
	struct control *control = userdata;
	const struct iso_engine *engine = daemon_engine(control->daemon);
	bool ready = daemon_is_ready(control->daemon);
	struct counts counts = {0};
	const char *state = "healthy";
	char hold[ISO_TEXT_BYTES], waits[ISO_TEXT_BYTES];
	uint32_t health = HEALTH_OK;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	count(engine, &counts);
	control_text(hold, sizeof(hold), iso_hold_reason(engine) ? iso_hold_reason(engine) : "");
	control_text(waits, sizeof(waits),
		     iso_health_reason(engine) ? iso_health_reason(engine) : "");
	daemon_each_health(control->daemon, worst, &health);
	if ((r = build_domains(engine, &counts, &domains)) < 0 ||
	    (r = build_components(control->daemon, &counts, &components)) < 0)
		return r;
	if (counts.domain_unhealthy)
		state = "isolated";
	else if (!ready || hold[0] || is_degraded(control, &counts))
		state = "degraded";
	return sd_varlink_replybo(
		link, SD_JSON_BUILD_PAIR_STRING("version", DAXMGR_VERSION),
		SD_JSON_BUILD_PAIR_STRING("state", state),
		SD_JSON_BUILD_PAIR_BOOLEAN("ready", ready),
		SD_JSON_BUILD_PAIR_STRING("bootId", daemon_boot_id(control->daemon)),
		SD_JSON_BUILD_PAIR_UNSIGNED("nowNs", clock_boottime_ns()),
		SD_JSON_BUILD_PAIR_UNSIGNED("capacityBytes", iso_capacity_bytes(engine)),
		SD_JSON_BUILD_PAIR_UNSIGNED("freeBytes", iso_free_bytes(engine)),
		SD_JSON_BUILD_PAIR_UNSIGNED("badBytes", iso_bad_bytes(engine)),
		SD_JSON_BUILD_PAIR_UNSIGNED("regions", counts.regions),
		SD_JSON_BUILD_PAIR_UNSIGNED("regionsLive", counts.regions_live),
		SD_JSON_BUILD_PAIR_UNSIGNED("leases", counts.leases),
		SD_JSON_BUILD_PAIR_UNSIGNED("leasesAttached", counts.attached),
		SD_JSON_BUILD_PAIR_UNSIGNED("leasesWaiting", counts.waiting),
		SD_JSON_BUILD_PAIR_UNSIGNED("leasesStuck", counts.stuck),
		SD_JSON_BUILD_PAIR_UNSIGNED("leasesPinning", counts.pinning),
		SD_JSON_BUILD_PAIR_UNSIGNED("strangers", counts.strangers),
		SD_JSON_BUILD_PAIR_BOOLEAN("hostMayPanic", control->host_may_panic),
		SD_JSON_BUILD_PAIR_UNSIGNED("incidentsOpen", counts.incidents_open),
		SD_JSON_BUILD_PAIR_STRING("health", health_state_name(health)),
		IF(waits[0], "recoveryWaits", TEXT(waits)), IF(hold[0], "hold", TEXT(hold)),
		SD_JSON_BUILD_PAIR_VARIANT("domains", domains),
		SD_JSON_BUILD_PAIR_VARIANT("components", components));
}

static int build_worker(const struct daemon_worker *worker, sd_json_variant **ret)
{
	char process[2] = {worker->process_state, '\0'};

	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_INTEGER("pid", worker->pid),
		IF(worker->lane != ISO_NONE, "lane", SD_JSON_BUILD_UNSIGNED(worker->lane)),
		SD_JSON_BUILD_PAIR_STRING("state", worker->state),
		IF(worker->job[0], "job", TEXT(worker->job)),
		IF(worker->since_ns, "sinceNs", SD_JSON_BUILD_UNSIGNED(worker->since_ns)),
		IF(worker->wchan[0], "wchan", TEXT(worker->wchan)),
		IF(process[0], "process", TEXT(process)));
}

int control_get_workers(sd_varlink *link, sd_json_variant *parameters,
			sd_varlink_method_flags_t flags, void *userdata)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *workers = NULL;
	_cleanup_free_ struct daemon_worker *rows = NULL;
	struct control *control = userdata;
	size_t n;
	int r;

	(void)parameters;
	(void)flags;
	if ((r = control_admit(link)) != 0)
		return r;
	rows = calloc(WORKERS_MAX, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	n = daemon_workers(control->daemon, rows, WORKERS_MAX);
	for (size_t i = 0; i < n; i++) {
		sd_json_variant *item;

		r = build_worker(&rows[i], &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	r = control_list_end(&list, &workers);
	if (r < 0)
		return r;
	return sd_varlink_replybo(link, SD_JSON_BUILD_PAIR_VARIANT("workers", workers));
}
