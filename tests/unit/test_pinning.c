/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pin-safe profile: which QEMU command lines pin the VM's memory, in every
 * way QEMU takes them; which do not; and what is said when one cannot see.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include <isolate/types.h>

#include "pinning.h"

static char *no_file(void *userdata, const char *path)
{
	(void)userdata;
	(void)path;
	return NULL;
}

static char *a_file(void *userdata, const char *path)
{
	(void)path;
	return strdup(userdata);
}

static struct pinning examine_with(const char *file, const char *const words[])
{
	struct pinning result;

	pinning_examine((char *const *)words, file ? a_file : no_file, (void *)file, &result);
	return result;
}

#define QEMU         "/usr/bin/qemu-system-x86_64"
#define EXAMINE(...) examine_with(NULL, (const char *const[]){QEMU, __VA_ARGS__, NULL})

static void expect(struct pinning result, uint32_t pins, const char *evidence)
{
	cr_assert_eq(result.pins, pins, "pins %x, first: %s", result.pins,
		     result.findings[0].evidence);
	cr_assert_str_eq(result.unseen, "");
	cr_assert_eq(result.n, pins ? 1 : 0, "%zu findings", result.n);
	if (evidence)
		cr_assert_str_eq(result.findings[0].evidence, evidence);
}

Test(pinning, buffered_disks_are_safe)
{
	expect(EXAMINE("-m", "512M", "-nodefaults"), 0, NULL);
	expect(EXAMINE("-drive", "file=/srv/a.qcow2,if=virtio"), 0, NULL);
	expect(EXAMINE("-drive", "file=a,cache=writeback,aio=threads"), 0, NULL);
	expect(EXAMINE("-drive", "file=a,cache=unsafe,aio=io_uring"), 0, NULL);
	expect(EXAMINE("-drive", "file=none,cache=writethrough"), 0, NULL);
	expect(EXAMINE("-drive", "file=a,,cache=none"), 0, NULL);
	expect(EXAMINE("-drive", "file=a,cache.direct=off"), 0, NULL);
	expect(EXAMINE("-drive", "file=a,cache=none,cache.direct=off"), 0, NULL);
	expect(EXAMINE("-drive", "file=a,nocache.direct"), 0, NULL);
	expect(EXAMINE("-blockdev", "file,filename=a,node-name=b,cache.direct=false"), 0, NULL);
	expect(EXAMINE("-blockdev", "{\"driver\":\"file\",\"cache\":{\"direct\":false}}"), 0, NULL);
	expect(EXAMINE("-device", "nvme,drive=a,serial=1", "-device", "virtio-blk-pci,drive=b"), 0,
	       NULL);
	expect(EXAMINE("-netdev", "tap,id=n,vhost=on", "-device", "vhost-vsock-pci,guest-cid=3"), 0,
	       NULL);
	expect(EXAMINE("-object", "memory-backend-file,id=m,prealloc=on,share=on"), 0, NULL);
	expect(EXAMINE("-incoming", "defer"), 0, NULL);
	expect(EXAMINE("-name", "cache=none"), 0, NULL);
}

Test(pinning, o_direct_in_every_way_it_is_written)
{
	expect(EXAMINE("-drive", "file=a,cache=none"), ISO_PIN_DIRECT_IO,
	       "-drive file=a,cache=none");
	expect(EXAMINE("--drive", "cache=directsync,file=a"), ISO_PIN_DIRECT_IO,
	       "--drive cache=directsync,file=a");
	expect(EXAMINE("-drive", "file=a,cache=none,aio=native"), ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "file=a,aio=native"), ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "file=a,cache.direct=on"), ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "file=a,cache.direct"), ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "file=a,file.cache.direct=yes"), ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "file=a,cache=writeback,cache.direct=on,aio=io_uring"),
	       ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-blockdev", "qcow2,node-name=n,file.driver=file,file.cache.direct=true"),
	       ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-blockdev",
		       "{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"cache\":{\"direct\":true}}}"),
	       ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-blockdev", "{'driver':'file','cache.direct':true}"), ISO_PIN_DIRECT_IO,
	       NULL);
	expect(EXAMINE("-blockdev", "{\"driver\":\"quorum\",\"children\":[{\"aio\":\"native\"}]}"),
	       ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "file=json:{\"driver\":\"file\",,\"cache\":{\"direct\":true}}"),
	       ISO_PIN_DIRECT_IO, NULL);
	expect(EXAMINE("-drive", "id=d,file=a", "-set", "drive.d.cache=none"), ISO_PIN_DIRECT_IO,
	       "-set drive.d.cache=none");
	expect(EXAMINE("-device", "scsi-block,drive=d"), ISO_PIN_DIRECT_IO, NULL);
}

