# SPDX-License-Identifier: LGPL-2.1-or-later
"""The losses of the matrix: for each, the most telling unit of a host and the steps that play it there."""

import re
from dataclasses import dataclass

from .formats import format_size
from .matrix_cell import (Cell, NotApplicable, all_live, all_well, attached, beating, call, died, patience, reason,
                          region_is)
from .matrix_regions import UNIT
from .matrix_shape import Hit, Shape, vm_of

FATAL = "DLP"                   # a Data Link Protocol error: fatal, and only the device is at fault
FOREIGN_SERIAL = 0x7000_0000    # added to a serial number, it names another device
FLAP_LOSSES = 3
BELOW_SWITCHES = "all memdevs with a region are below switches, where QEMU does not let a device be exchanged"
FLAP_FILE = "/etc/daxmgr/daxmgrd.conf.d/90-flapping.conf"


@dataclass
class Loss:
    name: str
    says: str
    build: object


def best(hits: list, *wishes):
    """The hit that fulfils the earlier wishes; the first of equals."""
    return max(hits, key=lambda hit: [wish(hit) for wish in wishes], default=None)


class Wishes:
    """What makes a unit telling."""

    def __init__(self, shape: Shape):
        self.shape = shape

    def leg(self, hit: Hit) -> bool:
        return any(self.shape.region(name).ways > 1 for name in hit.lost)

    def plain(self, hit: Hit) -> bool:
        return not self.leg(hit)

    @staticmethod
    def survivors(hit: Hit) -> bool:
        return bool(hit.kept)

    @staticmethod
    def ordered(hit: Hit) -> bool:
        """Recovery has to wait for tenants above."""
        return bool(hit.direct)

    @staticmethod
    def free(hit: Hit) -> bool:
        return not hit.direct


def _ports(shape: Shape) -> list:
    return [shape.hit(port) for port in shape.loaded_ports(False)]


def _memdevs(shape: Shape) -> list:
    return [shape.hit(name) for name in shape.loaded_memdevs()]


def _exchangeable(shape: Shape) -> list:
    return [shape.hit(name) for name in shape.exchangeable()]


def _serial(shape: Shape, memdev: str) -> int:
    return shape.topology.memdev(memdev).serial


def port_path(shape: Shape, port: str) -> str:
    """How the product calls a port: host bridge and device.function chain."""
    for switch in shape.topology.switches:
        if port in switch.downstream:
            return f"{port_path(shape, switch.port)}/00.0/{switch.downstream.index(port):02x}.0"
    bridge = next(b for b in shape.topology.bridges if port in b.ports)
    return f"hb{bridge.bus_nr}/{bridge.ports.index(port):02x}.0"


# Steps that several losses share.

def _new(shape: Shape, loss: str, what: str, *hits: Hit) -> Cell:
    lost = {name for hit in hits for name in hit.lost}
    cell = Cell(loss, what)
    cell.victims = [vm_of(r.name) for r in shape.regions if r.name in lost]
    return cell


def _leave(shape: Shape, cell: Cell, hit: Hit, prefix: str = ""):
    """What is lost below tenants waits for them, by name; they leave."""
    if not hit.direct:
        return
    names = sorted({vm_of(name) for names in hit.direct.values() for name in names})
    told = [region_is(name, "wait", "decoder-order") for name in hit.direct]
    told.append(reason("tenants above.*" + r"\b(" + "|".join(map(re.escape, names)) + r")\b"))
    cell.step(f"{prefix}it waits for the tenants above", None, told, timeout=patience(shape))
    cell.step(f"{prefix}they do not notice", None, [beating(hit.survivors)], timeout=patience(shape))
    cell.hand(f"{prefix}the tenants above leave", {"stop_vm": hit.in_the_way}, timeout=patience(shape))
    cell.step(f"{prefix}the regions are made again", None, [all_live(shape)], timeout=patience(shape))
    cell.step(f"{prefix}and they come back", {"start_vm": hit.in_the_way}, timeout=patience(shape))
    cell.stopped += [vm for vm in hit.in_the_way if vm not in cell.stopped]


def _back(shape: Shape, cell: Cell, hit: Hit, prefix: str = ""):
    """Everything is as before, and who was not concerned did not notice."""
    _leave(shape, cell, hit, prefix)
    cell.step(f"{prefix}all is as before", None, all_well(shape), timeout=patience(shape))


def _unplug(memdev: str) -> dict:
    return {"unplug": memdev, "at_once": True}


