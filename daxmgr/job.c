/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <isolate/view.h>

#include "cleanup.h"
#include "port/guard.h"
#include "port/inspect.h"
#include "port/instance.h"
#include "port/isolation.h"
#include "port/mappers.h"
#include "port/memdev.h"
#include "port/node.h"
#include "port/observe.h"
#include "port/pci.h"
#include "port/poison.h"
#include "port/port.h"
#include "port/qmp_connect.h"
#include "port/readings.h"
#include "port/region.h"
#include "port/revoke.h"
#include "port/start_unit.h"
#include "port/zero.h"

/* More than this is written or read, or has its pages' records made, for longer than a moment. */
static const uint64_t quick_bytes = 64ull << 20, quick_carve_bytes = 16ull << 30;

bool job_is_quick(const struct job_request *request)
{
	switch (request->kind) {
	case JOB_ZERO:
	case JOB_PROVE:
		return request->instance.bytes <= quick_bytes;
	case JOB_INSPECT:
		return request->pid != 0;
	case JOB_CARVE:
		return request->carve.instance.bytes <= quick_carve_bytes;
	case JOB_START_UNIT:
		return false;
	default:
		return true;
	}
}

static int job_observe(struct port *port, int *ret_snapshot_fd)
{
	int fd = observe_run(port);

	if (fd < 0)
		return fd;
	*ret_snapshot_fd = fd;
	return 0;
}

