# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo's figures and checks on fake evidence: right where all is well, and each spoiled thing is noticed."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from . import demo, demo_checks, demo_control, demo_plan, demo_print, scenario, topology
from .demo_evidence import RESULT_FILE, SCENARIO, DemoEvidence
from .demo_fake import MIB, MS, SECOND, FakeRun
from .errors import LabError

HERE = Path(__file__).parent


def load():
    return (scenario.parse(HERE / "scenarios" / "demo.toml"), topology.parse(HERE / "topologies" / "demo.toml"))


class DemoCase(unittest.TestCase):
    def setUp(self):
        self._directory = tempfile.TemporaryDirectory(prefix="daxmgr-demo-test-")
        self.addCleanup(self._directory.cleanup)
        self.path = Path(self._directory.name)
        self.run_ = FakeRun(*load())

    def evidence(self) -> DemoEvidence:
        self.run_.write(self.path)
        return DemoEvidence(self.path)

    def broken(self) -> dict:
        return {v.name: v.problems for v in demo_checks.judge(self.evidence()) if not v.held}


class PlanTest(unittest.TestCase):
    def test_blast_radius_and_domains(self):
        plan = demo_plan.plan(*load())
        self.assertEqual([(f.kind, f.unit, f.victims, f.survivors, f.domain) for f in plan], [
            ("surprise down", "rp1", ["b"], ["a", "c", "d"], ["rp1"]),
            ("surprise down", "rp2", ["c", "d"], ["a", "b"], ["rp2", "rp3"]),
            ("unplug", "m1", ["b"], ["a", "c", "d"], ["rp1"]),
            ("surprise down", "rp0", ["a"], ["b", "c", "d"], ["rp0"])])

    def test_ports_below_a_switch(self):
        switch = topology.parse(HERE / "topologies" / "switch.toml")
        port = switch.switches[0].port
        below = [m for m in switch.memdevs if m.port in switch.switches[0].downstream]
        self.assertEqual(demo_plan.lost_serials(switch, port), {m.serial for m in below})
        self.assertEqual(demo_plan.lost_serials(switch, below[0].port), {below[0].serial})
        self.assertEqual(demo_plan.domain_of(switch, {"r": [below[0].serial]}, below[0].name), [port])

    def test_controls_change_one_thing(self):
        demo_scenario, host = load()
        for control in demo_control.CONTROLS.values():
            changed = demo_control.apply(control, demo_scenario)
            parts = {demo_plan.part_of(step.name) for step in changed.steps}
            self.assertEqual(parts, set(control.parts), control.name)
            self.assertIn(control.breaks, demo_checks.CHECKS)
            self.assertEqual(len(demo_plan.plan(changed, host)), len(control.parts) - 1)


class FiguresTest(DemoCase):
    def test_good_run_holds(self):
        self.assertEqual(self.broken(), {})

    def test_figures(self):
        result, _ = demo.result_of(self.evidence())
        first = result["faults"][0]
        self.assertEqual(first["inject_to_record_ms"], 3.0)
        self.assertEqual(first["contain_ms"], 40.0)
        self.assertEqual(first["recover_ms"], 8000.0)
        self.assertEqual(first["capacity_before_bytes"], 2048 * MIB)
        self.assertEqual(first["victims"][0]["stopped_at_ms"], 1.0)
        self.assertEqual(first["victims"][0]["sent_at_ms"], 2.0)
        self.assertEqual(first["victims"][0]["signal"], 9)
        self.assertEqual(first["victims"][0]["sent_by"], "daxmgrd")
        self.assertAlmostEqual(first["victims"][0]["exited_at_ms"], 20.0, places=2)
        self.assertEqual(first["killed"], ["b"])
        self.assertEqual(first["survivor_max_gap_ms"], 100.0)
        self.assertIn("aer_event", first["t0_source"])
        self.assertIsNone(first["waited_for"])
        self.assertIn("uevent", result["faults"][2]["t0_source"])
        self.assertEqual(result["faults"][3]["waited_until_ms"], 4997.0)
        self.assertEqual(result["summary"]["kills"], 5)
        self.assertEqual(result["summary"]["reboot_instead"]["measured_guest_boot_s"], 20.0)

    def test_timeline_is_in_order(self):
        result, _ = demo.result_of(self.evidence())
        for fault in result["faults"]:
            times = [entry["at_ms"] for entry in fault["timeline"]]
            self.assertEqual(times, sorted(times))
            sources = {entry["source"] for entry in fault["timeline"]}
            self.assertEqual(sources, {"lab", "kernel", "daxmgrd", "supervisor"} if fault["kind"] == "surprise down"
                             else sources | {"lab", "daxmgrd", "supervisor"})

    def test_contained_needs_exit_and_verification(self):
        self.run_.trace = [(ns, line) for ns, line in self.run_.trace if "sched_process_exit" not in line]
        result, _ = demo.result_of(self.evidence())
        self.assertIsNone(result["faults"][0]["contain_ms"])
        self.assertIsNone(result["faults"][0]["victims"][0]["exited_at_ms"])

    def test_summary_has_a_row_per_fault(self):
        result, judged = demo.result_of(self.evidence())
        text = "\n".join(demo_print.summary(result) + demo_print.verdicts(judged))
        for words in ("surprise down rp1", "unplug m1", "b (signal 9)", "2048 MiB", "20.0 s"):
            self.assertIn(words, text)


