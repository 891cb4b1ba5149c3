/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sources that have to be asked: AER counters, device health, what an earlier
 * boot left. Workers read, because sysfs and a device's mailbox may keep them
 * waiting; here what they read is compared with what was told before.
 *
 * What was told before stands in the records themselves: a start reads the
 * newest of each, so that nothing is told twice and nothing is lost when the
 * daemon dies between a reading and its record.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "reading_file.h"
#include "records.h"
#include "source/aer_counters_decode.h"
#include "sources_internal.h"

enum {
	COUNTERS_USEC = 60 * 1000 * 1000,
	HEALTH_USEC = 300 * 1000 * 1000,
	LAST_BOOT_AGAIN_USEC = 60 * 1000 * 1000, /* systemd-pstore may just be at it */
	HURRY_USEC = 1000 * 1000,
	FIRST_USEC = 2 * 1000 * 1000,
	TOLD_MAX = 65536,
	LAST_BOOT_LOOKS = 2,
};

static const uint64_t poll_ns_max = UINT64_C(20000000000);

/* What was told last of one counter, one device's health or one saved panic. */
struct told {
	uint32_t id; /* enum source_id */
	uint32_t round; /* AER counters: seen in that reading */
	char unit[READING_UNIT_BYTES];
	char name[READING_NAME_BYTES];
	uint64_t value;
	char text[ISO_TEXT_BYTES];
};

struct poll {
	sd_event_source *timer;
	bool waiting; /* for its worker */
};

struct polled_sources {
	struct told *told;
	uint32_t n_told, room;
	uint32_t round;
	uint32_t last_boot_looks;
	struct poll polls[SOURCES];
};

static struct told *find_told(struct polled_sources *polled, enum source_id id, const char *unit,
			      const char *name)
{
	for (uint32_t i = 0; i < polled->n_told; i++) {
		struct told *told = &polled->told[i];

		if (told->id == id && !strcmp(told->unit, unit) && !strcmp(told->name, name))
			return told;
	}
	return NULL;
}

/* Finds or adds. Return: NULL when there is no room. */
static struct told *get_told(struct polled_sources *polled, enum source_id id, const char *unit,
			     const char *name)
{
	struct told *told = find_told(polled, id, unit, name);

	if (told)
		return told;
	if (polled->n_told == polled->room) {
		uint32_t room = polled->room ? 2 * polled->room : 64;
		struct told *more =
			room > TOLD_MAX ? NULL : reallocarray(polled->told, room, sizeof(*more));

		if (!more)
			return NULL;
		polled->told = more;
		polled->room = room;
	}
	told = &polled->told[polled->n_told++];
	*told = (struct told){.id = id};
	snprintf(told->unit, sizeof(told->unit), "%s", unit);
	snprintf(told->name, sizeof(told->name), "%s", name);
	return told;
}

/* Names of memory devices change from start to start, serial numbers do not. */
static void name_device(bool has_serial, uint64_t serial, const char *name,
			char ret[READING_UNIT_BYTES])
{
	if (has_serial)
		snprintf(ret, READING_UNIT_BYTES, "0x%" PRIx64, serial);
	else
		snprintf(ret, READING_UNIT_BYTES, "%.*s", READING_UNIT_BYTES - 1, name);
}

/* ---- what earlier runs told ---- */

static uint64_t number_of(sd_json_variant *fields, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(fields, key);

	return sd_json_variant_is_unsigned(value) ? sd_json_variant_unsigned(value) : 0;
}

static const char *text_of(sd_json_variant *fields, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(fields, key);

	return sd_json_variant_is_string(value) ? sd_json_variant_string(value) : "";
}

static int on_told(void *userdata, const struct store_told *row)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *fields = NULL;
	enum source_id id = source_find(row->source);
	struct daemon *daemon = userdata;
	char device[READING_UNIT_BYTES];
	const char *unit = row->unit;
	struct told *told;

	if (id == SOURCE_ISOLATION)
		isolation_watch_told(daemon->isolation, row);
	if (id == SOURCE_ISOLATION || (!row->same_boot && id != SOURCE_LAST_BOOT))
		return 0;
	if (sd_json_parse(row->fields, 0, &fields, NULL, NULL) < 0)
		return 0;
	if (id == SOURCE_DEVICE_HEALTH) {
		name_device(row->has_serial, row->serial, row->unit, device);
		unit = device;
	}
	told = get_told(daemon->polled, id, id == SOURCE_LAST_BOOT ? "" : unit,
			id == SOURCE_DEVICE_HEALTH ? "" : text_of(fields, "name"));
	if (!told)
		return -ENOBUFS;
	told->value = number_of(fields, "value");
	snprintf(told->text, sizeof(told->text), "%s", row->text);
	return 0;
}

