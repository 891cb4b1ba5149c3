# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is laid at the emulator's door, and what is not."""

import unittest

from . import emulator
from .stalled import Stalled

FIRMWARE = "EAX=00000000\nEIP=0000fff0 EFL=00000002\nCS =f000 ffff0000 0000ffff 00009b00\nCR0=60000010 CR2=00000000\n"
PAYLOAD = "EAX=00000001\nEIP=00100a10 EFL=00000202\nCS =0008 00000000 ffffffff 00cf9a00\nCR0=00000011 CR2=00000000\n"
HOST = "EAX=156bc000\nEIP=c09dc83c EFL=00010246\nCS =0010 00000000 ffffffff 00a09b00\nCR0=80050033 CR2=00000000\n"
PANIC = """[   59.283977] Kernel panic - not syncing: corrupted stack end detected inside scheduler
[   59.286229] CPU: 0 UID: 991 PID: 345 Comm: CPU 0/KVM Not tainted 7.3.4
"""

WARNING = """[  142.380091] WARNING: kernel/sched/core.c:4298 at try_to_wake_up+0x434/0x790, CPU#0: worker/355
[  142.384303] RSP: 0018:ff5cef7cc0003c60 EFLAGS: 00010002
[  142.388505]  common_interrupt+0x42/0xa0
[  142.388605]  asm_common_interrupt+0x26/0x40
[  142.388785] RIP: 0010:native_apic_mem_eoi+0xd/0x20
[  142.388908] Code: 2e 0f 1f 84 00 00 00 00 00 <c3>
[  142.389324] RSP: 0018:ff5cef7cc0003fd8 EFLAGS: 00010046
[  142.391113]  asm_sysvec_apic_timer_interrupt+0x1a/0x20
[  142.391236] RIP: 0010:__dequeue_entity+0x401/0x600
[  142.391723] RSP: 0018:ff5cef7cc0e1f860 EFLAGS: 00010282
"""


class FakeGuest:
    """A VM that was given memory twice and whose payload said so many times that it began."""

    class Record:
        fields = {"DAXMGR_NOTE": "lease"}
        message = "incident 2: vm-a: acquired -> attached"

    def __init__(self, starts: int):
        self.starts, self.journal = starts, self

    def since(self, _mark):
        return [self.Record(), self.Record()]

    def serial(self, _vm):
        return "BEAT 1\n" + "START\nBEAT 1\n" * self.starts


def stalled(registers: str, name: str = "vm-a", state: str = "running") -> Stalled:
    return Stalled(name, 1234, state, "CPU 0/KVM: R 0\n    running\nworker: S futex_do_wait\n", registers, "")


class Emulator(unittest.TestCase):
    def reason(self, vm, starts: int = 2) -> str:
        return emulator.reason(FakeGuest(starts), [vm], 0, {})

    def test_only_a_vm_that_runs_without_a_word_hangs_in_firmware(self):
        self.assertEqual(self.reason(stalled(FIRMWARE), 1),
                         "the firmware of vm-a hung in the emulator at 0000fff0, CS f000 ffff0000")
        self.assertEqual(self.reason(stalled(FIRMWARE), 2), "")
        self.assertEqual(self.reason(stalled(FIRMWARE, state="paused"), 1), "")
        self.assertEqual(self.reason(stalled("", state="absent"), 1), "")
        self.assertEqual(self.reason(stalled(FIRMWARE, "vm-b"), 1), "")

    def test_a_vm_that_starts_again_in_its_process(self):
        def reason(said: str) -> str:
            guest = FakeGuest(0)
            guest.serial = lambda _vm: said
            return emulator.reset_reason(guest, ["vm-a"], 0, {})
        twice = "START\nZERO ok 4096\nBEAT 1\n" * 2
        self.assertIn("the emulator reset vm-a's CPU", reason(twice + "START\nZERO bad 0x00000000 0xda000000\n"))
        self.assertEqual(reason("START\nZERO ok 4096\nBEAT 1\n" + "START\nZERO bad 0x00000000 0xda000000\n"), "", "handed over so")
        self.assertEqual(reason(twice + "START\nZERO bad 0x00001000 0xda000000\n"), "", "somebody cleared its begin")
        self.assertEqual(reason(twice + "START\nZERO ok 4096\n"), "")
        self.assertEqual(reason(twice + "CORRUPT 0x1000 0x1 0x0\nSTART\nZERO bad 0x00000000 0xda000000\n"), "")

    def test_a_vm_with_the_hosts_registers(self):
        self.assertIn("gave vm-a the registers of the host's kernel, at c09dc83c", self.reason(stalled(HOST)))
        self.assertEqual(self.reason(stalled(PAYLOAD)), "")

    def test_the_hosts_stack(self):
        self.assertIn("corrupted stack end", emulator.host_reason(PANIC))
        self.assertEqual(emulator.host_reason(PANIC.replace("CPU 0/KVM", "daxmgrd")), "")
        self.assertEqual(emulator.host_reason(PANIC.replace("corrupted stack end detected", "Fatal exception")), "")
        self.assertEqual(emulator.host_reason(""), "")

    def test_a_host_that_ended_by_itself(self):
        why = "the emulated host reset itself (guest-reset, a triple fault): the guest's QEMU ended with code 0"
        self.assertIn("before anything was broken", emulator.ended_reason(why, []))
        self.assertEqual(emulator.ended_reason(why, [{"kind": "surprise_down"}]), "")
        self.assertEqual(emulator.ended_reason("the emulated host reset itself (guest-reset)", []), "")

    def test_a_host_that_froze_by_itself(self):
        """Once something was broken in it, it may be the product or the kernel that hangs."""
        self.assertEqual(emulator.frozen_reason([FIRMWARE, HOST], []),
                         "the emulated host froze before anything was broken in it, " + emulator.place(HOST))
        self.assertEqual(emulator.frozen_reason([HOST], [{"kind": "surprise_down"}]), "")

    def test_a_panic_in_another_thread_beside_one_of_a_vm(self):
        other = PANIC.replace("CPU 0/KVM", "daxmgrd") + "[   59.3] CPU: 1 UID: 991 PID: 346 Comm: CPU 0/KVM Not tainted\n"
        self.assertEqual(emulator.host_reason(other), "")

    def test_an_interrupt_where_there_can_be_none(self):
        self.assertIn("interrupts are off, at native_apic_mem_eoi+0xd/0x20", emulator.host_reason(WARNING))
        self.assertEqual(emulator.host_reason(WARNING.replace("00010046", "00000246")), "")

    def test_registers_of_another_trace(self):
        """An interrupt that came in user space, and further down a warning of code that runs with interrupts off."""
        trace = ("[  1.0]  asm_sysvec_apic_timer_interrupt+0x1a/0x20\n[  1.1] RIP: 0033:0x7f02d8ea672e\n"
                 "[  1.2] RSP: 002b:00007f02bf7fd538 EFLAGS: 00000246\n"
                 "[  2.0] WARNING: kernel/sched/core.c:4298\n[  2.1] RIP: 0010:try_to_wake_up+0x434/0x790\n"
                 "[  2.2] RSP: 0018:ff5cef7cc0003c60 EFLAGS: 00010002\n")
        self.assertEqual(emulator.host_reason(trace), "")

    def test_what_is_said_of_one_that_stands_still(self):
        self.assertEqual(stalled(PAYLOAD).line(), "vm-a (pid 1234) is running: CPU 0/KVM: R 0; worker: S futex_do_wait")


if __name__ == "__main__":
    unittest.main()
