# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo: a CXL host loses ports and a memdev; exactly the VMs of each blast radius are killed and come back.

Plays scenarios/demo.toml and computes every figure from the evidence in DIR; --verify computes them again from an
earlier run's evidence and compares. The controls take something away and must fail.
"""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from . import demo_checks, demo_control, demo_figures, demo_print
from . import scenario as scenario_file
from . import topology as topology_file
from .__main__ import HERE, image_dir, product_dir
from .demo_evidence import RESULT_FILE, SCENARIO, DemoEvidence
from .demo_run import DemoPlay
from .errors import FormatError, LabError
from .runner import Progress, Session


def result_of(evidence: DemoEvidence) -> tuple:
    """(out.json's content, the verdicts)."""
    judged = demo_checks.judge(evidence)
    result = demo_figures.compute(evidence)
    result["expectations"] = [verdict.describe() for verdict in judged]
    result["held"] = all(verdict.held for verdict in judged)
    return result, judged


def differences(stored, computed, path: str = "") -> list:
    """Where two JSON values differ, by path."""
    if isinstance(stored, dict) and isinstance(computed, dict):
        found = []
        for key in sorted({*stored, *computed}):
            if key not in stored or key not in computed:
                found.append(f"{path}.{key}: only in the {'stored result' if key in stored else 'evidence'}")
            else:
                found += differences(stored[key], computed[key], f"{path}.{key}")
        return found
    if isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        return [d for i, pair in enumerate(zip(stored, computed)) for d in differences(*pair, f"{path}[{i}]")]
    return [] if stored == computed else [f"{path.lstrip('.')}: stored {stored!r}, the evidence says {computed!r}"]


def verify(args) -> int:
    evidence = DemoEvidence(args.verify)
    stored_path = Path(args.json) if args.json else evidence.path / RESULT_FILE
    if not stored_path.exists():
        raise LabError(f"{stored_path} does not exist: there is no result to compare with")
    result, judged = result_of(evidence)
    stored = json.loads(stored_path.read_text(encoding="utf-8"))
    found = differences(stored, json.loads(json.dumps(result)))
    for line in demo_print.summary(result) + demo_print.verdicts(judged):
        print(line)
    for line in found:
        print(f"MISMATCH  {line}")
    print(f"{stored_path}: " + (f"{len(found)} figures differ from the evidence" if found
                                else "every figure follows from the evidence"))
    return 1 if found or not result["held"] else 0


def play(args, keep: Path, progress: Progress) -> Path:
    scenario = scenario_file.parse(HERE / "scenarios" / f"{SCENARIO}.toml")
    topology = topology_file.parse(HERE / "topologies" / f"{scenario.topology}.toml")
    scenario_file.check_against(scenario, topology)
    control = demo_control.CONTROLS.get(args.control)
    if control:
        scenario = demo_control.apply(control, scenario)
        progress.line(f'CONTROL {control.name}: {control.says}; "{control.breaks}" must break')
    why = _play_once(args, scenario, topology, control, keep, progress)
    if why:
        keep = keep / "again"
        progress.line(f"once more, from the beginning: {why}")
        _play_once(args, scenario, topology, control, keep, progress)
    return keep


def _play_once(args, scenario, topology, control, keep: Path, progress: Progress) -> str:
    """Returns why it says nothing and is to be played once more, if so."""
    if args.control == "no-zero":
        demo_control.build_no_zero(keep / "out" / "lab")
    session = Session(topology, image_dir(args, args.kernel), product_dir(args), keep, progress)
    try:
        session.boot()
        return DemoPlay(session, scenario, control).run().get("again", "")
    finally:
        session.close()


def run(args) -> int:
    progress = Progress(args.verbose)
    keep = Path(args.keep) if args.keep else Path(tempfile.mkdtemp(prefix="daxmgr-demo-"))
    keep.mkdir(parents=True, exist_ok=True)
    keep = keep.resolve()
    evidence = DemoEvidence(play(args, keep, progress))
    result, judged = result_of(evidence)
    text = json.dumps(result, indent=2) + "\n"
    (evidence.path / RESULT_FILE).write_text(text, encoding="utf-8")
    if args.json:
        Path(args.json).write_text(text, encoding="utf-8")
    print()
    for line in [*demo_print.summary(result), "", *demo_print.verdicts(judged), ""]:
        print(line)
    broken = [verdict.name for verdict in judged if not verdict.held]
    print(f"broken: {', '.join(broken)}" if broken else "All of it held.")
    if args.control:
        wanted = demo_control.CONTROLS[args.control].breaks
        print(f'Control {args.control}: "{wanted}" {"broke, as it must" if wanted in broken else "DID NOT BREAK"}')
    print(f"Evidence in {keep}")
    return 1 if broken else 0


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="OUT", help="write the result here; with --verify: the result to compare")
    parser.add_argument("--keep", metavar="DIR", help="keep the evidence here")
    parser.add_argument("--verify", metavar="DIR", help="compute everything again from this evidence and compare")
    parser.add_argument("--control", choices=sorted(demo_control.CONTROLS), help="a run that has to fail")
    parser.add_argument("--kernel", choices=scenario_file.KERNELS, default="stock")
    parser.add_argument("--image-dir", metavar="DIR", help="disk.img, vmlinuz, initrd (or LAB_IMAGES)")
    parser.add_argument("--product", metavar="DIR", help="staged install tree (or LAB_PRODUCT)")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what every expectation saw")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    args = parse_arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return verify(args) if args.verify else run(args)
    except (FormatError, LabError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2 if isinstance(error, FormatError) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
