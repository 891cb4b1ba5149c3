/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Regions, instances and leases as JSON. */
#include "control_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "pin_words.h"

#define IF(condition, name, value) SD_JSON_BUILD_PAIR_CONDITION(!!(condition), name, value)
#define TEXT                       SD_JSON_BUILD_STRING
#define NUMBER                     SD_JSON_BUILD_UNSIGNED

int control_list_add(struct control_list *list, sd_json_variant *item)
{
	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 32;
		sd_json_variant **items = reallocarray(list->items, room, sizeof(*items));

		if (!items) {
			sd_json_variant_unref(item);
			return -ENOMEM;
		}
		list->items = items;
		list->room = room;
	}
	list->items[list->n++] = item;
	return 0;
}

void control_list_clear(struct control_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		sd_json_variant_unref(list->items[i]);
	free(list->items);
	*list = (struct control_list){0};
}

int control_list_end(struct control_list *list, sd_json_variant **ret)
{
	int r = sd_json_variant_new_array(ret, list->items, list->n);

	control_list_clear(list);
	return r;
}

const char *control_port_path(const struct iso_engine *engine, uint32_t port)
{
	struct iso_port_view view;

	return port != ISO_NONE && iso_port_get(engine, port, &view) ? view.path : NULL;
}

static int build_serials(const struct iso_region_definition *definition, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < definition->ways; i++) {
		sd_json_variant *serial;
		char text[24];

		snprintf(text, sizeof(text), "0x%" PRIx64, definition->serials[i]);
		r = sd_json_variant_new_string(&serial, text);
		if (r >= 0)
			r = control_list_add(&list, serial);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

int control_json_region(const struct iso_engine *engine, const struct iso_region_view *region,
			sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *serials = NULL;
	const char *domain = control_port_path(engine, region->domain);
	const char *wait = iso_region_wait_name(region->wait);
	bool waits = region->state == ISO_REGION_ABSENT && region->wait != ISO_WAIT_NOTHING;
	char device[24], window[24], reason[ISO_TEXT_BYTES];
	int r;

	r = build_serials(region->definition, &serials);
	if (r < 0)
		return r;
	control_text(reason, sizeof(reason), region->reason);
	snprintf(device, sizeof(device), "region%u", region->kernel_id);
	snprintf(window, sizeof(window), "decoder0.%u", region->window_kernel_id);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("name", region->definition->name),
		SD_JSON_BUILD_PAIR_STRING("state", iso_region_state_name(region->state)),
		IF(waits, "wait", TEXT(wait)), IF(reason[0], "reason", TEXT(reason)),
		IF(domain, "domain", TEXT(domain)),
		SD_JSON_BUILD_PAIR_UNSIGNED("ways", region->definition->ways),
		SD_JSON_BUILD_PAIR_UNSIGNED("granularity", region->definition->granularity),
		SD_JSON_BUILD_PAIR_VARIANT("memdevs", serials),
		IF(region->kernel_id != ISO_NONE, "device", TEXT(device)),
		IF(region->window_kernel_id != ISO_NONE, "window", TEXT(window)),
		IF(region->has_hpa, "hpaStart", NUMBER(region->range.start.v)),
		SD_JSON_BUILD_PAIR_UNSIGNED("bytes", region->range.bytes),
		SD_JSON_BUILD_PAIR_UNSIGNED("freeBytes", region->free_bytes),
		SD_JSON_BUILD_PAIR_UNSIGNED("badBytes", region->bad_bytes),
		IF(region->closed[0], "closed", TEXT(region->closed)),
		SD_JSON_BUILD_PAIR_UNSIGNED("epoch", region->epoch),
		SD_JSON_BUILD_PAIR_UNSIGNED("instances", region->n_instances),
		SD_JSON_BUILD_PAIR_BOOLEAN("fromOperator", region->from_operator),
		SD_JSON_BUILD_PAIR_BOOLEAN("desired", region->desired),
		SD_JSON_BUILD_PAIR_BOOLEAN("draining", region->draining),
		SD_JSON_BUILD_PAIR_BOOLEAN("locked", region->locked),
		IF(region->planned_bytes, "plannedBytes", NUMBER(region->planned_bytes)));
}

