/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "state.h"

static void clear_effect(struct iso_effect *effect, uint32_t kind)
{
	*effect = (struct iso_effect){
		.kind = kind,
		.region = ISO_NONE,
		.instance = ISO_NONE,
		.lease = ISO_NONE,
		.port = ISO_NONE,
		.memdev = ISO_NONE,
		.bad = ISO_NONE,
		.fence = ISO_NONE,
		.text = "",
	};
}

void effects_prepare(struct iso_engine *e)
{
	uint32_t others = e->others_room - OTHERS_PER_LEASE * e->limits.leases;
	uint32_t texts = e->texts_room - TEXTS_PER_LEASE * e->limits.leases;

	memset(e->others, 0, others * sizeof(e->others[0]));
	memset(&e->others[e->others_room - 1], 0, sizeof(e->others[0]));
	memset(e->texts, 0, texts * sizeof(e->texts[0]));
}

/* Only places that this step has not filled: they are there already. */
void effects_reserve(struct iso_engine *e, uint32_t l)
{
	uint32_t left = e->limits.leases - l;
	uint32_t other = e->others_room - OTHERS_PER_LEASE * left, i;
	uint32_t text = e->texts_room - TEXTS_PER_LEASE * left;

	if (l >= e->n_kills)
		memset(&e->kills[l], 0, sizeof(e->kills[l]));
	for (i = other; i < other + OTHERS_PER_LEASE; i++)
		if (i >= e->n_others)
			memset(&e->others[i], 0, sizeof(e->others[i]));
	for (i = text; i < text + TEXTS_PER_LEASE; i++)
		if (i >= e->n_texts)
			memset(e->texts[i], 0, sizeof(e->texts[i]));
}

struct iso_effect *emit(struct iso_engine *e, uint32_t kind)
{
	struct iso_effect *effect;

	assert(kind != ISO_EFFECT_KILL);
	/* The last slot takes what finds no room, so that callers need no second path. */
	if (e->n_others + 1 >= e->others_room) {
		e->n_dropped++;
		effect = &e->others[e->others_room - 1];
	} else {
		effect = &e->others[e->n_others++];
	}
	clear_effect(effect, kind);
	effect->at_ns = e->now_ns;
	return effect;
}

void emit_kill(struct iso_engine *e, uint32_t lease)
{
	struct iso_effect *effect;

	/* One per lease and step: a lease is killed on entering KILLED and not again. */
	assert(e->n_kills < e->kills_room);
	effect = &e->kills[e->n_kills++];
	clear_effect(effect, ISO_EFFECT_KILL);
	effect->lease = lease;
	effect->lease_epoch = e->leases[lease].epoch;
	effect->incident = e->leases[lease].incident;
	effect->at_ns = e->now_ns;
}

/* Room for one line that lives until the next step, or NULL. */
static char *take_text(struct iso_engine *e)
{
	return e->n_texts < e->texts_room ? e->texts[e->n_texts++] : NULL;
}

static const char no_room[] = "(no room for the text in this step)";

static const char *keep_text(struct iso_engine *e, const char *text)
{
	char *to;

	if (!text || !*text)
		return "";
	to = take_text(e);
	if (!to)
		return no_room;
	copy_text(to, ISO_TEXT_BYTES, text);
	return to;
}

void emit_reply(struct iso_engine *e, uint64_t request, enum iso_reply reply, uint32_t lease,
		uint32_t region, const char *text)
{
	struct iso_effect *effect;

	if (!request)
		return;
	effect = emit(e, ISO_EFFECT_REPLY);
	effect->request = request;
	effect->reply = reply;
	effect->lease = lease;
	effect->region = region;
	if (lease != ISO_NONE)
		effect->lease_epoch = e->leases[lease].epoch;
	effect->text = keep_text(e, text);
}

void emit_save_lease(struct iso_engine *e, uint32_t lease)
{
	struct iso_effect *effect;

	/* The store reads the lease as it stands at the end of the step: once is enough. */
	if (e->leases[lease].saved_step == e->step)
		return;
	e->leases[lease].saved_step = e->step;
	effect = emit(e, ISO_EFFECT_SAVE_LEASE);
	effect->lease = lease;
	effect->lease_epoch = e->leases[lease].epoch;
	effect->text = e->leases[lease].terms.name; /* stays there, also of one that ended */
}

void emit_save_region(struct iso_engine *e, uint32_t region)
{
	struct iso_effect *effect = emit(e, ISO_EFFECT_SAVE_REGION);

	effect->region = region;
	effect->text = e->regions[region].definition.name;
}

void emit_save_incident(struct iso_engine *e, const struct incident *incident)
{
	struct iso_effect *effect = emit(e, ISO_EFFECT_SAVE_INCIDENT);

	effect->incident = incident->id;
}

void emit_save_port(struct iso_engine *e, uint32_t port)
{
	struct iso_effect *effect = emit(e, ISO_EFFECT_SAVE_PORT);

	effect->port = port;
}

/* What runs and what is begun share the table of operations, so that there is room for both. */
void emit_abandon(struct iso_engine *e, uint64_t operation)
{
	emit(e, ISO_EFFECT_ABANDON)->abandoned = operation;
}

struct iso_effect *emit_note(struct iso_engine *e, enum iso_note_kind kind, uint64_t incident,
			     const char *format, ...)
{
	struct iso_effect *effect = emit(e, ISO_EFFECT_NOTE);
	char *text = take_text(e);
	va_list arguments;

	effect->note = kind;
	effect->incident = incident;
	effect->text = text ? text : no_room;
	if (text) {
		va_start(arguments, format);
		vsnprintf(text, ISO_TEXT_BYTES, format, arguments);
		va_end(arguments);
	}
	return effect;
}