class ChecksTest(DemoCase):
    def journal(self, keep):
        self.run_.journal = [(ns, fields) for ns, fields in self.run_.journal if keep(fields)]

    def test_paused_vm_that_lives_on(self):
        self.journal(lambda fields: fields.get("UNIT") != "daxmgr-vm@c.service")
        self.assertEqual(self.broken()["victims-signal-9"], ["fault 2: c: its process did not end by a signal"])

    def test_victim_that_the_kernel_got_first(self):
        for _, fields in self.run_.journal:
            if fields.get("UNIT") == "daxmgr-vm@a.service":
                fields["EXIT_STATUS"] = "7"
        self.assertEqual(self.broken()["victims-signal-9"], ["fault 4: a: signal 7"])

    def test_kill_by_somebody_else(self):
        self.run_.trace = [(ns, line.replace("daxmgrd-77", "pkill-77")) for ns, line in self.run_.trace]
        self.assertIn("fault 1: b: SIGKILL came from pkill", self.broken()["killed-by-daxmgrd"])

    def test_survivor_that_is_signalled(self):
        pid = 100 + 10 * [vm.name for vm in self.run_.scenario.vms].index("d")
        self.run_.traced(self.run_.faults[0]["boottime_ns"] + SECOND, "pkill", "signal_generate",
                         f"sig=9 errno=0 code=0 comm=qemu-system-x86 pid={pid} grp=1 res=0")
        self.assertEqual(self.broken()["nobody-else-signalled"], ["fault 1: d was sent signal 9 by pkill"])

    def test_survivor_that_stands_still(self):
        begin = self.run_.faults[1]["boottime_ns"]
        self.run_.stops["a"].append((begin, begin + 2500 * MS))
        self.assertEqual(self.broken()["survivors-beat"], ["fault 2: a: stood still for 2.5 s"])

    def test_machine_that_is_too_busy_is_named(self):
        begin = self.run_.faults[1]["boottime_ns"]
        samples = self.run_.samples
        self.run_.samples = lambda: "".join(line for line in samples().splitlines(True)
                                            if not begin <= int(line.split()[0]) < begin + 3 * SECOND)
        self.assertIn("this machine is too busy", self.broken()["survivors-beat"][0])

    def test_survivor_may_stand_still_when_stopped_on_purpose(self):
        self.assertNotIn("survivors-beat", self.broken())

    def test_corrupt_memory(self):
        self.run_.serial["a"] += "CORRUPT 0x1000 0x1 0x0\n"
        self.assertIn("survivors-beat", self.broken())

    def test_victim_may_see_its_memory_go(self):
        run = "START\nACCEL kvm\nZERO ok 16777216\nBEAT 1\nCORRUPT 0x1000 0x1 0x0\nBEAT 2\n"
        self.run_.serial["b"] = run + self.run_.serial["b"]
        self.assertEqual(self.broken(), {})
        self.run_.serial["b"] = run + "BEAT 3\n" * 9 + self.run_.serial["b"]
        self.assertIn("survivors-beat", self.broken())

    def test_victim_that_stays_away(self):
        for moment in self.run_.moments.values():
            moment["vms.txt"] = moment["vms.txt"].replace("vm=d comm=qemu-system-x86", "vm=d comm=")
        self.assertIn("fault 2: d does not run again", self.broken()["victims-back"])

    def test_old_node(self):
        after = self.run_.moments["1-after"]
        after["vms.txt"] = after["vms.txt"].replace("mem0 1101 ", "mem0 1001 ")
        self.assertIn("runs on the old device node", self.broken()["victims-back"][0])

    def test_dirty_memory(self):
        self.run_.serial["c"] += "\nSTART\nZERO bad 0x0 0xda000000\n"
        self.assertEqual(self.broken()["zero-at-hand-over"], ["c, run 4: ZERO bad 0x0 0xda000000"])

    def test_incident_left_open(self):
        self.journal(lambda fields: fields.get("DAXMGR_NOTE") != "recovered")
        self.assertEqual(len(self.broken()["domain-healthy"]), 4)

    def test_capacity_lost(self):
        after = self.run_.moments["2-after"]
        after["regions.txt"] = after["regions.txt"].replace("commit=1", "commit=0", 1)
        self.assertEqual(self.broken()["capacity-back"], [f"fault 2: {2048 * MIB} bytes before, {1536 * MIB} after"])

    def test_waiting_not_shown(self):
        self.run_.outputs = {}
        self.assertEqual(self.broken()["waiting-shown"], ["fault 4: b was not named (shown: nothing)"])

    def test_system_ram(self):
        self.run_.moments["3-after"]["iomem.txt"] += "    100000000-10fffffff : System RAM (kmem)\n"
        self.assertEqual(self.broken()["never-system-ram"], ["3-after: System RAM (kmem)"])

    def test_leftovers(self):
        end = self.run_.moments["end"]
        end["instances.txt"] += "dax0.1 size=16777216 dev=252:1 driver=device_dax\n"
        end["mappers.txt"] = "/proc/12/maps\n"
        end["regions.txt"] += "region9 size=0x1000 resource=0x0 commit=0 driver=none\n"
        self.assertEqual(self.broken()["nothing-left"],
                         ["stale regions: region9", "instances: dax0.1", "mappings: /proc/12/maps"])

    def test_warning_in_the_kernel_log(self):
        self.run_.journal.append((0, {"_TRANSPORT": "kernel", "MESSAGE": "WARNING: CPU: 0 PID: 1 at mm/x.c"}))
        self.assertIn("kernel-log-clean", self.broken())

    def test_step_that_broke(self):
        record = self.run_.record
        self.run_.record = lambda: record() | {"broken": {"step": "s", "expectation": "e", "last_seen": None}}
        self.assertIn("played-to-the-end", self.broken())

    def test_control_is_judged_by_what_it_played(self):
        record = self.run_.record
        self.run_.record = lambda: record() | {"control": "no-zero", "plan": [], "faults": []}
        names = [verdict.name for verdict in demo_checks.judge(self.evidence())]
        self.assertEqual(names, ["played-to-the-end", "zero-at-hand-over", "never-system-ram", "kernel-log-clean"])

    def test_fault_that_was_not_injected(self):
        self.run_.faults.pop()
        self.assertEqual(self.broken()["played-to-the-end"], ["3 of 4 faults were injected"])


