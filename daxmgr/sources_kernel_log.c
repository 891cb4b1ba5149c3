/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From lines of the kernel's log to records, and to a fault where the kernel
 * says a lost link nowhere else (before 7.0).
 *
 * Each record carries its number in the kernel's log, and the store writes the
 * newest number with it: after a start nothing is told twice. Lines that mean
 * nothing move no mark; how far they were read stands in a file that lives as
 * long as the boot, so that lines which were read are not taken for lost.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "records.h"
#include "source/kernel_log.h"
#include "sources_internal.h"
#include "vms.h"

#define KERNEL_LOG_PATH "/dev/kmsg"
#define POSITION_PATH   "/run/daxmgr/kernel-log"

static const uint64_t late_ns_max = UINT64_C(1000000000);

enum { POSITION_USEC = 10 * 1000 * 1000 };

struct kernel_log_source {
	struct kernel_log *log;
	sd_event_source *timer;
	uint64_t told;      /* number of the last line that became a record */
	uint64_t durable;   /* of the last one that the store has */
	bool has_told, has_durable;
	uint64_t saved;     /* what the file says */
};

/*
 * What the store has, or what was read beyond it and meant nothing, and how far
 * the log's clock is apart (source/kernel_log_clock.h). Return: false when there is neither.
 */
static bool load_position(struct daemon *daemon, uint64_t *ret, int64_t *ret_apart_ns)
{
	char text[64] = "";
	_cleanup_close_ int fd = open(POSITION_PATH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct store_mark mark;
	uint64_t position;
	bool has = !store_load_mark(daemon->store, STORE_LOG_KERNEL, NULL, &mark);

	if (has)
		*ret = mark.page;
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNd64, &position, ret_apart_ns) < 1)
		return has;
	if (!has || position > *ret)
		*ret = position;
	return true;
}

/* /run is memory: nothing waits here. */
static void save_position(struct kernel_log_source *source)
{
	struct kernel_log_report report;
	char text[64];
	int fd, n;

	kernel_log_get_report(source->log, &report);
	/* What became a record is marked by the store, with the record and not before. */
	if (source->has_told && (!source->has_durable || source->durable < source->told))
		return;
	if (!report.read || report.last_sequence == source->saved)
		return;
	fd = open(POSITION_PATH ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return;
	n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRId64 "\n", report.last_sequence,
		     report.apart_ns);
	if (write(fd, text, (size_t)n) == n && rename(POSITION_PATH ".new", POSITION_PATH) == 0)
		source->saved = report.last_sequence;
	close(fd);
}

