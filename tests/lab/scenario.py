# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scenario files: what is started, what is broken, and what must hold. docs/lab.md has the words."""

from dataclasses import dataclass, field
from pathlib import Path

from . import jsonpath
from .errors import FormatError
from .formats import Table, check_regex, load
from .payload import DISK_IO
from .qemu import MEDIA_EVENTS

MIB = 1 << 20
DEFAULT_STEP_SECONDS = 30.0
KERNELS = ("stock", "lts")
VM_STATES = ("beating", "silent", "paused", "running", "internal-error", "dead")
DISK_CACHES = ("writeback", "none")
DISK_AIO = ("threads", "native", "io_uring")
REBOOTS = ("kexec",)
CLEAN = ("processes", "mappings", "instances", "regions", "mounts")
DAEMON_VERBS = ("start", "stop", "restart", "kill")
OPERATORS = ("equals", "not_equals", "in", "min", "max", "matches", "contains", "count", "exists")
SPOILING = ("reboot", "inject_poison", "machine_check")   # actions after which a host is not as good as new
FAULTS = ("surprise_down", "aer", "isolation", "unplug", "plug", "inject_poison", "media_event", "machine_check")


@dataclass
class VmDisk:
    """A drive of the host that a VM uses, and what its payload does with it."""
    device: str
    cache: str
    aio: str
    io: str


@dataclass
class Vm:
    name: str
    size: int
    region: str
    user: str
    options: str
    restart: bool
    disk: VmDisk | None = None


@dataclass
class Expectation:
    kind: str
    args: dict
    within: float | None
    hold: float
    text: str


@dataclass
class Step:
    name: str
    timeout: float
    action: str
    args: dict
    when: list = field(default_factory=list)
    expect: list = field(default_factory=list)


@dataclass
class Scenario:
    path: str
    name: str
    description: str
    topology: str
    kernel: str
    timeout: float
    product: bool
    start_daemon: bool
    fresh_boot: bool
    spoils_boot: bool
    in_turn: bool
    allow_kernel: list
    config: str
    dropins: dict
    vms: list
    steps: list

    def vm(self, name: str):
        return next((vm for vm in self.vms if vm.name == name), None)


def operators(table: Table) -> dict:
    """The comparisons of a table: all given ones must hold."""
    found = {}
    for key in OPERATORS:
        if not table.has(key):
            continue
        if key == "matches":
            found[key] = table.regex(key)
        elif key == "exists":
            found[key] = table.get(key, bool)
        elif key in ("min", "max"):
            found[key] = table.get(key, float)
        elif key == "count":
            found[key] = table.get(key, int)
        elif key == "in":
            found[key] = table.get(key, list)
        else:
            found[key] = table.raw(key)
    table.known.update(OPERATORS)
    return found


def _need_operator(table: Table, found: dict) -> dict:
    if not found:
        raise table.error(f"says nothing to compare with (one of {', '.join(OPERATORS)})")
    return found


def _path(table: Table) -> str:
    path = table.get("path", str, "")
    jsonpath.check(table.where, path)
    return path


