/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Items as rows. Everything here runs on the store's thread within a transaction. */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "pin_words.h"
#include "store_internal.h"

static uint64_t now_us(void)
{
	return clock_read_ns(CLOCK_REALTIME) / 1000;
}

static int run_with_name(struct store *store, enum store_statement which, const char *name)
{
	struct store_binder b = store_bind(store, which);

	store_bind_text(&b, name);
	return store_bind_run(&b);
}

static void bind_id(struct store_binder *binder, uint32_t id)
{
	if (id == ISO_NONE)
		store_bind_null(binder);
	else
		store_bind_number(binder, id);
}

static int write_lease_parts(struct store *store, const struct iso_acquire *terms)
{
	int code;

	code = run_with_name(store, STORE_STATEMENT_LEASE_PARTS_CLEAR, terms->name);
	for (uint32_t i = 0; code == SQLITE_OK && i < terms->n_parts && i < ISO_LEASE_PARTS_MAX;
	     i++) {
		struct store_binder b = store_bind(store, STORE_STATEMENT_LEASE_PART);

		store_bind_text(&b, terms->name);
		store_bind_number(&b, i);
		store_bind_number(&b, terms->parts[i].bytes);
		store_bind_name(&b, terms->parts[i].region);
		code = store_bind_run(&b);
	}
	return code;
}

static int write_lease_instances(struct store *store, const struct iso_restore_lease *lease)
{
	int code;

	code = run_with_name(store, STORE_STATEMENT_LEASE_INSTANCES_CLEAR, lease->terms.name);
	for (uint32_t i = 0; code == SQLITE_OK && i < lease->n_parts && i < ISO_LEASE_PARTS_MAX;
	     i++) {
		struct store_binder b = store_bind(store, STORE_STATEMENT_LEASE_INSTANCE);

		store_bind_text(&b, lease->terms.name);
		store_bind_number(&b, i);
		store_bind_text(&b, lease->parts[i].region);
		bind_id(&b, lease->parts[i].region_kernel_id);
		bind_id(&b, lease->parts[i].kernel_id);
		store_bind_number(&b, lease->parts[i].bytes);
		store_bind_number(&b, lease->parts[i].begun_ns);
		code = store_bind_run(&b);
	}
	return code;
}

static int write_lease(struct store *store, const struct iso_restore_lease *lease)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_LEASE);
	const struct iso_acquire *terms = &lease->terms;
	char pins[PIN_WORDS_BYTES];
	int code;

	store_bind_text(&b, terms->name);
	store_bind_text(&b, iso_lease_state_name(lease->state));
	store_bind_number(&b, terms->uid);
	store_bind_number(&b, terms->gid);
	store_bind_number(&b, terms->align);
	store_bind_number(&b, terms->keep_ns);
	store_bind_number(&b, terms->expires_ns);
	store_bind_number(&b, terms->restart);
	store_bind_number(&b, terms->wait);
	store_bind_number(&b, lease->sequence);
	store_bind_number(&b, lease->was_killed);
	if (lease->pid > 0)
		store_bind_integer(&b, lease->pid);
	else
		store_bind_null(&b);
	store_bind_number(&b, lease->process_start);
	if (lease->incident)
		store_bind_number(&b, lease->incident);
	else
		store_bind_null(&b);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, now_us());
	store_bind_text(&b, pin_words_format(terms->pins, pins));
	store_bind_text(&b, terms->evidence);
	store_bind_text(&b, iso_poison_action_name(terms->poison));
	code = store_bind_run(&b);
	if (code == SQLITE_OK)
		code = write_lease_parts(store, terms);
	if (code == SQLITE_OK)
		code = write_lease_instances(store, lease);
	return code;
}