static void load_told(struct daemon *daemon)
{
	if (store_load_told(daemon->store, on_told, daemon) < 0)
		log_line(LOG_WARNING,
			 "what counters, devices and root ports told before cannot be read: it may "
			 "be told again");
}

/* ---- AER counters ---- */

static uint32_t counter_severity(const char *name)
{
	if (strstr(name, "nonfatal."))
		return STORE_ERROR;
	return strstr(name, "fatal") ? STORE_ERROR : STORE_WARNING;
}

static void tell_counter(struct daemon *daemon, const struct reading *reading, uint64_t growth)
{
	struct store_event stored = {.at_ns = clock_boottime_ns()};
	sd_json_variant *object = NULL;
	_cleanup_free_ char *fields = NULL;
	const char *dot = strchr(reading->name, '.');

	snprintf(stored.source, sizeof(stored.source), "%s", source_name(SOURCE_AER_COUNTERS));
	snprintf(stored.kind, sizeof(stored.kind), "%.*s",
		 dot ? (int)(dot - reading->name) : STORE_KIND_BYTES - 1, reading->name);
	snprintf(stored.unit, sizeof(stored.unit), "%s", reading->unit);
	snprintf(stored.text, sizeof(stored.text), "%s: %" PRIu64 " more, %" PRIu64 " in all",
		 reading->name, growth, reading->value);
	stored.severity = counter_severity(reading->name);
	stored.serial = reading->serial;
	stored.has_serial = reading->has_serial;
	sd_json_buildo(&object, SD_JSON_BUILD_PAIR_STRING("name", reading->name),
		       SD_JSON_BUILD_PAIR_UNSIGNED("growth", growth),
		       SD_JSON_BUILD_PAIR_UNSIGNED("value", reading->value));
	fields = sources_fields(object);
	stored.fields = fields;
	records_take(daemon, &stored);
}

static void take_counters(struct daemon *daemon, const struct reading_file *file)
{
	struct polled_sources *polled = daemon->polled;

	polled->round++;
	for (uint32_t i = 0; i < file->n; i++) {
		const struct reading *reading = &file->readings[i];
		struct told *told =
			get_told(polled, SOURCE_AER_COUNTERS, reading->unit, reading->name);
		uint64_t growth;

		if (!told) {
			sources_gap(daemon, SOURCE_AER_COUNTERS, 0, "more counters than are kept");
			break;
		}
		told->round = polled->round;
		growth = aer_counter_growth(told->value, reading->value);
		told->value = reading->value;
		if (growth)
			tell_counter(daemon, reading, growth);
	}
	/* What is nothing is not read: the device has gone, or is a new one. */
	for (uint32_t i = 0; i < polled->n_told; i++)
		if (polled->told[i].id == SOURCE_AER_COUNTERS &&
		    polled->told[i].round != polled->round)
			polled->told[i].value = 0;
}

/* ---- device health ---- */

static void add_words(char *text, size_t room, const char *format, const char *words,
		      uint64_t value)
{
	size_t length = strlen(text);

	if (length && length + 2 < room)
		length += (size_t)snprintf(text + length, room - length, ", ");
	if (length < room)
		snprintf(text + length, room - length, format, words, value);
}

/* What one device says of itself, in the same words as long as it means the same. Return: severity. */
static uint32_t health_words(const struct reading *readings, uint32_t n, char text[ISO_TEXT_BYTES])
{
	uint32_t severity = STORE_INFO;

	text[0] = '\0';
	for (uint32_t i = 0; i < n; i++) {
		const char *name = readings[i].name;
		uint64_t value = readings[i].value;

		if (!strncmp(name, "flag.", 5)) {
			if (!value)
				continue;
			add_words(text, ISO_TEXT_BYTES, "%s", name + 5, 0);
			if (severity < STORE_WARNING)
				severity = STORE_WARNING;
			if (strstr(name, "critical") || strstr(name, "lost") ||
			    strstr(name, "imminent") || strstr(name, "not-ready"))
				severity = STORE_ERROR;
		} else if (!strcmp(name, "life-used")) {
			if (value >= 10)
				add_words(text, ISO_TEXT_BYTES, "%s at least %" PRIu64 " %%", name,
					  value / 10 * 10);
		} else if (strcmp(name, "temperature") && value) {
			add_words(text, ISO_TEXT_BYTES, "%s %" PRIu64, name, value);
		}
	}
	if (!text[0])
		snprintf(text, ISO_TEXT_BYTES, "normal");
	return severity;
}

