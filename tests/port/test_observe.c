/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is read from a host: stable paths, targets in order, drivers of dax devices. */
#include <criterion/criterion.h>
#include <cxl/libcxl.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"
#include "port/observe.h"
#include "snapshot_file.h"

static struct fake f;
static struct observation *o;

static void setup(void)
{
	fake_make(&f);
	o = calloc(1, sizeof(*o));
}

static void teardown(void)
{
	free(o);
	fake_remove(&f);
}

TestSuite(observe, .init = setup, .fini = teardown);

/* Proves: what libcxl asks of udev before it lists anything is answered by us: it waits for nobody. */
Test(observe, libcxl_does_not_wait_for_udev)
{
	void *asked = dlsym(RTLD_DEFAULT, "udev_queue_get_queue_is_empty");
	Dl_info ours, its;

	cr_assert(asked);
	cr_assert_neq(dladdr(asked, &its), 0);
	cr_assert_neq(dladdr((void *)setup, &ours), 0);
	cr_assert_eq(its.dli_fbase, ours.dli_fbase, "%s", its.dli_fname);
}

static void host_bridge(const char *device, const char *hid, const char *uid)
{
	char path[256];

	snprintf(path, sizeof(path), "/sys/devices/acpi/ACPI0016:%s/hid", device + 8);
	fake_file(&f, path, hid);
	if (uid) {
		snprintf(path, sizeof(path), "/sys/devices/acpi/ACPI0016:%s/uid", device + 8);
		fake_file(&f, path, uid);
	}
	snprintf(path, sizeof(path), "/sys/devices/%s", device);
	fake_directory(&f, path);
	snprintf(path, sizeof(path), "/sys/devices/%s/firmware_node", device);
	{
		char target[64];

		snprintf(target, sizeof(target), "../acpi/ACPI0016:%s", device + 8);
		fake_link(&f, path, target);
	}
}

static void function(const char *path, const char *class)
{
	char full[256];

	snprintf(full, sizeof(full), "/sys/devices/%s/class", path);
	fake_file(&f, full, class);
}

Test(observe, a_switch_gives_paths_without_bus_numbers)
{
	host_bridge("pci0000:0c", "ACPI0016", "12");
	function("pci0000:0c/0000:0c:00.0", "0x060400");
	function("pci0000:0c/0000:0c:00.0/0000:0d:00.0", "0x060400");
	function("pci0000:0c/0000:0c:00.0/0000:0d:00.0/0000:0e:00.0", "0x060400");
	function("pci0000:0c/0000:0c:00.0/0000:0d:00.0/0000:0e:01.0", "0x060400");
	function("pci0000:0c/0000:0c:00.0/0000:0d:00.0/0000:0e:00.0/0000:0f:00.0", "0x050210");
	function("pci0000:0c/0000:0c:01.2", "0x060400");

	cr_assert_eq(observe_ports(&f.port, o), 0, "%s", f.completion.message);
	cr_assert_eq(o->counts.n_host_bridges, 1);
	cr_assert_str_eq(o->host_bridges[0].path, "hb12");
	cr_assert_eq(o->counts.n_ports, 5);
	cr_assert_str_eq(o->ports[0].path, "hb12/00.0");
	cr_assert_eq(o->ports[0].kind, ISO_PORT_ROOT);
	cr_assert_eq(o->ports[0].parent, ISO_NONE);
	cr_assert_str_eq(o->ports[1].path, "hb12/00.0/00.0");
	cr_assert_eq(o->ports[1].kind, ISO_PORT_SWITCH_UPSTREAM);
	cr_assert_eq(o->ports[1].parent, 0);
	cr_assert_str_eq(o->ports[3].path, "hb12/00.0/00.0/01.0");
	cr_assert_eq(o->ports[3].kind, ISO_PORT_SWITCH_DOWNSTREAM);
	cr_assert_eq(o->ports[3].parent, 1);
	cr_assert_str_eq(o->ports[4].path, "hb12/01.2");
	cr_assert_eq(o->ports[4].address.device, 1);
	cr_assert_eq(o->ports[4].address.function, 2);
	cr_assert_eq(o->ports[4].address.bus, 0x0c);
}

