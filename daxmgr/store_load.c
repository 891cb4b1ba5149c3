/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the last daemon left: read once, before the loop runs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pin_words.h"
#include "store_internal.h"
#include "units.h"

/* Without a database there is nothing to read. Return: 1 then. */
int store_load_begin(struct store *store, const char *sql, sqlite3_stmt **ret)
{
	if (!store->db)
		return 1;
	return store_errno(sqlite3_prepare_v2(store->db, sql, -1, ret, NULL));
}

static uint32_t column_id(sqlite3_stmt *s, int column)
{
	return sqlite3_column_type(s, column) == SQLITE_NULL
		       ? ISO_NONE
		       : (uint32_t)sqlite3_column_int64(s, column);
}

static bool column_same_boot(struct store *store, sqlite3_stmt *s, int column)
{
	const unsigned char *text = sqlite3_column_text(s, column);

	return text && !strcmp((const char *)text, store->boot_id);
}

/* Rows of a child table of `name`. A callback's negative errno ends it. */
static int each_child(struct store *store, const char *sql, const char *name,
		      int (*read)(sqlite3_stmt *, void *), void *userdata)
{
	sqlite3_stmt *statement;
	int code, r;

	r = store_load_begin(store, sql, &statement);
	if (r != 0)
		return r < 0 ? r : 0;
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW)
		r = read(statement, userdata);
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(statement);
	return r;
}

static int read_leg(sqlite3_stmt *s, void *userdata)
{
	struct iso_region_definition *definition = userdata;
	char serial[24];
	int64_t position = sqlite3_column_int64(s, 0);

	store_column_text(s, 1, serial, sizeof(serial));
	if (position < 0 || position >= ISO_WAYS_MAX)
		return -EUCLEAN;
	return units_parse_serial(serial, &definition->serials[position]) < 0 ? -EUCLEAN : 0;
}

static int read_region(struct store *store, sqlite3_stmt *s, struct iso_restore_region *ret,
		       bool *ret_same_boot)
{
	*ret = (struct iso_restore_region){.kernel_id = ISO_NONE};
	store_column_text(s, 0, ret->definition.name, sizeof(ret->definition.name));
	ret->definition.ways = (uint32_t)sqlite3_column_int64(s, 1);
	ret->definition.granularity = (uint32_t)sqlite3_column_int64(s, 2);
	ret->definition.bytes = (uint64_t)sqlite3_column_int64(s, 3);
	ret->has_hpa = sqlite3_column_type(s, 5) != SQLITE_NULL;
	ret->last_hpa.v = (uint64_t)sqlite3_column_int64(s, 5);
	ret->from_operator = sqlite3_column_int(s, 6);
	*ret_same_boot = column_same_boot(store, s, 7);
	if (*ret_same_boot)
		ret->kernel_id = column_id(s, 4);
	ret->creation_interrupted = sqlite3_column_int(s, 8) && *ret_same_boot;
	if (ret->definition.ways > ISO_WAYS_MAX)
		return -EUCLEAN;
	return each_child(store, "SELECT position, serial FROM region_legs WHERE region = ?1",
			  ret->definition.name, read_leg, &ret->definition);
}

int store_load_regions(struct store *store,
		       int (*each)(void *userdata, const struct iso_restore_region *region,
				   bool same_boot),
		       void *userdata)
{
	/* A creation that was cut short or failed may have left something, until a later success. */
	static const char sql[] =
		"SELECT name, ways, granularity, bytes, kernel_id, hpa_start, from_operator, boot_id,"
		" coalesce((SELECT state != 'done' AND kind = 'create-region' FROM intents"
		"  WHERE id = " STORE_CREATION_INTENT "), 0)"
		" FROM regions ORDER BY name";
	sqlite3_stmt *statement;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, sql, &statement);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct iso_restore_region region;
		bool same_boot;

		r = read_region(store, statement, &region, &same_boot);
		if (r == 0)
			r = each(userdata, &region, same_boot);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(statement);
	return r;
}