/*
 * A record of other words than before; that it is still so is news for health
 * alone, which may not have heard them.
 */
static void tell_health(struct daemon *daemon, const struct reading *readings, uint32_t n,
			const char *text, uint32_t severity, bool same)
{
	struct store_event stored = {.at_ns = clock_boottime_ns(), .severity = severity};
	_cleanup_free_ char *fields = NULL;
	sd_json_variant *object = NULL;

	snprintf(stored.source, sizeof(stored.source), "%s", source_name(SOURCE_DEVICE_HEALTH));
	snprintf(stored.kind, sizeof(stored.kind), "health");
	snprintf(stored.unit, sizeof(stored.unit), "%s", readings->unit);
	snprintf(stored.text, sizeof(stored.text), "%s", text);
	stored.serial = readings->serial;
	stored.has_serial = readings->has_serial;
	if (same) {
		health_source_take(daemon, &stored);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		sd_json_variant_set_field_unsigned(&object, readings[i].name, readings[i].value);
	fields = sources_fields(object);
	stored.fields = fields;
	records_take(daemon, &stored);
}

static void take_health(struct daemon *daemon, const struct reading_file *file)
{
	uint32_t i, n;

	for (i = 0; i < file->n; i += n) {
		const struct reading *of = &file->readings[i];
		char text[ISO_TEXT_BYTES], device[READING_UNIT_BYTES];
		struct told *told;
		uint32_t severity;
		bool same;

		name_device(of->has_serial, of->serial, of->unit, device);
		told = get_told(daemon->polled, SOURCE_DEVICE_HEALTH, device, "");
		for (n = 1; i + n < file->n && !strcmp(of[n].unit, of->unit); n++)
			;
		severity = health_words(of, n, text);
		/* A device that is well is not told of before it was anything else. */
		same = !told || !strcmp(told->text, text) ||
		       (!told->text[0] && severity == STORE_INFO);
		tell_health(daemon, of, n, text, severity, same);
		if (told)
			snprintf(told->text, sizeof(told->text), "%s", text);
	}
}

/* ---- the last boot ---- */

static void tell_panic(struct daemon *daemon, const struct saved_panic *saved, const char *key)
{
	struct store_event stored = {.at_ns = clock_boottime_ns()};
	_cleanup_free_ char *fields = NULL;
	sd_json_variant *object = NULL;

	snprintf(stored.source, sizeof(stored.source), "%s", source_name(SOURCE_LAST_BOOT));
	snprintf(stored.kind, sizeof(stored.kind), "%s", saved->panic.panic ? "panic" : "oops");
	snprintf(stored.text, sizeof(stored.text), "an earlier boot ended in %s%s%s: %.100s",
		 saved->panic.panic ? "a panic" : "an oops",
		 saved->panic.cxl ? ", CXL involved" : "",
		 saved->panic.machine_check ? ", machine check" : "", saved->panic.text);
	stored.severity = saved->panic.panic ? STORE_FATAL : STORE_ERROR;
	stored.raw = saved->excerpt;
	stored.raw_bytes = saved->excerpt_bytes;
	sd_json_buildo(&object, SD_JSON_BUILD_PAIR_STRING("name", key),
		       SD_JSON_BUILD_PAIR_STRING("file", saved->file),
		       SD_JSON_BUILD_PAIR_UNSIGNED("modifiedUs", saved->modified_us),
		       SD_JSON_BUILD_PAIR_STRING("reason", saved->panic.text),
		       SD_JSON_BUILD_PAIR_STRING("function", saved->panic.function),
		       SD_JSON_BUILD_PAIR_BOOLEAN("panic", saved->panic.panic),
		       SD_JSON_BUILD_PAIR_BOOLEAN("cxl", saved->panic.cxl),
		       SD_JSON_BUILD_PAIR_BOOLEAN("machineCheck", saved->panic.machine_check));
	fields = sources_fields(object);
	stored.fields = fields;
	log_line(LOG_WARNING, "%s (%s)", stored.text, saved->file);
	records_take(daemon, &stored);
}

static void take_panics(struct daemon *daemon, const struct reading_file *file)
{
	for (uint32_t i = 0; i < file->n; i++) {
		char key[24];

		snprintf(key, sizeof(key), "0x%016" PRIx64, file->panics[i].panic.key);
		if (find_told(daemon->polled, SOURCE_LAST_BOOT, "", key))
			continue;
		if (get_told(daemon->polled, SOURCE_LAST_BOOT, "", key))
			tell_panic(daemon, &file->panics[i], key);
	}
}

/* ---- asking ---- */

static enum source_id source_of_job(uint32_t kind)
{
	switch (kind) {
	case JOB_AER_COUNTERS:
		return SOURCE_AER_COUNTERS;
	case JOB_DEVICE_HEALTH:
		return SOURCE_DEVICE_HEALTH;
	case JOB_LAST_BOOT:
		return SOURCE_LAST_BOOT;
	default:
		return SOURCES;
	}
}

static void ask(struct daemon *daemon, enum source_id id)
{
	struct job_request request = {.deadline_ns = clock_boottime_ns() + poll_ns_max};
	struct poll *poll = &daemon->polled->polls[id];

	request.kind = id == SOURCE_AER_COUNTERS    ? JOB_AER_COUNTERS
		       : id == SOURCE_DEVICE_HEALTH ? JOB_DEVICE_HEALTH
						    : JOB_LAST_BOOT;
	if (!poll->waiting &&
	    worker_pool_submit(daemon->workers, LANE_SOURCES + (uint32_t)id, &request) == 0)
		poll->waiting = true;
}

static int on_time(struct daemon *daemon, sd_event_source *timer, enum source_id id,
		   uint64_t next_usec)
{
	ask(daemon, id);
	if (!next_usec)
		return 0;
	sd_event_source_set_time_relative(timer, next_usec);
	return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static int on_counters_time(sd_event_source *timer, uint64_t usec, void *userdata)
{
	(void)usec;
	return on_time(userdata, timer, SOURCE_AER_COUNTERS, COUNTERS_USEC);
}

static int on_health_time(sd_event_source *timer, uint64_t usec, void *userdata)
{
	(void)usec;
	return on_time(userdata, timer, SOURCE_DEVICE_HEALTH, HEALTH_USEC);
}

static int on_last_boot_time(sd_event_source *timer, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;
	bool again = ++daemon->polled->last_boot_looks < LAST_BOOT_LOOKS;

	(void)usec;
	return on_time(daemon, timer, SOURCE_LAST_BOOT, again ? LAST_BOOT_AGAIN_USEC : 0);
}

bool polled_sources_done(struct daemon *daemon, const struct job_reply *reply, int fd)
{
	enum source_id id = source_of_job(reply->kind);
	struct reading_file file = READING_FILE_NULL;
	int r = reply->completion.result;

	if (id == SOURCES || !daemon->polled)
		return false;
	daemon->polled->polls[id].waiting = false;
	source_read(&daemon->sources, id, clock_boottime_ns());
	if (r == 0)
		r = reading_file_open(fd, &file);
	if (r < 0) {
		source_not(&daemon->sources, id, source_condition_of(r), "%s",
			   reply->completion.message[0] ? reply->completion.message : strerror(-r));
		return true;
	}
	source_ok(&daemon->sources, id);
	if (id == SOURCE_AER_COUNTERS && file.readings)
		take_counters(daemon, &file);
	else if (id == SOURCE_DEVICE_HEALTH && file.readings)
		take_health(daemon, &file);
	else if (id == SOURCE_LAST_BOOT && file.panics)
		take_panics(daemon, &file);
	reading_file_close(&file);
	return true;
}

void polled_sources_hurry(struct daemon *daemon)
{
	sd_event_source *timer = daemon->polled ? daemon->polled->polls[SOURCE_AER_COUNTERS].timer
						: NULL;

	if (!timer)
		return;
	sd_event_source_set_time_relative(timer, HURRY_USEC);
	sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void start_poll(struct daemon *daemon, enum source_id id, sd_event_time_handler_t handler)
{
	/* Not before somebody has looked: what is missing is said then. */
	source_ok(&daemon->sources, id);
	sd_event_add_time_relative(daemon->event, &daemon->polled->polls[id].timer, CLOCK_BOOTTIME,
				   FIRST_USEC, 0, handler, daemon);
}

void polled_sources_open(struct daemon *daemon)
{
	const struct config *config = daemon->config;

	daemon->polled = calloc(1, sizeof(*daemon->polled));
	if (!daemon->polled)
		return;
	load_told(daemon);
	if (config->source_aer_counters)
		start_poll(daemon, SOURCE_AER_COUNTERS, on_counters_time);
	if (config->source_device_health)
		start_poll(daemon, SOURCE_DEVICE_HEALTH, on_health_time);
	if (config->source_last_boot)
		start_poll(daemon, SOURCE_LAST_BOOT, on_last_boot_time);
}

void polled_sources_close(struct daemon *daemon)
{
	if (!daemon->polled)
		return;
	for (unsigned int i = 0; i < SOURCES; i++)
		sd_event_source_disable_unref(daemon->polled->polls[i].timer);
	free(daemon->polled->told);
	free(daemon->polled);
	daemon->polled = NULL;
}