class _Reader:
    """Knows the scenario's own names while its steps are read."""

    def __init__(self, vms: list):
        self.vms = {vm.name for vm in vms}
        self.steps = []

    def vm_names(self, table: Table, key: str) -> list:
        names = table.names(key)
        for name in names:
            if name not in self.vms:
                raise table.error(f'{key}: there is no [[vm]] named "{name}"')
        return names

    def since(self, table: Table) -> str:
        value = table.get("since", str, "step")
        if value not in ("start", "step", *self.steps):
            raise table.error(f'since = "{value}" is not "start", "step" or the name of an earlier step')
        return value

    # Expectations: one function per kind, from a table to plain arguments.

    def expect_json(self, table: Table) -> dict:
        args = {"cmd": table.strings("cmd"), "path": _path(table)}
        return args | {"ops": _need_operator(table, operators(table))}

    def expect_call(self, table: Table) -> dict:
        args = {"method": table.get("method", str), "parameters": table.get("parameters", dict, {}),
                "path": _path(table)}
        return args | {"ops": _need_operator(table, operators(table))}

    def expect_vm(self, table: Table) -> dict:
        args = {"names": self.vm_names(table, "name"), "state": table.choice("state", VM_STATES, None),
                "max_gap": table.seconds("max_gap", None)}
        if args["state"] is None and args["max_gap"] is None:
            raise table.error("needs state or max_gap")
        return args | {"since": self.since(table)}

    def expect_unit(self, table: Table) -> dict:
        args = {"name": table.get("name", str), "property": table.get("property", str)}
        return args | {"ops": _need_operator(table, operators(table))}

    def expect_journal(self, table: Table) -> dict:
        return {"matches": table.regex("matches"), "unit": table.get("unit", str, ""),
                "absent": table.get("absent", bool, False), "since": self.since(table)}

    def expect_journal_order(self, table: Table) -> dict:
        matches = table.strings("matches")
        for text in matches:
            check_regex(table.where, "matches", text)
        return {"matches": matches, "since": self.since(table)}

    def expect_kernel_log(self, table: Table) -> dict:
        return {"matches": table.regex("matches"), "absent": table.get("absent", bool, False),
                "since": self.since(table)}

    def expect_trace(self, table: Table) -> dict:
        return {"matches": table.regex("matches"), "absent": table.get("absent", bool, False),
                "since": self.since(table)}

    def expect_file(self, table: Table) -> dict:
        return {"path": table.get("path", str), "exists": table.get("exists", bool, True),
                "matches": table.regex("matches", None), "mode": table.get("mode", str, None),
                "owner": table.get("owner", str, None)}

    def expect_signal(self, table: Table) -> dict:
        return {"names": self.vm_names(table, "vm"), "is": table.get("is", int),
                "since": self.since(table)}

    def expect_serial(self, table: Table) -> dict:
        return {"names": self.vm_names(table, "vm"), "matches": table.regex("matches"),
                "absent": table.get("absent", bool, False), "whole": table.get("whole", bool, False)}

    def expect_run(self, table: Table) -> dict:
        return {"command": table.get("command", str), "rc": table.get("rc", int, 0),
                "stdout": table.regex("stdout", None)}

    def expect_memdevs(self, table: Table) -> dict:
        return {"names": table.strings("names", None)}

    def expect_isolation_model(self, table: Table) -> dict:
        args = {"port": table.get("port", str), "path": _path(table)}
        return args | {"ops": _need_operator(table, operators(table))}

    def expect_clean(self, table: Table) -> dict:
        parts = table.strings("of")
        for part in parts:
            if part not in CLEAN:
                raise table.error(f'of: "{part}" is not one of {", ".join(CLEAN)}')
        return {"of": parts}

    def expect_host_panics(self, table: Table) -> dict:
        return {"matches": table.regex("matches")}

    EXPECT_SHORT = {"journal_order": "matches", "host_panics": "matches", "journal": "matches", "kernel_log": "matches", "trace": "matches", "file": "path",
                    "run": "command", "memdevs": "names", "clean": "of"}

    def expectation(self, table: Table) -> Expectation:
        kinds = [name[7:] for name in dir(self) if name.startswith("expect_")]
        given = [kind for kind in kinds if table.has(kind)]
        if len(given) != 1:
            raise table.error(f"must say exactly one of {', '.join(kinds)}")
        kind = given[0]
        value = table.raw(kind)
        if kind == "memdevs" and value == "all":
            value = {}
        if not isinstance(value, dict) and kind in self.EXPECT_SHORT:
            value = {self.EXPECT_SHORT[kind]: value}
        inner = Table(f"{table.where}: {kind}", value)
        args = getattr(self, "expect_" + kind)(inner)
        inner.finish()
        within, hold = table.seconds("within", None), table.seconds("hold", 0.0)
        table.finish()
        return Expectation(kind, args, within, hold, f"{kind} {_plain(value)}")

    def expectations(self, table: Table, key: str) -> list:
        return [self.expectation(item) for item in table.tables(key, key)]

    # Actions: one function per kind; the step's own table carries further keys.

    def _vms(self, step: Table, key: str) -> dict:
        return {"names": self.vm_names(step, key)}

    def action_start_vm(self, step):
        return self._vms(step, "start_vm")

    def action_stop_vm(self, step):
        return self._vms(step, "stop_vm")

    def action_kill_vm(self, step):
        return self._vms(step, "kill_vm")

    def action_pause_vm(self, step):
        return self._vms(step, "pause_vm")

    def action_resume_vm(self, step):
        return self._vms(step, "resume_vm")

    def action_power_off_vm(self, step):
        return self._vms(step, "power_off_vm")

    def action_surprise_down(self, step):
        return {"ports": step.names("surprise_down")}

    def action_unplug(self, step):
        return {"memdev": step.get("unplug", str), "at_once": step.get("at_once", bool, False)}

    def action_plug(self, step):
        return {"memdev": step.get("plug", str), "serial": step.get("serial", int, None),
                "size": step.size("size", None), "port": step.get("port", str, None)}

    def action_reboot(self, step):
        return {"how": step.choice("reboot", REBOOTS), "lock": step.names("lock_decoders", [])}

    def action_throttle(self, step):
        table = Table(f"{step.where}: throttle", step.raw("throttle"))
        args = {"disk": table.get("disk", str), "rate": table.size("rate")}
        table.finish()
        if args["rate"] < 0:
            raise table.error(f"rate = {args['rate']} must not be negative")
        return args

    def action_wait(self, step):
        return {"seconds": step.seconds("wait")}

    def action_finish(self, step):
        return {"name": step.get("finish", str), **self._outcome(step)}

    def action_daemon(self, step):
        return {"verb": step.choice("daemon", DAEMON_VERBS)}

    def action_run(self, step):
        return {"command": step.get("run", str), "background": step.get("background", str, None),
                **self._outcome(step)}

    def action_ctl(self, step):
        return {"argv": step.strings("ctl"), "background": step.get("background", str, None),
                **self._outcome(step)}

    def action_isolation(self, step):
        table = Table(f"{step.where}: isolation", step.raw("isolation"))
        args = {"port": table.get("port", str), "isolate": table.get("isolate", bool, False),
                "traffic": table.get("traffic", bool, None), "idle": table.get("idle", bool, False),
                "busy": table.seconds("busy", 0.05), "lag": table.seconds("lag", 0)}
        table.finish()
        if args["isolate"] + args["idle"] + (args["traffic"] is not None) != 1:
            raise table.error("says exactly one of isolate, idle and traffic")
        return args

    def action_aer(self, step):
        table = Table(f"{step.where}: aer", step.raw("aer"))
        args = {"device": table.get("device", str), "error": table.get("error", str),
                "correctable": table.get("correctable", bool, False)}
        table.finish()
        return args

    def action_inject_poison(self, step):
        table = Table(f"{step.where}: inject_poison", step.raw("inject_poison"))
        args = {"memdev": table.get("memdev", str), "start": table.size("start"),
                "length": table.size("length")}
        table.finish()
        if args["start"] % 64 or args["length"] % 64:
            raise table.error("start and length must be multiples of 64")
        return args

    def action_media_event(self, step):
        table = Table(f"{step.where}: media_event", step.raw("media_event"))
        args = {"memdev": table.get("memdev", str),
                "kind": table.choice("kind", tuple(MEDIA_EVENTS)), "fields": table.get("fields", dict, {}),
                "count": table.get("count", int, 1)}
        table.finish()
        return args

    def action_machine_check(self, step):
        table = Table(f"{step.where}: machine_check", step.raw("machine_check"))
        args = {key: table.raw(key, default) for key, default in
                (("cpu", 0), ("bank", 9), ("status", 0xbd000000000000c0), ("mcg_status", 5),
                 ("misc", 0x8c))}
        args["address"] = table.raw("address")
        table.finish()
        return args

    def action_vm_qmp(self, step):
        table = Table(f"{step.where}: vm_qmp", step.raw("vm_qmp"))
        args = {"names": self.vm_names(table, "vm"), "command": table.get("execute", str),
                "arguments": table.get("arguments", dict, {})}
        table.finish()
        return args

    def action_qmp(self, step):
        table = Table(f"{step.where}: qmp", step.raw("qmp"))
        args = {"command": table.get("execute", str), "arguments": table.get("arguments", dict, {})}
        table.finish()
        return args

    def _outcome(self, step: Table) -> dict:
        asserts = []
        for table in step.tables("asserts", "asserts"):
            asserts.append({"path": _path(table), "ops": _need_operator(table, operators(table))})
            table.finish()
        capture = None
        if step.has("capture"):
            table = Table(f"{step.where}: capture", step.raw("capture"))
            capture = {"name": table.name(), "path": _path(table), "regex": table.regex("regex", None)}
            table.finish()
        return {"rc": step.get("rc", int, 0), "stdout": step.regex("stdout", None),
                "stderr": step.regex("stderr", None), "asserts": asserts, "capture": capture}

    def step(self, table: Table) -> Step:
        name = table.get("name", str)
        timeout = table.seconds("timeout", DEFAULT_STEP_SECONDS)
        kinds = [item[7:] for item in dir(self) if item.startswith("action_")]
        given = [kind for kind in kinds if table.has(kind)]
        if len(given) > 1:
            raise table.error(f"has more than one action: {', '.join(given)}")
        action = given[0] if given else ""
        args = getattr(self, "action_" + action)(table) if action else {}
        when, expect = self.expectations(table, "when"), self.expectations(table, "expect")
        table.known.update(kinds)
        table.finish()
        if not action and not expect:
            raise table.error("has neither an action nor an expectation")
        if name in self.steps or name in ("start", "step"):
            raise table.error("the name is already used; steps are told apart by name")
        self.steps.append(name)
        return Step(name, timeout, action, args, when, expect)