static int write_region_legs(struct store *store, const struct iso_region_definition *definition)
{
	int code;

	code = run_with_name(store, STORE_STATEMENT_REGION_LEGS_CLEAR, definition->name);
	for (uint32_t i = 0; code == SQLITE_OK && i < definition->ways && i < ISO_WAYS_MAX; i++) {
		struct store_binder b = store_bind(store, STORE_STATEMENT_REGION_LEG);
		char serial[24];

		snprintf(serial, sizeof(serial), "0x%" PRIx64, definition->serials[i]);
		store_bind_text(&b, definition->name);
		store_bind_number(&b, i);
		store_bind_text(&b, serial);
		code = store_bind_run(&b);
	}
	return code;
}

static int write_region(struct store *store, const struct iso_restore_region *region)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_REGION);
	const struct iso_region_definition *definition = &region->definition;
	int code;

	store_bind_text(&b, definition->name);
	store_bind_number(&b, definition->ways);
	store_bind_number(&b, definition->granularity);
	store_bind_number(&b, definition->bytes);
	bind_id(&b, region->kernel_id);
	if (region->has_hpa)
		store_bind_number(&b, region->last_hpa.v);
	else
		store_bind_null(&b);
	store_bind_number(&b, region->from_operator);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, now_us());
	code = store_bind_run(&b);
	return code == SQLITE_OK ? write_region_legs(store, definition) : code;
}

static int write_port(struct store *store, const struct iso_restore_port *port)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_PORT);
	char losses[STORE_LOSSES_BYTES] = "";
	size_t length = 0;

	store_bind_text(&b, port->path);
	store_bind_text(&b, iso_arm_wish_name(port->wish));
	bind_id(&b, port->range);
	store_bind_number(&b, port->held);
	store_bind_number(&b, port->flapping);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, now_us());
	for (uint32_t i = 0; i < port->n_losses && i < ISO_PORT_LOSSES_MAX; i++)
		length += (size_t)snprintf(losses + length, sizeof(losses) - length, "%" PRIu64 " ",
					   port->losses_ns[i]);
	store_bind_text(&b, losses);
	store_bind_number(&b, port->link_taken);
	return store_bind_run(&b);
}

static const char *hold_cause(const struct store_incident *incident)
{
	if (!incident->held_port[0])
		return "";
	return incident->held_flapping ? "flapping" : "operator";
}

/*
 * Before 7.0 the kernel logs an error first and traces it then, and the log may be
 * read first with any: lines that came just before belong to the incident as well.
 */
static int join_earlier(struct store *store, const struct store_incident *incident)
{
	struct store_binder b;

	if (!incident->open || !incident->domain[0] || incident->synthetic)
		return SQLITE_OK;
	b = store_bind(store, STORE_STATEMENT_INCIDENT_EARLIER);
	store_bind_number(&b, incident->id);
	store_bind_text(&b, incident->domain);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, incident->record_ns);
	return store_bind_run(&b);
}

static int write_incident(struct store *store, const struct store_item *item)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_INCIDENT);
	const struct store_incident *incident = &item->incident;
	int code;

	store_bind_number(&b, incident->id);
	store_bind_text(&b, iso_cause_name(incident->cause));
	store_bind_text(&b, incident->unit);
	store_bind_name(&b, incident->domain);
	store_bind_number(&b, incident->open);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, item->realtime_us);
	store_bind_number(&b, incident->record_ns);
	store_bind_number(&b, incident->detected_ns);
	store_bind_number(&b, incident->contained_ns);
	store_bind_number(&b, incident->recovered_ns);
	store_bind_number(&b, incident->n_killed);
	store_bind_number(&b, incident->n_exited);
	store_bind_number(&b, incident->n_records);
	store_bind_number(&b, incident->capacity_before_bytes);
	store_bind_number(&b, incident->capacity_after_bytes);
	store_bind_name(&b, incident->held_port);
	store_bind_text(&b, hold_cause(incident));
	store_bind_number(&b, incident->synthetic);
	code = store_bind_run(&b);
	return code == SQLITE_OK ? join_earlier(store, incident) : code;
}

