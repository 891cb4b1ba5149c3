/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is written down of a run: every note, and for a story also what became
 * of the host and what the engine asks of it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "world.h"

enum {
	WHO_COLUMN = 12,
	TEXT_COLUMN = 20,
	WIDTH = 112,
};

void world_trace(struct world *w, const char *format, ...)
{
	size_t room = WORLD_TRACE_BYTES - w->trace_length;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(w->trace + w->trace_length, room, format, arguments);
	va_end(arguments);
	if ((size_t)n < room)
		w->trace_length += n;
}

/* One line, or several when it is long: the next ones begin below its text. */
static void trace_wrapped(struct world *w, const char *text)
{
	const size_t most = WIDTH - TEXT_COLUMN;
	size_t length = strlen(text), cut;

	while (length > most) {
		for (cut = most; cut && text[cut] != ' '; cut--)
			;
		if (!cut)
			break;
		world_trace(w, "%.*s\n%*s", (int)cut, text, TEXT_COLUMN, "");
		text += cut + 1;
		length -= cut + 1;
	}
	world_trace(w, "%s\n", text);
}

/* The time is written where it is another one than in the line before. */
static void trace_time(struct world *w)
{
	uint64_t ms = (w->now_ns - w->story_ns) / WORLD_MS;

	if (w->story_told_ns == w->now_ns)
		world_trace(w, "%*s", WHO_COLUMN, "");
	else
		world_trace(w, "%6llu.%03llu  ", (unsigned long long)ms / 1000,
			    (unsigned long long)ms % 1000);
	w->story_told_ns = w->now_ns;
}

void world_tell(struct world *w, const char *who, const char *format, ...)
{
	char text[sizeof(w->story_told)];
	va_list arguments;

	if (!w->story_ns)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* What is tried again and again, and comes to nothing new, is told once. */
	if (!strcmp(text, w->story_told))
		return;
	strcpy(w->story_told, text);
	trace_time(w);
	world_trace(w, "%-*s", TEXT_COLUMN - WHO_COLUMN, who);
	trace_wrapped(w, text);
}

void world_tell_note(struct world *w, const struct iso_effect *effect)
{
	if (w->story_ns)
		world_tell(w, "says", "%s", effect->text);
	else
		world_trace(w, "%6llu %s: %s\n", (unsigned long long)(w->now_ns / WORLD_MS),
			    iso_note_name(effect->note), effect->text);
}

/* --- what the engine asks for --------------------------------------------------------------- */

static void name_devices(struct world *w, const struct iso_lease_view *lease, uint32_t parts,
			 char *text, size_t room)
{
	struct iso_instance_view view;
	size_t length = 0;
	uint32_t i;

	text[0] = '\0';
	for (i = 0; i < lease->n_instances; i++)
		if (iso_instance_get(w->engine, lease->instances[i], &view) &&
		    parts & UINT32_C(1) << view.part)
			length += snprintf(text + length, room - length, " dax%u.%u",
					   view.region_kernel_id, view.kernel_id);
}

static void tell_kill(struct world *w, const struct iso_effect *effect)
{
	struct iso_lease_view lease;
	char devices[80];

	if (!iso_lease_get(w->engine, effect->lease, &lease))
		return;
	name_devices(w, &lease, effect->unbinding, devices, sizeof(devices));
	if (effect->unbinding)
		world_tell(w, "engine",
			   "stop %s (process %d), and kill it once the kernel has unbound%s",
			   lease.terms->name, lease.pid, devices);
	else
		world_tell(w, "engine", "kill %s (process %d)", lease.terms->name, lease.pid);
}

static void tell_of_region(struct world *w, const struct iso_effect *effect)
{
	struct iso_region_view view;
	const char *name;

	if (!iso_region_get(w->engine, effect->region, &view))
		return;
	name = view.definition->name;
	if (effect->kind == ISO_EFFECT_CREATE_REGION)
		world_tell(w, "engine", "make region %s", name);
	else if (effect->kind == ISO_EFFECT_REFILL_REGION)
		world_tell(w, "engine", "put the lost legs of region %s back", name);
	else if (effect->kind == ISO_EFFECT_CLEAR_REGION)
		world_tell(w, "engine", "delete what the kernel left of region %s", name);
}