static int read_part(sqlite3_stmt *s, void *userdata)
{
	struct iso_restore_lease *lease = userdata;
	int64_t part = sqlite3_column_int64(s, 0);

	if (part < 0 || part >= ISO_LEASE_PARTS_MAX)
		return -EUCLEAN;
	lease->terms.parts[part].bytes = (uint64_t)sqlite3_column_int64(s, 1);
	store_column_text(s, 2, lease->terms.parts[part].region,
			  sizeof(lease->terms.parts[part].region));
	if (lease->terms.n_parts <= part)
		lease->terms.n_parts = (uint32_t)part + 1;
	return 0;
}

static int read_instance(sqlite3_stmt *s, void *userdata)
{
	struct iso_restore_lease *lease = userdata;
	int64_t part = sqlite3_column_int64(s, 0);

	if (part < 0 || part >= ISO_LEASE_PARTS_MAX)
		return -EUCLEAN;
	store_column_text(s, 1, lease->parts[part].region, sizeof(lease->parts[part].region));
	lease->parts[part].region_kernel_id = column_id(s, 2);
	lease->parts[part].kernel_id = column_id(s, 3);
	lease->parts[part].bytes = (uint64_t)sqlite3_column_int64(s, 4);
	lease->parts[part].begun_ns = (uint64_t)sqlite3_column_int64(s, 5);
	if (lease->n_parts <= part)
		lease->n_parts = (uint32_t)part + 1;
	return 0;
}

static int read_terms(sqlite3_stmt *s, struct iso_restore_lease *ret)
{
	char state[STORE_KIND_BYTES], pins[PIN_WORDS_BYTES], poison[STORE_KIND_BYTES];

	store_column_text(s, 0, ret->terms.name, sizeof(ret->terms.name));
	store_column_text(s, 1, state, sizeof(state));
	if (!store_value_of(iso_lease_state_name, ISO_LEASE_STATES, state, &ret->state))
		return -EUCLEAN;
	ret->terms.uid = (uint32_t)sqlite3_column_int64(s, 2);
	ret->terms.gid = (uint32_t)sqlite3_column_int64(s, 3);
	ret->terms.align = (uint64_t)sqlite3_column_int64(s, 4);
	ret->terms.keep_ns = (uint64_t)sqlite3_column_int64(s, 5);
	ret->terms.expires_ns = (uint64_t)sqlite3_column_int64(s, 6);
	ret->terms.restart = sqlite3_column_int(s, 7);
	ret->terms.wait = sqlite3_column_int(s, 8);
	ret->sequence = (uint64_t)sqlite3_column_int64(s, 9);
	ret->was_killed = sqlite3_column_int(s, 10);
	ret->incident = (uint64_t)sqlite3_column_int64(s, 12);
	store_column_text(s, 15, pins, sizeof(pins));
	ret->terms.pins = pin_words_parse(pins);
	store_column_text(s, 16, ret->terms.evidence, sizeof(ret->terms.evidence));
	store_column_text(s, 17, poison, sizeof(poison));
	if (!store_value_of(iso_poison_action_name, ISO_POISON_ACTIONS, poison, &ret->terms.poison))
		return -EUCLEAN;
	return 0;
}

static int read_lease(struct store *store, sqlite3_stmt *s, struct iso_restore_lease *ret,
		      bool *ret_same_boot)
{
	int r;

	*ret = (struct iso_restore_lease){0};
	r = read_terms(s, ret);
	if (r < 0)
		return r;
	*ret_same_boot = column_same_boot(store, s, 13);
	r = each_child(store, "SELECT part, bytes, region FROM lease_parts WHERE lease = ?1",
		       ret->terms.name, read_part, ret);
	/* Processes and instances of another boot are gone. */
	if (r < 0 || !*ret_same_boot)
		return r;
	ret->pid = sqlite3_column_int(s, 11);
	ret->process_start = (uint64_t)sqlite3_column_int64(s, 14);
	return each_child(store,
			  "SELECT part, region, region_kernel_id, kernel_id, bytes, begun_ns"
			  " FROM lease_instances"
			  " WHERE lease = ?1",
			  ret->terms.name, read_instance, ret);
}

