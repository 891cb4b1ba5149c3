# SPDX-License-Identifier: LGPL-2.1-or-later
"""Evaluates expectations: each look gives a verdict and what was seen."""

import json
import re
import stat
import time

from . import jsonpath
from .compare import holds, show
from .errors import LabError, StepFailed

POLL_SECONDS = 0.05


class Checker:
    """Looks at the guest on behalf of a running scenario."""

    def __init__(self, guest, marks):
        self.guest = guest
        self.marks = marks
        self.too_still = []  # (VM, since when it is looked at) whose counters stood still for too long

    def look(self, item) -> tuple:
        """(holds, what was seen). The guest's refusals count as not holding."""
        try:
            return getattr(self, "_" + item.kind)(item.args)
        except (LabError, ValueError) as error:
            self.guest.host.check_alive()
            return False, str(error)

    def _host_panics(self, args):
        """The console is the only witness; what it says is kept on this side."""
        for line in self.guest.host.console().splitlines():
            if re.search(args["matches"], line):
                self.guest.panicked = True
                return True, line
        return False, "the console shows no such line"

    def _json(self, args):
        result = self.guest.ctl(args["cmd"])
        if result.rc != 0:
            return False, f"exit code {result.rc}: {result.err.strip() or result.out.strip()}"
        value = jsonpath.look_up(json.loads(result.out), args["path"])
        return holds(value, args["ops"]), show(value)

    def _isolation_model(self, args):
        value = jsonpath.look_up(self.guest.host.ask_model(args["port"], do="show"), args["path"])
        return holds(value, args["ops"]), show(value)

    def _call(self, args):
        value = jsonpath.look_up(self.guest.varlink(args["method"], args["parameters"]), args["path"])
        return holds(value, args["ops"]), show(value)

    def _vm(self, args):
        seen, good = [], True
        self.guest.refresh_samples()
        for name in args["names"]:
            ok, what = self._one_vm(name, args)
            good = good and ok
            seen.append(f"{name} {what}")
        return good, ", ".join(seen)

    def _one_vm(self, name, args):
        ok, what = True, []
        if args["max_gap"] is not None:
            begin = self.marks.guest_ns(args["since"])
            gap = self.guest.samples.max_gap_ns(name, begin)
            ok = gap is not None and gap <= args["max_gap"] * 1e9
            if gap is not None and not ok:
                self.too_still.append((name, begin))
            what.append("no samples" if gap is None else f"stood still for {gap / 1e9:.2f} s")
        if args["state"] is not None:
            state_ok, state = self._state(name, args["state"], args["since"])
            ok = ok and state_ok
            what.append(state)
        return ok, " and ".join(what)

    def _state(self, name, wanted, since):
        guest = self.guest
        if wanted == "beating":
            beating = guest.samples.beating(name, self.marks.guest_ns(since))
            return beating, "beating" if beating else "silent"
        if wanted == "silent":
            silent = not guest.samples.beating(name)
            return silent, "silent" if silent else "beating"
        if wanted == "dead":
            pid = guest.vm_pid(name)
            if pid:
                command = guest.channel.read_or_empty(f"/proc/{pid}/comm").decode().strip()
                return not command.startswith("qemu"), f"its process {pid} is {command or 'gone'}"
            return True, "dead"
        state = guest.vm_qmp_state(name)
        return state == wanted, state

    def _unit(self, args):
        value = self.guest.unit_property(args["name"], args["property"])
        return holds(value, args["ops"]), show(value)

    def _journal(self, args):
        self._settle(args)
        records = self.guest.journal.messages(self.marks.journal(args["since"]), args["unit"])
        return _search([r.message for r in records], args)

    def _journal_order(self, args):
        records = iter(self.guest.journal.messages(self.marks.journal(args["since"])))
        for text in args["matches"]:
            if not any(re.search(text, record.message) for record in records):
                return False, f"nothing matches {text!r} after what matched before it"
        return True, "in this order"

    def _settle(self, args):
        """Absence means something only when all that was logged has arrived."""
        if args["absent"]:
            self.guest.sync_journal()

    def _kernel_log(self, args):
        self._settle(args)
        records = self.guest.journal.kernel(self.marks.journal(args["since"]))
        verdict = _search([r.message for r in records], args)
        if not verdict[0]:
            self.guest.nudge_kernel_log()
        return verdict

    def _trace(self, args):
        lines = self.guest.trace_live.since(self.marks.guest_ns(args["since"]))
        return _search(lines, args)

    def _file(self, args):
        info = self.guest.file_info(args["path"])
        if info is None:
            return not args["exists"], "does not exist"
        if not args["exists"]:
            return False, "exists"
        if args["mode"] is not None and f"{stat.S_IMODE(info['mode']):04o}" != args["mode"]:
            return False, f"mode {stat.S_IMODE(info['mode']):04o}"
        if args["owner"] is not None:
            owner = self.guest.channel.must(["stat", "-L", "-c", "%U", args["path"]]).strip()
            if owner != args["owner"]:
                return False, f"owner {owner}"
        if args["matches"] is not None:
            text = self.guest.channel.read(args["path"]).decode(errors="replace")
            return re.search(args["matches"], text, re.M) is not None, show(text)
        return True, "exists"

    def _signal(self, args):
        seen, good = [], True
        for name in args["names"]:
            exits = self.guest.journal.exits(self.guest.vm_unit(name), self.marks.journal(args["since"]))
            last = exits[-1].fields if exits else {}
            killed = last.get("EXIT_CODE") in ("killed", "dumped")
            good = good and killed and _signal_number(last.get("EXIT_STATUS")) == args["is"]
            seen.append(f"{name} {last.get('EXIT_CODE', 'has not ended')} {last.get('EXIT_STATUS', '')}".strip())
        return good, ", ".join(seen)

    def _serial(self, args):
        seen, good = [], True
        for name in args["names"]:
            text = self.guest.serial(name)
            if not args["whole"]:
                text = text[text.rfind("START"):] if "START" in text else ""
            found = re.search(args["matches"], text, re.M) is not None
            good = good and found != args["absent"]
            seen.append(f"{name}: {show(text.strip()[:160] or 'nothing printed')}")
        return good, "; ".join(seen)

    def _run(self, args):
        result = self.guest.channel.run(args["command"])
        ok = result.rc == args["rc"]
        if args["stdout"] is not None:
            ok = ok and re.search(args["stdout"], result.out, re.M) is not None
        return ok, f"exit code {result.rc}: {show((result.out + result.err).strip())}"

    def _memdevs(self, args):
        host = self.guest.host
        names = args["names"]
        plugged = host.plugged if names is None else {n: host.plugged.get(n) or host.topology.memdev(n)
                                                      for n in names}
        wanted, seen = sorted(m.serial for m in plugged.values()), self.guest.serials()
        return wanted == seen, "serials " + ", ".join(f"{s:#x}" for s in seen)

    def _clean(self, args):
        left = {kind: text for kind in args["of"] if (text := self.guest.leftovers(kind))}
        return not left, "clean" if not left else "; ".join(f"{k} left: {show(t)}" for k, t in left.items())


def _signal_number(text) -> int:
    return int(text) if text and text.isdigit() else -1


def _search(lines, args) -> tuple:
    for line in lines:
        if re.search(args["matches"], line):
            return not args["absent"], line
    return args["absent"], f"no match in {len(lines)} lines"


def wait_for(checker: Checker, item, deadline: float, poll: float = POLL_SECONDS) -> str:
    """Polls until the expectation holds (and goes on holding); StepFailed with the last value seen."""
    while True:
        good, seen = checker.look(item)
        if good:
            break
        # How long somebody stood still does not get less by waiting.
        if time.monotonic() > deadline or checker.too_still:
            raise StepFailed(item.text, seen)
        if poll:
            checker.guest.journal.wait_change(poll)
    end = time.monotonic() + item.hold
    while time.monotonic() < end:
        time.sleep(min(POLL_SECONDS, max(0, end - time.monotonic())))
        good, seen = checker.look(item)
        if not good:
            raise StepFailed(f"{item.text} (held at first, then broke)", seen)
    return seen