/* Return: false while the lease has no instance for that part. */
static bool find_instance(const struct iso_engine *engine, const struct iso_lease_view *lease,
			  uint32_t part, struct iso_instance_view *ret)
{
	for (uint32_t i = 0; i < lease->n_instances; i++)
		if (iso_instance_get(engine, lease->instances[i], ret) && ret->part == part)
			return true;
	return false;
}

static int build_part(const struct iso_engine *engine, const struct iso_lease_view *lease,
		      uint32_t part, sd_json_variant **ret)
{
	const struct iso_lease_part *wish = &lease->terms->parts[part];
	struct iso_instance_view instance = {0};
	struct iso_region_view region;
	bool there = find_instance(engine, lease, part, &instance);
	const char *region_name = wish->region;
	char path[ISO_NAME_BYTES + 40], device[32] = "";

	if (there && iso_region_get(engine, instance.region, &region))
		region_name = region.definition->name;
	if (there && instance.named)
		snprintf(device, sizeof(device), "dax%u.%u", instance.region_kernel_id,
			 instance.kernel_id);
	snprintf(path, sizeof(path), "/dev/daxmgr/vm/%s/mem%u", lease->terms->name, part);
	return sd_json_buildo(ret, SD_JSON_BUILD_PAIR_STRING("path", path),
			      SD_JSON_BUILD_PAIR_UNSIGNED("bytes", wish->bytes),
			      SD_JSON_BUILD_PAIR_UNSIGNED("align", lease->terms->align
									   ? lease->terms->align
									   : UINT64_C(2) << 20),
			      IF(region_name[0], "region", TEXT(region_name)),
			      IF(device[0], "device", TEXT(device)),
			      IF(there, "state", TEXT(iso_instance_state_name(instance.state))));
}

