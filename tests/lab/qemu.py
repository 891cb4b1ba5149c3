# SPDX-License-Identifier: LGPL-2.1-or-later
"""The emulated host: QEMU's command line from a topology, its process, and its faults."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import isolation_model, process, qtest
from .errors import HostEnded, LabError
from .formats import format_size
from .qmp import Qmp, QmpError
from .topology import Memdev, Topology

PROGRAM = "qemu-system-x86_64"
# Debian's security modules but bpf, for which systemd loads a program that nothing here uses: seconds of an emulated boot.
KERNEL_ARGUMENTS = ("root=/dev/vda rw console=ttyS0 loglevel=5 panic=1 mitigations=off "
                    "memhp_default_state=offline systemd.show_status=0 "
                    "lsm=landlock,lockdown,yama,loadpin,safesetid,apparmor")
CHANNEL = "org.daxmgr.lab"
LSA_BYTES = 1 << 20
UNPLUG_SECONDS = 30
REGISTER_LOOKS = 3
END_SECONDS = 10    # from a closed connection to the end of its QEMU
# What QEMU's reasons mean; it runs with -no-reboot, so a reset is its end.
ENDS = {"guest-reset": "the emulated host reset itself", "guest-shutdown": "the emulated host switched itself off",
        "guest-panic": "the emulated host panicked"}
TRIPLE_FAULT = "Triple fault"

# Type 3 (a counter expired) needs the threshold bit and a count, or the kernel warns.
MEDIA_EVENTS = {
    "general-media": ("cxl-inject-general-media-event", {
        "log": "failure", "flags": 1, "dpa": 0x1000, "descriptor": 1, "type": 0,
        "transaction-type": 192, "channel": 3, "rank": 17, "device": 4, "sub-type": 2}),
    "dram": ("cxl-inject-dram-event", {
        "log": "failure", "flags": 1, "dpa": 0x1000, "descriptor": 1, "type": 0,
        "transaction-type": 192, "channel": 3, "rank": 17, "nibble-mask": 37, "bank-group": 7,
        "bank": 11, "row": 2, "column": 77, "sub-type": 2}),
    "memory-module": ("cxl-inject-memory-module-event", {
        "log": "failure", "flags": 1, "type": 3, "health-status": 3, "media-status": 7,
        "additional-status": 33, "life-used": 30, "temperature": 50, "dirty-shutdown-count": 4,
        "corrected-volatile-error-count": 3233, "corrected-persistent-error-count": 1300,
        "sub-type": 2}),
}


def backend(memdev: Memdev, generation: int) -> str:
    return f"{memdev.name}-memory{generation}"


def slots(topology: Topology) -> dict:
    """Port to the number of its slot, as the guest knows it."""
    return {port: number for number, port in enumerate([*topology.root_ports(), *topology.downstream_ports()], 2)}


def memdev_properties(memdev: Memdev, generation: int) -> dict:
    """The device's properties; the label area of a pmem device lives in a second backend."""
    which = "volatile-memdev" if memdev.kind == "volatile" else "persistent-memdev"
    properties = {"driver": "cxl-type3", "id": memdev.name, "bus": memdev.port,
                  which: backend(memdev, generation), "sn": memdev.serial}
    if memdev.kind == "pmem":
        properties["lsa"] = backend(memdev, generation) + "-lsa"
    return properties


def memdev_backends(memdev: Memdev, generation: int) -> list:
    backends = [(backend(memdev, generation), memdev.size)]
    if memdev.kind == "pmem":
        backends.append((backend(memdev, generation) + "-lsa", LSA_BYTES))
    return backends


def _comma(properties: dict) -> str:
    driver = properties.pop("driver")
    return ",".join([driver, *(f"{key}={value}" for key, value in properties.items())])