Test(observe, only_cxl_host_bridges_count)
{
	host_bridge("pci0000:00", "PNP0A08", "0");
	host_bridge("pci0000:5d", "ACPI0016", "93");
	function("pci0000:00/0000:00:01.0", "0x060400");
	cr_assert_eq(observe_ports(&f.port, o), 0);
	cr_assert_eq(o->counts.n_host_bridges, 1);
	cr_assert_str_eq(o->host_bridges[0].path, "hb93");
	cr_assert_eq(o->counts.n_ports, 0);
}

Test(observe, a_uid_is_somebodys_text)
{
	host_bridge("pci0000:0c", "ACPI0016", "../a b");
	host_bridge("pci0000:0d", "ACPI0016", NULL);
	cr_assert_eq(observe_ports(&f.port, o), 0);
	cr_assert_str_eq(o->host_bridges[0].path, "hb.._a_b");
	cr_assert_str_eq(o->host_bridges[1].path, "hb-ACPI0016:0d", "no UID: the ACPI name");
}

Test(observe, bridges_below_each_other_without_end)
{
	char path[512] = "pci0000:0c";

	host_bridge("pci0000:0c", "ACPI0016", "12");
	for (unsigned int i = 0; i < 12; i++) {
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "/0000:%02x:00.0",
			 0x0c + i);
		function(path, "0x060400");
	}
	cr_assert_eq(observe_ports(&f.port, o), -EOVERFLOW);
	cr_assert(f.completion.message[0]);
}

Test(observe, addresses)
{
	struct iso_pci_address a;
	const char *end;

	cr_assert(observe_pci_address("0001:af:1f.7/x", &a, &end));
	cr_assert_str_eq(end, "/x");
	cr_assert_eq(a.segment, 1);
	cr_assert_eq(a.bus, 0xaf);
	cr_assert_eq(a.device, 31);
	cr_assert_eq(a.function, 7);
	cr_assert_not(observe_pci_address("0001:af:20.0", &a, NULL), "device 32");
	cr_assert_not(observe_pci_address("0001:af:1f.8", &a, NULL), "function 8");
	cr_assert_not(observe_pci_address("1:af:1f.0", &a, NULL));
	cr_assert_not(observe_pci_address("pci0000:0c", &a, NULL));
}

/* Two host bridges with two root ports each, a memdev behind every one, one window over both. */
static void two_bridges(void)
{
	o->counts.n_host_bridges = 2;
	o->counts.n_ports = o->counts.n_memdevs = 4;
	for (uint32_t i = 0; i < 4; i++) {
		o->ports[i] = (struct iso_observed_port){
			.kind = ISO_PORT_ROOT, .host_bridge = i / 2, .parent = ISO_NONE};
		o->memdevs[i] = (struct iso_observed_memdev){.serial = 0x10 + i, .port = i};
	}
	o->counts.n_windows = 1;
	o->windows[0] = (struct iso_observed_window){
		.range = {{0x100000000}, 0x40000000}, .ways = 1, .host_bridges = {0}};
}

static void region(uint64_t start, uint64_t bytes, uint64_t serial)
{
	o->regions[o->counts.n_regions++] = (struct iso_observed_region){
		.range = {{start}, bytes},
		.ways = 1,
		.targets = {{.serial = serial, .present = true}},
		.committed = true,
	};
}

/* One bit for each of the ports. */
static uint32_t ports_with_ram(const char *lines)
{
	uint32_t found = 0;

	fake_file(&f, "/proc/iomem", lines);
	cr_assert_eq(iomem_read(f.root, &o->iomem), 0);
	for (uint32_t i = 0; i < o->counts.n_ports; i++)
		o->ports[i].system_ram = false;
	observe_ram(o);
	iomem_free(&o->iomem);
	for (uint32_t i = 0; i < o->counts.n_ports; i++)
		found |= (uint32_t)o->ports[i].system_ram << i;
	return found;
}

#define OUTSIDE "00001000-0009fbff : System RAM\n"
#define WINDOW  OUTSIDE "100000000-13fffffff : CXL Window 0\n"