int control_json_parts(const struct iso_engine *engine, const struct iso_lease_view *lease,
		       sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < lease->terms->n_parts; i++) {
		sd_json_variant *part;

		r = build_part(engine, lease, i, &part);
		if (r >= 0)
			r = control_list_add(&list, part);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

static int build_mappers(const struct iso_lease_view *lease, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < lease->n_mappers && i < ISO_MAPPERS_MAX; i++) {
		sd_json_variant *pid;

		r = sd_json_variant_new_integer(&pid, lease->mappers[i]);
		if (r >= 0)
			r = control_list_add(&list, pid);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

int control_json_pins(uint32_t pins, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < pin_words_count(); i++) {
		sd_json_variant *word;

		if (!(pins & 1u << i))
			continue;
		r = sd_json_variant_new_string(&word, pin_words_get(i));
		if (r >= 0)
			r = control_list_add(&list, word);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

int control_json_lease(const struct iso_engine *engine, const struct iso_lease_view *lease,
		       sd_json_variant **ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parts = NULL, *mappers = NULL,
							  *pins = NULL;
	const struct iso_acquire *terms = lease->terms;
	char waits_for[ISO_TEXT_BYTES], evidence[ISO_EVIDENCE_BYTES];
	int r;

	r = control_json_parts(engine, lease, &parts);
	if (r >= 0)
		r = build_mappers(lease, &mappers);
	if (r >= 0)
		r = control_json_pins(lease->pins, &pins);
	if (r < 0)
		return r;
	control_text(waits_for, sizeof(waits_for), lease->waits_for);
	control_text(evidence, sizeof(evidence), lease->evidence);
	return sd_json_buildo(
		ret, SD_JSON_BUILD_PAIR_STRING("name", terms->name),
		SD_JSON_BUILD_PAIR_STRING("state", iso_lease_state_name(lease->state)),
		SD_JSON_BUILD_PAIR_UNSIGNED("uid", terms->uid),
		SD_JSON_BUILD_PAIR_UNSIGNED("gid", terms->gid),
		IF(lease->pid > 0, "pid", SD_JSON_BUILD_INTEGER(lease->pid)),
		SD_JSON_BUILD_PAIR_BOOLEAN("restart", terms->restart),
		SD_JSON_BUILD_PAIR_UNSIGNED("align", terms->align),
		SD_JSON_BUILD_PAIR_UNSIGNED("keepNs", terms->keep_ns),
		SD_JSON_BUILD_PAIR_UNSIGNED("epoch", lease->epoch),
		SD_JSON_BUILD_PAIR_UNSIGNED("sequence", lease->sequence),
		SD_JSON_BUILD_PAIR_BOOLEAN("wasKilled", lease->was_killed),
		IF(lease->incident, "incident", NUMBER(lease->incident)),
		IF(lease->attached_ns, "attachedNs", NUMBER(lease->attached_ns)),
		IF(lease->killed_ns, "killedNs", NUMBER(lease->killed_ns)),
		IF(lease->exited_ns, "exitedNs", NUMBER(lease->exited_ns)),
		IF(lease->state == ISO_LEASE_ACQUIRED || lease->state == ISO_LEASE_KEPT,
		   "expiresAtNs", NUMBER(lease->expires_at_ns)),
		IF(waits_for[0], "waitsFor", TEXT(waits_for)),
		SD_JSON_BUILD_PAIR_VARIANT("mappers", mappers),
		SD_JSON_BUILD_PAIR_VARIANT("pins", pins),
		IF(evidence[0], "evidence", TEXT(evidence)),
		SD_JSON_BUILD_PAIR_STRING("poison", iso_poison_action_name(terms->poison)),
		IF(lease->stranger > 0, "stranger", SD_JSON_BUILD_INTEGER(lease->stranger)),
		SD_JSON_BUILD_PAIR_BOOLEAN("revoked", lease->revoked),
		SD_JSON_BUILD_PAIR_VARIANT("parts", parts));
}

int control_json_regions(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	int r;

	for (uint32_t i = 0; i < iso_region_count(engine); i++) {
		struct iso_region_view region;
		sd_json_variant *item;

		if (!iso_region_get(engine, i, &region))
			continue;
		r = control_json_region(engine, &region, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}

struct lease_place {
	uint64_t sequence;
	uint32_t lease;
};

static int lease_place_compare(const void *left, const void *right)
{
	const struct lease_place *a = left, *b = right;

	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

/* In the order in which they are served. Return: NULL without memory. */
static struct lease_place *leases_in_order(const struct iso_engine *engine, uint32_t *ret_n)
{
	uint32_t all = iso_lease_count(engine), n = 0;
	struct lease_place *places = calloc(all + 1, sizeof(*places));
	struct iso_lease_view lease;

	for (uint32_t i = 0; places && i < all; i++)
		if (iso_lease_get(engine, i, &lease))
			places[n++] = (struct lease_place){lease.sequence, i};
	if (places)
		qsort(places, n, sizeof(*places), lease_place_compare);
	*ret_n = n;
	return places;
}

int control_json_leases(const struct iso_engine *engine, sd_json_variant **ret)
{
	_cleanup_(control_list_clear) struct control_list list = {0};
	uint32_t n;
	_cleanup_free_ struct lease_place *places = leases_in_order(engine, &n);

	if (!places)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		struct iso_lease_view lease;
		sd_json_variant *item;
		int r;

		iso_lease_get(engine, places[i].lease, &lease);
		r = control_json_lease(engine, &lease, &item);
		if (r >= 0)
			r = control_list_add(&list, item);
		if (r < 0)
			return r;
	}
	return control_list_end(&list, ret);
}
