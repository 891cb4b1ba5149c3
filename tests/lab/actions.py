# SPDX-License-Identifier: LGPL-2.1-or-later
"""Carries out a step's action."""

import json
import re
import threading
import time

from . import clock, jsonpath
from .compare import holds, show, show_operators
from .errors import LabError, StepFailed
from .scenario import FAULTS

VARIABLE = re.compile(r"\$\{([A-Za-z][A-Za-z0-9_.-]*)\}")


def numbers(args: dict) -> dict:
    """What was captured is a text."""
    return {key: int(value, 0) if isinstance(value, str) else value for key, value in args.items()}


class Actions:
    def __init__(self, guest, scenario, steps_dir):
        self.guest = guest
        self.scenario = scenario
        self.steps_dir = steps_dir
        self.variables = {}
        self.background = {}
        self.faults = []
        self.daemon_pid = 0
        self.before_reboot = self.after_reboot = lambda: None

    def prepare(self, step):
        """Work that must not stand between the moment a "when" comes true and the action."""
        if step.action == "daemon" and step.args["verb"] == "kill":
            self.daemon_pid = self.guest.main_pid("daxmgrd.service")

    def perform(self, step) -> dict:
        """Performs the action and returns what is worth keeping of it."""
        args = self.substitute(step.args)
        action = getattr(self, "_" + step.action)
        if step.action in FAULTS:
            return self._fault(step, args, action)
        return action(args, step) or {}

    def substitute(self, value):
        """Puts captured values in place of ${name}, in every text of a structure."""
        if isinstance(value, str):
            return VARIABLE.sub(self._variable, value)
        if isinstance(value, dict):
            return {key: self.substitute(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.substitute(item) for item in value]
        return value

    def _variable(self, match) -> str:
        if match[1] not in self.variables:
            raise StepFailed(f"${{{match[1]}}} was never captured")
        return str(self.variables[match[1]])

    # Faults

    def _fault(self, step, args, action) -> dict:
        # After a "when" nothing may stand between the moment and the fault.
        relation = self.guest.clock if step.when else clock.measure(self.guest.channel)
        before = time.monotonic_ns()
        action(args, step)
        after = time.monotonic_ns()
        best = min(relation, self._measure_again(step, relation), key=lambda r: r.rtt_ns)
        self.guest.clock = best
        fault = {"step": step.name, "kind": step.action, "arguments": args, "host_ns": before, "host_done_ns": after,
                 "boottime_ns": best.to_guest(before), "boottime_done_ns": best.to_guest(after),
                 "clock_error_ns": best.rtt_ns // 2}
        self.faults.append(fault)
        return {"fault": fault}

    def _measure_again(self, step, before):
        """A host that is to panic may not be there any more."""
        try:
            return clock.measure(self.guest.channel)
        except LabError:
            if any(item.kind == "host_panics" for item in step.expect):
                return before
            raise

    def _surprise_down(self, args, _step):
        for port in args["ports"]:
            self.guest.host.surprise_down(port)

    def _isolation(self, args, _step):
        host = self.guest.host
        if args["traffic"] is not None:
            host.ask_model(args["port"], do="traffic", on=args["traffic"])
        elif args["idle"]:
            host.ask_model(args["port"], do="idle")
        else:
            host.isolate(args["port"], args["busy"], args["lag"])

    def _aer(self, args, _step):
        self.guest.host.inject_aer(args["device"], args["error"], args["correctable"])

    def _unplug(self, args, _step):
        plugged = self.guest.host.plugged.get(args["memdev"])
        if args["at_once"] or plugged and plugged.port in self.guest.host.topology.downstream_ports():
            self.guest.switch_off(args["memdev"])
        else:
            self.guest.host.unplug(args["memdev"])

    def _plug(self, args, _step):
        changes = [args["serial"], args["size"], args["port"]]
        if args["memdev"] not in self.guest.host.parked:
            self.guest.host.plug(args["memdev"], *changes)
        elif any(change is not None for change in changes):
            raise StepFailed(f'{args["memdev"]} is below a switch: QEMU does not let it be exchanged')
        else:
            self.guest.switch_on(args["memdev"])

    def _inject_poison(self, args, _step):
        self.guest.host.inject_poison(args["memdev"], args["start"], args["length"])

    def _media_event(self, args, _step):
        self.guest.host.media_event(args["memdev"], args["kind"], numbers(args["fields"]), args["count"])

    def _machine_check(self, args, _step):
        self.guest.host.machine_check(**numbers(args))

    # VMs

    def _each(self, names, work):
        threads, errors = [], []

        def one(name):
            try:
                work(name)
            except LabError as error:
                errors.append(str(error))
        for name in names:
            threads.append(threading.Thread(target=one, args=(name,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()
        if errors:
            raise StepFailed("; ".join(errors))

    def _start_vm(self, args, _step):
        units = [self.guest.vm_unit(name) for name in args["names"]]
        self.guest.channel.must(["systemctl", "start", "--no-block", *units])

    def _stop_vm(self, args, step):
        units = [self.guest.vm_unit(name) for name in args["names"]]
        self.guest.channel.must(["systemctl", "stop", *units], step.timeout)

    def _kill_vm(self, args, _step):
        for name in args["names"]:
            self.guest.channel.call("kill", pid=self.guest.vm_pid(name), signal=9)

    def _pause_vm(self, args, _step):
        self._each(args["names"], lambda name: self.guest.vm_qmp(name, "stop"))

    def _resume_vm(self, args, _step):
        self._each(args["names"], lambda name: self.guest.vm_qmp(name, "cont"))

    def _vm_qmp(self, args, _step):
        self._each(args["names"], lambda name: self.guest.vm_qmp(name, args["command"], args["arguments"]))

    def _power_off_vm(self, args, _step):
        self._each(args["names"], lambda name: self.guest.vm_qmp(name, "system_powerdown"))

    # Commands

    def _run(self, args, step):
        return self._command(args, step, args["command"])

    def _ctl(self, args, step):
        return self._command(args, step, ["daxmgrctl", *args["argv"]])

    def _command(self, args, step, command):
        if args["background"]:
            self._start_background(args["background"], command, step.timeout)
            return {}
        return self._judge(args, step, self.guest.channel.run(command, step.timeout))

    def _start_background(self, name, command, _timeout):
        box = {}

        def work():
            try:
                box["result"] = self.guest.channel.run(command, self.scenario.timeout)
            except LabError as error:
                box["error"] = error
        thread = threading.Thread(target=work, daemon=True)
        self.background[name] = (thread, box)
        thread.start()

    def _finish(self, args, step):
        if args["name"] not in self.background:
            raise StepFailed(f'no background command is called "{args["name"]}"')
        thread, box = self.background.pop(args["name"])
        thread.join(step.timeout)
        if thread.is_alive():
            raise StepFailed(f'the background command "{args["name"]}" still runs')
        if "error" in box:
            raise box["error"]
        return self._judge(args, step, box["result"])

    def _judge(self, args, step, result) -> dict:
        base = self.steps_dir / re.sub(r"[^A-Za-z0-9]+", "-", step.name).strip("-")
        for suffix, text in (("out", result.out), ("err", result.err)):
            if text:
                base.with_name(f"{base.name}.{suffix}").write_text(text, encoding="utf-8")
        said = show((result.out + result.err).strip())
        if result.late:
            raise StepFailed(f"the command still ran after {step.timeout:g} s", said)
        if result.rc != args["rc"]:
            raise StepFailed(f"exit code {args['rc']} was expected", f"exit code {result.rc}: {said}")
        for stream in ("stdout", "stderr"):
            text = result.out if stream == "stdout" else result.err
            if args[stream] is not None and not re.search(args[stream], text, re.M):
                raise StepFailed(f"{stream} matches {args[stream]!r}", show(text))
        self._check_json(args, result.out)
        return {"rc": result.rc, "seconds": (result.end - result.begin) / 1e9}

    def _check_json(self, args, text):
        capture = args["capture"]
        needs_json = args["asserts"] or (capture and capture["regex"] is None and capture["path"])
        value = None
        if needs_json:
            try:
                value = json.loads(text)
            except ValueError as error:
                raise StepFailed(f"the output is JSON ({error})", show(text)) from error
        for item in args["asserts"]:
            found = jsonpath.look_up(value, item["path"])
            if not holds(found, item["ops"]):
                raise StepFailed(f"assert {item['path']} {show_operators(item['ops'])}", show(found))
        if capture:
            self.variables[capture["name"]] = self._captured(capture, value, text)

    def _captured(self, capture, value, text):
        if capture["regex"] is not None:
            match = re.search(capture["regex"], text, re.M)
            if not match:
                raise StepFailed(f"capture {capture['regex']!r}", show(text))
            return match[1] if match.groups() else match[0]
        if not capture["path"]:
            return text.strip()
        found = jsonpath.look_up(value, capture["path"])
        if found is jsonpath.ABSENT:
            raise StepFailed(f"capture {capture['path']}", show(found))
        return found

    # Others

    def _daemon(self, args, _step):
        if args["verb"] == "kill":
            self.guest.kill_daemon(self.daemon_pid)
            return {"pid": self.daemon_pid}
        return self.guest.daemon(args["verb"])

    def _reboot(self, args, _step):
        serials = [hex(self.guest.host.plugged[name].serial) for name in args["lock"]]
        if serials:
            self.guest.lock_decoders(serials)
        self.before_reboot()
        self.guest.kexec()
        self.after_reboot()
        self.guest.wait_memdevs()

    def _throttle(self, args, _step):
        self.guest.host.throttle(args["disk"], args["rate"])

    def _wait(self, args, _step):
        time.sleep(args["seconds"])

    def _qmp(self, args, _step):
        return {"answer": self.guest.host.qmp.execute(args["command"], args["arguments"])}
