/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves which lines of the kernel log mean something here, what is read from
 * them, and that what a process writes into the log means nothing. Lines are of
 * 6.12 and 7.2 where they differ.
 */
#include "source/kernel_log_decode.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* What the kernel adds to a line of a device. */
#define OF(address) "\n SUBSYSTEM=pci\n DEVICE=+pci:" address "\n"

static struct kernel_log_record record;
static struct kernel_log_news news;
static struct kernel_log_context context;

static enum kernel_log_outcome decode(const char *line)
{
	/* No longer than the record: the sanitizer sees one byte too many. */
	size_t bytes = strlen(line);
	char *copy = malloc(bytes + (bytes == 0));
	enum kernel_log_outcome outcome;

	memcpy(copy, line, bytes);
	outcome = kernel_log_decode(copy, bytes, &record);
	free(copy);
	return outcome;
}

static enum kernel_log_kind meaning(const char *line)
{
	cr_assert_eq(decode(line), KERNEL_LOG_DECODED, "%s", line);
	return kernel_log_meaning(&record, &context, &news);
}

Test(kernel_log_decode, a_record_has_header_text_and_device)
{
	cr_assert_eq(decode("4,1234,98765432,-;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down\n"
			    " SUBSYSTEM=pci\n DEVICE=+pci:0000:0c:00.0\n"),
		     KERNEL_LOG_DECODED);
	cr_assert_eq(record.level, 4);
	cr_assert_eq(record.facility, 0);
	cr_assert_eq(record.sequence, 1234);
	cr_assert_eq(record.at_ns, UINT64_C(98765432000));
	cr_assert_str_eq(record.text, "pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down");
	cr_assert_str_eq(record.device, "+pci:0000:0c:00.0");
	cr_assert_not(record.cut);
}

Test(kernel_log_decode, later_kernels_add_fields_before_the_text)
{
	cr_assert_eq(decode("30,7,1,-,caller=T1,more=2;systemd[1]: x\n"), KERNEL_LOG_DECODED);
	cr_assert_eq(record.facility, 3);
	cr_assert_str_eq(record.text, "systemd[1]: x");
}

Test(kernel_log_decode, escapes_are_taken_back_and_nothing_unprintable_stays)
{
	cr_assert_eq(decode("6,1,1,-;a\\x5cb\\x1b[0mc\\xzz"), KERNEL_LOG_DECODED);
	cr_assert_str_eq(record.text, "a\\b?[0mc\\xzz");
}

Test(kernel_log_decode, a_long_line_is_cut_and_says_so)
{
	char line[3000] = "6,1,1,-;";

	memset(line + 8, 'x', sizeof(line) - 9);
	line[sizeof(line) - 1] = '\0';
	cr_assert_eq(decode(line), KERNEL_LOG_DECODED);
	cr_assert(record.cut);
	cr_assert_eq(strlen(record.text), KERNEL_LOG_TEXT_BYTES - 1);
}