/* Proves: firmware's own memory is seen where the kernel made no region of it, and no port of another bridge is blamed. */
Test(observe, system_ram_without_a_region)
{
	two_bridges();
	cr_assert_eq(ports_with_ram(OUTSIDE), 0);
	cr_assert_eq(ports_with_ram(WINDOW "  100000000-10fffffff : dax0.0\n"), 0);
	cr_assert_eq(ports_with_ram(WINDOW "  100000000-10fffffff : System RAM\n"), 3);
	cr_assert_eq(ports_with_ram(OUTSIDE "fe0000000-fefffffff : System RAM\n"), 0);
	cr_assert_eq(ports_with_ram("40000000-10fffffff : System RAM\n"), 3,
		     "one range with what lies below");
	o->windows[0].host_bridges[0] = ISO_NONE;
	cr_assert_eq(ports_with_ram(WINDOW "  100000000-10fffffff : System RAM\n"), 15,
		     "nobody knows where the window leads to");
}

/* Proves: a region says whose it is, and then the others of its window are not held up. */
Test(observe, system_ram_of_a_region)
{
	two_bridges();
	region(0x110000000, 0x10000000, 0x11);
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-11fffffff : region0\n"
					   "    110000000-117ffffff : System RAM (kmem)\n"),
		     2);
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-11fffffff : System RAM\n"), 2,
		     "firmware's, without a dax device");
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-120000fff : System RAM\n"), 3,
		     "a part of it is nobody's");
	o->regions[0].committed = false;
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-11fffffff : System RAM\n"), 3);
	o->regions[0].committed = true;
	o->regions[0].targets[0].present = false;
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-11fffffff : System RAM\n"), 3);
}

/* Proves: a port below a switch counts for its root port, and a serial that two share for both. */
Test(observe, system_ram_behind_a_switch)
{
	two_bridges();
	region(0x110000000, 0x10000000, 0x13);
	o->ports[3].kind = ISO_PORT_SWITCH_UPSTREAM;
	o->ports[3].parent = 2;
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-11fffffff : System RAM\n"), 4);
	o->memdevs[0].serial = 0x13;
	cr_assert_eq(ports_with_ram(WINDOW "  110000000-11fffffff : System RAM\n"), 5);
}

/* Proves: where addresses are hidden it cannot be told, and is not taken for none. */
Test(observe, system_ram_without_addresses)
{
	two_bridges();
	region(0x110000000, 0x10000000, 0x11);
	cr_assert_eq(ports_with_ram("00000000-00000000 : System RAM\n"), 3);
}

