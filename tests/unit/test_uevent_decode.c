/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves what the kernel's uevents mean here. The messages were recorded on
 * stock Debian kernels in the lab: surprise down, unplug, plug.
 */
#include "source/uevent_decode.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define REGION "/devices/platform/ACPI0017:00/root0/decoder0.1/region1"
#define PORT   "/devices/pci0000:64/0000:64:00.0"

#define DAX_UNBIND                                                                                 \
	"unbind@" REGION "/dax_region1/dax1.2\0ACTION=unbind\0"                                    \
	"DEVPATH=" REGION "/dax_region1/dax1.2\0SUBSYSTEM=dax\0MAJOR=251\0"                        \
	"MINOR=2\0DEVNAME=dax1.2\0SEQNUM=1572"
#define MEMDEV_UNBIND                                                                              \
	"unbind@" PORT "/0000:65:00.0/mem1\0ACTION=unbind\0"                                       \
	"DEVPATH=" PORT "/0000:65:00.0/mem1\0SUBSYSTEM=cxl\0MAJOR=249\0"                           \
	"MINOR=1\0DEVNAME=cxl/mem1\0DEVTYPE=cxl_memdev\0SEQNUM=1664"
#define MEMDEV_REMOVE                                                                              \
	"remove@/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem2\0"                              \
	"ACTION=remove\0DEVPATH=/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem2\0"              \
	"SUBSYSTEM=cxl\0MAJOR=249\0MINOR=2\0DEVNAME=cxl/mem2\0"                                    \
	"DEVTYPE=cxl_memdev\0MODALIAS=cxl:t5\0SEQNUM=1682"
#define RECOVERY(event, online, seqnum)                                                            \
	"change@" PORT "/0000:65:00.0\0ACTION=change\0"                                            \
	"DEVPATH=" PORT "/0000:65:00.0\0SUBSYSTEM=pci\0ERROR_EVENT=" event "\0"                    \
	"DEVICE_ONLINE=" online "\0DRIVER=cxl_pci\0PCI_CLASS=50210\0"                              \
	"PCI_ID=8086:0D93\0PCI_SUBSYS_ID=1AF4:1100\0PCI_SLOT_NAME=0000:65:00.0\0"                  \
	"MODALIAS=pci:v00008086d00000D93sv00001AF4sd00001100bc05sc02i10\0"                         \
	"SEQNUM=" seqnum
#define FIRMWARE_REMOVE                                                                            \
	"remove@/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem2/firmware/mem2\0"                \
	"ACTION=remove\0"                                                                          \
	"DEVPATH=/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem2/firmware/mem2\0"               \
	"SUBSYSTEM=firmware\0FIRMWARE=mem2\0TIMEOUT=60\0ASYNC=0\0SEQNUM=1674"
#define ENDPOINT_ADD                                                                               \
	"add@/devices/platform/ACPI0017:00/root0/port1/endpoint3\0ACTION=add\0"                    \
	"DEVPATH=/devices/platform/ACPI0017:00/root0/port1/endpoint3\0"                            \
	"SUBSYSTEM=cxl\0DEVTYPE=cxl_port\0MODALIAS=cxl:t3\0SEQNUM=1666"
#define KMEM_BIND                                                                                  \
	"bind@" REGION "/dax_region1/dax1.0\0ACTION=bind\0"                                        \
	"DEVPATH=" REGION "/dax_region1/dax1.0\0SUBSYSTEM=dax\0MAJOR=251\0"                        \
	"MINOR=0\0DEVNAME=dax1.0\0DRIVER=kmem\0MODALIAS=dax:t0\0SEQNUM=1648"
#define PLACEHOLDER_REMOVE                                                                         \
	"remove@" REGION "/dax_region1/dax1.0\0ACTION=remove\0"                                    \
	"DEVPATH=" REGION "/dax_region1/dax1.0\0SUBSYSTEM=dax\0MAJOR=251\0"                        \
	"MINOR=0\0DEVNAME=dax1.0\0MODALIAS=dax:t0\0SEQNUM=1657"
#define PCI_REMOVE                                                                                 \
	"remove@/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0\0ACTION=remove\0"                    \
	"DEVPATH=/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0\0SUBSYSTEM=pci\0"                   \
	"PCI_CLASS=50210\0PCI_ID=8086:0D93\0PCI_SUBSYS_ID=1AF4:1100\0"                             \
	"PCI_SLOT_NAME=0000:0d:00.0\0"                                                             \
	"MODALIAS=pci:v00008086d00000D93sv00001AF4sd00001100bc05sc02i10\0SEQNUM=1684"