def topology_arguments(topology: Topology) -> list:
    """Bridges, ports, switches and memdevs as QEMU arguments."""
    arguments = []
    slot = slots(topology)
    for bridge in topology.bridges:
        arguments += ["-device", f"pxb-cxl,bus_nr={bridge.bus_nr},bus=pcie.0,id={bridge.name}"]
        for number, port in enumerate(bridge.ports):
            arguments += ["-device",
                          f"cxl-rp,port={number},bus={bridge.name},id={port},chassis=0,slot={slot[port]}"]
    for switch in topology.switches:
        arguments += ["-device", f"cxl-upstream,bus={switch.port},id={switch.name}"]
        for number, port in enumerate(switch.downstream):
            arguments += ["-device", f"cxl-downstream,port={number},bus={switch.name},id={port},"
                                     f"chassis=0,slot={slot[port]}"]
    for memdev in topology.memdevs:
        if not memdev.present:
            continue
        for ident, size in memdev_backends(memdev, 0):
            arguments += ["-object", f"memory-backend-ram,id={ident},size={size}"]
        arguments += ["-device", _comma(memdev_properties(memdev, 0))]
    return arguments


def disk_arguments(topology: Topology, folder: Path) -> list:
    """The extra drives: sparse files, found in the guest as /dev/disk/by-id/virtio-NAME."""
    arguments = []
    for disk in topology.disks:
        path = folder / f"{disk.name}.disk"
        with open(path, "wb") as file:
            file.truncate(disk.size)
        limit = f",throttling.bps-total={disk.throttle}" if disk.throttle else ""
        arguments += ["-drive", f"file={path},if=none,id={disk.name}-drive,format=raw,cache=unsafe{limit}",
                      "-device", f"virtio-blk-pci,bus=pcie.0,drive={disk.name}-drive,id={disk.name},serial={disk.name}"]
    return arguments


def isolation_arguments(topology: Topology, path: str) -> list:
    """The model's file as a BAR; the address is what configuration files name."""
    if not topology.isolation:
        return []
    return ["-object", f"memory-backend-file,id=isolation,share=on,mem-path={path},size=1M",
            "-device", "ivshmem-plain,memdev=isolation,bus=pcie.0,addr=0x1e"]


def machine(topology: Topology) -> str:
    """The machine with its windows; QEMU wants all cxl-fmw keys in one option."""
    parts = ["q35", "cxl=on", "sata=off", "smbus=off"]
    for number, window in enumerate(topology.windows):
        parts += [f"cxl-fmw.{number}.targets.{i}={name}" for i, name in enumerate(window.targets)]
        parts.append(f"cxl-fmw.{number}.size={window.size}")
        if window.granularity:
            parts.append(f"cxl-fmw.{number}.interleave-granularity={format_size(window.granularity).lower()}")
    return ",".join(parts)


def _share(tag: str, path: Path, readonly: bool) -> list:
    mode = ",readonly=on" if readonly else ""
    return ["-fsdev", f"local,id={tag},path={str(path).replace(',', ',,')},security_model=none,"
                      f"multidevs=remap{mode}",
            "-device", f"virtio-9p-pci,bus=pcie.0,fsdev={tag},mount_tag={tag}"]