def _plain(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {item!r}" for key, item in value.items()) + "}"
    return repr(value)


def _vm_disk(table: Table):
    if not table.has("disk"):
        return None
    inner = Table(f"{table.where}: disk", table.raw("disk"))
    disk = VmDisk(inner.get("device", str), inner.choice("cache", DISK_CACHES, "writeback"),
                  inner.choice("aio", DISK_AIO, "threads"), inner.choice("io", DISK_IO, "read"))
    inner.finish()
    if disk.aio == "native" and disk.cache != "none":
        raise inner.error('aio = "native" needs cache = "none"')
    return disk


def _vms(top: Table) -> list:
    vms = []
    for table in top.tables("vm", "vm"):
        vm = Vm(table.name(), table.size("size"), table.name("region", ""),
                table.get("user", str, "daxlab-vm"), table.get("options", str, ""),
                table.get("restart", bool, True), _vm_disk(table))
        table.finish()
        if vm.size <= 0 or vm.size % (2 * MIB):
            raise table.error("size must be a multiple of 2M")
        if any(other.name == vm.name for other in vms):
            raise table.error("the name is already used")
        if vm.disk and any(other.disk and other.disk.device == vm.disk.device for other in vms):
            raise table.error(f'disk: device "{vm.disk.device}" is already used by another VM')
        vms.append(vm)
    return vms