static void tell_of_instance(struct world *w, const struct iso_effect *effect)
{
	struct iso_instance_view view;
	struct iso_region_view region;
	struct iso_lease_view lease;
	bool owned;

	if (!iso_instance_get(w->engine, effect->instance, &view) ||
	    !iso_region_get(w->engine, view.region, &region))
		return;
	owned = iso_lease_get(w->engine, view.lease, &lease);
	if (effect->kind == ISO_EFFECT_CARVE)
		world_tell(w, "engine", "carve %llu MiB of region %s for %s",
			   (unsigned long long)view.bytes >> 20, region.definition->name,
			   owned ? lease.terms->name : "nobody");
	else if (effect->kind == ISO_EFFECT_ZERO)
		world_tell(w, "engine", "write zeroes to all of dax%u.%u", view.region_kernel_id,
			   view.kernel_id);
	else if (effect->kind == ISO_EFFECT_PROVE)
		world_tell(w, "engine", "prove that dax%u.%u is zero", view.region_kernel_id,
			   view.kernel_id);
	else if (effect->kind == ISO_EFFECT_REMOVE)
		world_tell(w, "engine", "remove dax%u.%u", view.region_kernel_id, view.kernel_id);
	else if (effect->kind == ISO_EFFECT_VERIFY)
		world_tell(w, "engine", "look who maps dax%u.%u", view.region_kernel_id,
			   view.kernel_id);
}

static void tell_of_lease(struct world *w, const struct iso_effect *effect)
{
	struct iso_lease_view lease;
	char devices[80];

	if (!iso_lease_get(w->engine, effect->lease, &lease))
		return;
	name_devices(w, &lease, UINT32_MAX, devices, sizeof(devices));
	if (effect->kind == ISO_EFFECT_HAND_OVER)
		world_tell(w, "engine", "give %s its devices:%s", lease.terms->name, devices);
	else if (effect->kind == ISO_EFFECT_RETRACT)
		world_tell(w, "engine", "take the device nodes back from %s", lease.terms->name);
	else if (effect->kind == ISO_EFFECT_VERIFY)
		world_tell(w, "engine", "look who still maps what %s had", lease.terms->name);
	else if (effect->kind == ISO_EFFECT_INSPECT)
		world_tell(w, "engine", "look what process %d pins, which is to be %s",
			   iso_attaching_pid(w->engine, effect->lease), lease.terms->name);
	else if (effect->kind == ISO_EFFECT_REVOKE)
		world_tell(w, "engine",
			   "take the memory of %s from all who map it, if none of them pins",
			   lease.terms->name);
}

static void tell_of_port(struct world *w, const struct iso_effect *effect)
{
	struct iso_port_view view;

	if (!iso_port_get(w->engine, effect->port, &view))
		return;
	world_tell(w, "engine",
		   effect->kind == ISO_EFFECT_DETACH_PORT ? "remove what hangs below port %s"
							  : "look for what hangs below port %s",
		   view.path);
}

static void tell_reply(struct world *w, const struct iso_effect *effect)
{
	const char *text = effect->text ? effect->text : "";
	struct iso_lease_view lease;
	bool named = iso_lease_get(w->engine, effect->lease, &lease);

	if (effect->reply != ISO_REPLY_DONE && effect->request)
		world_tell(w, "answer", "%s%s%s%s%s", named ? lease.terms->name : "",
			   named ? ": " : "", iso_reply_text(effect->reply), text[0] ? ": " : "",
			   text);
}

/* Intents and looks at the host are not worth a line: nothing depends on when they are. */
void world_tell_effect(struct world *w, const struct iso_effect *effect)
{
	if (!w->story_ns)
		return;
	if (effect->kind == ISO_EFFECT_KILL)
		tell_kill(w, effect);
	else if (effect->kind == ISO_EFFECT_REPLY)
		tell_reply(w, effect);
	else if (!effect->operation || effect->kind == ISO_EFFECT_INTENT)
		return;
	else if (effect->region != ISO_NONE)
		tell_of_region(w, effect);
	else if (effect->instance != ISO_NONE)
		tell_of_instance(w, effect);
	else if (effect->lease != ISO_NONE)
		tell_of_lease(w, effect);
	else if (effect->port != ISO_NONE)
		tell_of_port(w, effect);
}
