# SPDX-License-Identifier: LGPL-2.1-or-later
"""How long a recovery takes, and how much of it the manager adds to what the kernel needs.

In one boot: VMs on one memdev lose their port, again and again, with the product; then, without it, the same steps by
raw sysfs writes. Prints; judges the target but never fails on it.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from . import topology as topology_file
from .__main__ import HERE, image_dir, product_dir
from .bench_recover_rounds import ProductRounds, RawRounds
from .errors import FormatError, LabError
from .runner import Progress, Session
from .scenario import KERNELS

TOPOLOGY = "pass-through"


def measure(session, args, progress) -> tuple:
    """(product's rounds, raw rounds), each by number of tenants."""
    product, raw = {}, {}
    if "product" in args.parts:
        rounds = ProductRounds(session.guest, max(args.tenants))
        for tenants in args.tenants:
            rounds.begin(tenants)
            for i in range(args.rounds + 1):
                one = rounds.round(tenants)
                progress.line(f"product, {tenants} tenants, round {i}: {one.recovered / 1e6:.0f} ms")
                product.setdefault(tenants, []).append(one)
        rounds.finish()
    if "kernel" in args.parts:
        rounds = RawRounds(session.guest)
        for tenants in args.tenants:
            for i in range(args.rounds + 1):
                one = rounds.round(tenants)
                progress.line(f"raw, {tenants} tenants, round {i}: {one.carved / 1e6:.0f} ms {one}")
                raw.setdefault(tenants, []).append(one)
        rounds.finish()
    return product, raw


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="bench recover", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tenants", type=lambda s: [int(w) for w in s.split(",")], default=[1, 4, 8])
    parser.add_argument("--parts", type=lambda s: s.split(","), default=["product", "kernel"])
    parser.add_argument("--kernel", choices=KERNELS, default="stock")
    parser.add_argument("--json", metavar="OUT")
    parser.add_argument("--keep", metavar="DIR")
    parser.add_argument("--image-dir", metavar="DIR")
    parser.add_argument("--product", metavar="DIR")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    progress = Progress()
    keep = Path(args.keep or tempfile.mkdtemp(prefix="daxmgr-bench-"))
    (keep / "out" / "lab").mkdir(parents=True, exist_ok=True)
    keep = keep.resolve()
    shutil.copy("build/release/tests/tools/job_tool", keep / "out" / "lab")
    shutil.copy(HERE / "guest" / "recover-raw.sh", keep / "out" / "lab")
    session = Session(topology_file.parse(HERE / "topologies" / f"{TOPOLOGY}.toml"), image_dir(args, args.kernel),
                      product_dir(args), keep, progress)
    try:
        session.boot()
        product, raw = measure(session, args, progress)
        (keep / "raw.json").write_text(json.dumps({"product": {k: [asdict(r) for r in v] for k, v in product.items()},
                                                   "raw": {k: [asdict(r) for r in v] for k, v in raw.items()}}, indent=1))
    finally:
        (keep / "trace-last.txt").write_text(session.guest.trace() if session.guest.channel else "")
        session.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
