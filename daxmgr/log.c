/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "memory.h"
#include "priority.h"

enum {
	QUEUE_MAX = 1024,
	LINE_BYTES = 512,
	FIELDS_MAX = 12,
	FIELD_BYTES = LINE_BYTES + 32,
	THREAD_STACK_BYTES = 128 * 1024,
};

/* Of each kind of note; daxmgrd.catalog explains them. */
static const char *const message_ids[] = {
	[ISO_NOTE_FAULT] = "b933ee32a5b9e807c819e1727c012fef",
	[ISO_NOTE_CORRELATED] = "4abcc7057ec09f3318d9f66718af7a77",
	[ISO_NOTE_DOMAIN] = "edd316563a0c7580adc3c446ee2e2647",
	[ISO_NOTE_REGION] = "cb4e7791823839989b5bba5beb5de0ef",
	[ISO_NOTE_LEASE] = "76873a3129412ad2cfb61ab48592fac0",
	[ISO_NOTE_KILL] = "58704dca6dcdb4c47e49a27ae77bf5ba",
	[ISO_NOTE_EXIT] = "edb1efcc8fd099233fdfcfa9dd9daed2",
	[ISO_NOTE_CONTAINED] = "07ab4dfc31f329ca4a5464c733023fbc",
	[ISO_NOTE_WAITING] = "2d75306cfce5a8c68bbad31062b1cd15",
	[ISO_NOTE_RECOVERED] = "7e22a26d4e6f74868a0dbca771270179",
	[ISO_NOTE_FAILED] = "976de2b129f1282b6daa1f67658137a1",
	[ISO_NOTE_STRANGER] = "a45801ac41f58954a1f5f4b7b646fc18",
	[ISO_NOTE_GUARD] = "b25f386bdbd17685c363c63f7ffca29d",
	[ISO_NOTE_PINNING] = "5e0f1f8b2f5c4d0a9f1b6f2c7a3d8e41",
	[ISO_NOTE_REVOKED] = "c8d2b7a0614f4be3a1d95e7f0b3c6a92",
	[ISO_NOTE_RECONCILE] = "8c5f2f0d3b7e4c6a9d184ae27b60f3c5",
	[ISO_NOTE_POISON] = "1f7c0b5d92e84a6fb3d86e40a7c95d12",
	[ISO_NOTE_POLICY] = "6f0d1c7e52a94b3f8e6d2b91c4a7053e",
};

struct entry {
	int priority;
	bool is_note;
	char text[LINE_BYTES];
	struct store_note note;
};

#define QUEUE_BYTES (QUEUE_MAX * sizeof(struct entry))

/*
 * The one mutable state of this file. A journal is one per process, and what
 * has to say something is not handed another object for it.
 */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	pthread_t thread;
	struct entry *queue; /* a ring; NULL: no thread */
	size_t first, n;
	uint64_t n_lost;
	bool stop;
} logger = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

struct fields {
	char text[FIELDS_MAX][FIELD_BYTES];
	struct iovec vectors[FIELDS_MAX];
	int n;
};

__attribute__((format(printf, 2, 3))) static void add(struct fields *fields, const char *format,
						      ...)
{
	char *text = fields->text[fields->n];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, FIELD_BYTES, format, arguments);
	va_end(arguments);
	fields->vectors[fields->n++] = (struct iovec){.iov_base = text, .iov_len = strlen(text)};
}

static void add_note(struct fields *fields, const struct store_note *note)
{
	if (note->kind < sizeof(message_ids) / sizeof(message_ids[0]))
		add(fields, "MESSAGE_ID=%s", message_ids[note->kind]);
	add(fields, "DAXMGR_NOTE=%s", iso_note_name(note->kind));
	add(fields, "DAXMGR_AT_NS=%" PRIu64, note->at_ns);
	if (note->incident)
		add(fields, "DAXMGR_INCIDENT=%" PRIu64, note->incident);
	if (note->region[0])
		add(fields, "DAXMGR_REGION=%s", note->region);
	if (note->port[0])
		add(fields, "DAXMGR_PORT=%s", note->port);
	if (note->lease[0])
		add(fields, "DAXMGR_VM=%s", note->lease);
	if (note->pid > 0)
		add(fields, "DAXMGR_PID=%d", note->pid);
}

