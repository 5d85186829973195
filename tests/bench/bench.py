# SPDX-License-Identifier: Apache-2.0
"""What tracer costs a malloc/free pair, against no probe, against empty probes, and against its peers.

Figures of one machine say little about another one, ratios of one run say more: each round measures everything once,
one after the other, a ratio is taken within a round, and the median of the rounds is shown.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import instruments
import loading
import symbols
import machine
from instruments import Failed, Floor, Pairs, Tracer

# name: (threads, calls below the thread's start, what is attached, options of tracer, what it is)
CASES = {
    "native": (1, 20, "native", (), "no probe"),
    "floor": (1, 20, "best", (), "three empty programs at tracer's sites"),
    "entry": (1, 20, "entry", (), "three empty programs at the first instructions"),
    "tracer": (1, 20, "tracer", (), "tracer, every allocation, stacks of 20 calls and more"),
    "tracer-5": (1, 5, "tracer", (), "the same, stacks of 5 calls and more"),
    "tracer-60": (1, 60, "tracer", (), "the same, stacks of 60 calls and more"),
    "sampled": (1, 20, "tracer", ("--sample", "512k"), "tracer, one allocation in 512 KiB"),
    "shallow": (1, 20, "tracer", ("--max-stack", "2"), "tracer without a walk: the allocator and its caller"),
    "fp": (1, 20, "tracer", ("--call-graph", "fp"), "tracer by frame pointers, which this program does not keep"),
    "stack": (1, 20, "stack", (), "empty programs, and bpf_get_stack at malloc"),
    "stack-60": (1, 60, "stack", (), "the same, stacks of 60 calls and more"),
    "native-2": (2, 20, "native", (), "no probe, two threads"),
    "floor-2": (2, 20, "best", (), "three empty programs at tracer's sites, two threads"),
    "tracer-2": (2, 20, "tracer", (), "tracer, two threads"),
    "bpftrace": (1, 20, "bpftrace", (), "bpftrace, maps of sizes and live blocks with their stacks"),
    "heaptrack": (1, 20, "heaptrack", (), "heaptrack, from the program's start"),
}
PEERS = ("bpftrace", "heaptrack")

TARGET_TRACER_TO_FLOOR = 1.6
TARGET_ENTRY_TO_TRACER = 8.0
TARGET_WALK_TO_GET_STACK = 0.7
TARGET_NS_PER_FRAME = 10.0


class Bench:
    def __init__(self, build, milliseconds):
        self.build = build
        self.milliseconds = milliseconds
        self.samples = {name: [] for name in CASES}
        self.skipped = {peer: "not installed" for peer in instruments.missing_peers()}
        self.floor = None  # what the floor program said of itself

    def round(self):
        """Measures each case once."""
        native_ns = 0.0
        for name in CASES:
            if name in self.skipped:
                continue
            try:
                measured_ns = self.measure(name, native_ns)
            except Failed as failure:
                if name not in PEERS:
                    raise Failed(f"{name}: {failure}") from failure
                self.skipped[name] = str(failure).splitlines()[0]
                continue
            self.samples[name].append(measured_ns)
            if name.startswith("native"):
                native_ns = measured_ns

    def measure(self, name, native_ns):
        threads, depth, kind, options, _ = CASES[name]
        if kind == "heaptrack":
            with tempfile.TemporaryDirectory(prefix="tracer-bench-") as folder:
                with Pairs(self.build, threads, instruments.heaptrack_environment(folder)) as pairs:
                    return self.warm_run(pairs)
        with Pairs(self.build, threads, depth=depth) as pairs:
            if kind == "native":
                return self.warm_run(pairs)
            with self.attach(kind, pairs, native_ns, options):
                return self.warm_run(pairs)

    def attach(self, kind, pairs, native_ns, options):
        if kind == "tracer":
            return Tracer(self.build, pairs, native_ns, *options)
        if kind == "bpftrace":
            return instruments.bpftrace(pairs, native_ns)
        floor = Floor(self.build, pairs, kind)
        self.floor = floor.description
        return floor

    def warm_run(self, pairs):
        pairs.run(max(10, self.milliseconds // 5))
        return pairs.run(self.milliseconds)

    def ratio(self, over, under):
        """Median over the rounds of one case's time over another's; None where one was not measured."""
        if over in self.skipped or under in self.skipped:
            return None
        return statistics.median(a / b for a, b in zip(self.samples[over], self.samples[under]))

    def difference(self, a, b):
        """Median over the rounds of one case's time less another's."""
        return statistics.median(x - y for x, y in zip(self.samples[a], self.samples[b]))

    def walks(self):
        """(name, nanoseconds, target or None, what it says): what stacks cost for themselves."""
        walk = self.difference("tracer", "shallow")
        helper = self.difference("stack", "floor")
        per_frame = self.difference("tracer-60", "tracer") / 40
        return [
            ("a stack of 21 frames", walk, TARGET_WALK_TO_GET_STACK * helper,
             f"target: {TARGET_WALK_TO_GET_STACK} of bpf_get_stack; with hashing and finding its number"),
            ("each further frame", per_frame, TARGET_NS_PER_FRAME, f"target: at most {TARGET_NS_PER_FRAME:g}"),
            ("bpf_get_stack", helper, None, "on a program without frame pointers, where it finds next to nothing"),
            ("by frame pointers", self.difference("fp", "shallow"), None, "the same, and the same"),
        ]

    def ratios(self):
        """(name, value, whether it is met, or None where there is no target, what it says)"""
        result = []

        def add(name, over, under, met=None, says=""):
            value = self.ratio(over, under)
            if value is not None:
                result.append((name, value, met(value) if met else None, says))

        add("tracer / floor", "tracer", "floor", lambda x: x <= TARGET_TRACER_TO_FLOOR,
            f"target: at most {TARGET_TRACER_TO_FLOOR}")
        if self.floor["best_free_offset"] > 0:
            add("entry / tracer", "entry", "tracer", lambda x: x >= TARGET_ENTRY_TO_TRACER,
                f"target: at least {TARGET_ENTRY_TO_TRACER:g}; a probe at free's first instruction is single-stepped")
        else:
            add("entry / tracer", "entry", "tracer", says="no target: free's first instruction is emulated here")
        add("entry / floor", "entry", "floor", says="the most that a choice of sites can win on this machine")
        add("tracer, two threads / one", "tracer-2", "tracer", says="1 would be perfect scaling")
        add("floor, two threads / one", "floor-2", "floor", says="what of that the probes themselves cause")
        add("sampled / floor", "sampled", "floor")
        add("bpftrace / tracer", "bpftrace", "tracer")
        add("heaptrack / tracer", "heaptrack", "tracer")
        add("tracer / native", "tracer", "native")
        return result


def print_table(bench):
    print(f"\n{'case':<11}{'ns/pair':>10}{'lowest':>10}{'highest':>10}   per thread, median of "
          f"{len(bench.samples['native'])} rounds")
    for name, (_, _, _, _, says) in CASES.items():
        if name in bench.skipped:
            print(f"{name:<11}{'-':>10}{'-':>10}{'-':>10}   skipped: {bench.skipped[name]}")
            continue
        values = bench.samples[name]
        print(f"{name:<11}{statistics.median(values):>10.1f}{min(values):>10.1f}{max(values):>10.1f}   {says}")
    print(f"\nprobes: {bench.floor['backend']}, malloc+{bench.floor['best_malloc_offset']}, "
          f"free+{bench.floor['best_free_offset']}\n")
    for name, value, met, says in bench.ratios():
        verdict = {True: "met", False: "missed", None: ""}[met]
        print(f"{name:<27}{value:>8.2f}   {verdict:<7}{says}".rstrip())
    print("\nnanoseconds for ...")
    for name, value, target, says in bench.walks():
        verdict = "" if target is None else "met" if value <= target else "missed"
        print(f"{name:<27}{value:>8.1f}   {verdict:<7}{says}")


def print_json(bench, loaded, whole, names):
    cases = {
        name: {"median_ns": statistics.median(values), "lowest_ns": min(values), "highest_ns": max(values), "ns": values}
        for name, values in bench.samples.items()
        if name not in bench.skipped
    }
    ratios = [{"name": name, "value": value, "met": met} for name, value, met, _ in bench.ratios()]
    walks = {name: value for name, value, _, _ in bench.walks()}
    print(json.dumps({"cases": cases, "ratios": ratios, "walks_ns": walks, "skipped": bench.skipped,
                      "probes": bench.floor, "loading": loaded, "machine": whole,
                      "names": names}, indent=2))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build directory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--milliseconds", type=int, default=250, help="length of one measurement")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    bench = Bench(arguments.build.resolve(), arguments.milliseconds)
    for number in range(1, arguments.rounds + 1):
        print(f"bench: round {number} of {arguments.rounds}", file=sys.stderr)
        try:
            bench.round()
        except (Failed, OSError) as failure:
            sys.exit(f"bench: {failure}")
    try:
        loaded = loading.measure(bench.build)
    except (Failed, OSError, subprocess.TimeoutExpired) as failure:
        sys.exit(f"bench: loading: {failure}")
    try:
        whole = machine.measure(bench.build)
    except (Failed, OSError, subprocess.SubprocessError) as failure:
        sys.exit(f"bench: the whole machine: {failure}")
    try:
        names = symbols.measure_all(bench.build)
    except (OSError, ValueError, subprocess.SubprocessError) as failure:
        sys.exit(f"bench: names: {failure}")
    if arguments.json:
        print_json(bench, loaded, whole, names)
    else:
        print_table(bench)
        loading.print_lines(loaded)
        machine.print_lines(whole)
        for measured in names:
            symbols.print_lines(measured)
    missed = [met is False for _, _, met, _ in bench.ratios()] + [not met for _, _, _, met in machine.targets(whole)]
    if arguments.check and any(missed):
        sys.exit(1)


if __name__ == "__main__":
    main()