class VerifyTest(DemoCase):
    def verify(self) -> int:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return demo.main(["--verify", str(self.path)])

    def store(self) -> Path:
        result, _ = demo.result_of(self.evidence())
        path = self.path / SCENARIO / RESULT_FILE
        path.write_text(json.dumps(result), encoding="utf-8")
        return path

    def test_same_figures(self):
        self.store()
        self.assertEqual(self.verify(), 0)

    def test_tampered_result(self):
        path = self.store()
        result = json.loads(path.read_text(encoding="utf-8"))
        result["faults"][0]["contain_ms"] = 1.0
        path.write_text(json.dumps(result), encoding="utf-8")
        self.assertEqual(self.verify(), 1)
        computed, _ = demo.result_of(DemoEvidence(self.path))
        self.assertEqual(demo.differences(result, json.loads(json.dumps(computed))),
                         ["faults[0].contain_ms: stored 1.0, the evidence says 40.0"])

    def test_tampered_evidence(self):
        self.store()
        journal = self.path / SCENARIO / "journal.json"
        journal.write_text(journal.read_text(encoding="utf-8").replace('"EXIT_STATUS": "9"', '"EXIT_STATUS": "7"'),
                           encoding="utf-8")
        self.assertEqual(self.verify(), 1)

    def test_no_evidence(self):
        with self.assertRaises(LabError):
            DemoEvidence(self.path)
        self.assertEqual(self.verify(), 1)


if __name__ == "__main__":
    unittest.main()