def _dropins(top: Table) -> tuple:
    table = Table(f"{top.where}: config", top.get("config", dict, {}))
    config, dropins = table.get("daxmgrd", str, ""), table.get("dropins", dict, {})
    table.finish()
    for name, text in dropins.items():
        if not name.endswith(".conf") or "/" in name or not isinstance(text, str):
            raise table.error(f'dropins: "{name}" must be a file name ending in .conf, with text')
    return config, dropins


def parse(path) -> Scenario:
    """Reads and checks a scenario file."""
    top = Table(Path(path).name, load(path))
    vms = _vms(top)
    config, dropins = _dropins(top)
    product = top.get("product", bool, True)
    scenario = Scenario(
        path=str(path), name=Path(path).stem, description=top.get("description", str, ""),
        topology=top.get("topology", str, "demo"), kernel=top.choice("kernel", KERNELS, "stock"),
        timeout=top.seconds("timeout", 600.0), product=product,
        start_daemon=top.get("start_daemon", bool, product),
        fresh_boot=top.get("fresh_boot", bool, False), spoils_boot=top.get("spoils_boot", bool, False),
        in_turn=top.get("in_turn", bool, False),
        allow_kernel=top.strings("allow_kernel", []), config=config, dropins=dropins, vms=vms, steps=[])
    reader = _Reader(vms)
    scenario.steps = [reader.step(table) for table in top.tables("step", "step")]
    scenario.spoils_boot |= any(step.action in SPOILING for step in scenario.steps)
    top.finish()
    if not scenario.steps:
        raise top.error("there is no [[step]]")
    _panic_ends_it(top, scenario)
    return scenario


