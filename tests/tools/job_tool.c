/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs one job of the daemon's workers in the foreground, for trying the ports
 * on a real kernel without the daemon. Not installed.
 *
 *   job_tool observe
 *   job_tool create NAME WINDOW SERIAL[,SERIAL…] [BYTES [GRANULARITY]]
 *   job_tool refill|clear REGION|- SERIAL[,SERIAL…]
 *   job_tool carve REGION BYTES [ALIGN]
 *   job_tool zero|prove|remove X.Y MAJOR:MINOR BYTES [ALIGN]
 *   job_tool give NAME UID X.Y MAJOR:MINOR …   (hand over)
 *   job_tool retract NAME X.Y MAJOR:MINOR …
 *   job_tool verify|revoke X.Y MAJOR:MINOR …
 *   job_tool inspect PID|0   (0: everybody)
 *   job_tool detach|rescan DDDD:BB:DD.F
 *   job_tool guard
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <isolate/view.h>

#include "inspection_file.h"
#include "job.h"
#include "snapshot_file.h"

static int usage(void)
{
	fprintf(stderr, "job_tool: see the head of job_tool.c\n");
	return 2;
}

static void parse_serials(const char *text, struct iso_region_definition *d)
{
	char *end;

	for (; d->ways < ISO_WAYS_MAX; text = end + 1) {
		d->serials[d->ways++] = strtoull(text, &end, 0);
		if (*end != ',')
			return;
	}
}

static bool parse_device(const char *name, const char *number, struct job_instance *i)
{
	return sscanf(name, "%u.%u", &i->region_kernel_id, &i->kernel_id) == 2 &&
	       sscanf(number, "%u:%u", &i->major, &i->minor) == 2;
}

static bool parse_region(int argc, char **argv, struct job_request *r)
{
	struct job_region *region = &r->region;

	if (!strcmp(argv[1], "create")) {
		if (argc < 5)
			return false;
		r->kind = JOB_CREATE_REGION;
		snprintf(region->definition.name, ISO_NAME_BYTES, "%s", argv[2]);
		region->window_kernel_id = (uint32_t)strtoul(argv[3], NULL, 0);
		parse_serials(argv[4], &region->definition);
		if (argc > 5)
			region->definition.bytes = strtoull(argv[5], NULL, 0);
		if (argc > 6)
			region->granularity = strtoull(argv[6], NULL, 0);
		return true;
	}
	if (argc < 4)
		return false;
	r->kind = argv[1][0] == 'r' ? JOB_REFILL_REGION : JOB_CLEAR_REGION;
	strcpy(region->definition.name, argv[1]);
	region->kernel_id = argv[2][0] == '-' ? ISO_NONE : (uint32_t)strtoul(argv[2], NULL, 0);
	parse_serials(argv[3], &region->definition);
	return true;
}

static bool parse_instance(int argc, char **argv, struct job_request *r)
{
	struct job_instance *i = &r->instance;

	if (!strcmp(argv[1], "carve")) {
		if (argc < 4)
			return false;
		r->kind = JOB_CARVE;
		i = &r->carve.instance;
		i->region_kernel_id = (uint32_t)strtoul(argv[2], NULL, 0);
		i->bytes = strtoull(argv[3], NULL, 0);
		i->align = argc > 4 ? strtoull(argv[4], NULL, 0) : 2 * 1024 * 1024;
		return true;
	}
	r->kind = !strcmp(argv[1], "zero")    ? JOB_ZERO
		  : !strcmp(argv[1], "prove") ? JOB_PROVE
					      : JOB_REMOVE;
	if (argc < 5 || !parse_device(argv[2], argv[3], i))
		return false;
	i->bytes = strtoull(argv[4], NULL, 0);
	i->align = argc > 5 ? strtoull(argv[5], NULL, 0) : 2 * 1024 * 1024;
	return true;
}

static bool parse_lease(int argc, char **argv, struct job_request *r)
{
	int at = 2;

	r->kind = !strcmp(argv[1], "give")      ? JOB_HAND_OVER
		  : !strcmp(argv[1], "retract") ? JOB_RETRACT
		  : !strcmp(argv[1], "revoke")  ? JOB_REVOKE
						: JOB_VERIFY;
	if ((r->kind == JOB_HAND_OVER || r->kind == JOB_RETRACT) && argc > at)
		snprintf(r->lease.name, ISO_NAME_BYTES, "%s", argv[at++]);
	if (r->kind == JOB_HAND_OVER && argc > at)
		r->lease.uid = r->lease.gid = (uint32_t)strtoul(argv[at++], NULL, 0);
	for (; at + 1 < argc && r->lease.n < ISO_LEASE_PARTS_MAX; at += 2, r->lease.n++) {
		if (!parse_device(argv[at], argv[at + 1], &r->lease.instances[r->lease.n]))
			return false;
		r->lease.instances[r->lease.n].part = r->lease.n;
	}
	return true;
}

static bool parse(int argc, char **argv, struct job_request *r)
{
	const char *verb = argv[1];

	if (!strcmp(verb, "observe") || !strcmp(verb, "guard")) {
		r->kind = verb[0] == 'o' ? JOB_OBSERVE : JOB_GUARD;
		return true;
	}
	if (!strcmp(verb, "create") || !strcmp(verb, "refill") || !strcmp(verb, "clear"))
		return parse_region(argc, argv, r);
	if (!strcmp(verb, "give") || !strcmp(verb, "retract") || !strcmp(verb, "verify") ||
	    !strcmp(verb, "revoke"))
		return parse_lease(argc, argv, r);
	if (!strcmp(verb, "inspect")) {
		r->kind = JOB_INSPECT;
		r->pid = argc > 2 ? (int32_t)strtol(argv[2], NULL, 0) : 0;
		return true;
	}
	if (!strcmp(verb, "detach") || !strcmp(verb, "rescan")) {
		r->kind = verb[0] == 'd' ? JOB_DETACH_PORT : JOB_RESCAN_PORT;
		return argc > 2 && iso_pci_address_parse(argv[2], &r->port);
	}
	return parse_instance(argc, argv, r);
}