static int on_save(sd_event_source *timer, uint64_t usec, void *userdata)
{
	struct daemon *daemon = userdata;

	save_position(daemon->kernel_log);
	sd_event_source_set_time(timer, usec + POSITION_USEC);
	return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static uint32_t severity_of(const struct kernel_log_news *news)
{
	switch (news->kind) {
	case KERNEL_LOG_PANIC:
	case KERNEL_LOG_LINK_DOWN:
	case KERNEL_LOG_CARD_GONE:
		return STORE_FATAL;
	case KERNEL_LOG_OOPS:
	case KERNEL_LOG_BUG:
	case KERNEL_LOG_SOFT_LOCKUP:
	case KERNEL_LOG_HARD_LOCKUP:
	case KERNEL_LOG_HUNG_TASK:
	case KERNEL_LOG_MACHINE_CHECK:
	case KERNEL_LOG_MEMORY_FAILURE:
	case KERNEL_LOG_PROCESS_FAULT:
	case KERNEL_LOG_DPC:
		return STORE_ERROR;
	case KERNEL_LOG_AER:
		return news->fatal ? STORE_ERROR : STORE_WARNING;
	default:
		return STORE_WARNING;
	}
}

/* The VM that this process is, or a thread of: faults carry the thread's number. Return: false when it is none. */
static bool find_vm(const struct iso_engine *engine, int32_t pid, char lease[ISO_NAME_BYTES])
{
	struct iso_lease_view view;

	for (uint32_t i = 0, n = iso_lease_count(engine); pid && i < n; i++)
		if (iso_lease_get(engine, i, &view) && view.pid &&
		    (view.pid == pid || vms_is_thread(view.pid, pid))) {
			snprintf(lease, ISO_NAME_BYTES, "%s", view.terms->name);
			return true;
		}
	return false;
}

/* QEMU's own name, and that of its threads where they have names: one that has exited is still told of. */
static bool is_qemu(const char *process)
{
	size_t n = strlen(process);

	return !strncmp(process, "qemu", 4) ||
	       (!strncmp(process, "CPU ", 4) && n > 4 && !strcmp(process + n - 4, "/KVM"));
}

/* A stranger's segmentation fault is nobody's business; one for bad memory is, and so is QEMU's. */
static bool is_of_interest(const struct kernel_log_line *line, bool is_vm)
{
	if (line->news->kind != KERNEL_LOG_PROCESS_FAULT &&
	    line->news->kind != KERNEL_LOG_OUT_OF_MEMORY)
		return true;
	return is_vm || line->news->has_pfn || strstr(line->record->text, "memory corruption") ||
	       is_qemu(line->news->process);
}

static char *build_fields(const struct kernel_log_line *line)
{
	const struct kernel_log_news *news = line->news;
	const struct kernel_log_record *record = line->record;
	sd_json_variant *object = NULL;

	sd_json_buildo(
		&object, SD_JSON_BUILD_PAIR_STRING("message", record->text),
		SD_JSON_BUILD_PAIR_UNSIGNED("level", record->level),
		SD_JSON_BUILD_PAIR_UNSIGNED("sequence", record->sequence),
		SD_JSON_BUILD_PAIR_CONDITION(news->device[0] != '\0', "device",
					     SD_JSON_BUILD_STRING(news->device)),
		SD_JSON_BUILD_PAIR_CONDITION(news->process[0] != '\0', "process",
					     SD_JSON_BUILD_STRING(news->process)),
		SD_JSON_BUILD_PAIR_CONDITION(news->pid > 0, "pid",
					     SD_JSON_BUILD_INTEGER(news->pid)),
		SD_JSON_BUILD_PAIR_CONDITION(news->has_pfn, "pfn",
					     SD_JSON_BUILD_UNSIGNED(news->pfn)),
		SD_JSON_BUILD_PAIR_CONDITION(news->function[0] != '\0', "function",
					     SD_JSON_BUILD_STRING(news->function)),
		SD_JSON_BUILD_PAIR_CONDITION(news->of != KERNEL_LOG_NOTHING, "of",
					     SD_JSON_BUILD_STRING(kernel_log_kind_name(news->of))),
		SD_JSON_BUILD_PAIR_CONDITION(record->cut, "cut", SD_JSON_BUILD_BOOLEAN(true)));
	return sources_fields(object);
}

static void describe(const struct kernel_log_line *line, bool is_vm, struct store_event *ret)
{
	const struct kernel_log_news *news = line->news;

	snprintf(ret->source, sizeof(ret->source), "%s", source_name(SOURCE_KERNEL_LOG));
	snprintf(ret->kind, sizeof(ret->kind), "%s", kernel_log_kind_name(news->kind));
	snprintf(ret->unit, sizeof(ret->unit), "%s", is_vm ? ret->lease : news->device);
	if (news->kind == KERNEL_LOG_STACK)
		snprintf(ret->text, sizeof(ret->text), "%s in %s", kernel_log_kind_name(news->of),
			 news->function);
	else
		snprintf(ret->text, sizeof(ret->text), "%s%.*s",
			 is_vm ? "fatal fault of VM process: " : "", ISO_TEXT_BYTES - 40,
			 line->record->text);
	ret->severity = severity_of(news);
	ret->at_ns = line->read_ns > line->late_ns ? line->read_ns - line->late_ns : 0;
	ret->raw = line->raw;
	ret->raw_bytes = line->raw_bytes;
	ret->log_sequence = line->record->sequence;
	ret->has_log_sequence = true;
	if (news->has_pfn) {
		ret->hpa = news->pfn << 12;
		ret->has_hpa = news->pfn <= UINT64_MAX >> 12;
		ret->bytes = UINT64_C(1) << 12; /* as the trace event of the same page */
	}
}

/*
 * The log's clock is not the engine's to the last microsecond: the fault is of
 * now. A line that was read late may be of a link that is back: that is observed.
 */
static void contain(struct daemon *daemon, const struct kernel_log_line *line)
{
	struct iso_event event = {.kind = ISO_EVENT_FAULT};

	if (!line->live || !kernel_log_fault(line->news, line->read_ns, &event.fault))
		return;
	if (line->late_ns > late_ns_max)
		event = (struct iso_event){.kind = ISO_EVENT_CHANGED};
	daemon_step(daemon, &event);
}

static void on_line(void *userdata, const struct kernel_log_line *line)
{
	struct daemon *daemon = userdata;
	struct store_event stored = {0};
	_cleanup_free_ char *fields = NULL;
	bool is_vm;

	contain(daemon, line);
	is_vm = find_vm(daemon->engine, line->news->pid, stored.lease);
	if (!is_of_interest(line, is_vm)) {
		daemon->sources.states[SOURCE_KERNEL_LOG].ignored++;
		return;
	}
	describe(line, is_vm, &stored);
	fields = build_fields(line);
	stored.fields = fields;
	stored.likeness = records_likeness(&stored);
	daemon->kernel_log->told = line->record->sequence;
	daemon->kernel_log->has_told = true;
	records_take(daemon, &stored);
}

static void on_gap(void *userdata, uint64_t lost, uint64_t before, bool malformed)
{
	struct daemon *daemon = userdata;
	struct store_event gap = {0};
	char text[ISO_TEXT_BYTES];

	snprintf(text, sizeof(text), "%" PRIu64 " line%s %s", lost, lost == 1 ? "" : "s",
		 malformed ? "could not be understood" : "overwritten before they were read");
	if (!malformed && before) {
		gap.log_sequence = before - 1;
		gap.has_log_sequence = true;
		daemon->kernel_log->told = before - 1;
		daemon->kernel_log->has_told = true;
	}
	sources_gap_at(daemon, SOURCE_KERNEL_LOG, &gap, lost, text);
}

static bool has_room(void *userdata)
{
	struct daemon *daemon = userdata;

	return sources_can_take(daemon);
}

static void on_end(void *userdata, int error)
{
	struct daemon *daemon = userdata;

	source_not(&daemon->sources, SOURCE_KERNEL_LOG, SOURCE_REFUSED, "reading ended: %s",
		   strerror(-error));
	log_line(LOG_WARNING, "kernel log: reading ended: %s", strerror(-error));
}

void kernel_log_source_durable(struct daemon *daemon, uint64_t sequence)
{
	if (!daemon->kernel_log)
		return;
	daemon->kernel_log->durable = sequence;
	daemon->kernel_log->has_durable = true;
}

void kernel_log_source_refresh(struct daemon *daemon)
{
	struct source_state *state = &daemon->sources.states[SOURCE_KERNEL_LOG];
	struct kernel_log_report report;

	if (!daemon->kernel_log || !daemon->kernel_log->log)
		return;
	kernel_log_get_report(daemon->kernel_log->log, &report);
	state->last_read_ns = report.last_read_ns;
}

void kernel_log_source_open(struct daemon *daemon)
{
	const struct kernel_log_handlers handlers = {on_line, on_gap, has_room, on_end, daemon};
	char problem[ISO_TEXT_BYTES];
	int64_t apart_ns = 0;
	uint64_t after;
	bool has_after;
	int r;

	if (!daemon->config->source_kernel_log)
		return;
	daemon->kernel_log = calloc(1, sizeof(*daemon->kernel_log));
	if (!daemon->kernel_log)
		return;
	has_after = load_position(daemon, &after, &apart_ns);
	r = kernel_log_open(daemon->event, PRIORITY_KERNEL_LOG, KERNEL_LOG_PATH,
			    has_after ? &after : NULL, apart_ns, &handlers,
			    &daemon->kernel_log->log, problem);
	if (r < 0) {
		source_not(&daemon->sources, SOURCE_KERNEL_LOG, source_condition_of(r), "%s",
			   problem);
		log_line(LOG_WARNING, "kernel log: %s; %s", problem,
			 source_without(SOURCE_KERNEL_LOG));
		kernel_log_source_close(daemon);
		return;
	}
	source_ok(&daemon->sources, SOURCE_KERNEL_LOG);
	sd_event_add_time_relative(daemon->event, &daemon->kernel_log->timer, CLOCK_BOOTTIME,
				   POSITION_USEC, 0, on_save, daemon);
}

void kernel_log_source_close(struct daemon *daemon)
{
	if (!daemon->kernel_log)
		return;
	if (daemon->kernel_log->log)
		save_position(daemon->kernel_log);
	sd_event_source_disable_unref(daemon->kernel_log->timer);
	kernel_log_close(daemon->kernel_log->log);
	free(daemon->kernel_log);
	daemon->kernel_log = NULL;
}
