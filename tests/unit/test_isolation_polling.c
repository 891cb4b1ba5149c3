/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Isolation status, polled: what is told of it, and when. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "isolation/polling.h"
#include "isolation/registers.h"

enum { INTERVAL_US = 2000 };

struct fixture {
	sd_event *event;
	struct isolation_poll *poll;
	uint32_t *block; /* of port 1 */
	int fd;
	uint32_t n_changed, n_lost, port, status, before;
};

static void on_changed(void *userdata, uint32_t port, uint32_t status)
{
	struct fixture *f = userdata;

	f->n_changed++;
	f->port = port;
	f->status = status;
	f->before = isolation_poll_at(f->poll, port)->status;
}

static void on_lost(void *userdata, uint32_t port)
{
	struct fixture *f = userdata;

	f->n_lost++;
	f->port = port;
}

static void set_up(struct fixture *f)
{
	static const struct isolation_poll_handlers handlers = {.changed = on_changed,
								.lost = on_lost};

	*f = (struct fixture){.fd = memfd_create("block", MFD_CLOEXEC)};
	cr_assert_eq(ftruncate(f->fd, ISOLATION_BYTES), 0);
	f->block = mmap(NULL, ISOLATION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	cr_assert_neq(f->block, MAP_FAILED);
	cr_assert_geq(sd_event_new(&f->event), 0);
	cr_assert_eq(isolation_poll_new(f->event, 0, INTERVAL_US, &handlers, f, &f->poll), 0);
	cr_assert_eq(isolation_access_open(dup(f->fd), 0, ISOLATION_BYTES, false,
					   &isolation_poll_at(f->poll, 1)->access),
		     0);
}

static void tear_down(struct fixture *f)
{
	isolation_poll_free(f->poll);
	sd_event_unref(f->event);
	munmap(f->block, ISOLATION_BYTES);
	close(f->fd);
}

static void run_for(struct fixture *f, uint64_t usec)
{
	uint64_t end, now;

	sd_event_now(f->event, CLOCK_BOOTTIME, &end);
	for (end += usec, now = 0; now < end; sd_event_now(f->event, CLOCK_BOOTTIME, &now))
		sd_event_run(f->event, INTERVAL_US);
}

/* Proves: each change is told once, with the port and what it was before, by itself once polling has begun. */
Test(isolation_polling, changes_are_told_once)
{
	uint64_t failed;
	struct fixture f;

	set_up(&f);
	f.block[ISOLATION_STATUS / 4] = ISOLATION_STATUS_ISOLATED;
	run_for(&f, 20 * INTERVAL_US);
	cr_assert_eq(f.n_changed, 0, "nobody polls yet");
	cr_assert_geq(isolation_poll_start(f.poll), 0);
	run_for(&f, 20 * INTERVAL_US);
	cr_assert_eq(f.n_changed, 1);
	cr_assert_eq(f.port, 1);
	cr_assert_eq(f.status, ISOLATION_STATUS_ISOLATED);
	cr_assert_eq(f.before, 0);
	f.block[ISOLATION_STATUS / 4] = 0;
	run_for(&f, 20 * INTERVAL_US);
	cr_assert_eq(f.n_changed, 2);
	cr_assert_eq(f.before, ISOLATION_STATUS_ISOLATED);
	cr_assert_gt(isolation_poll_count(f.poll, &failed), 10);
	cr_assert_eq(failed, 0);
	tear_down(&f);
}

/* Proves: of the status the timeout is cleared and nothing else written; the next one is a change. */
Test(isolation_polling, a_timeout_is_cleared)
{
	struct fixture f;

	set_up(&f);
	cr_assert_eq(isolation_poll_clear_timeout(f.poll, 1), -EPERM, "mapped to be read");
	isolation_access_close(&isolation_poll_at(f.poll, 1)->access);
	cr_assert_eq(isolation_access_open(dup(f.fd), 0, ISOLATION_BYTES, true,
					   &isolation_poll_at(f.poll, 1)->access),
		     0);
	f.block[ISOLATION_CONTROL / 4] = ISOLATION_CONTROL_ISOLATION;
	f.block[ISOLATION_STATUS / 4] = ISOLATION_STATUS_TIMEOUT | ISOLATION_STATUS_RP_BUSY;
	isolation_poll_port(f.poll, 1);
	cr_assert_eq(isolation_poll_clear_timeout(f.poll, 1), 0);
	cr_assert_eq(f.block[ISOLATION_STATUS / 4], ISOLATION_STATUS_TIMEOUT);
	cr_assert_eq(f.block[ISOLATION_CONTROL / 4], ISOLATION_CONTROL_ISOLATION);
	f.block[ISOLATION_STATUS / 4] = 0;
	isolation_poll_port(f.poll, 1);
	f.n_changed = 0;
	f.block[ISOLATION_STATUS / 4] = ISOLATION_STATUS_TIMEOUT;
	isolation_poll_port(f.poll, 1);
	cr_assert_eq(f.n_changed, 1);
	tear_down(&f);
}

/* Proves: all ones are no status; after the third in a row the port is lost, told once and passed over. */
Test(isolation_polling, a_port_that_is_gone)
{
	uint64_t failed;
	struct fixture f;
	int i;

	set_up(&f);
	f.block[ISOLATION_STATUS / 4] = UINT32_MAX;
	isolation_poll_port(f.poll, 1);
	isolation_poll_port(f.poll, 1);
	f.block[ISOLATION_STATUS / 4] = 0;
	isolation_poll_port(f.poll, 1);
	f.block[ISOLATION_STATUS / 4] = UINT32_MAX;
	for (i = 0; i < 3; i++) {
		cr_assert_eq(f.n_lost, 0);
		isolation_poll_port(f.poll, 1);
	}
	isolation_poll_port(f.poll, 1);
	cr_assert_eq(f.n_lost, 1);
	cr_assert_eq(f.port, 1);
	cr_assert_eq(f.n_changed, 0);
	isolation_poll_count(f.poll, &failed);
	cr_assert_eq(failed, 5);
	cr_assert_lt(isolation_poll_at(f.poll, 1)->access.fd, 0);
	tear_down(&f);
}
