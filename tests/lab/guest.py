# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest: booting it, putting the product and VMs into it, and asking it things."""

import errno
import json
import os
import shlex
import shutil
import time
from pathlib import Path

from . import clock, payload
from .agent import Agent
from .channel import Channel, GuestOsError
from .errors import LabError
from .journal import Journal
from .qemu import CHANNEL, Host, slots
from .samples import Samples
from .trace import LiveTrace

BOOT_SECONDS = 240 * float(os.environ.get("LAB_TIMEOUT_FACTOR", "1"))
NUDGE_SECONDS = 0.5
LAB_DIR = "/run/daxmgr-lab"
DECODER_LOCK = 1 << 8
BOOT_ID = "/proc/sys/kernel/random/boot_id"
POISONED = f"{LAB_DIR}/poisoned"    # made in the guest by records.py, as long as its poison is there
CODE_DIR = "/usr/lib/daxmgr-lab"
ANSWER_SECONDS = 20     # beyond that a host is frozen: a question alone takes milliseconds
TRACE = "/sys/kernel/tracing/instances/lab"
TRACE_LIVE = "/sys/kernel/tracing/instances/lab-live"
SOCKET = "/run/daxmgr/org.daxmgr.Manager"
DAEMON = "daxmgrd.service"
SYSUSERS = 'u daxlab-vm - "lab VMs" /run/daxmgr-vm\nm daxlab-vm kvm\nm daxlab-vm disk\n'

PREPARE_TRACING = f"""
prepare() {{
    mkdir -p $1 && cd $1 && echo boot > trace_clock && echo 4096 > buffer_size_kb
    echo 0 > buffer_percent
    for event in ras/aer_event ras/memory_failure_event mce/mce_record pci/pci_hp_event cxl $2; do
        [ -e events/$event/enable ] && echo 1 > events/$event/enable
    done
    echo 'sig==9 || sig==7 || sig==19' > events/signal/signal_generate/filter && echo 1 > events/signal/signal_generate/enable
    echo 'comm ~ "qemu*"' > events/sched/sched_process_exit/filter && echo 1 > events/sched/sched_process_exit/enable
}}
prepare {TRACE_LIVE}
prepare {TRACE} sched/sched_process_exec
"""

# Once per boot: reset() takes away what the product makes, not the product.
INSTALL = f"""
if [ ! -e {LAB_DIR}/installed ]; then
    cp -a /run/lab/product/. / || exit 1
    systemd-sysusers && systemd-tmpfiles --create >/dev/null 2>&1
    udevadm control --reload
    systemctl daemon-reload
    chmod 666 /dev/kvm 2>/dev/null
    touch {LAB_DIR}/installed
fi
"""

# The lab's hand in the guest outlives all services at a shutdown, so that their ends are seen.
TO_THE_END = "--property=DefaultDependencies=no"

LIST_MOUNTS = "grep -v -e binfmt_misc -e ' /run/credentials/' -e ' /run/user/' /proc/self/mounts"

CLEANERS = {
    "processes": "pgrep -l -f '^/usr/bin/qemu-system'",
    "mappings": "grep -l -e ' /dev/dax[0-9]' /proc/[0-9]*/maps 2>/dev/null",
    "instances": "for d in /sys/bus/dax/devices/dax*; do [ -e $d/driver ] && echo ${d##*/}; done",
    "regions": "ls -d /sys/bus/cxl/devices/region* 2>/dev/null",
    "mounts": f"{LIST_MOUNTS} | diff {LAB_DIR}/mounts -",
}