static struct uevent uevent;
static struct uevent_news news;

static enum uevent_outcome decode(const char *message, size_t bytes)
{
	/* On the heap and no longer than the message: the sanitizer sees one byte too many. */
	static char *copy;

	free(copy);
	copy = malloc(bytes + (bytes == 0));
	memcpy(copy, message, bytes);
	return uevent_decode(copy, bytes, &uevent);
}

static enum uevent_meaning meaning(const char *message, size_t bytes)
{
	cr_assert_eq(decode(message, bytes), UEVENT_DECODED);
	return uevent_meaning(&uevent, &news);
}

#define MEANING(message) meaning(message, sizeof(message))

Test(uevent_decode, fields)
{
	const char message[] = RECOVERY("BEGIN_RECOVERY", "0", "1665");

	cr_assert_eq(decode(message, sizeof(message)), UEVENT_DECODED);
	cr_assert_str_eq(uevent.action, "change");
	cr_assert_str_eq(uevent.devpath, PORT "/0000:65:00.0");
	cr_assert_str_eq(uevent.subsystem, "pci");
	cr_assert_str_eq(uevent.driver, "cxl_pci");
	cr_assert_str_eq(uevent.error_event, "BEGIN_RECOVERY");
	cr_assert_str_eq(uevent.pci_slot_name, "0000:65:00.0");
	cr_assert_null(uevent.devtype);
	cr_assert_null(uevent.devname);
	cr_assert(uevent.has_device_online && !uevent.device_online);
	cr_assert(uevent.has_seqnum && uevent.seqnum == 1665);
}

Test(uevent_decode, an_instance_leaves_at_surprise_down)
{
	struct iso_fault fault;

	cr_assert_eq(MEANING(DAX_UNBIND), UEVENT_INSTANCE_GONE);
	cr_assert_str_eq(news.name, "dax1.2");
	cr_assert(uevent_fault(&news, 42, &fault));
	cr_assert_eq(fault.unit_kind, ISO_UNIT_INSTANCE);
	cr_assert_eq(fault.cause, ISO_CAUSE_REGION_GONE);
	cr_assert_eq(fault.region_kernel_id, 1);
	cr_assert_eq(fault.kernel_id, 2);
	cr_assert_eq(fault.record_ns, 42);
}

Test(uevent_decode, the_placeholder_is_nobodys_instance)
{
	struct iso_fault fault;

	cr_assert_eq(MEANING(PLACEHOLDER_REMOVE), UEVENT_CHANGED);
	cr_assert_not(uevent_fault(&news, 1, &fault));
	cr_assert_eq(MEANING(KMEM_BIND), UEVENT_CHANGED);
	cr_assert_str_eq(uevent.driver, "kmem");
}

Test(uevent_decode, a_memdev_leaves_at_unplug)
{
	struct iso_fault fault;

	cr_assert_eq(MEANING(MEMDEV_REMOVE), UEVENT_MEMDEV_GONE);
	cr_assert_str_eq(news.name, "mem2");
	cr_assert(uevent_fault(&news, 43, &fault));
	cr_assert_eq(fault.unit_kind, ISO_UNIT_PORT_ADDRESS);
	cr_assert_eq(fault.cause, ISO_CAUSE_DEVICE_GONE);
	cr_assert_eq(fault.address.bus, 0x0d);
}

Test(uevent_decode, a_memdev_that_is_reset_is_not_gone)
{
	cr_assert_eq(MEANING(MEMDEV_UNBIND), UEVENT_CHANGED);
	cr_assert_eq(news.address.bus, 0x65);
}

Test(uevent_decode, the_kernels_recovery)
{
	struct iso_fault fault;

	cr_assert_eq(MEANING(RECOVERY("BEGIN_RECOVERY", "0", "1")), UEVENT_RECOVERY_BEGINS);
	cr_assert_eq(news.address.bus, 0x65);
	cr_assert_eq(MEANING(RECOVERY("SUCCESSFUL_RECOVERY", "1", "2")), UEVENT_SETTLED);
	cr_assert(news.recovered && news.address.bus == 0x65);
	cr_assert_eq(MEANING(RECOVERY("FAILED_RECOVERY", "0", "3")), UEVENT_SETTLED);
	cr_assert(!news.recovered && news.address.known);
	cr_assert_not(uevent_fault(&news, 1, &fault));
	cr_assert_eq(MEANING(RECOVERY("SOMETHING_NEW", "0", "4")), UEVENT_NOTHING);
}

