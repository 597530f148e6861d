#!/usr/bin/env python3
"""Checks and measures the kernels of a bundle on the GPU of this machine, beside PyTorch.

  python3 run.py --out results              everything, in under eight minutes
  python3 run.py --quick                    the large kernels, few repetitions
  python3 run.py --only check,kernels       some sections: check, kernels, step, klein, encode
  python3 run.py --check-bundle             without a GPU and without PyTorch: does the bundle hold together?

Needs the CUDA driver, Python 3 and PyTorch; with --check-bundle Python alone. Exit status: 0 when all checks hold.
"""

import argparse
import os
import sys
import time
import traceback

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, FOLDER)

from runner.bundle import Bundle, distinct_launches, find_problems  # noqa: E402
from runner.choice import NAMES, UnknownSection, choose_sections  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default=FOLDER, help="the folder with bundle.json (default: this one)")
    parser.add_argument("--out", default="results", help="where results.json and results.md go")
    parser.add_argument("--only", default="", help=f"sections, separated by commas: of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check-bundle", action="store_true")
    parser.add_argument("--seconds", type=float, default=450, help="for everything together")
    options = parser.parse_args()
    try:
        sections = choose_sections(options.only)
    except UnknownSection as reason:
        print(reason, file=sys.stderr)
        return 1
    try:
        bundle = Bundle(options.bundle)
    except FileNotFoundError as missing:
        print(f"no bundle: {missing.filename} is not there; make one with npm run gpu-bundle -- -o FOLDER", file=sys.stderr)
        return 2
    if options.check_bundle:
        return check_bundle(bundle)
    return measure(bundle, options, sections)


def check_bundle(bundle):
    problems = find_problems(bundle)
    for problem in problems:
        print(problem)
    launches = len(distinct_launches(bundle.programs))
    print(
        f"{len(bundle.programs)} programs, {len(bundle.kernels)} kernels for {', '.join(bundle.architectures)}, "
        f"{launches} distinct launches: {len(problems)} problems"
    )
    return 1 if problems else 0


def measure(bundle, options, sections):
    try:
        import torch
    except ImportError:
        print("nothing is measured: PyTorch is not installed", file=sys.stderr)
        return 2

    from runner.machine import Machine, NoMachine
    from runner.measure import ceilings
    from runner.report import Report
    from runner.sections import FUNCTIONS, Clock

    start = time.monotonic()
    torch.manual_seed(20261126)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    try:
        machine = Machine(bundle)
    except NoMachine as reason:
        print(f"nothing is measured: {reason}", file=sys.stderr)
        return 2
    report = Report(machine.description)
    print(machine.description, flush=True)
    report.ceilings = ceilings()
    for name, seconds, programs in sections:
        missing = set(programs) - set(bundle.programs)
        if missing:
            report.note(f"{name}: not measured, the bundle has no {', '.join(sorted(missing))}")
            continue
        left = options.seconds - (time.monotonic() - start)
        if left < 10:
            report.note(f"{name}: not started, the time is over")
            continue
        print(f"{name} ({time.monotonic() - start:.0f} s)", flush=True)
        try:
            FUNCTIONS[name](machine, report, Clock(min(seconds, left)), options.quick)
        except Exception as error:  # The other sections go on.
            traceback.print_exc()
            report.checks.append({"name": f"section {name}", "ok": False, "error": f"{type(error).__name__}: {error}"[:400]})
        torch.cuda.empty_cache()
        report.write(options.out)
    report.note(f"took {time.monotonic() - start:.0f} s")
    report.write(options.out)
    print(report.markdown())
    return 0 if all(check["ok"] for check in report.checks) else 1


if __name__ == "__main__":
    sys.exit(main())
