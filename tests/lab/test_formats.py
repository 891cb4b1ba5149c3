# SPDX-License-Identifier: LGPL-2.1-or-later
"""What topology and scenario files may not say, and how the lab tells."""

import tempfile
import unittest
from pathlib import Path

from . import jsonpath, payload, scenario, topology
from .compare import holds
from .errors import FormatError
from .journal import Journal
from .samples import Samples
from .trace import LiveTrace, trace_lines

TOPOLOGY = """
[[bridge]]
name = "hb0"
ports = ["rp0", "rp1"]
[[memdev]]
name = "m0"
port = "rp0"
serial = 0x10
size = "512M"
[[memdev]]
name = "m1"
port = "rp1"
serial = 0x11
size = "512M"
[[window]]
targets = ["hb0"]
size = "4G"
[[disk]]
name = "d0"
size = "1G"
throttle = "64K"
"""

SCENARIO = """
topology = "demo"
[[vm]]
name = "a"
size = "16M"
[[step]]
name = "one"
surprise_down = "rp0"
expect = [{ vm = { name = "a", state = "beating" } }]
[[step]]
name = "two"
expect = [{ signal = { vm = "a", is = 9, since = "one" }, within = 5 }]
"""


class Formats(unittest.TestCase):
    def parse(self, module, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file.toml"
            path.write_text(text, encoding="utf-8")
            return module.parse(path)

    def refused(self, module, base, old, new, wanted):
        self.assertIn(old, base)
        with self.assertRaises(FormatError) as caught:
            self.parse(module, base.replace(old, new, 1))
        self.assertIn(wanted, str(caught.exception))


class Topologies(Formats):
    def test_good(self):
        parsed = self.parse(topology, TOPOLOGY)
        self.assertEqual([m.serial for m in parsed.memdevs], [0x10, 0x11])
        self.assertEqual(parsed.memdevs[0].size, 512 << 20)
        self.assertEqual(parsed.root_ports(), ["rp0", "rp1"])
        self.assertEqual([(d.name, d.size, d.throttle) for d in parsed.disks], [("d0", 1 << 30, 65536)])

    def test_refusals(self):
        cases = [
            ("serial = 0x11", "serial = 0x10", 'file.toml: memdev "m1": serial 0x10 is already used by "m0"'),
            ('port = "rp1"', 'port = "rp0"', 'memdev "m1": port "rp0" is already used by "m0"'),
            ('port = "rp1"', 'port = "rp7"', 'memdev "m1": port "rp7" does not exist'),
            ('name = "m1"', 'name = "m0"', 'memdev "m0": the name is already used by a memdev'),
            ('name = "m1"', 'name = "rp0"', 'the name is already used by a root port'),
            ('name = "m1"', 'name = "1m"', "is not a name"),
            ('size = "512M"', 'size = "100M"', 'memdev "m0": size = 100M is not a multiple of 256M'),
            ('size = "512M"', 'size = "much"', "is not a size"),
            ('size = "512M"', 'size = "512M"\ncolour = "red"', 'memdev "m0": unknown key "colour" (known: '),
            ('targets = ["hb0"]', 'targets = ["hb9"]', 'window 1: target "hb9" is not a bridge'),
            ('targets = ["hb0"]', 'targets = ["hb0", "hb0"]', "appears twice"),
            ('ports = ["rp0", "rp1"]', 'ports = []', "needs a root port"),
            ('ports = ["rp0", "rp1"]', 'ports = ["rp0", "rp0"]', "the name is already used by a root port"),
            ('ports = ["rp0", "rp1"]', 'ports = "rp0"', "must be a list of strings"),
            ('name = "hb0"', 'name = "hb0"\nbus_nr = 900', "bus_nr = 900 is not between"),
            ('serial = 0x10\n', '', 'memdev "m0": key "serial" is missing'),
            ('serial = 0x10', 'serial = true', "must be a whole number"),
            ('size = "4G"', 'size = "4G"\ngranularity = 300', "granularity = 300 is not"),
            ('[[bridge]]', '[[bridge', "not valid TOML"),
            ('[[bridge]]', 'speed = 1\n[[bridge]]', 'file.toml: unknown key "speed"'),
            ('name = "d0"', 'name = "rp0"', 'disk "rp0": the name is already used by a root port'),
            ('name = "d0"', 'name = "a-drive-with-a-long-name"', "more than 20 characters"),
            ('throttle = "64K"', 'throttle = "slow"', "is not a size"),
            ('size = "1G"', 'size = 1000', 'disk "d0": size = 1000 is not a multiple of 1M'),
        ]
        for old, new, wanted in cases:
            with self.subTest(wanted):
                self.refused(topology, TOPOLOGY, old, new, wanted)

    def test_duplicate_bus(self):
        extra = '[[bridge]]\nname = "hb1"\nports = ["rp2"]\nbus_nr = 12\n[[memdev]]'
        self.refused(topology, TOPOLOGY, "[[memdev]]", extra, 'bridge "hb1": bus_nr 12 is already used by "hb0"')

    def test_switch(self):
        extra = '[[switch]]\nname = "sw0"\nport = "rp0"\ndownstream = ["ds0"]\n[[memdev]]'
        self.refused(topology, TOPOLOGY, "[[memdev]]", extra, 'port "rp0" is already used by "sw0"')


class Scenarios(Formats):
    def test_good(self):
        parsed = self.parse(scenario, SCENARIO)
        self.assertEqual([s.action for s in parsed.steps], ["surprise_down", ""])
        self.assertEqual(parsed.steps[1].expect[0].within, 5)

    def test_refusals(self):
        cases = [
            ('surprise_down = "rp0"', 'surprise_down = "rp0"\nwait = 1', 'step "one": has more than one action'),
            ('surprise_down = "rp0"', 'explode = "rp0"', 'step "one": unknown key "explode"'),
            ('name = "a", state', 'name = "b", state', 'vm: name: there is no [[vm]] named "b"'),
            ('state = "beating"', 'state = "happy"', "state = 'happy' is not one of"),
            ('since = "one"', 'since = "six"', 'since = "six" is not'),
            ('is = 9', 'was = 9', 'signal: key "is" is missing'),
            ('within = 5', 'within = "soon"', "within = 'soon' must be a number"),
            ('name = "two"', 'name = "one"', "the name is already used"),
            ('{ signal = ', '{ journal = "(", signal = ', "must say exactly one of"),
            ('size = "16M"', 'size = "3M"', 'vm "a": size must be a multiple of 2M'),
            ('[[step]]', '[[step]]\nname = "zero"\n[[step]]', 'step "zero": has neither an action nor an expectation'),
            ('topology = "demo"', 'kernel = "newest"', "kernel = 'newest' is not one of stock, lts"),
            ('size = "16M"', 'size = "16M"\ndisk = { device = "d0", cache = "writethrough" }', "cache = 'writethrough' is not one of"),
            ('size = "16M"', 'size = "16M"\ndisk = { device = "d0", aio = "native" }', 'aio = "native" needs cache = "none"'),
            ('size = "16M"', 'size = "16M"\ndisk = { cache = "none" }', 'vm "a": disk: key "device" is missing'),
            ('size = "16M"', 'size = "16M"\ndisk = { device = "d0" }\n[[vm]]\nname = "b"\nsize = "2M"\ndisk = { device = "d0" }',
             'vm "b": disk: device "d0" is already used'),
            ('surprise_down = "rp0"', 'throttle = { disk = "d0" }', 'throttle: key "rate" is missing'),
            ('surprise_down = "rp0"', 'throttle = { disk = "d0", rate = -1 }', "must not be negative"),
            ('surprise_down = "rp0"', 'vm_qmp = { vm = "b", execute = "stop" }', 'vm_qmp: vm: there is no [[vm]] named "b"'),
            ('surprise_down = "rp0"', 'reboot = "power"', "reboot = 'power' is not one of kexec"),
            ('expect = [{ vm', 'expect = [{ journal_order = ["ok", "("] }, { vm', "'(' is not a regular expression"),
            ('expect = [{ vm', 'expect = [{ host_panics = "panic" }, { vm', "host_panics must be the last expectation"),
        ]
        for old, new, wanted in cases:
            with self.subTest(wanted):
                self.refused(scenario, SCENARIO, old, new, wanted)

    def test_regular_expression(self):
        bad = '\n[[step]]\nname = "three"\nexpect = [{ journal = "(" }]\n'
        with self.assertRaises(FormatError) as caught:
            self.parse(scenario, SCENARIO + bad)
        self.assertIn("is not a regular expression", str(caught.exception))

    def test_against_topology(self):
        host = self.parse(topology, TOPOLOGY)
        played = self.parse(scenario, SCENARIO.replace('"rp0"', '"rp5"'))
        with self.assertRaises(FormatError) as caught:
            scenario.check_against(played, host)
        self.assertIn('step "one": port "rp5" is not in file.toml', str(caught.exception))

    def test_disks_against_topology(self):
        host = self.parse(topology, TOPOLOGY)
        cases = [('size = "16M"', 'size = "16M"\ndisk = { device = "d7" }', 'vm "a": disk "d7" is not in file.toml (known: d0)'),
                 ('surprise_down = "rp0"', 'throttle = { disk = "d7", rate = 0 }', 'disk "d7" is not in file.toml'),
                 ('surprise_down = "rp0"', 'reboot = "kexec"\nlock_decoders = "m7"', 'lock_decoders: "m7" is not in file.toml')]
        for old, new, wanted in cases:
            with self.subTest(wanted), self.assertRaises(FormatError) as caught:
                scenario.check_against(self.parse(scenario, SCENARIO.replace(old, new, 1)), host)
            self.assertIn(wanted, str(caught.exception))

    def test_disk_of_a_vm(self):
        text = SCENARIO.replace('size = "16M"', 'size = "16M"\ndisk = { device = "d0", cache = "none", io = "write" }')
        vm = self.parse(scenario, text).vms[0]
        command = " ".join(payload.qemu_command(vm.name, vm.size, vm.disk))
        self.assertIn("file=/dev/disk/by-id/virtio-d0,format=raw,cache=none,aio=threads", command)
        self.assertIn(" disk=2 ", command)

    def test_ours(self):
        here = Path(__file__).parent
        for path in sorted((here / "scenarios").glob("*.toml")):
            with self.subTest(path.name):
                parsed = scenario.parse(path)
                scenario.check_against(parsed, topology.parse(here / "topologies" / f"{parsed.topology}.toml"))


class Parts(unittest.TestCase):
    def test_json_path(self):
        value = {"a": [{"name": "x", "b": [1, 2]}, {"name": "y", "on": True}]}
        self.assertEqual(jsonpath.look_up(value, "a[name=x].b[1]"), 2)
        self.assertEqual(jsonpath.look_up(value, "a[*].name"), ["x", "y"])
        self.assertEqual(jsonpath.look_up(value, "a[on=true].name"), "y")
        self.assertIs(jsonpath.look_up(value, "a[name=z].b"), jsonpath.ABSENT)
        self.assertIs(jsonpath.look_up(value, "a[7]"), jsonpath.ABSENT)
        self.assertEqual(jsonpath.look_up(value, ""), value)
        with self.assertRaises(FormatError):
            jsonpath.check("here", "a..b")

    def test_comparisons(self):
        self.assertTrue(holds(5, {"min": 5.0, "max": 6.0}))
        self.assertFalse(holds("text", {"min": 1.0}))
        self.assertTrue(holds(["a"], {"contains": "a", "count": 1}))
        self.assertTrue(holds(jsonpath.ABSENT, {"exists": False}))
        self.assertFalse(holds(jsonpath.ABSENT, {"not_equals": 3}))

    def test_samples(self):
        samples = Samples()
        samples.feed(b"1000000000 a 1\n1100000000 a 2\n31")
        samples.feed(b"00000000 a 2\n3200000000 a 3\n")
        self.assertEqual(samples.max_gap_ns("a"), 2_100_000_000)
        self.assertTrue(samples.beating("a"))
        self.assertIsNone(samples.max_gap_ns("b"))

    def test_journal(self):
        journal = Journal()
        journal.feed(b'{"_TRANSPORT":"kernel","MESSAGE":"WARNING: x","_SOURCE_BOOTTIME_TIMESTAMP":"7"}\n{"MESS')
        journal.feed(b'AGE_ID":"98e322203f7a4ed290d09fe03c09fe15","UNIT":"u","EXIT_STATUS":"9"}\n')
        self.assertEqual(journal.bad_kernel_records()[0].boottime_ns, 7000)
        self.assertEqual(journal.bad_kernel_records(0, ["WARNING: x"]), [])
        self.assertEqual(journal.exits("u")[0].fields["EXIT_STATUS"], "9")

    def test_trace(self):
        text = "# tracer: nop\n irq/26-aerdrv-59  [000] .....   36.090451: aer_event: 0000:0c:00.0 x\n"
        self.assertEqual(trace_lines(text), [(36_090_451_000, "aer_event: 0000:0c:00.0 x")])
        live = LiveTrace()
        live.feed(text[:30].encode())
        live.feed(text[30:].encode())
        self.assertEqual(live.since(36_000_000_000), ["aer_event: 0000:0c:00.0 x"])
        self.assertEqual(live.since(37_000_000_000), [])


if __name__ == "__main__":
    unittest.main()
