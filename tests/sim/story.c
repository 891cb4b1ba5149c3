/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stories: what is played (story_plays.c) is told as text, and the text has to
 * be that of the file. What was changed is read as a difference by whoever
 * reviews it, and then written with --update.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

enum { PATH_BYTES = 256 };

static void tell_domains(const struct scenario *s)
{
	struct world *w = s->w;
	uint32_t i;

	for (i = 0; i < s->n_root_ports; i++) {
		const char *reason = world_reason(w, s->root_ports[i]);

		world_trace(w, "  port %s: %s%s%s\n", w->ports[s->root_ports[i]].path,
			    iso_domain_state_name(world_domain(w, s->root_ports[i])),
			    reason[0] ? ": " : "", reason);
	}
}

static void tell_region(struct world *w, const struct iso_region_view *region)
{
	uint32_t i;

	world_trace(w, "  region %s: %s, on", region->definition->name,
		    iso_region_state_name(region->state));
	for (i = 0; i < region->definition->ways; i++)
		world_trace(w, " memdev %#llx%s",
			    (unsigned long long)region->definition->serials[i],
			    i + 1 < region->definition->ways ? " and" : "\n");
}

static void tell_lease(struct world *w, const struct iso_lease_view *lease)
{
	struct iso_instance_view instance;
	struct iso_region_view region;
	uint32_t i;

	world_trace(w, "  VM %s: %s", lease->terms->name, iso_lease_state_name(lease->state));
	if (lease->pid)
		world_trace(w, ", process %d", lease->pid);
	for (i = 0; i < lease->n_instances; i++)
		if (iso_instance_get(w->engine, lease->instances[i], &instance) && instance.named &&
		    iso_region_get(w->engine, instance.region, &region))
			world_trace(w, ", dax%u.%u of region %s", instance.region_kernel_id,
				    instance.kernel_id, region.definition->name);
	world_trace(w, "%s%s\n", lease->waits_for[0] ? "; waits for " : "", lease->waits_for);
}

static void tell_incident(struct world *w, const struct iso_incident_view *incident)
{
	world_trace(w, "  incident %llu: %s, %s: %u killed", (unsigned long long)incident->id,
		    incident->unit, iso_cause_name(incident->cause), incident->n_killed);
	if (incident->contained_ns)
		world_trace(w, ", contained after %llu ms",
			    (unsigned long long)(incident->contained_ns - incident->detected_ns) /
				    WORLD_MS);
	if (incident->recovered_ns)
		world_trace(w, ", recovered after %llu ms",
			    (unsigned long long)(incident->recovered_ns - incident->detected_ns) /
				    WORLD_MS);
	world_trace(w, "%s\n", incident->open ? ", open" : "");
}

void story_status(struct scenario *s, const char *when)
{
	struct iso_incident_view incident;
	struct iso_region_view region;
	struct iso_lease_view lease;
	struct world *w = s->w;
	uint32_t i;

	world_trace(w, "\n%s\n", when);
	tell_domains(s);
	for (i = 0; i < iso_region_count(w->engine); i++)
		if (iso_region_get(w->engine, i, &region))
			tell_region(w, &region);
	for (i = 0; i < iso_lease_count(w->engine); i++)
		if (iso_lease_get(w->engine, i, &lease))
			tell_lease(w, &lease);
	for (i = 0; i < iso_incident_count(w->engine); i++)
		if (iso_incident_get(w->engine, i, &incident))
			tell_incident(w, &incident);
	world_trace(w, "\n");
	w->story_told_ns = 0;
	w->story_told[0] = '\0';
}

/* Return: the story's text, or NULL when it broke something, which was said. */
static char *text_of(const struct story *story, struct sim_totals *totals)
{
	struct scenario s = {.name = story->name};
	char *text = NULL;

	s.w = world_new();
	s.tenants.w = s.w;
	s.w->silent = true;
	s.w->unbind_ns = 30 * WORLD_MS;
	s.w->uevent_ns = 0; /* a text must not change with what else is under way */
	world_trace(s.w, "%s\n\n%s", story->title, story->about);
	story->play(&s);
	story_status(&s, "In the end:");
	if (!s.w->broken[0])
		liveness_check_victims(s.w);
	if (s.w->broken[0])
		fprintf(stderr, "%s\nstory %s: %s\n", s.w->trace, story->name, s.w->broken);
	else
		text = strdup(s.w->trace);
	sim_count(totals, s.w);
	world_close(s.w);
	return text;
}

/* Return: whether the file holds exactly this. */
static bool is_text_of(const char *path, const char *text)
{
	size_t n, length = strlen(text);
	FILE *file = fopen(path, "re");
	char *held;

	if (!file)
		return false;
	held = malloc(length + 2);
	n = fread(held, 1, length + 1, file);
	fclose(file);
	n = n == length && !memcmp(held, text, length);
	free(held);
	return n;
}

static bool write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	bool well;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	well = fputs(text, file) >= 0;
	return fclose(file) == 0 && well;
}

/* As a person reads it best: with diff(1). */
static void show_difference(const char *path, const char *text)
{
	char told[] = "/tmp/story-XXXXXX", command[2 * PATH_BYTES + 80];
	int fd = mkstemp(told);

	if (fd < 0)
		return;
	close(fd);
	if (write_text(told, text)) {
		snprintf(command, sizeof(command), "diff -uN --label '%s' --label played '%s' '%s'",
			 path, path, told);
		fflush(NULL);
		if (system(command) < 0)
			fprintf(stderr, "%s is told otherwise, and diff cannot be run\n", path);
	}
	unlink(told);
}

static bool run_one(const struct story *story, const struct story_options *options,
		    struct sim_totals *totals)
{
	char path[PATH_BYTES], *text = text_of(story, totals);
	bool well = text != NULL;

	snprintf(path, sizeof(path), "%s/%s.txt", options->directory, story->name);
	if (well && !is_text_of(path, text)) {
		show_difference(path, text);
		well = options->update && write_text(path, text);
		printf("story %s: %s\n", story->name, well ? "written" : "is told otherwise");
	} else if (well) {
		printf("story %s: as it is told\n", story->name);
	}
	free(text);
	return well;
}

bool stories_run(const struct story_options *options, struct sim_totals *totals)
{
	const struct story *story;
	bool well = true, any = false;
	uint32_t i;

	for (i = 0; (story = story_get(i)); i++) {
		if (options->name && strcmp(options->name, story->name))
			continue;
		any = true;
		sim_replay_with("--stories", story->name);
		well &= run_one(story, options, totals);
	}
	if (!any)
		fprintf(stderr, "there is no story '%s'\n", options->name);
	return well && any;
}