/* What answers with a descriptor, or a negative errno. */
static int job_read(struct port *port, const struct job_request *request, int *ret_fd)
{
	int fd = -EINVAL;

	if (request->kind == JOB_AER_COUNTERS)
		fd = aer_counters_read(port);
	else if (request->kind == JOB_DEVICE_HEALTH)
		fd = device_health_read(port);
	else if (request->kind == JOB_LAST_BOOT)
		fd = last_boot_read(port);
	else if (memchr(request->qmp.path, '\0', sizeof(request->qmp.path)))
		fd = qmp_connect(port, request->qmp.path, request->qmp.uid);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int job_inspect(struct port *port, int32_t pid, int *ret_snapshot_fd)
{
	int fd;

	if (pid)
		return inspect_process(port, pid);
	fd = inspect_everybody(port);
	if (fd < 0)
		return fd;
	*ret_snapshot_fd = fd;
	return 0;
}

static int job_rescan(struct port *port, struct iso_pci_address address)
{
	uint32_t bound = memdev_count_bound(port, address), removed = 0;
	int error;

	error = memdev_remove_unbound(port, address, &removed);
	if (!error)
		error = pci_rescan(port, address);
	/* Drivers probe asynchronously; a slot that was empty is not waited for. */
	if (!error && removed)
		error = memdev_wait_bound(port, address, bound + removed);
	return error;
}

/* What comes from the daemon becomes a path and an index: both are looked at once more. */
static int job_check(struct port *port, const struct job_request *request)
{
	bool of_lease = request->kind == JOB_HAND_OVER || request->kind == JOB_RETRACT ||
			request->kind == JOB_VERIFY || request->kind == JOB_REVOKE;

	if (request->kind == JOB_START_UNIT && !memchr(request->unit, '\0', sizeof(request->unit)))
		return port_fail(port, -EINVAL, "not the name of a unit");
	if (!of_lease)
		return 0;
	if (request->lease.n > ISO_LEASE_PARTS_MAX)
		return port_fail(port, -EINVAL, "%u instances of one lease", request->lease.n);
	/* VERIFY or REVOKE of an instance that belongs to no lease has no name. */
	if ((request->kind == JOB_VERIFY || request->kind == JOB_REVOKE) && !request->lease.name[0])
		return 0;
	if (!memchr(request->lease.name, '\0', ISO_NAME_BYTES) ||
	    !iso_name_valid(request->lease.name))
		return port_fail(port, -EINVAL, "not the name of a lease");
	return 0;
}

static int job_verify(struct port *port, const struct job_request *request)
{
	struct mappers_question question = {
		.port = port, .instances = request->lease.instances, .n = request->lease.n};

	mappers_find(&question, 1);
	return question.result;
}

static int job_region(struct port *port, uint32_t kind, const struct job_region *region)
{
	_cleanup_close_ int turn = port_turn(port, true);

	if (kind == JOB_CREATE_REGION)
		return region_create(port, region);
	return kind == JOB_REFILL_REGION ? region_refill(port, region) : region_clear(port, region);
}

static int job_dispatch(struct port *port, const struct job_request *request, int *ret_snapshot_fd)
{
	switch ((enum job_kind)request->kind) {
	case JOB_OBSERVE:
		return job_observe(port, ret_snapshot_fd);
	case JOB_CREATE_REGION:
	case JOB_REFILL_REGION:
	case JOB_CLEAR_REGION:
		return job_region(port, request->kind, &request->region);
	case JOB_INSPECT:
		return job_inspect(port, request->pid, ret_snapshot_fd);
	case JOB_CARVE:
		return instance_carve(port, &request->carve);
	case JOB_ZERO:
		return zero_write(port, &request->instance);
	case JOB_PROVE:
		return zero_prove(port, &request->instance);
	case JOB_HAND_OVER:
		return node_hand_over(port, request->lease.name, request->lease.uid,
				      request->lease.gid, request->lease.instances,
				      request->lease.n);
	case JOB_RETRACT:
		return node_retract(port, request->lease.name, request->lease.instances,
				    request->lease.n);
	case JOB_VERIFY:
		return job_verify(port, request);
	case JOB_REVOKE:
		return revoke_run(port, request->lease.instances, request->lease.n);
	case JOB_REMOVE:
		return instance_remove(port, &request->instance);
	case JOB_DETACH_PORT:
		return pci_detach(port, request->port);
	case JOB_RESCAN_PORT:
		return job_rescan(port, request->port);
	case JOB_FORCE_LINK_DOWN:
		return isolation_force_link_down(port, &request->isolation);
	case JOB_CLEAR_ISOLATION:
		return isolation_clear(port, &request->isolation);
	case JOB_ARM_PORT:
		return isolation_arm(port, &request->isolation);
	case JOB_READ_POISON:
		return poison_read_list(port, &request->memdev);
	case JOB_GUARD:
		return guard_repair(port);
	case JOB_AER_COUNTERS:
	case JOB_DEVICE_HEALTH:
	case JOB_LAST_BOOT:
	case JOB_QMP_CONNECT:
		return job_read(port, request, ret_snapshot_fd);
	case JOB_START_UNIT:
		return start_unit(port, request->unit);
	case JOB_ISOLATION_FIND:
	case JOB_ISOLATION_HOST:
	case JOB_KINDS:
		break;
	}
	return port_fail(port, -EINVAL, "no such job: %u", request->kind);
}

void job_run(const char *root, const struct job_request *request, struct job_reply *ret,
	     int *ret_snapshot_fd)
{
	struct job_reply reply = {.kind = request->kind, .completion = {.operation = request->id}};
	struct port port = {
		.root = root,
		.deadline_ns = request->deadline_ns,
		.completion = &reply.completion,
	};
	uint64_t begin = port_now_ns();
	int fd = -1, error;

	error = job_check(&port, request);
	if (!error && request->kind == JOB_ISOLATION_FIND)
		error = isolation_find(&port, &request->isolation, &reply.isolation, &fd);
	else if (!error && request->kind == JOB_ISOLATION_HOST)
		error = isolation_host(&port, request->isolation.cpu_recovers,
				       &reply.isolation.obstacles);
	else if (!error)
		error = job_dispatch(&port, request, &fd);
	reply.isolation.port = request->kind == JOB_ISOLATION_FIND ? request->isolation.port
								   : reply.isolation.port;
	if (error)
		port_fail(&port, error, "%s", strerror(-error));
	reply.completion.result = error;
	reply.elapsed_ns = port_now_ns() - begin;
	*ret = reply;
	*ret_snapshot_fd = fd;
}

void job_run_joined(const char *root, const struct job_request *requests, uint32_t n,
		    struct job_reply *ret)
{
	struct mappers_question questions[JOB_JOINED_MAX];
	struct port ports[JOB_JOINED_MAX];
	uint64_t begin = port_now_ns();
	uint32_t asked = 0;

	assert(n <= JOB_JOINED_MAX);
	for (uint32_t i = 0; i < n; i++) {
		ret[i] = (struct job_reply){.kind = requests[i].kind,
					    .completion = {.operation = requests[i].id}};
		ports[i] = (struct port){root, requests[i].deadline_ns, &ret[i].completion, false};
		ret[i].completion.result = job_check(&ports[i], &requests[i]);
		if (!ret[i].completion.result)
			questions[asked++] =
				(struct mappers_question){.port = &ports[i],
							  .instances = requests[i].lease.instances,
							  .n = requests[i].lease.n};
	}
	mappers_find(questions, asked);
	for (uint32_t i = 0; i < asked; i++)
		questions[i].port->completion->result = questions[i].result;
	for (uint32_t i = 0; i < n; i++)
		ret[i].elapsed_ns = port_now_ns() - begin;
}