static void print_ports(const struct iso_snapshot *s)
{
	char address[16];

	for (uint32_t i = 0; i < s->n_host_bridges; i++)
		printf("bridge %s\n", s->host_bridges[i].path);
	for (uint32_t i = 0; i < s->n_ports; i++) {
		const struct iso_observed_port *p = &s->ports[i];

		iso_pci_address_format(p->address, address);
		printf("port %s %s %s\n", p->path, address, iso_port_kind_name(p->kind));
	}
	for (uint32_t i = 0; i < s->n_memdevs; i++) {
		const struct iso_observed_memdev *m = &s->memdevs[i];

		iso_pci_address_format(m->address, address);
		printf("memdev %s %s 0x%" PRIx64 " %s port %s ram %" PRIu64 " pmem %" PRIu64
		       " bound %d\n",
		       m->path, m->name, m->serial, address,
		       m->port == ISO_NONE ? "-" : s->ports[m->port].path, m->volatile_bytes,
		       m->persistent_bytes, m->bound);
	}
}

static void print_regions(const struct iso_snapshot *s)
{
	for (uint32_t i = 0; i < s->n_windows; i++) {
		const struct iso_observed_window *w = &s->windows[i];

		printf("window decoder0.%u 0x%" PRIx64 "+0x%" PRIx64 " granularity %u targets",
		       w->kernel_id, w->range.start.v, w->range.bytes, w->granularity);
		for (uint32_t j = 0; j < w->ways; j++)
			printf(" %s", w->host_bridges[j] == ISO_NONE
					      ? "-"
					      : s->host_bridges[w->host_bridges[j]].path);
		printf(" volatile %d\n", w->volatile_capable);
	}
	for (uint32_t i = 0; i < s->n_regions; i++) {
		const struct iso_observed_region *r = &s->regions[i];

		printf("region region%u 0x%" PRIx64 "+0x%" PRIx64 " granularity %u committed %d "
		       "bound %d dax %d locked %d volatile %d available %" PRIu64 " targets",
		       r->kernel_id, r->range.start.v, r->range.bytes, r->granularity, r->committed,
		       r->bound, r->has_dax, r->locked, r->is_volatile, r->available_bytes);
		for (uint32_t j = 0; j < r->ways; j++)
			if (r->targets[j].present)
				printf(" 0x%" PRIx64, r->targets[j].serial);
			else
				printf(" -");
		printf("\n");
	}
	for (uint32_t i = 0; i < s->n_instances; i++) {
		const struct iso_observed_instance *d = &s->instances[i];

		printf("instance dax%u.%u %" PRIu64 " align %" PRIu64 " at 0x%" PRIx64
		       " %u:%u driver %u\n",
		       d->region_kernel_id, d->kernel_id, d->bytes, d->align, d->start.v, d->major,
		       d->minor, d->driver);
	}
}

static int print_snapshot(int fd)
{
	struct snapshot_file file;
	int error = snapshot_file_open(fd, &file);

	if (error)
		return error;
	print_ports(&file.snapshot);
	print_regions(&file.snapshot);
	snapshot_file_close(&file);
	return 0;
}

static int print_inspection(int fd)
{
	struct inspection_file file;
	int error = inspection_file_open(fd, &file);

	if (error)
		return error;
	for (uint32_t i = 0; i < file.inspection.n_mappers; i++) {
		const struct iso_observed_mapper *m = &file.inspection.mappers[i];

		printf("mapper %d started %" PRIu64 " dax%u.%u pins 0x%x (%s)\n", m->pid,
		       m->process_start, m->region_kernel_id, m->kernel_id, m->pins, m->evidence);
	}
	inspection_file_close(&file);
	return 0;
}

static void print_completion(const char *verb, const struct job_reply *reply)
{
	const struct iso_completion *c = &reply->completion;

	printf("%s result %d (%s) in %.1f ms region %u id %u range 0x%" PRIx64 "+0x%" PRIx64
	       " dev %u:%u bytes %" PRIu64 " pins 0x%x (%s) mappers %u",
	       verb, c->result, c->message, (double)reply->elapsed_ns / 1e6, c->region_kernel_id,
	       c->kernel_id, c->range.start.v, c->range.bytes, c->major, c->minor, c->bytes,
	       c->pins, c->evidence, c->n_mappers);
	for (uint32_t i = 0; i < c->n_mappers && i < ISO_MAPPERS_MAX; i++)
		printf(" %d", c->mappers[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	struct job_request request = {.id = 1};
	struct timespec now;
	struct job_reply reply;
	int fd;

	if (argc < 2 || !parse(argc, argv, &request))
		return usage();
	clock_gettime(CLOCK_BOOTTIME, &now);
	request.deadline_ns = (uint64_t)now.tv_sec * 1000000000u + 20000000000u;
	job_run("", &request, &reply, &fd);
	print_completion(argv[1], &reply);
	if (fd >= 0) {
		int error = reply.kind == JOB_INSPECT ? print_inspection(fd) : print_snapshot(fd);

		close(fd);
		if (error) {
			fprintf(stderr, "answer: %s\n", strerror(-error));
			return 1;
		}
	}
	return reply.completion.result ? 1 : 0;
}