def _panic_ends_it(top: Table, scenario: Scenario):
    """Nothing can be looked at after a panic."""
    expected = [item for step in scenario.steps for item in [*step.when, *step.expect]]
    if any(item.kind == "host_panics" for item in expected[:-1]):
        raise top.error("host_panics must be the last expectation of the last step")


def check_against(scenario: Scenario, topology) -> None:
    """Ports and memdevs that steps name must exist in the topology it runs on."""
    memdevs = {m.name for m in topology.memdevs}
    devices = {*topology.root_ports(), *topology.downstream_ports()}
    disks = {d.name for d in topology.disks}
    for vm in scenario.vms:
        if vm.disk and vm.disk.device not in disks:
            raise FormatError(f'{Path(scenario.path).name}: vm "{vm.name}": disk "{vm.disk.device}" is not in '
                              f'{Path(topology.path).name} (known: {", ".join(sorted(disks))})')
    for step in scenario.steps:
        where = f'{Path(scenario.path).name}: step "{step.name}"'
        args = step.args
        if step.action in FAULTS and "memdev" in args and args["memdev"] not in memdevs:
            raise FormatError(f'{where}: memdev "{args["memdev"]}" is not in {Path(topology.path).name} '
                              f'(known: {", ".join(sorted(memdevs))})')
        ports = args["ports"] if step.action == "surprise_down" else [args["port"]] if args.get("port") else []
        for port in ports:
            if port not in devices:
                raise FormatError(f'{where}: port "{port}" is not in {Path(topology.path).name} '
                                  f'(known: {", ".join(sorted(devices))})')
        for name in args["lock"] if step.action == "reboot" else []:
            if name not in memdevs:
                raise FormatError(f'{where}: lock_decoders: "{name}" is not in {Path(topology.path).name} '
                                  f'(known: {", ".join(sorted(memdevs))})')
        if step.action == "throttle" and args["disk"] not in disks:
            raise FormatError(f'{where}: disk "{args["disk"]}" is not in {Path(topology.path).name} '
                              f'(known: {", ".join(sorted(disks))})')
        if step.action == "aer" and args["device"] not in devices | memdevs:
            raise FormatError(f'{where}: device "{args["device"]}" is not in {Path(topology.path).name}')
        for item in [*step.when, *step.expect]:
            for name in (item.args.get("names") or []) if item.kind == "memdevs" else []:
                if name not in memdevs:
                    raise FormatError(f'{where}: memdevs: "{name}" is not in {Path(topology.path).name}')


__all__ = ["Scenario", "Step", "Expectation", "Vm", "parse", "check_against", "FAULTS"]