class Host:
    """One running outer QEMU. Start it from the main thread: it dies with the thread that did."""

    def __init__(self, topology: Topology, image: Path, run_dir: Path, keep: Path, product: Path):
        self.topology = topology
        self.image = image
        self.run_dir = run_dir
        self.keep = keep
        self.product = product
        self.qmp = None
        self.child = None
        self.model = None
        self.started_ns = 0
        self._generation = {m.name: 0 for m in topology.memdevs}
        self.plugged = {m.name: m for m in topology.memdevs if m.present}
        self.parked = {}    # those that the guest has let go and QEMU has not
        self.poisoned = False   # a memdev keeps its poison as long as this QEMU lives

    def socket(self, name: str) -> str:
        return str(self.run_dir / name)

    def arguments(self) -> list:
        topology = self.topology
        return [
            PROGRAM, "-name", "daxmgr-lab", "-nodefaults", "-no-reboot",
            "-M", machine(topology), "-m", str(topology.memory >> 20), "-smp", str(topology.cpus),
            "-accel", "tcg,thread=multi", "-cpu", topology.cpu_model,
            "-nic", "none", "-display", "none",
            "-d", "cpu_reset", "-D", str(self.keep / "qemu-resets.txt"),
            "-kernel", str(self.image / "vmlinuz"), "-initrd", str(self.image / "initrd"),
            "-append", KERNEL_ARGUMENTS,
            "-drive", f"file={str(self.image / 'disk.img').replace(',', ',,')},if=none,id=root,format=raw,snapshot=on",
            "-device", "virtio-blk-pci,bus=pcie.0,drive=root",
            "-chardev", f"file,id=console,path={self.socket('console.log')}", "-serial", "chardev:console",
            "-qmp", f"unix:{self.socket('qmp')},server=on,wait=off",
            "-qtest", f"unix:{self.socket('qtest')},server=on,wait=off", "-qtest-log", "none",
            "-device", "virtio-serial-pci,bus=pcie.0,id=serial-bus",
            "-chardev", f"socket,id=agent,path={self.socket('agent')},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            "-chardev", f"socket,id=channel,path={self.socket('channel')},server=on,wait=off",
            "-device", f"virtserialport,chardev=channel,name={CHANNEL}",
            *_share("product", self.product, True),
            *_share("out", self.keep / "out", False),
            *disk_arguments(topology, self.run_dir),
            *topology_arguments(topology),
            *isolation_arguments(topology, self.socket("isolation.bar")),
        ]

    def start(self):
        if not shutil.which(PROGRAM):
            raise LabError(f"{PROGRAM} is not installed here; run the lab through ./dev lab")
        for name in ("disk.img", "vmlinuz", "initrd"):
            if not (self.image / name).exists():
                raise LabError(f"{self.image / name} does not exist: there is no guest image here")
        (self.keep / "out").mkdir(parents=True, exist_ok=True)
        console = self.keep / "console.log"
        console.touch()
        (self.run_dir / "console.log").symlink_to(console.resolve())
        self._start_model()
        arguments = self.arguments()
        (self.keep / "qemu-command.txt").write_text("\n".join(arguments) + "\n", encoding="utf-8")
        with open(self.keep / "qemu-output.txt", "ab") as output:
            self.started_ns = time.monotonic_ns()
            self.child = process.spawn(arguments, stdout=output, stderr=output,
                                       env={**os.environ, "TMPDIR": str(self.run_dir)})
        self.qmp = Qmp(self.socket("qmp"), time.monotonic() + 20, self.check_alive, self.explain_end)

    def _start_model(self):
        """The hardware's part of isolation, which is there before the host is."""
        if not self.topology.isolation:
            return
        ports = ["self" if item.link_down else self._address(item.port) for item in self.topology.isolation]
        self.model = process.spawn([sys.executable, "-m", "tests.lab.isolation_model", self.socket("isolation.bar"),
                                    self.socket("isolation"), self.socket("qtest"), *ports])
        deadline = time.monotonic() + 10
        while not Path(self.socket("isolation")).exists():
            if self.model.poll() is not None or time.monotonic() > deadline:
                raise LabError("the isolation model did not start")
            time.sleep(0.02)

    def _address(self, port: str) -> str:
        """BUS:SLOT of a root port."""
        bridge = next(b for b in self.topology.bridges if port in b.ports)
        return f"{bridge.bus_nr:x}:{bridge.ports.index(port):x}"

    def ask_model(self, port: str, **request) -> dict:
        names = [item.port for item in self.topology.isolation]
        if port not in names:
            raise LabError(f'port "{port}" has no isolation model in this topology')
        return isolation_model.ask(self.socket("isolation"), port=names.index(port), **request)

    def isolate(self, port: str, busy: float, lag: float):
        """A timeout at the port: its status and, where it is armed to, its link after `lag` seconds tell one story."""
        if self.ask_model(port, do="isolate", busy=busy)["link_down"]:
            time.sleep(lag)
            self.surprise_down(port)

    def console(self) -> str:
        return (self.keep / "console.log").read_text(errors="replace")

    def registers(self) -> list:
        """What its CPUs are at, in looks a second apart."""
        looks = []
        for _ in range(REGISTER_LOOKS):
            looks.append(self.qmp.monitor("info registers -a"))
            time.sleep(1)
        return looks

    def check_alive(self):
        """A HostEnded with QEMU's reason and last words, when it has ended."""
        if self.child is None or self.child.poll() is None:
            return
        said = self._kept("qemu-output.txt").strip()
        console = self.console().splitlines()[-12:]
        raise HostEnded(f"{self._why_ended()}the guest's QEMU ended with code {self.child.returncode}"
                        + (f": {said[-800:]}" if said else "")
                        + ("; the console ends:\n  " + "\n  ".join(console) if console else ""))

    def explain_end(self):
        """What check_alive() says, by somebody whose connection was closed: QEMU may be about to end."""
        if self.child is None:
            return
        try:
            self.child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return
        self.check_alive()

    def _why_ended(self) -> str:
        reason = self.qmp.ended_by(1) if self.qmp else ""
        if not reason:
            return ""
        if reason == "guest-reset" and TRIPLE_FAULT in self._kept("qemu-resets.txt"):
            reason += ", a triple fault"
        return f"{ENDS.get(reason.split(',')[0], 'the emulated host was ended')} ({reason}): "

    def _kept(self, name: str) -> str:
        path = self.keep / name
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        if self.qmp:
            try:
                self.qmp.execute("quit", timeout=3)
            except LabError:
                pass
            self.qmp.close()
        if self.child:
            process.stop(self.child)
        if self.model:
            process.stop(self.model)

    def set_bits(self, address: int, bits: int):
        """Sets bits of a 32-bit register from outside, as firmware could have before the kernel came."""
        qtest.set_bits(self.socket("qtest"), address, bits)

    def throttle(self, disk: str, rate: int):
        """Limits a disk to so many bytes per second from now on; 0 lets everything through at once."""
        limits = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        self.qmp.execute("block_set_io_throttle", {"id": f"/machine/peripheral/{disk}/virtio-backend", "bps": rate, **limits})

    def throttle_as_at_boot(self):
        for disk in self.topology.disks:
            self.throttle(disk.name, disk.throttle)

    # Faults. Each returns nothing and raises LabError in QEMU's own words.

    def _monitor_silent(self, line: str):
        """For monitor commands that say something only when they refuse."""
        said = self.qmp.monitor(line).strip()
        if said and not said.startswith("OK"):
            raise LabError(f"{line}: {said}")

    def inject_aer(self, device: str, error: str, correctable: bool = False):
        self._monitor_silent(f"pcie_aer_inject_error {'-c ' if correctable else ''}{device} {error}")

    def surprise_down(self, port: str):
        self.inject_aer(port, "SDN")

    def unplug(self, name: str):
        """Presses the slot's button and waits until the guest has let the device go."""
        self.qmp.execute("device_del", {"id": name})
        self.wait_unplugged(name)

    def wait_unplugged(self, name: str):
        """Waits until a device has left its slot. DEVICE_DELETED comes later, never while a mapping refers to it."""
        deadline = time.monotonic() + UNPLUG_SECONDS
        while any(item["name"] == name for item in self.qmp.execute("qom-list", {"path": "/machine/peripheral"})):
            if time.monotonic() > deadline:
                raise LabError(f"the guest did not let {name} go within {UNPLUG_SECONDS} s")
            time.sleep(0.02)
        self.plugged.pop(name, None)

    def plug(self, name: str, serial=None, size=None, port=None):
        """Adds the memdev with fresh memory; QEMU keeps the old backend busy for ever."""
        model = self.topology.memdev(name)
        memdev = Memdev(name, port or model.port, model.serial if serial is None else serial,
                        model.size if size is None else size, model.kind, True)
        self._generation[name] += 1
        generation = self._generation[name]
        for ident, count in memdev_backends(memdev, generation):
            self.qmp.execute("object-add", {"qom-type": "memory-backend-ram", "id": ident, "size": count})
        self.qmp.execute("device_add", memdev_properties(memdev, generation))
        self.plugged[name] = memdev

    def inject_poison(self, memdev: str, start: int, length: int):
        self.poisoned = True
        self.qmp.execute("cxl-inject-poison", {"path": f"/machine/peripheral/{memdev}",
                                               "start": start, "length": length})

    def media_event(self, memdev: str, kind: str, fields: dict, count: int = 1):
        """Several at once: the host reads none of them before the last one is there."""
        command, defaults = MEDIA_EVENTS[kind]
        if count > 1:
            self.qmp.execute("stop")
        try:
            for _ in range(count):
                self.qmp.execute(command, {"path": f"/machine/peripheral/{memdev}", **defaults, **fields})
        finally:
            if count > 1:
                self.qmp.execute("cont")

    def machine_check(self, cpu: int, bank: int, status: int, mcg_status: int, address: int, misc: int):
        self._monitor_silent(f"mce -b {cpu} {bank} {status:#x} {mcg_status:#x} {address:#x} {misc:#x}")


__all__ = ["Host", "QmpError", "MEDIA_EVENTS", "topology_arguments"]