class Guest:
    def __init__(self, host: Host):
        self.host = host
        self.journal = Journal()
        self.samples = Samples()
        self.trace_live = LiveTrace()
        self.channel = None
        self.clock = None
        self.boot_seconds = 0.0
        self._journal_marks = 0
        self._nudged = 0.0
        self.panicked = False
        self.rebooted = False
        self.kernel = ""

    # Boot

    def boot(self):
        """Starts the host and waits until the lab's channel into the guest works."""
        code = self.host.keep / "out" / "lab"
        code.mkdir(parents=True, exist_ok=True)
        for source in (Path(__file__).parent / "guest").glob("*.py"):
            shutil.copy(source, code)
        payload.build(code / "beat.elf")
        payload.build_tools(code)
        self.host.start()
        agent = Agent(self.host.socket("agent"))
        agent.wait(time.monotonic() + BOOT_SECONDS, self.host.check_alive)
        self._meet(agent)
        self.boot_seconds = (time.monotonic_ns() - self.host.started_ns) / 1e9

    def _meet(self, agent: Agent):
        """Makes a guest whose agent answers the lab's guest."""
        self.channel = Channel(self.host.socket("channel"), self.journal.feed, self.trace_live.feed,
                               self.host.explain_end)
        # On a busy machine fstab's attempt may come before the devices are there.
        agent.run("for share in out product; do for try in $(seq 100); do mountpoint -q /run/lab/$share && break; "
                  "mount /run/lab/$share; sleep 0.1; done; done 2>/dev/null; "
                  f"mountpoint -q /run/lab/out || exit 9; mkdir -p {CODE_DIR} {LAB_DIR} && cp /run/lab/out/lab/* {CODE_DIR}/ && "
                  f"systemd-run -q --unit=daxlab-channel {TO_THE_END} --nice=-10 python3 {CODE_DIR}/labd.py "
                  f"/dev/virtio-ports/{CHANNEL} {TRACE_LIVE}/trace_pipe && "
                  f"systemd-run -q --unit=daxlab-sampler --nice=-10 python3 {CODE_DIR}/sampler.py "
                  f"{payload.VM_RUN_DIR} {LAB_DIR}")
        agent.close()
        self.clock = clock.measure(self.channel)
        self.kernel = self.channel.must("uname -r").strip()
        self.channel.write("/etc/sysusers.d/daxmgr-lab.conf", SYSUSERS)
        self.channel.must("systemd-sysusers; modprobe -q kvm_amd || modprobe -q kvm_intel; chmod 666 /dev/kvm 2>/dev/null; "
                          f"{LIST_MOUNTS} > {LAB_DIR}/mounts; true")
        self.channel.must(PREPARE_TRACING)

    def lock_decoders(self, serials: list):
        """Sets the lock bit of all decoders that these memdevs' regions go through; the next kernel sees it."""
        found = self.channel.must(["python3", f"{CODE_DIR}/decoders.py", *serials]).split()
        if not found:
            raise LabError("no decoder is committed for these memdevs, so none can be locked")
        for address in found:
            self.host.set_bits(int(address, 0), DECODER_LOCK)

    def kexec(self):
        """Shuts the guest down in order and into the same kernel; its disk and what is plugged stay as they are."""
        boot_id = self.channel.must(f"cat {BOOT_ID}").strip()
        folder = self.host.keep / "out" / "kexec"
        folder.mkdir(exist_ok=True)
        for name in ("vmlinuz", "initrd"):
            shutil.copy(self.host.image / name, folder)
        self.channel.must('kexec -s -l /run/lab/out/kexec/vmlinuz --initrd=/run/lab/out/kexec/initrd '
                          '--command-line="$(cat /proc/cmdline)"')
        self.channel.must("systemctl --no-block kexec")
        agent = self._next_agent(boot_id, time.monotonic() + BOOT_SECONDS)
        self.channel.close()
        self.journal.feed(b"\n")  # of a line that was cut off
        self.rebooted = True
        self.samples, self.trace_live = Samples(), LiveTrace()
        self._meet(agent)

    def _next_agent(self, boot_id: str, deadline: float) -> Agent:
        """The agent of the next boot; the one of this boot still answers for a while."""
        while True:
            agent = Agent(self.host.socket("agent"))
            try:
                agent.wait(deadline, self.host.check_alive)
                if agent.run(f"cat {BOOT_ID}", 10).strip() != boot_id:
                    return agent
            except (LabError, OSError) as error:
                self.host.check_alive()
                if time.monotonic() > deadline:
                    raise LabError(f"the guest did not come back: {error}") from error
            agent.close()
            time.sleep(0.5)

    def wait_memdevs(self, seconds: float = 30):
        """Waits until every plugged memdev is there, by serial number."""
        wanted = sorted(m.serial for m in self.host.plugged.values())
        deadline = time.monotonic() + seconds
        while self.serials() != wanted:
            if time.monotonic() > deadline:
                raise LabError(f"memdevs in the guest: serials {self.serials()}, wanted {wanted}")
            time.sleep(0.1)

    def serials(self) -> list:
        paths = self.channel.call("glob", pattern="/sys/bus/cxl/devices/mem*/serial")["paths"]
        values = [self.channel.read_or_empty(path).strip() for path in paths]
        return sorted(int(value, 0) for value in values if value)

    # Product

    def install_product(self, config: str, dropins: dict):
        self.channel.must(INSTALL, 120)
        if config:
            self.channel.write("/etc/daxmgr/daxmgrd.conf", config)
        for name, text in dropins.items():
            self.channel.write(f"/etc/daxmgr/daxmgrd.conf.d/{name}", text)

    def write_vm(self, vm):
        command = shlex.join(payload.qemu_command(vm.name, vm.size, vm.disk))
        size = f"{vm.size}@{vm.region}" if vm.region else str(vm.size)
        options = " ".join(part for part in ("" if vm.restart else "--no-restart", vm.options) if part)
        self.channel.write(f"/etc/daxmgr/vm/{vm.name}.conf",
                           f"DAXMGR_USER={vm.user}\nDAXMGR_SIZE={size}\n"
                           f"DAXMGR_OPTIONS={options}\nQEMU_COMMAND={command}\n")
        return command

    def daemon(self, verb: str):
        """Does a systemctl verb on the daemon, or kills its main process with SIGKILL."""
        if verb != "kill":
            self.channel.must(["systemctl", verb, DAEMON], 60)
            return
        self.kill_daemon(self.main_pid(DAEMON))

    def kill_daemon(self, pid: int):
        if pid <= 0:
            raise LabError("the daemon does not run, so it cannot be killed")
        self.channel.call("kill", pid=pid, signal=9)

    def unit_property(self, unit: str, name: str) -> str:
        return self.channel.must(["systemctl", "show", "-P", name, unit]).strip()

    def main_pid(self, unit: str) -> int:
        return int(self.unit_property(unit, "MainPID") or 0)

    def vm_pid(self, name: str) -> int:
        """QEMU: its unit's main process, or the child of the launcher that is; 0: none."""
        main = self.main_pid(self.vm_unit(name))
        if not main:
            return 0
        if self.channel.read_or_empty(f"/proc/{main}/comm").startswith(b"qemu"):
            return main
        children = self.channel.read_or_empty(f"/proc/{main}/task/{main}/children").decode().split()
        return int(children[0]) if children else 0

    def ctl(self, argv: list, timeout: float = 60):
        return self.channel.run(["daxmgrctl", *argv], timeout)

    def varlink(self, method: str, parameters: dict, timeout: float = 5):
        """One varlink call on the manager's socket, without starting a process."""
        request = json.dumps({"method": method, "parameters": parameters}).encode() + b"\0"
        data = self.channel.call("unix", timeout + 5, path=SOCKET, data=request, until=b"\0",
                                 patience=timeout)["data"]
        if not data:
            raise LabError(f"{method}: the daemon closed the connection")
        reply = json.loads(data.split(b"\0")[0])
        if "error" in reply:
            raise LabError(f'{method}: {reply["error"]} {json.dumps(reply.get("parameters", {}))}')
        return reply.get("parameters", {})

    def answers(self) -> bool:
        try:
            self.channel.call("clock", ANSWER_SECONDS)
        except LabError:
            return False
        return True

    # Faults

    def _switch_slot(self, port: str, on: bool):
        number = slots(self.host.topology)[port]
        self.channel.must(f"echo {int(on)} > /sys/bus/pci/slots/{number}/power", 30)

    def switch_off(self, memdev: str):
        """Removes a memdev through its slot's power switch, which needs none of the button's five seconds.

        QEMU's switches have no power controller: the guest lets the device go, but QEMU leaves it in its slot.
        """
        host = self.host
        if memdev not in host.plugged:
            raise LabError(f"{memdev} is not plugged")
        port = host.plugged[memdev].port
        self._switch_slot(port, False)
        if port in host.topology.downstream_ports():
            host.parked[memdev] = host.plugged.pop(memdev)
        else:
            host.wait_unplugged(memdev)

    def switch_on(self, memdev: str):
        """The counterpart for a device that QEMU left in its slot: it comes back with the memory it had."""
        self._switch_slot(self.host.parked[memdev].port, True)
        self.host.plugged[memdev] = self.host.parked.pop(memdev)

    # VMs

    def vm_unit(self, name: str) -> str:
        return f"daxmgr-vm@{name}.service"

    def vm_qmp(self, name: str, command: str, arguments=None) -> dict:
        """One command to a nested VM's own QMP socket."""
        wanted = {"execute": command, "id": 1} | ({"arguments": arguments} if arguments else {})
        request = json.dumps({"execute": "qmp_capabilities"}) + "\n" + json.dumps(wanted) + "\n"
        data = self.channel.call("unix", 15, path=f"{payload.VM_RUN_DIR}/{name}.qmp", data=request.encode(),
                                 until=b'"id": 1', patience=10)["data"]
        for line in data.split(b"\n"):
            message = json.loads(line) if line.strip() else {}
            if message.get("id") == 1:
                if "error" in message:
                    raise LabError(f'{name}: {command}: {message["error"]["desc"]}')
                return message["return"]
        raise LabError(f"{name}: {command}: no answer")

    def vm_qmp_state(self, name: str) -> str:
        try:
            return self.vm_qmp(name, "query-status")["status"]
        except GuestOsError:
            return "absent"
        except (LabError, ValueError):
            return "mute"

    def refresh_samples(self):
        data = self.channel.read_or_empty(f"{LAB_DIR}/samples.txt", self.samples.bytes_read)
        self.samples.feed(data)

    def serial(self, name: str) -> str:
        """Everything a VM's payload ever printed, over all its runs."""
        return self.channel.read_or_empty(f"{LAB_DIR}/serial/{name}.serial").decode(errors="replace")

    # Evidence

    def trace(self) -> str:
        return self.channel.read_or_empty(f"{TRACE}/trace").decode(errors="replace")

    def sync_journal(self, seconds: float = 15):
        """Returns when everything logged before this call has arrived here."""
        self._journal_marks += 1
        text = f"lab mark {self._journal_marks}"
        position = self.journal.mark()
        deadline = time.monotonic() + seconds
        while {r.kernel for r in self.journal.since(position) if r.message == text} != {True, False}:
            if time.monotonic() > deadline:
                raise LabError("the guest's journal does not move any more")
            self.channel.call("mark", text=text.encode())
            self.journal.wait_change(0.1)
            time.sleep(0.02)

    def nudge_kernel_log(self):
        """journald sometimes reads the newest kernel record only when one more comes."""
        if time.monotonic() - self._nudged > NUDGE_SECONDS:
            self._nudged = time.monotonic()
            self.channel.call("mark", text=b"lab nudge")

    def boottime_ns(self) -> int:
        return self.clock.to_guest(time.monotonic_ns())

    def leftovers(self, kind: str) -> str:
        """What should not be there any more, as text; empty when clean."""
        return self.channel.run(CLEANERS[kind]).out.strip()

    def file_info(self, path: str):
        try:
            return self.channel.call("stat", path=path)
        except GuestOsError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise

    # Between scenarios

    def reset(self) -> bool:
        """Takes the product's state away; false when the guest is not as good as new."""
        if self.panicked or self.rebooted or self._poisoned():
            return False
        self.host.throttle_as_at_boot()
        run = self.channel.run
        run("pkill -KILL -x stranger; systemctl stop 'daxmgr-vm@*.service'; systemctl reset-failed", 60)
        self._destroy_regions()
        run(f"systemctl stop {DAEMON}; systemctl clean --what=fdstore {DAEMON} 2>/dev/null; "
            "umount -q /var/lib/daxmgr; rm -rf /var/lib/daxmgr /etc/daxmgr /run/daxmgr-vm/* /dev/daxmgr", 60)
        run(f"systemctl stop daxlab-sampler; rm -rf {LAB_DIR}/samples.txt {LAB_DIR}/serial; echo > {TRACE}/trace; "
            f"systemd-run -q --unit=daxlab-sampler --nice=-10 python3 {CODE_DIR}/sampler.py "
            f"{payload.VM_RUN_DIR} {LAB_DIR}")
        self.samples = Samples()
        same = all(self.host.plugged.get(m.name) == m for m in self.host.topology.memdevs if m.present)
        dirty = [kind for kind in CLEANERS if self.leftovers(kind)]
        return same and not dirty and not self.journal.bad_kernel_records()

    def _poisoned(self) -> bool:
        """Whether memory was poisoned, from outside or by the scenario itself: the next one would find it."""
        return (self.host.poisoned or bool(self.file_info(POISONED))
                or self.channel.run(f"grep -q 'cxl_poison: ' {TRACE}/trace").rc == 0)

    def _destroy_regions(self):
        """Until none is left: leases that are just ending refuse it, and the kernel takes its time."""
        deadline = time.monotonic() + 15
        try:
            while time.monotonic() < deadline:
                listed = self.ctl(["region", "list", "--json"])
                names = _region_names(listed.out) if listed.rc == 0 else []
                if not names:
                    return
                for name in names:
                    self.ctl(["region", "destroy", name, "--yes"])
                time.sleep(0.2)
        except GuestOsError:
            return

    def close(self):
        if self.channel:
            self.channel.close()
        self.host.stop()


def _region_names(text: str) -> list:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    items = value.get("regions", []) if isinstance(value, dict) else value
    return [item["name"] for item in items if isinstance(item, dict) and item.get("name")]