/* systemd says so when it has connected stderr to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void write_entry(const struct entry *entry)
{
	struct fields fields = {.n = 0};

	if (!stderr_is_journal()) {
		fprintf(stderr, "daxmgrd: %s\n", entry->text);
		return;
	}
	add(&fields, "MESSAGE=%s", entry->text);
	add(&fields, "PRIORITY=%d", entry->priority);
	add(&fields, "SYSLOG_IDENTIFIER=daxmgrd");
	if (entry->is_note)
		add_note(&fields, &entry->note);
	sd_journal_sendv(fields.vectors, fields.n);
}

static void report_lost(uint64_t n)
{
	struct entry entry = {.priority = LOG_WARNING};

	snprintf(entry.text, sizeof(entry.text),
		 "%" PRIu64 " lines were left out: the journal did not keep up", n);
	write_entry(&entry);
}

static void *log_thread(void *userdata)
{
	struct entry entry;
	uint64_t n_lost;

	(void)userdata;
	prctl(PR_SET_NAME, "log");
	priority_leave(); /* nobody waits for it */
	pthread_mutex_lock(&logger.mutex);
	for (;;) {
		while (!logger.n && !logger.n_lost && !logger.stop)
			pthread_cond_wait(&logger.wake, &logger.mutex);
		if (!logger.n && !logger.n_lost)
			break;
		n_lost = logger.n ? 0 : logger.n_lost;
		logger.n_lost -= n_lost;
		if (logger.n) {
			entry = logger.queue[logger.first];
			logger.first = (logger.first + 1) % QUEUE_MAX;
			logger.n--;
		}
		pthread_mutex_unlock(&logger.mutex);
		if (n_lost)
			report_lost(n_lost);
		else
			write_entry(&entry);
		pthread_mutex_lock(&logger.mutex);
	}
	pthread_mutex_unlock(&logger.mutex);
	return NULL;
}

int log_start(void)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int r;

	logger.queue = memory_reserve(QUEUE_BYTES);
	if (!logger.queue)
		return -ENOMEM;
	logger.stop = false;
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
	/* Signals are the event loop's. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&logger.thread, &attributes, log_thread, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0) {
		memory_release(logger.queue, QUEUE_BYTES);
		logger.queue = NULL;
	}
	return -r;
}

void log_stop(void)
{
	if (!logger.queue)
		return;
	pthread_mutex_lock(&logger.mutex);
	logger.stop = true;
	pthread_cond_signal(&logger.wake);
	pthread_mutex_unlock(&logger.mutex);
	pthread_join(logger.thread, NULL);
	memory_release(logger.queue, QUEUE_BYTES);
	logger.queue = NULL;
	logger.first = logger.n = 0;
}

static void submit(const struct entry *entry)
{
	if (!logger.queue) {
		write_entry(entry);
		return;
	}
	pthread_mutex_lock(&logger.mutex);
	if (!logger.n)
		logger.first = 0; /* mostly few wait: the rest of the queue is not touched */
	if (logger.n < QUEUE_MAX)
		logger.queue[(logger.first + logger.n++) % QUEUE_MAX] = *entry;
	else
		logger.n_lost++;
	pthread_cond_signal(&logger.wake);
	pthread_mutex_unlock(&logger.mutex);
}

void log_line(int priority, const char *format, ...)
{
	struct entry entry = {.priority = priority};
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(entry.text, sizeof(entry.text), format, arguments);
	va_end(arguments);
	submit(&entry);
	errno = error;
}

static int note_priority(uint32_t kind)
{
	switch ((enum iso_note_kind)kind) {
	case ISO_NOTE_FAULT:
	case ISO_NOTE_STRANGER:
	case ISO_NOTE_PINNING:
		return LOG_ERR;
	case ISO_NOTE_GUARD:
		return LOG_CRIT;
	case ISO_NOTE_KILL:
	case ISO_NOTE_FAILED:
	case ISO_NOTE_WAITING:
	case ISO_NOTE_REVOKED:
	case ISO_NOTE_POISON:
	case ISO_NOTE_ISOLATION:
	case ISO_NOTE_POLICY:
		return LOG_WARNING;
	case ISO_NOTE_CONTAINED:
	case ISO_NOTE_RECOVERED:
	case ISO_NOTE_DOMAIN:
	case ISO_NOTE_RECONCILE:
		return LOG_NOTICE;
	case ISO_NOTE_CORRELATED:
	case ISO_NOTE_REGION:
	case ISO_NOTE_LEASE:
	case ISO_NOTE_EXIT:
		break;
	}
	return LOG_INFO;
}

void log_note(const struct store_note *note)
{
	struct entry entry = {
		.priority = note_priority(note->kind), .is_note = true, .note = *note};
	char incident[32] = "";
	int error = errno;

	if (note->incident)
		snprintf(incident, sizeof(incident), "incident %" PRIu64 ": ", note->incident);
	snprintf(entry.text, sizeof(entry.text), "%s%s", incident, note->text);
	submit(&entry);
	errno = error;
}