/* A tree recorded on a stock 7.2 kernel in the lab, in the middle of an incident. */
Test(observe, a_recorded_host_with_a_region_that_lost_a_leg)
{
	struct job_request request = {.id = 5, .kind = JOB_OBSERVE, .deadline_ns = UINT64_MAX};
	const struct iso_observed_region *r;
	struct snapshot_file file;
	struct job_reply reply;
	int fd;

	fake_tree(&f, "tests/port/demo-tree.txt");
	/* As before 7.1, where only decoders tell. */
	fake_file(&f, "/sys/devices/platform/ACPI0017:00/root0/port3/endpoint5/decoder5.0/locked",
		  "1");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	job_run(f.root, &request, &reply, &fd);
	cr_assert_eq(reply.completion.result, 0, "%s", reply.completion.message);
	cr_assert_eq(reply.completion.operation, 5);
	cr_assert_eq(snapshot_file_open(fd, &file), 0);
	close(fd);
	cr_assert_eq(file.snapshot.n_host_bridges, 3);
	cr_assert_eq(file.snapshot.n_ports, 4);
	cr_assert_eq(file.snapshot.n_memdevs, 4);
	for (uint32_t i = 0; i < 4; i++) {
		const struct iso_observed_memdev *m = &file.snapshot.memdevs[i];

		cr_assert(m->bound, "%s", m->name);
		cr_assert_eq(m->volatile_bytes, 512u << 20);
		if (m->serial == 0x13) {
			cr_assert_str_eq(m->path, "hb174/00.0/00.0");
			cr_assert_str_eq(file.snapshot.ports[m->port].path, "hb174/00.0");
		}
	}
	cr_assert_eq(file.snapshot.n_windows, 4);
	cr_assert_eq(file.snapshot.windows[3].ways, 2);
	cr_assert_eq(file.snapshot.windows[3].granularity, 8192);
	cr_assert_str_eq(file.snapshot.host_bridges[file.snapshot.windows[3].host_bridges[0]].path,
			 "hb93");
	cr_assert_str_eq(file.snapshot.host_bridges[file.snapshot.windows[3].host_bridges[1]].path,
			 "hb174");
	cr_assert_eq(file.snapshot.n_regions, 2);
	r = &file.snapshot.regions[file.snapshot.regions[0].kernel_id == 3 ? 0 : 1];
	cr_assert_eq(r->kernel_id, 3);
	cr_assert_not(r->committed);
	cr_assert_not(r->bound);
	cr_assert_not(r->has_dax);
	cr_assert_not(r->locked);
	cr_assert_not(r->targets[0].present);
	cr_assert(r->targets[1].present);
	cr_assert_eq(r->targets[1].serial, 0x13);
	r = &file.snapshot.regions[file.snapshot.regions[0].kernel_id == 3 ? 1 : 0];
	cr_assert(r->committed && r->bound && r->has_dax && r->is_volatile);
	cr_assert_eq(r->targets[0].serial, 0x10);
	cr_assert(r->locked);
	cr_assert_eq(r->available_bytes, (512u << 20) - (2u << 20));
	cr_assert_eq(file.snapshot.n_instances, 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct iso_observed_instance *d = &file.snapshot.instances[i];

		cr_assert_eq(d->driver, d->kernel_id ? ISO_DAX_DEVICE_DAX : ISO_DAX_UNBOUND);
		cr_assert_eq(d->bytes, d->kernel_id ? 2u << 20 : 0);
	}
	snapshot_file_close(&file);
}

/* In place of an attribute something that cannot be read as one. */
static void make_unreadable(const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s%s", f.root, path);
	cr_assert_eq(unlink(full), 0, "%s", full);
	fake_directory(&f, path);
}

static void expect_failure(const char *what)
{
	struct job_request request = {.kind = JOB_OBSERVE, .deadline_ns = UINT64_MAX};
	struct job_reply reply;
	int fd;

	job_run(f.root, &request, &reply, &fd);
	cr_assert_lt(reply.completion.result, 0, "%s", what);
	cr_assert_eq(fd, -1);
	cr_assert(strstr(reply.completion.message, what), "'%s'", reply.completion.message);
}

/* Proves: what could not be read is not taken for gone: VMs would be killed for that. */
Test(observe, what_cannot_be_read_is_no_observation)
{
	fake_tree(&f, "tests/port/demo-tree.txt");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	make_unreadable("/sys/bus/cxl/devices/region0/commit");
	expect_failure("region0: commit");
}

Test(observe, a_target_that_cannot_be_read)
{
	fake_tree(&f, "tests/port/demo-tree.txt");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	make_unreadable("/sys/bus/cxl/devices/region0/target0");
	expect_failure("region0: target0");
}

Test(observe, a_driver_that_cannot_be_read)
{
	fake_tree(&f, "tests/port/demo-tree.txt");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	make_unreadable("/sys/bus/cxl/devices/dax_region0/dax0.1/driver");
	expect_failure("dax0.1");
}

Test(observe, a_size_that_cannot_be_read)
{
	fake_tree(&f, "tests/port/demo-tree.txt");
	if (!fake_mount(&f))
		cr_skip_test("no mount namespace here");
	make_unreadable("/sys/bus/cxl/devices/dax_region0/dax0.1/size");
	expect_failure("dax0.1");
}

Test(observe, libcxl_is_never_led_to_the_hosts_devices)
{
	struct job_request request = {.kind = JOB_OBSERVE, .deadline_ns = UINT64_MAX};
	struct job_reply reply;
	int fd;

	job_run(f.root, &request, &reply, &fd);
	cr_assert_eq(reply.completion.result, -EXDEV);
	cr_assert_eq(fd, -1);
}