int store_load_leases(struct store *store,
		      int (*each)(void *userdata, const struct iso_restore_lease *lease,
				  bool same_boot),
		      void *userdata)
{
	static const char sql[] =
		"SELECT name, state, uid, gid, align, keep_ns, expires_ns, restart, wait,"
		" sequence, was_killed, pid, incident, boot_id, process_start, pins, evidence, poison"
		" FROM leases ORDER BY sequence, name";
	sqlite3_stmt *statement;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, sql, &statement);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct iso_restore_lease lease;
		bool same_boot;

		r = read_lease(store, statement, &lease, &same_boot);
		if (r == 0)
			r = each(userdata, &lease, same_boot);
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(statement);
	return r;
}

static void read_losses(sqlite3_stmt *s, int column, struct iso_restore_port *port)
{
	char text[STORE_LOSSES_BYTES], *at = text, *end;

	store_column_text(s, column, text, sizeof(text));
	while (port->n_losses < ISO_PORT_LOSSES_MAX) {
		uint64_t loss_ns = strtoull(at, &end, 10);

		if (end == at)
			return;
		port->losses_ns[port->n_losses++] = loss_ns;
		at = end;
	}
}

int store_load_ports(struct store *store,
		     int (*each)(void *userdata, const struct iso_restore_port *port,
				 bool same_boot),
		     void *userdata)
{
	static const char sql[] =
		"SELECT path, wish, timeout_code, held, flapping, boot_id, losses, link_taken"
		" FROM ports ORDER BY path";
	sqlite3_stmt *s;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, sql, &s);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct iso_restore_port port = {
			.range = column_id(s, 2),
			.held = sqlite3_column_int(s, 3),
			.flapping = sqlite3_column_int(s, 4),
			.link_taken = sqlite3_column_int(s, 7),
		};
		char wish[STORE_KIND_BYTES];

		store_column_text(s, 0, port.path, sizeof(port.path));
		read_losses(s, 6, &port);
		store_column_text(s, 1, wish, sizeof(wish));
		if (!store_value_of(iso_arm_wish_name, ISO_ARM_WISHES, wish, &port.wish))
			r = -EUCLEAN;
		else
			r = each(userdata, &port, column_same_boot(store, s, 5));
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}

int store_load_incidents(struct store *store,
			 int (*each)(void *userdata, const struct iso_restore_incident *incident,
				     bool same_boot),
			 void *userdata)
{
	static const char sql[] =
		"SELECT id, cause, unit, record_ns, contained_ns, capacity_before_bytes, boot_id,"
		" detected_ns, killed, exited, records, held_port, hold_cause = 'flapping', synthetic FROM incidents WHERE open ORDER BY id";
	sqlite3_stmt *s;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, sql, &s);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct iso_restore_incident incident = {
			.id = (uint64_t)sqlite3_column_int64(s, 0),
			.record_ns = (uint64_t)sqlite3_column_int64(s, 3),
			.contained_ns = (uint64_t)sqlite3_column_int64(s, 4),
			.capacity_before_bytes = (uint64_t)sqlite3_column_int64(s, 5),
			.detected_ns = (uint64_t)sqlite3_column_int64(s, 7),
			.n_killed = (uint32_t)sqlite3_column_int64(s, 8),
			.n_exited = (uint32_t)sqlite3_column_int64(s, 9),
			.n_records = (uint32_t)sqlite3_column_int64(s, 10),
			.held_flapping = sqlite3_column_int(s, 12),
			.synthetic = sqlite3_column_int(s, 13),
			.open = true,
		};
		char cause[STORE_KIND_BYTES];

		store_column_text(s, 1, cause, sizeof(cause));
		store_column_text(s, 2, incident.unit, sizeof(incident.unit));
		store_column_text(s, 11, incident.held_port, sizeof(incident.held_port));
		if (!store_value_of(iso_cause_name, ISO_CAUSE_POISON + 1, cause, &incident.cause))
			r = -EUCLEAN;
		else
			r = each(userdata, &incident, column_same_boot(store, s, 6));
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}