Test(kernel_log_decode, what_has_no_header_is_malformed)
{
	static const char *const lines[] = {
		"",
		"x",
		"6",
		"6,",
		"6,1,1",
		"6,1,1,-",
		"6,1;hi",
		"6,,1,-;hi",
		";",
		"-1,1,1,-;hi",
		"6 1 1 -;hi",
		"6,99999999999999999999999,1,-;hi",
		"99999999999,1,1,-;hi",
		"6,1,99999999999999999999,-;hi",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert_eq(decode(lines[i]), KERNEL_LOG_MALFORMED, "'%s'", lines[i]);
}

Test(kernel_log_decode, each_line_has_its_kind)
{
	static const struct {
		const char *line;
		enum kernel_log_kind kind;
	} lines[] = {
		{"0,1,1,-;Kernel panic - not syncing: Fatal exception", KERNEL_LOG_PANIC},
		{"1,1,1,-;BUG: unable to handle page fault for address: ffff8", KERNEL_LOG_OOPS},
		{"1,1,1,-;BUG: kernel NULL pointer dereference, address: 0", KERNEL_LOG_OOPS},
		{"4,1,1,-;Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI", KERNEL_LOG_OOPS},
		{"4,1,1,-;Oops: general protection fault, probably for non-canonical address "
		 "0xdead000000000100: 0000 [#1] SMP NOPTI",
		 KERNEL_LOG_OOPS},
		{"4,1,1,-;invalid opcode: 0000 [#1] SMP", KERNEL_LOG_OOPS},
		{"2,1,1,-;kernel BUG at mm/memory.c:1!", KERNEL_LOG_OOPS},
		{"1,1,1,-;BUG: Bad page state in process qemu pfn:1", KERNEL_LOG_BUG},
		{"4,1,1,-;WARNING: CPU: 0 PID: 9 at mm/memremap.c:2 x+0x1/0x2", KERNEL_LOG_WARNING},
		{"4,1,1,-;WARNING: mm/memremap.c:2 at x+0x1/0x2, CPU#0: a/9", KERNEL_LOG_WARNING},
		{"0,1,1,-;watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [a:1]",
		 KERNEL_LOG_SOFT_LOCKUP},
		{"0,1,1,-;watchdog: Watchdog detected hard LOCKUP on cpu 3",
		 KERNEL_LOG_HARD_LOCKUP},
		{"0,1,1,-;NMI watchdog: Watchdog detected hard LOCKUP on cpu 3",
		 KERNEL_LOG_HARD_LOCKUP},
		{"0,1,1,-;watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 3",
		 KERNEL_LOG_HARD_LOCKUP},
		{"3,1,1,-;rcu: INFO: rcu_preempt self-detected stall on CPU", KERNEL_LOG_RCU_STALL},
		{"3,1,1,-;rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... "
		 "} 21002 jiffies s: 9 root: 0x2/.",
		 KERNEL_LOG_RCU_STALL},
		{"3,1,1,-;rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
		 KERNEL_LOG_RCU_STALL},
		{"3,1,1,-;DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x0",
		 KERNEL_LOG_IOMMU_FAULT},
		{"3,1,1,-;vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=1]\n DEVICE=+pci:0000:01:00.0",
		 KERNEL_LOG_IOMMU_FAULT},
		{"0,1,1,-;mce: [Hardware Error]: CPU 0: Machine Check: 5 Bank 9: bd00",
		 KERNEL_LOG_MACHINE_CHECK},
		{"3,1,1,-;pcieport 0000:0c:00.0: DPC: containment event, status:0x1f01 source:0x0\n DEVICE=+pci:0000:0c:00.0",
		 KERNEL_LOG_DPC},
		{"4,1,1,-;pcieport 0000:0c:00.0: AER: Uncorrectable (Fatal) error message received "
		 "from 0000:0c:00.0\n DEVICE=+pci:0000:0c:00.0",
		 KERNEL_LOG_AER},
		{"3,1,1,-;pcieport 0000:0c:00.0: PCIe Bus Error: severity=Uncorrectable (Fatal), "
		 "type=Transaction Layer, (Receiver ID)\n DEVICE=+pci:0000:0c:00.0",
		 KERNEL_LOG_AER},
		{"3,1,1,-;pcieport 0000:0c:00.0: CXL Bus Error: severity=Uncorrectable (Fatal), "
		 "type=Data Link Layer, (Receiver ID)\n DEVICE=+pci:0000:0c:00.0",
		 KERNEL_LOG_AER},
		{"4,1,1,-;cxl_pci 0000:0d:00.0: mem0: frozen state error detected, disable CXL.mem",
		 KERNEL_LOG_CXL},
		{"6,1,1,-;cxl_pci 0000:0d:00.0: restart CXL.mem after slot reset",
		 KERNEL_LOG_NOTHING},
		{"6,1,1,-;pcieport 0000:0c:00.0: AER: enabled with IRQ 24\n DEVICE=+pci:0000:0c:00.0",
		 KERNEL_LOG_NOTHING},
		{"6,1,1,-;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Up\n DEVICE=+pci:0000:0c:00.0",
		 KERNEL_LOG_NOTHING},
		{"6,1,1,-;Freeing unused kernel image memory: 100K", KERNEL_LOG_NOTHING},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		context = (struct kernel_log_context){0};
		cr_assert_eq(meaning(lines[i].line), lines[i].kind, "%s: %s", lines[i].line,
			     kernel_log_kind_name(news.kind));
	}
}

Test(kernel_log_decode, a_process_that_writes_into_the_log_is_not_believed)
{
	struct iso_fault fault;

	cr_assert_eq(meaning("12,1,1,-;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down"),
		     KERNEL_LOG_NOTHING);
	cr_assert_not(kernel_log_fault(&news, 1, &fault));
	cr_assert_eq(meaning("8,1,1,-;Kernel panic - not syncing: no"), KERNEL_LOG_NOTHING);
}

Test(kernel_log_decode, a_lost_link_is_a_fault_of_its_port)
{
	struct iso_fault fault;

	cr_assert_eq(meaning("6,1,1,-;pcieport 0000:de:00.0: pciehp: Slot(2): Link Down\n"
			     " SUBSYSTEM=pci\n DEVICE=+pci:0000:de:00.0\n"),
		     KERNEL_LOG_LINK_DOWN);
	cr_assert(kernel_log_fault(&news, 77, &fault));
	cr_assert_eq(fault.unit_kind, ISO_UNIT_PORT_ADDRESS);
	cr_assert_eq(fault.cause, ISO_CAUSE_LINK_DOWN);
	cr_assert_eq(fault.record_ns, 77);
	cr_assert_eq(fault.address.bus, 0xde);
	cr_assert_eq(
		meaning("6,1,1,-;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down/Up ignored\n"
			" SUBSYSTEM=pci\n DEVICE=+pci:0000:0c:00.0\n"),
		KERNEL_LOG_NOTHING, "the kernel's own reset");
	cr_assert_eq(meaning("6,1,1,-;pcieport 0000:0c:01.0: pciehp: Slot(3): Card not present\n"
			     " SUBSYSTEM=pci\n DEVICE=+pci:0000:0c:01.0\n"),
		     KERNEL_LOG_CARD_GONE);
	cr_assert(kernel_log_fault(&news, 78, &fault));
	cr_assert_eq(fault.address.device, 1);
	/* Nothing else is one. */
	cr_assert_eq(meaning("3,1,1,-;pcieport 0000:0c:00.0: DPC: containment event, status:0x1\n"
			     " DEVICE=+pci:0000:0c:00.0\n"),
		     KERNEL_LOG_DPC);
	cr_assert_not(kernel_log_fault(&news, 79, &fault));
	cr_assert_eq(fault.record_ns, 78);
}

/* Who may make control groups, processes and files chooses what the kernel prints of them. */
Test(kernel_log_decode, names_that_the_kernel_prints_are_not_believed)
{
	static const char *const lines[] = {
		/* Nothing but the device's own record is of the device. */
		"6,1,1,-;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down",
		"6,1,1,-;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down" OF("0000:0c:01.0"),
		"6,1,1,-;usb 1-1: Product: 0000:0c:00.0: pciehp: Slot(2): Link Down\n"
		" SUBSYSTEM=usb\n DEVICE=+usb:0000:0c:00.0\n",
		"6,1,1,-;x 0000:0c:00.0: pciehp: Slot(2): Link Down" OF("0000:0c:00.0"),
		"3,1,1,-;vfio-pci 0000:01:00.0: x 0000:0c:00.0: pciehp: Slot(1): Link Down" OF(
			"0000:01:00.0"),
		"3,1,1,-;pcieport 0000:0c:00.0: DPC: containment event, status:0x1f01 source:0x0",
		"3,1,1,-;pcieport 0000:0c:00.0: AER: Uncorrectable (Fatal) error message received",
		/* Control groups */
		"6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
		"oom_memcg=/u/x 0000:0c:00.0: pciehp: Slot(1): Link Down,task_memcg=/u,task=a,pid=9",
		"6,1,1,-;oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/u/hard LOCKUP,task=a,pid=9",
		"6,1,1,-;Memory cgroup stats for /u/self-detected stall on CPU:",
		"6,1,1,-;cgroup: fork rejected by pids controller in /u/detected stalls on CPUs",
		/* The same, when another line came between */
		"4,1,1,c;pcieport 0000:0c:00.0: pciehp: Slot(2): Link Down",
		"4,1,1,c;Kernel panic - not syncing: no",
		"4,1,1,c;Oops: Oops: 0002 [#1]",
		/* Processes and files */
		"4,1,1,-;Oops:  invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"4,1,1,-;Oops: [#1] invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"4,1,1,-;BUG: x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"4,1,1,-;WARNING: x: page allocation failure: order:0, mode:0xcc0(GFP_KERNEL)",
		"4,1,1,-;kernel BUG at ! invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"4,1,1,-;DMAR: [x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"4,1,1,-;cxl_x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"4,1,1,-;Oops: 0000 [#1]: attempt to access beyond end of device",
		"4,1,1,-;Oops: 0000 [#1] (12): Using mlock ulimits for SHM_HUGETLB is obsolete",
		"6,1,1,-;Kernel panic - not syncing: x: a: potentially unexpected fatal signal 11.",
		"6,1,1,-;Oops: [12] bad frame in x: 0000 [#1] frame:0 ip:0 sp:0 orax:0 in a[1]",
		"6,1,1,-;kernel BUG at (12): drop_caches: 3!",
		"6,1,1,-;NMI watchdog: (12) wants Watchdog detected hard LOCKUP on cpu 1",
		"6,1,1,-;rcu: INFO: rcu_[12] bad frame in self-detected stall on CPU",
		"6,1,1,-;MCE: Killing :5 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"6,1,1,-;traps: a[5] invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0",
		"6,1,1,-;Out of memory(12) bad frame in : Killed process 5 (a)",
		"6,1,1,-;INFO: task a:5 invoked oom-killer: x blocked for more than 120 seconds.",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct iso_fault fault;

		context = (struct kernel_log_context){0};
		cr_expect_eq(meaning(lines[i]), KERNEL_LOG_NOTHING, "%s: %s", lines[i],
			     kernel_log_kind_name(news.kind));
		cr_expect_not(kernel_log_fault(&news, 1, &fault), "%s", lines[i]);
	}
}

/* A process cannot name itself so that a line of the kernel is overlooked. */
Test(kernel_log_decode, what_the_kernel_says_of_a_process_stays_what_it_is)
{
	cr_assert_eq(meaning("0,1,1,-;watchdog: BUG: soft lockup - CPU#1 stuck for 26s! "
			     "[: segfault at :12]"),
		     KERNEL_LOG_SOFT_LOCKUP);
	cr_assert_eq(meaning("3,1,1,-;INFO: task [1]:812 blocked for more than 120 seconds."),
		     KERNEL_LOG_HUNG_TASK);
	cr_assert_eq(news.pid, 812);
	cr_assert_eq(meaning("6,1,1,-;a[5]: segfault [812]: segfault at 7f ip 00 sp 00 error 6"),
		     KERNEL_LOG_PROCESS_FAULT);
	cr_assert_eq(news.pid, 812);
	cr_assert_eq(meaning("1,1,1,-;BUG: Bad page state in process [1](2) pfn:1"),
		     KERNEL_LOG_BUG);
}

Test(kernel_log_decode, processes_are_named_with_their_number)
{
	cr_assert_eq(
		meaning("3,1,1,-;INFO: task daxmgr-worker:812 blocked for more than 120 seconds."),
		KERNEL_LOG_HUNG_TASK);
	cr_assert_str_eq(news.process, "daxmgr-worker");
	cr_assert_eq(news.pid, 812);
	/* 6.12 has a state behind it, others a name with signs in it. */
	cr_assert_eq(
		meaning("3,1,1,-;INFO: task kworker/u8:3+ev:9:41 blocked for more than 12 seconds."),
		KERNEL_LOG_HUNG_TASK);
	cr_assert_str_eq(news.process, "kworker/u8:3+ev:9");
	cr_assert_eq(news.pid, 41);
	cr_assert_eq(
		meaning("6,1,1,-;qemu-system-x86[1234]: segfault at 7f ip 00 sp 00 error 6 in a[1]"),
		KERNEL_LOG_PROCESS_FAULT);
	cr_assert_str_eq(news.process, "qemu-system-x86");
	cr_assert_eq(news.pid, 1234);
	cr_assert_eq(meaning("6,1,1,-;traps: CPU 0/KVM[8] general protection fault ip:1 sp:2"),
		     KERNEL_LOG_PROCESS_FAULT);
	cr_assert_eq(news.pid, 8);
	cr_assert_eq(meaning("6,1,1,-;traps: qemu[7] trap invalid opcode ip:1 sp:2 error:0"),
		     KERNEL_LOG_PROCESS_FAULT);
	cr_assert_eq(news.pid, 7);
	cr_assert_eq(
		meaning("3,1,1,-;MCE: Killing qemu:55 due to hardware memory corruption fault at 7f"),
		KERNEL_LOG_PROCESS_FAULT);
	cr_assert_eq(news.pid, 55);
	cr_assert_eq(meaning("3,1,1,-;Memory failure: 0xa1000: Sending SIGBUS to qemu:56 due to "
			     "hardware memory corruption"),
		     KERNEL_LOG_PROCESS_FAULT);
	cr_assert_eq(news.pid, 56);
	cr_assert_eq(news.pfn, 0xa1000);
	cr_assert_eq(meaning("3,1,1,-;Out of memory: Killed process 57 (qemu-kvm) total-vm:1kB"),
		     KERNEL_LOG_OUT_OF_MEMORY);
	cr_assert_str_eq(news.process, "qemu-kvm");
	cr_assert_eq(news.pid, 57);
	cr_assert_eq(meaning("3,1,1,-;Memory cgroup out of memory: Killed process 58 (qemu-kvm) "
			     "total-vm:1kB"),
		     KERNEL_LOG_OUT_OF_MEMORY);
	cr_assert_eq(news.pid, 58);
}

Test(kernel_log_decode, a_failed_page_has_its_number)
{
	cr_assert_eq(
		meaning("3,1,1,-;Memory failure: 0xa1001: recovery action for dax page: Recovered"),
		KERNEL_LOG_MEMORY_FAILURE);
	cr_assert(news.has_pfn);
	cr_assert_eq(news.pfn, 0xa1001);
	cr_assert_eq(news.pid, 0);
}

Test(kernel_log_decode, a_stack_in_our_drivers_is_told_once_and_of_what)
{
	meaning("3,1,1000000,-;INFO: task a:5 blocked for more than 120 seconds.");
	cr_assert_eq(meaning("6,2,1000100,-;task:a state:D stack:0 pid:5"), KERNEL_LOG_NOTHING);
	cr_assert_eq(meaning("6,3,1000200,-; ? cxl_guess+0x1/0x2 [cxl_core]"), KERNEL_LOG_NOTHING);
	cr_assert_eq(meaning("6,4,1000300,-; cxl_decoder_detach+0x1c/0x80 [cxl_core]"),
		     KERNEL_LOG_STACK);
	cr_assert_eq(news.of, KERNEL_LOG_HUNG_TASK);
	cr_assert_str_eq(news.function, "cxl_decoder_detach");
	cr_assert_eq(meaning("6,5,1000400,-; cxl_region_detach+0x1/0x2"), KERNEL_LOG_NOTHING);
}

Test(kernel_log_decode, a_function_long_after_is_of_no_stack)
{
	meaning("3,1,1000000,-;INFO: task a:5 blocked for more than 120 seconds.");
	cr_assert_eq(meaning("6,4,9000000,-; cxl_decoder_detach+0x1c/0x80"), KERNEL_LOG_NOTHING);
	meaning("3,1,1000000,-;INFO: task a:5 blocked for more than 120 seconds.");
	for (int i = 0; i < 100; i++)
		meaning("6,2,1000100,-; schedule+0x1/0x2");
	cr_assert_eq(meaning("6,4,1000200,-; cxl_decoder_detach+0x1c/0x80"), KERNEL_LOG_NOTHING);
}