Test(pinning, what_others_do_to_the_memory)
{
	expect(EXAMINE("-device", "vfio-pci,host=0000:01:00.0"), ISO_PIN_VFIO,
	       "-device vfio-pci,host=0000:01:00.0");
	expect(EXAMINE("-device", "{\"driver\":\"vfio-pci\",\"host\":\"01:00.0\"}"), ISO_PIN_VFIO,
	       NULL);
	expect(EXAMINE("-device", "id=x,driver=vfio-pci"), ISO_PIN_VFIO, NULL);
	expect(EXAMINE("-object", "iommufd,id=i"), ISO_PIN_VFIO, NULL);
	expect(EXAMINE("-drive", "file=nvme://0000:01:00.0/1"), ISO_PIN_VFIO, NULL);
	expect(EXAMINE("-blockdev", "nvme,device=0000:01:00.0,namespace=1,node-name=n"),
	       ISO_PIN_VFIO, NULL);
	expect(EXAMINE("-device", "vhost-user-fs-pci,chardev=c"), ISO_PIN_VHOST, NULL);
	expect(EXAMINE("-device", "vhost-vdpa-device-pci,vhostdev=/dev/vhost-vdpa-0"),
	       ISO_PIN_VHOST, NULL);
	expect(EXAMINE("-netdev", "vhost-user,id=n,chardev=c"), ISO_PIN_VHOST, NULL);
	expect(EXAMINE("-netdev", "type=vhost-vdpa,id=n"), ISO_PIN_VHOST, NULL);
	expect(EXAMINE("-nic", "vhost-user,chardev=c"), ISO_PIN_VHOST, NULL);
	expect(EXAMINE("-blockdev", "virtio-blk-vhost-user,path=/x,node-name=n"), ISO_PIN_VHOST,
	       NULL);
	expect(EXAMINE("-blockdev", "io_uring,filename=/x,node-name=n"), ISO_PIN_IO_URING, NULL);
	expect(EXAMINE("-device", "pvrdma,ibdev=x"), ISO_PIN_RDMA, NULL);
	expect(EXAMINE("-incoming", "rdma:10.0.0.1:4444"), ISO_PIN_RDMA, NULL);
	expect(EXAMINE("-object", "sev-guest,id=s"), ISO_PIN_UNKNOWN, NULL);
}

Test(pinning, all_that_is_found_is_counted)
{
	struct pinning result = EXAMINE(
		"-drive", "file=1,cache=none", "-drive", "file=2,cache=none", "-drive",
		"file=3,cache=none", "-drive", "file=4,cache=none", "-drive", "file=5,cache=none",
		"-drive", "file=6,cache=none", "-drive", "file=7,cache=none", "-drive",
		"file=8,cache=none", "-device", "vfio-pci,host=1", "-device", "vfio-pci,host=2");

	cr_assert_eq(result.n, PINNING_FINDINGS_MAX);
	cr_assert_eq(result.n_more, 2);
	cr_assert_eq(result.pins, ISO_PIN_DIRECT_IO | ISO_PIN_VFIO);
	cr_assert_str_eq(result.findings[1].evidence, "-drive file=2,cache=none");
}

/* The evidence goes to the daemon as JSON and to people's terminals. */
Test(pinning, evidence_is_short_and_printable)
{
	struct pinning result = EXAMINE(
		"-drive",
		"file=/srv/\xff\033[2J/0123456789012345678901234567890123456789012345678901234567890123456789"
		"01234567890.img,format=raw,cache=none");
	const char *evidence = result.findings[0].evidence;

	cr_assert_eq(result.n, 1);
	cr_assert_lt(strlen(evidence), PINNING_EVIDENCE_BYTES);
	cr_assert(strstr(evidence, "...cache=none"), "%s", evidence);
	for (; *evidence; evidence++)
		cr_assert(*evidence >= ' ' && *evidence <= '~');
}

#define CONFIG                                                                                     \
	"# qemu config file\n\n[drive \"d0\"]\n  file = \"/srv/a.img\"\n  format = \"raw\"\n"      \
	"%s[device]\n  driver = \"%s\"\n[machine]\n  type = \"q35\"\n"

static struct pinning examine_config(const char *extra, const char *driver)
{
	char text[512];

	snprintf(text, sizeof(text), CONFIG, extra, driver);
	return examine_with(text, (const char *const[]){QEMU, "-readconfig", "/etc/a.cfg", NULL});
}

Test(pinning, config_files_are_read)
{
	struct pinning result;

	expect(examine_config("", "virtio-net-pci"), 0, NULL);
	expect(examine_config("  cache = \"none\"\n", "virtio-net-pci"), ISO_PIN_DIRECT_IO,
	       "[drive] cache=none");
	expect(examine_config("  cache.direct = \"on\"\n", "e1000"), ISO_PIN_DIRECT_IO, NULL);
	expect(examine_config("  #cache = \"none\"\n", "vfio-pci"), ISO_PIN_VFIO, NULL);
	result = EXAMINE("-readconfig", "/etc/a.cfg");
	cr_assert_str_eq(result.unseen, "-readconfig /etc/a.cfg cannot be read");
	cr_assert_eq(result.n, 0);
}

Test(pinning, says_what_it_cannot_see_through)
{
	struct pinning result;

	result = examine_with(NULL, (const char *const[]){"/usr/local/bin/start-vm", "a", NULL});
	cr_assert_str_eq(result.unseen, "/usr/local/bin/start-vm is not QEMU by its name");
	result = examine_with(NULL, (const char *const[]){"/usr/local/bin/start-vm", "-drive",
							  "file=a,cache=none", NULL});
	cr_assert_eq(result.pins, ISO_PIN_DIRECT_IO, "what is seen counts all the same");
	result = examine_with(NULL, (const char *const[]){"numactl", "-N", "0", QEMU, "-device",
							  "vfio-pci", NULL});
	expect(result, ISO_PIN_VFIO, NULL);
	result = EXAMINE("@/etc/options");
	cr_assert_str_eq(result.unseen, "what @/etc/options holds");
	result = EXAMINE("-blockdev", "{\"driver\":");
	cr_assert_str_eq(result.unseen, "{\"driver\": cannot be read");
	result = EXAMINE("-drive", "file=json:{,cache=none");
	cr_assert_neq(result.unseen[0], '\0');
	cr_assert_eq(result.pins, ISO_PIN_DIRECT_IO);
	result = EXAMINE("-drive");
	expect(result, 0, NULL);
	result = examine_with(NULL, (const char *const[]){NULL});
	expect(result, 0, NULL);
}