int store_load_intents(struct store *store,
		       int (*each)(void *userdata, const struct store_intent *intent,
				   bool same_boot),
		       void *userdata)
{
	/* An intent is settled by any later one about the same object. */
	static const char sql[] =
		"SELECT operation, kind, object, epoch, boot_id FROM intents AS i"
		" WHERE state = 'open' AND NOT EXISTS (SELECT 1 FROM intents AS later"
		"  WHERE later.object = i.object AND later.id > i.id) ORDER BY id";
	sqlite3_stmt *s;
	int code = SQLITE_DONE, r;

	r = store_load_begin(store, sql, &s);
	if (r != 0)
		return r < 0 ? r : 0;
	while (r == 0 && (code = sqlite3_step(s)) == SQLITE_ROW) {
		struct store_intent intent = {
			.operation = (uint64_t)sqlite3_column_int64(s, 0),
			.epoch = (uint32_t)sqlite3_column_int64(s, 3),
		};
		char kind[STORE_KIND_BYTES];

		store_column_text(s, 1, kind, sizeof(kind));
		store_column_text(s, 2, intent.object, sizeof(intent.object));
		if (!store_value_of(iso_effect_name, ISO_EFFECT_KINDS, kind, &intent.kind))
			r = -EUCLEAN;
		else
			r = each(userdata, &intent, column_same_boot(store, s, 4));
	}
	if (r == 0 && code != SQLITE_DONE)
		r = store_errno(code);
	sqlite3_finalize(s);
	return r;
}

int store_load_last_incident(struct store *store, uint64_t *ret_id)
{
	sqlite3_stmt *statement;
	int code, r;

	r = store_load_begin(store, "SELECT coalesce(max(id), 0) FROM incidents", &statement);
	if (r != 0)
		return r < 0 ? r : 0;
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*ret_id = (uint64_t)sqlite3_column_int64(statement, 0);
	else
		r = store_errno(code);
	sqlite3_finalize(statement);
	return r;
}

static int ignore_region(void *userdata, const struct iso_restore_region *region, bool same_boot)
{
	(void)userdata;
	(void)region;
	(void)same_boot;
	return 0;
}

static int ignore_lease(void *userdata, const struct iso_restore_lease *lease, bool same_boot)
{
	(void)userdata;
	(void)lease;
	(void)same_boot;
	return 0;
}

static int ignore_port(void *userdata, const struct iso_restore_port *port, bool same_boot)
{
	(void)userdata;
	(void)port;
	(void)same_boot;
	return 0;
}

static int ignore_incident(void *userdata, const struct iso_restore_incident *incident,
			   bool same_boot)
{
	(void)userdata;
	(void)incident;
	(void)same_boot;
	return 0;
}

static int ignore_intent(void *userdata, const struct store_intent *intent, bool same_boot)
{
	(void)userdata;
	(void)intent;
	(void)same_boot;
	return 0;
}

static int ignore_poison(void *userdata, const struct iso_restore_poison *poison)
{
	(void)userdata;
	(void)poison;
	return 0;
}

int store_load_check(struct store *store)
{
	uint64_t last;
	int r;

	if ((r = store_load_last_incident(store, &last)) < 0 ||
	    (r = store_load_regions(store, ignore_region, NULL)) < 0 ||
	    (r = store_load_ports(store, ignore_port, NULL)) < 0 ||
	    (r = store_load_incidents(store, ignore_incident, NULL)) < 0 ||
	    (r = store_load_leases(store, ignore_lease, NULL)) < 0 ||
	    (r = store_load_intents(store, ignore_intent, NULL)) < 0 ||
	    (r = store_load_poison(store, ignore_poison, NULL)) < 0)
		return r;
	return 0;
}