def _gone(shape: Shape, memdev: str, hit: Hit) -> list:
    """The victims are dead, and their regions wait for the memdev by name."""
    serial = re.escape(f"{_serial(shape, memdev):#x}")
    return [died(hit.victims), *(region_is(name, "wait", "memdev") for name in hit.lost),
            reason(rf"serial {serial}\b")]


def _what_if(shape: Shape, hit: Hit, unit: str) -> list:
    """The product foretells whom the loss kills and for whom recovery would wait."""
    blockers = sorted({vm_of(name) for names in hit.direct.values() for name in names})

    def told(path, **comparison):
        return call("WhatIf", path, {"unit": unit}, **comparison)
    return [told("vms", count=len(hit.victims)), *(told("vms[*].name", contains=vm) for vm in hit.victims),
            told("blockers", count=len(blockers)), *(told("blockers[*].name", contains=vm) for vm in blockers)]


# The losses.

def _down(shape: Shape, loss: str, hit: Hit) -> Cell:
    unit = hit.units[0]
    cell = _new(shape, loss, f"surprise down at {unit}", hit)
    cell.step("it is foretold whom it kills", None, _what_if(shape, hit, port_path(shape, unit)))
    cell.lose("the port goes down", {"surprise_down": unit}, [died(hit.victims)], timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def port_down(shape: Shape):
    wish = Wishes(shape)
    hit = best(_ports(shape), wish.leg, wish.survivors, wish.ordered)
    return _down(shape, "port-down", hit)


def switch_port_down(shape: Shape):
    if not shape.topology.switches:
        return NotApplicable("there is no switch")
    hits = [shape.hit(port) for port in shape.loaded_ports(True)]
    if not hits:
        return NotApplicable("no region has memory below a switch")
    wish = Wishes(shape)
    return _down(shape, "switch-port-down", best(hits, wish.leg, wish.survivors, wish.ordered))


def replug(shape: Shape):
    wish = Wishes(shape)
    hit = best(_memdevs(shape), wish.leg, wish.survivors, wish.free)
    memdev = hit.units[0]
    cell = _new(shape, "replug", f"{memdev} is unplugged and plugged again", hit)
    cell.lose("it is unplugged", _unplug(memdev), _gone(shape, memdev, hit), timeout=patience(shape))
    cell.hand("it is plugged again", {"plug": memdev}, timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def other_serial(shape: Shape):
    if not _exchangeable(shape):
        return NotApplicable(BELOW_SWITCHES)
    wish = Wishes(shape)
    hit = best(_exchangeable(shape), wish.plain, wish.survivors, wish.free)
    memdev = hit.units[0]
    wrong = _serial(shape, memdev) + FOREIGN_SERIAL
    cell = _new(shape, "other-serial", f"{memdev} is unplugged, another device comes in its place, then the right one", hit)
    cell.lose("it is unplugged", _unplug(memdev), _gone(shape, memdev, hit), timeout=patience(shape))
    cell.step("another device comes", {"plug": memdev, "serial": wrong}, [
        {"memdevs": "all"},
        call("GetTopology", f"memdevs[serial={wrong:#x}].bound", equals=True),
        *(region_is(name, "wait", "memdev") | {"hold": 0.3} for name in hit.lost),
        *_gone(shape, memdev, hit)[-1:]], timeout=patience(shape))
    cell.step("it is taken out", _unplug(memdev), timeout=patience(shape))
    cell.hand("the right one comes", {"plug": memdev}, timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def _shrinkable(shape: Shape) -> list:
    """Memdevs whose only region has more of them than the smallest device could give."""
    found = []
    for hit in _exchangeable(shape):
        region = shape.region(hit.lost[0])
        if len(hit.lost) == 1 and region.bytes // region.ways > UNIT:
            found.append(hit)
    return found


def smaller(shape: Shape):
    if not _exchangeable(shape):
        return NotApplicable(BELOW_SWITCHES)
    hits = _shrinkable(shape)
    if not hits:
        return NotApplicable("no memdev with a single region could be smaller than what the region has of it")
    wish = Wishes(shape)
    hit = best(hits, wish.leg, wish.survivors, wish.free)
    memdev, region = hit.units[0], shape.region(hit.lost[0])
    cell = _new(shape, "smaller", f"{memdev} comes back with {format_size(UNIT)}, then with its own size", hit)
    cell.lose("it is unplugged", _unplug(memdev), _gone(shape, memdev, hit), timeout=patience(shape))
    plug = {"plug": memdev, "size": format_size(UNIT)}
    if region.size:
        cell.step("a smaller one comes", plug, [region_is(region.name, "wait", "too-small"),
                                                reason(f"{_serial(shape, memdev):#x} has 256 MiB")],
                  timeout=patience(shape))
    else:
        _smaller_region(shape, cell, hit, plug)
    cell.step("it is taken out again", _unplug(memdev), _gone(shape, memdev, hit)[1 if region.size else 0:],
              timeout=patience(shape))
    cell.hand("its own size comes back", {"plug": memdev}, timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def _smaller_region(shape: Shape, cell: Cell, hit: Hit, plug: dict):
    """A region without a size is made with what is there."""
    region = shape.region(hit.lost[0])
    cell.step("a smaller one comes", plug, timeout=patience(shape))
    _back(shape, cell, hit, "smaller: ")
    size = f"{UNIT * region.ways:#x}"
    cell.step("the region is smaller", {"run": f"grep -lx {size} /sys/bus/cxl/devices/region*/size"},
              [region_is(region.name, "bytes", UNIT * region.ways)])


def other_port(shape: Shape):
    if not _exchangeable(shape):
        return NotApplicable(BELOW_SWITCHES)
    hits = [hit for hit in _exchangeable(shape) if shape.free_port(hit.units[0])]
    if not hits:
        return NotApplicable("no port is empty where the memdev's window would reach it")
    wish = Wishes(shape)
    hit = best(hits, wish.leg, wish.survivors, wish.free)
    memdev = hit.units[0]
    port = shape.free_port(memdev)
    cell = _new(shape, "other-port", f"{memdev} comes back at {port}, then at its own port", hit)
    cell.lose("it is unplugged", _unplug(memdev), _gone(shape, memdev, hit), timeout=patience(shape))
    cell.step("it comes at another port", {"plug": memdev, "port": port}, timeout=patience(shape))
    _back(shape, cell, hit, f"at {port}: ")
    cell.step("it is known to be there", None, [
        call("GetTopology", f"memdevs[serial={_serial(shape, memdev):#x}].port", equals=port_path(shape, port))])
    cell.lose("it is unplugged there", _unplug(memdev), _gone(shape, memdev, hit), timeout=patience(shape))
    cell.hand("it comes at its own port", {"plug": memdev}, timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def endpoint_fatal(shape: Shape):
    wish = Wishes(shape)
    hit = best(_memdevs(shape), wish.ordered, wish.survivors, wish.leg)
    memdev = hit.units[0]
    cell = _new(shape, "endpoint-fatal", f"fatal error ({FATAL}) reported by {memdev}", hit)
    cell.lose("the error", {"aer": {"device": memdev, "error": FATAL}},
              [{"trace": "aer_event: .*severity=Fatal"}, died(hit.victims)], timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def _pair_of_ports(shape: Shape):
    """Two root ports (else two downstream ports) whose loss takes different regions where that is possible."""
    for switch in (False, True):
        hits = [shape.hit(port) for port in shape.loaded_ports(switch)]
        pairs = [(a, b) for i, a in enumerate(hits) for b in hits[i + 1:]]
        if pairs:
            wish = Wishes(shape)
            return max(pairs, key=lambda pair: [
                set(pair[0].lost) != set(pair[1].lost), wish.leg(pair[0]) or wish.leg(pair[1]),
                not set(pair[0].lost) & set(pair[1].lost)])
    return None


def two_ports(shape: Shape):
    pair = _pair_of_ports(shape)
    if not pair:
        return NotApplicable("only one port has memory below it")
    ports = [hit.units[0] for hit in pair]
    hit = shape.hit(*ports)
    cell = _new(shape, "two-ports", f"surprise down at {' and '.join(ports)} at once", hit)
    cell.lose("both go down", {"surprise_down": ports}, [died(hit.victims)], timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def during_containment(shape: Shape):
    pair = _pair_of_ports(shape) or (_ports(shape)[0], _ports(shape)[0])
    first, second = (hit.units[0] for hit in pair)
    region = shape.region(pair[0].lost[0])
    hit = shape.hit(*dict.fromkeys((first, second)))
    where = f"at {second}" if first != second else "there again"
    cell = _new(shape, "during-containment", f"surprise down at {first}, and {where} while its VMs are being killed", hit)
    cell.before = "contained"
    # Containment takes some 100 ms; it ends when the last one has let go of the memory.
    cell.step("somebody else maps the memory of one, for 2 s", {
        "run": f"systemd-run -q --collect -p RuntimeMaxSec=2 /usr/lib/daxmgr-lab/stranger "
               f"/dev/daxmgr/vm/{vm_of(region.name)}/mem0 {shape.vm_bytes(region)} hold; sleep 0.3"})
    cell.lose("a port goes down", {"surprise_down": first})
    cell.lose("and one while that is being contained", {"surprise_down": second},
              [died(hit.victims, since="a port goes down")], timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def _other_leg(shape: Shape, hit: Hit) -> str:
    """Another port below the same interleaved region, else the same port again."""
    for name in hit.lost:
        for memdev in shape.region(name).memdevs:
            port = shape.root_port(shape.topology.memdev(memdev).port)
            if port != hit.units[0]:
                return port
    return hit.units[0]


def during_recovery(shape: Shape):
    wish = Wishes(shape)
    first = best(_ports(shape), wish.free, wish.leg, wish.survivors)
    port = first.units[0]
    second = _other_leg(shape, first)
    hit = shape.hit(*dict.fromkeys((port, second)))
    region = first.lost[0]
    where = f"at {second}" if second != port else "there again"
    cell = _new(shape, "during-recovery", f"surprise down at {port}, and {where} while {region} is being made again", hit)
    cell.before = "recovered"
    # A region is made in some 20 ms; it lets those go first who look at the bus, for 2 s at a time, and its clearing does, too.
    cell.step("somebody looks at the cxl bus", {
        "run": "systemd-run -q --collect flock -s /run/daxmgr/cxl.lock sleep 6; sleep 0.3"})
    cell.lose("a port goes down", {"surprise_down": port})
    under_way = region_is(region, "wait", "decoder-order") if region in first.direct else \
        region_is(region, "state", "creating")
    cell.lose("and one while it recovers", {"surprise_down": second},
              [died(hit.victims, since="a port goes down")], when=[under_way], timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def never_back(shape: Shape):
    wish = Wishes(shape)
    hit = best(_memdevs(shape), wish.survivors, lambda h: len(h.kept), wish.leg)
    memdev = hit.units[0]
    cell = _new(shape, "never-back", f"{memdev} is unplugged and stays away; the lab brings it back in the end", hit)
    cell.lose("it is unplugged", _unplug(memdev), _gone(shape, memdev, hit), timeout=patience(shape))
    if hit.kept:
        cell.step("all others go on", None, [beating(hit.survivors, hold=1), *attached(hit.survivors)],
                  timeout=patience(shape))
        cell.step("and new ones come", {"ctl": ["vm", "acquire", "guest", "--size", f"2M@{hit.kept[0]}"]},
                  timeout=patience(shape))
        cell.step("and go", {"ctl": ["vm", "release", "guest", "--yes"]}, timeout=patience(shape))
    cell.step("it is still waited for", None, [
        *_gone(shape, memdev, hit)[1:],
        *(call("ListLeases", f"leases[name={vm}].state", equals="waiting") for vm in hit.victims),
        call("GetStatus", "incidentsOpen", equals=1)], timeout=patience(shape))
    cell.hand("it comes back at last", {"plug": memdev}, timeout=patience(shape))
    _back(shape, cell, hit)
    return cell


def _flap_setting(shape: Shape, cell: Cell, name: str, command: str):
    cell.step(name, {"run": command})
    cell.step(f"{name}, from now on", {"daemon": "restart"}, all_well(shape), timeout=patience(shape))


def flapping(shape: Shape):
    wish = Wishes(shape)
    hit = best(_ports(shape), wish.free, wish.survivors, wish.leg)
    if hit.direct:
        return NotApplicable("no port recovers without tenants having to leave, so none can flap")
    port = hit.units[0]
    cell = _new(shape, "flapping", f"{port} goes down {FLAP_LOSSES} times within the window; an operator brings it back", hit)
    _flap_setting(shape, cell, f"{FLAP_LOSSES} losses in a minute are too many",
                  f"mkdir -p $(dirname {FLAP_FILE}); "
                  f"printf '[Recovery]\\nFlapLosses={FLAP_LOSSES}\\nFlapWindowSec=60s\\n' > {FLAP_FILE}")
    for number in range(1, FLAP_LOSSES):
        cell.lose(f"loss {number}", {"surprise_down": port}, [died(hit.victims)], timeout=patience(shape))
        cell.step(f"back from loss {number}", None, all_well(shape), timeout=patience(shape))
    cell.lose("one loss too many", {"surprise_down": port}, [
        died(hit.victims),
        call("GetTopology", f"ports[path={port_path(shape, port)}].state", equals="quarantined"),
        call("GetTopology", f"ports[path={port_path(shape, port)}].reason", matches="flapping")],
        timeout=patience(shape))
    cell.step("it is left alone", None, [
        *(call("ListLeases", f"leases[name={vm}].state", equals="waiting") for vm in hit.victims),
        call("GetTopology", f"ports[path={port_path(shape, port)}].state", equals="quarantined") | {"hold": 1}],
        timeout=patience(shape))
    cell.hand("an operator recovers it", {"ctl": ["recover", port_path(shape, port), "--yes"]}, timeout=patience(shape))
    _back(shape, cell, hit)
    _flap_setting(shape, cell, "the usual setting", f"rm {FLAP_FILE}")
    return cell


def acquired(shape: Shape):
    wish = Wishes(shape)
    hit = best(_ports(shape), wish.survivors, wish.leg, wish.free)
    port, region = hit.units[0], hit.lost[0]
    cell = _new(shape, "acquired", f"surprise down at {port} while a lease on {region} has no VM yet", hit)
    cell.step("a lease is taken", {"ctl": ["vm", "acquire", "early", "--size", f"2M@{region}", "--expires", "10min",
                                           "--restart=no"]},
              [call("ListLeases", "leases[name=early].state", equals="acquired"),
               {"file": "/dev/daxmgr/vm/early/mem0"}], timeout=patience(shape))
    cell.lose("the port goes down", {"surprise_down": port}, [
        died(hit.victims), call("ListLeases", "leases[name=early]", exists=False),
        {"file": {"path": "/dev/daxmgr/vm/early", "exists": False}}], timeout=patience(shape))
    cell.step("its VM comes too late", {
        "run": "python3 /usr/lib/daxmgr-lab/attach.py /run/daxmgr/org.daxmgr.Manager early=self",
        "stdout": r"org\.daxmgr\.Manager\.NoSuchName"})
    _back(shape, cell, hit)
    return cell


def waiting(shape: Shape):
    wish = Wishes(shape)
    hit = best(_ports(shape), wish.leg, wish.survivors, wish.free)
    port, region = hit.units[0], shape.region(hit.lost[0])
    cell = _new(shape, "waiting", f"surprise down at {port} while a lease waits for all of {region.name}", hit)
    cell.step("a lease waits", {"ctl": ["vm", "acquire", "late", "--size", f"{format_size(region.bytes)}@{region.name}",
                                        "--wait"], "background": "late"},
              [call("ListLeases", "leases[name=late].state", equals="waiting")], timeout=patience(shape))
    cell.lose("the port goes down", {"surprise_down": port}, [died(hit.victims)], timeout=patience(shape))
    _back(shape, cell, hit)
    cell.step("it waits as before", None, [call("ListLeases", "leases[name=late].state", equals="waiting")])
    cell.step("it is withdrawn", {"ctl": ["vm", "release", "late", "--yes"]},
              [call("ListLeases", "leases[name=late]", exists=False)])
    cell.step("and hears of it", {"finish": "late", "rc": 6})
    return cell


LOSSES = [
    Loss("port-down", "surprise down at a root port", port_down),
    Loss("switch-port-down", "surprise down at a switch's downstream port", switch_port_down),
    Loss("replug", "a memdev is unplugged and plugged again", replug),
    Loss("other-serial", "another device comes in its place: the region waits for its own memdev by name", other_serial),
    Loss("smaller", "it comes back smaller: a region without Size= is made with what is there, one with Size= waits",
         smaller),
    Loss("other-port", "it comes back at another port", other_port),
    Loss("endpoint-fatal", "the memdev itself reports a fatal error", endpoint_fatal),
    Loss("two-ports", "two ports go down at once", two_ports),
    Loss("during-containment", "a second loss while the victims of the first are being killed", during_containment),
    Loss("during-recovery", "a second loss while the region of the first is being made again", during_recovery),
    Loss("never-back", "a memdev stays away: it is waited for by name, all others go on", never_back),
    Loss("acquired", "the loss comes between acquire and attach: the grant is void", acquired),
    Loss("waiting", "the loss comes while a lease waits for capacity", waiting),
    Loss("flapping", "a port comes back and goes again until it is quarantined; `recover` brings it back", flapping),
]


def loss_named(name: str):
    return next((loss for loss in LOSSES if loss.name == name), None)
