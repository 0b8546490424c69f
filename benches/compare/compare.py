"""Measures rows and prints the table. Started by `run`, which installs and builds what it needs."""

import argparse
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys

from machine import OTHER_CORE, PROXY_CORE, Failed, explained, work_directory
from peers import Site
from report import table, write_markdown
from rows import ROWS, TOKENS_A_SECOND, Bench


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare/run", add_help=False)
    parser.add_argument("--from", dest="invoked_from", type=pathlib.Path, default=pathlib.Path())
    parser.add_argument("--target", type=pathlib.Path, default=pathlib.Path("target"))
    parser.add_argument("--built-by", default="cargo")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--row", action="append", choices=ROWS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()


def machine(site, built_by):
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"(?m)^model name\s*: *(.*)$", cpu)
    envoy = re.search(r"/(\d[\d.]*)/", output_of(site.venv / "envoy", "--version"))
    haproxy = output_of("haproxy", "-v").split()[2].partition("-")[0]
    caddy = output_of(site.venv / "caddy", "version").split()[0]
    return "\n".join(
        [
            f"- {model[1] if model else platform.machine()}; Linux {platform.release().partition('-')[0]}",
            f"- {output_of(site.tidegate_program, '--version')}, built by {built_by}; {output_of('rustc', '--version').partition(' (')[0]}",
            f"- {output_of('nginx', '-v').partition(': ')[2]}; HAProxy {haproxy}; Envoy {envoy[1] if envoy else '?'}; "
            f"Caddy {caddy}",
        ]
    )


def main():
    options = arguments()
    if options.list:
        print("\n".join(ROWS))
        return 0
    if not {PROXY_CORE, OTHER_CORE} <= os.sched_getaffinity(0):
        print("Two cores are needed: 0 for the proxy, 1 for everything else.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    # This program itself belongs to what stands around the proxy.
    os.sched_setaffinity(0, {OTHER_CORE})
    rounds = options.rounds or (1 if options.quick else 5)
    seconds = options.seconds or (2 if options.quick else 5)
    rows = options.row or list(ROWS)
    with work_directory() as directory:
        os.chmod(directory, 0o755)
        tokens = TOKENS_A_SECOND * (seconds + 2) if "fresh-token" in rows else 1
        site = Site(directory, options.target, tokens)
        bench = Bench(site, rounds, seconds, options.quick)
        lines, failed = [], False
        for name in rows:
            try:
                measured = ROWS[name](bench)
            except (Failed, subprocess.SubprocessError, OSError) as error:
                print(f"{name}: {explained(error)}", file=sys.stderr)
                failed = True
                continue
            lines += measured
            print(table(measured), flush=True)
        described = f"{rounds} rounds of {seconds} s, medians.\n\n{machine(site, options.built_by)}\n\n{table(lines)}\n"
    print(f"\n{described}")
    if options.markdown:
        write_markdown(options.invoked_from / options.markdown, described)
    return 1 if failed else 0


sys.exit(main())