Test(uevent_decode, changes_worth_a_look)
{
	cr_assert_eq(MEANING(ENDPOINT_ADD), UEVENT_CHANGED);
	cr_assert_not(news.address.known, "its path goes through ACPI");
	cr_assert_eq(MEANING(PCI_REMOVE), UEVENT_CHANGED);
	cr_assert_eq(news.address.bus, 0x0d);
}

Test(uevent_decode, others_are_nothing)
{
	cr_assert_eq(MEANING(FIRMWARE_REMOVE), UEVENT_NOTHING);
	cr_assert_eq(MEANING("add@/module/kmem\0ACTION=add\0DEVPATH=/module/kmem\0"
			     "SUBSYSTEM=module\0SEQNUM=1650"),
		     UEVENT_NOTHING);
	cr_assert_eq(MEANING("change@/x/dax1.1\0ACTION=change\0DEVPATH=/x/dax1.1\0"
			     "SUBSYSTEM=dax"),
		     UEVENT_NOTHING);
}

Test(uevent_decode, names_that_are_no_instance)
{
	cr_assert_eq(MEANING("remove@/d/dax1\0ACTION=remove\0DEVPATH=/d/dax1\0SUBSYSTEM=dax"),
		     UEVENT_CHANGED);
	cr_assert_eq(MEANING("remove@/d/dax1.\0ACTION=remove\0DEVPATH=/d/dax1.\0SUBSYSTEM=dax"),
		     UEVENT_CHANGED);
	cr_assert_eq(MEANING("remove@/d/dax1.-1\0ACTION=remove\0DEVPATH=/d/dax1.-1\0SUBSYSTEM=dax"),
		     UEVENT_CHANGED);
	cr_assert_eq(MEANING("remove@/d/dax1.4294967295\0ACTION=remove\0"
			     "DEVPATH=/d/dax1.4294967295\0SUBSYSTEM=dax"),
		     UEVENT_CHANGED);
	cr_assert_eq(MEANING("remove@/d/dax9999999999.1\0ACTION=remove\0"
			     "DEVPATH=/d/dax9999999999.1\0SUBSYSTEM=dax"),
		     UEVENT_CHANGED);
	cr_assert_eq(MEANING("remove@/d/dax4294967294.1\0ACTION=remove\0"
			     "DEVPATH=/d/dax4294967294.1\0SUBSYSTEM=dax"),
		     UEVENT_INSTANCE_GONE);
}

Test(uevent_decode, torn_at_every_length)
{
	const char message[] = MEMDEV_REMOVE;

	for (size_t n = 0; n < sizeof(message); n++) {
		enum uevent_outcome outcome = decode(message, n);

		/* Cut right behind a property it is a whole message with fewer properties. */
		if (n == 0 || message[n - 1] != '\0')
			cr_assert_eq(outcome, UEVENT_MALFORMED, "%zu bytes", n);
		else if (outcome == UEVENT_DECODED)
			cr_assert_not_null(uevent.subsystem, "%zu bytes", n);
	}
}

Test(uevent_decode, messages_that_are_not_the_kernels)
{
	const char *const wrong[] = {"", "@", "add", "@/devices/x", "add@x", "=@/", "\n"};
	const char udev[] = "libudev\0\xfe\xed\xca\xfe\0";

	cr_assert_eq(decode(udev, sizeof(udev)), UEVENT_NOT_KERNEL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_eq(decode(wrong[i], strlen(wrong[i]) + 1), UEVENT_MALFORMED, "%zu", i);
}

Test(uevent_decode, numbers_that_are_none)
{
	const char message[] = "add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=dax\0"
			       "SEQNUM=18446744073709551616\0DEVICE_ONLINE=2";
	const char greatest[] = "add@/x\0ACTION=add\0DEVPATH=/x\0SUBSYSTEM=dax\0"
				"SEQNUM=18446744073709551615";

	cr_assert_eq(decode(message, sizeof(message)), UEVENT_DECODED);
	cr_assert_not(uevent.has_seqnum);
	cr_assert_not(uevent.has_device_online);
	cr_assert_eq(decode(greatest, sizeof(greatest)), UEVENT_DECODED);
	cr_assert(uevent.has_seqnum);
	cr_assert_eq(uevent.seqnum, UINT64_MAX);
}