static int write_note(struct store *store, const struct store_item *item)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_NOTE);
	const struct store_note *note = &item->note;

	if (note->incident)
		store_bind_number(&b, note->incident);
	else
		store_bind_null(&b);
	store_bind_number(&b, note->at_ns);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, item->realtime_us);
	store_bind_text(&b, iso_note_name(note->kind));
	store_bind_text(&b, note->text);
	store_bind_name(&b, note->lease);
	store_bind_name(&b, note->region);
	store_bind_name(&b, note->port);
	if (note->pid > 0)
		store_bind_integer(&b, note->pid);
	else
		store_bind_null(&b);
	return store_bind_run(&b);
}

static int write_action(struct store *store, const struct store_item *item)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_ACTION);

	store_bind_number(&b, item->realtime_us);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, item->action.uid);
	store_bind_text(&b, item->action.what);
	store_bind_text(&b, item->action.object);
	store_bind_text(&b, item->action.outcome);
	return store_bind_run(&b);
}

static int write_intent(struct store *store, const struct store_intent *intent)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_INTENT);

	store_bind_text(&b, store->run_id);
	store_bind_number(&b, intent->operation);
	store_bind_text(&b, iso_effect_name(intent->kind));
	store_bind_text(&b, intent->object);
	store_bind_number(&b, intent->epoch);
	store_bind_text(&b, store->boot_id);
	store_bind_number(&b, now_us());
	return store_bind_run(&b);
}

static int write_intent_done(struct store *store, uint64_t operation, int result)
{
	struct store_binder b = store_bind(store, STORE_STATEMENT_INTENT_DONE);

	store_bind_text(&b, store->run_id);
	store_bind_number(&b, operation);
	store_bind_text(&b, result < 0 ? "failed" : "done");
	store_bind_integer(&b, result);
	store_bind_number(&b, now_us());
	return store_bind_run(&b);
}

/* The mark is there before they are gone. */
static int begin_anew(struct store *store)
{
	if (store_mark_anew(store) < 0)
		return SQLITE_IOERR;
	return sqlite3_exec(store->db,
			    "DELETE FROM leases; DELETE FROM regions; DELETE FROM fences", NULL,
			    NULL, NULL);
}

int store_write_item(struct store *store, struct store_item *item)
{
	switch (item->kind) {
	case STORE_ITEM_LEASE:
		return write_lease(store, &item->lease);
	case STORE_ITEM_LEASE_END:
		return run_with_name(store, STORE_STATEMENT_LEASE_END, item->name);
	case STORE_ITEM_REGION:
		return write_region(store, &item->region);
	case STORE_ITEM_REGION_END:
		return run_with_name(store, STORE_STATEMENT_REGION_END, item->name);
	case STORE_ITEM_PORT:
		return write_port(store, &item->port);
	case STORE_ITEM_INCIDENT:
		return write_incident(store, item);
	case STORE_ITEM_POISON:
		return store_write_poison(store, &item->poison);
	case STORE_ITEM_POISON_END:
		return store_erase_poison(store, item->poison.slot);
	case STORE_ITEM_NOTE:
		return write_note(store, item);
	case STORE_ITEM_RECORDS:
		return store_write_block(store, item->block);
	case STORE_ITEM_FORMAT:
		return store_write_format(store, item);
	case STORE_ITEM_ACTION:
		return write_action(store, item);
	case STORE_ITEM_FENCE:
		return store_write_fence(store, &item->fence);
	case STORE_ITEM_FIRING:
		return store_write_firing(store, &item->firing);
	case STORE_ITEM_INTENT:
		return write_intent(store, &item->intent);
	case STORE_ITEM_INTENT_DONE:
		return write_intent_done(store, item->done.operation, item->done.result);
	case STORE_ITEM_ANEW:
		return begin_anew(store);
	case STORE_ITEM_HOLD_END:
	case STORE_ITEM_QUERY_INCIDENTS:
	case STORE_ITEM_QUERY_EVENTS:
	case STORE_ITEM_ACKNOWLEDGE:
		break;
	}
	return SQLITE_MISUSE;
}
