# SPDX-License-Identifier: Apache-2.0
"""Fifty libraries that four threads load, use, unload and replace as fast as they can.

The environment says how long: CAROUSEL_SECONDS, CAROUSEL_CYCLES (at least so many loads and unloads, or the run proves
nothing), CAROUSEL_SWITCHES, CAROUSEL_KILLS. scripts/stress asks for much more than the defaults.
"""

import collections
import json
import os
import random
import re
import time

import harness
from control import Control
from harness import HANG, Case, Leftovers, Records, Target, Tracer

SECONDS = float(os.environ.get("CAROUSEL_SECONDS", "8"))
CYCLES = int(os.environ.get("CAROUSEL_CYCLES", "1000"))
SWITCHES = int(os.environ.get("CAROUSEL_SWITCHES", "20"))
KILLS = int(os.environ.get("CAROUSEL_KILLS", "3"))

THREADS = 4
LIBRARIES = 50
SEED = 20
# After each step of a thread, where something else than the pace is tried: leaves the tracer a processor to start on.
REST_US = 1000

FUNCTION = re.compile(r"carousel_\d{3}_v\d{6}_(alloc|construct)")
FIGURES = ("alloc_objects", "alloc_bytes", "live_objects", "live_bytes")

# Of all allocations, those of libraries that were gone before the tracer could open them: their frames have a place in
# some file and no name. It was 0.2 % on a busy machine with two cores; here it only says that the rest is worth
# looking at.
MOST_NAMELESS = 0.05

# The tracer holds the file of each library that is loaded, and some more while it catches up. That comes and goes, so
# what is compared is the least of many looks.
MORE_DESCRIPTORS = 10
# What the report says of a library stays until the end: its path and identity, and names and lines of three to four
# stacks. That took 3.6 KiB for each version of a library; nothing at all where no report asked for names. What would be
# lost at each load counts four times, since a version is loaded four times on average.
MORE_KIB_PER_MODULE = 6
MORE_KIB = 2048


def show(test, **figures):
    """For people and for scripts/stress, which shows these lines only."""
    print(f"carousel: {test}: " + ", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


class Carousel(Target):
    """The program; 0 seconds: until stop()."""

    def __init__(self, test, seconds=0.0, rest_us=0):
        self.folder = test.folder / "carousel"
        self.folder.mkdir()
        self.seconds = seconds
        arguments = (self.folder, seconds, THREADS, LIBRARIES, SEED, rest_us)
        super().__init__(test, [harness.fixture("carousel"), *map(str, arguments)])

    def stop(self):
        self.send_line()
        return self.totals()

    def totals(self):
        """What it says at the end of the ride."""
        return json.loads(self.out.next(self.seconds + HANG))

    def functions(self):
        """By name of a function, what it allocated."""
        return json.loads((self.folder / "truth.json").read_text(encoding="ascii"))


def frame_of_carousel(stack):
    """The name of a library's function that allocates, None without one."""
    return next((frame["func"] for frame in stack["frames"] if FUNCTION.fullmatch(frame["func"])), None)


def is_nameless(stack):
    """Whether the allocator's caller is known by its place in a file only. Everything but the libraries has symbols."""
    allocator = stack["frames"][0].get("module") if stack["frames"] else None
    caller = next((frame for frame in stack["frames"] if frame.get("module") != allocator), None)
    return caller is not None and caller["func"].startswith("[")


class Found:
    """The final snapshot by the libraries' functions. Needs --top 0."""

    def __init__(self, records):
        self.functions = collections.defaultdict(collections.Counter)
        self.nameless = 0
        self.lost = {reason: sum(record["count"] for record in records.of("lost", reason=reason))
                     for reason in sorted({record["reason"] for record in records.of("lost")})}
        for snapshot in records.last_snapshots:
            for site in snapshot["top"]:
                self._add(site, records.stacks.get(site["stack_id"]))

    def _add(self, site, stack):
        name = stack and frame_of_carousel(stack)
        if name:
            self.functions[name].update({
                "alloc_objects": site["alloc_objects_total"], "alloc_bytes": site["alloc_bytes_total"],
                "live_objects": site["live_objects"] - site["unverified_objects"],
                "live_bytes": site["live_bytes"] - site["unverified_bytes"]})
        elif stack and is_nameless(stack):
            self.nameless += site["alloc_objects_total"]

    def objects(self):
        return sum(function["alloc_objects"] for function in self.functions.values())

    def wrong(self, truth):
        """Functions of which more is told than is true, or of which every allocation is known and something differs."""
        nothing = dict.fromkeys(FIGURES, 0)
        wrong = {}
        for name, found in self.functions.items():
            true, told = truth.get(name, nothing), {figure: found[figure] for figure in FIGURES}
            is_whole = told["alloc_objects"] == true["alloc_objects"]
            if any(told[figure] > true[figure] for figure in FIGURES) or (is_whole and told != true):
                wrong[name] = {"told": told, "true": true}
        return wrong


def few(wrong):
    return dict(list(wrong.items())[:5])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.M).group(1))


class Level:
    """What the tracer holds about now: looks for a second."""

    def __init__(self, pid):
        self.at = time.time()
        looks = []
        for _ in range(20):
            looks.append(descriptors(pid))
            time.sleep(0.05)
        self.descriptors = min(looks)
        self.kib = resident_kib(pid)


def new_modules(records, since):
    """How many library versions were first met since then."""
    before, after = set(), set()
    for record in records.of("library"):
        (before if record["ts"] < since else after).add(record["module"])
    return len(after - before)


class CarouselTest(Case):
    def check_ride(self, target, totals):
        """The ride was long enough to prove something, and its figures fit together."""
        truth = target.functions()
        self.assertGreaterEqual(totals["cycles"], CYCLES)
        self.assertGreater(totals["replaced"], 0)
        self.assertGreater(totals["namespaces"], 0)
        for figure in FIGURES:
            said = totals[figure + ("_total" if figure.startswith("alloc") else "")]
            self.assertEqual(sum(function[figure] for function in truth.values()), said, figure)
        for name, function in truth.items():
            self.assertLessEqual(function["live_objects"], function["alloc_objects"], name)
            self.assertLessEqual(function["live_bytes"], function["alloc_bytes"], name)
        return truth

    def test_every_allocation_is_told_under_the_version_that_made_it_or_lost_by_reason(self):
        target = Carousel(self, SECONDS)
        tracer = self.attach(target)
        target.go()
        totals = target.totals()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        truth = self.check_ride(target, totals)
        found = Found(records)
        wrong = found.wrong(truth)
        missing = totals["alloc_objects_total"] - found.objects()
        show("attribution", cycles=totals["cycles"], replaced=totals["replaced"], functions=len(truth),
             allocations=totals["alloc_objects_total"], wrong_functions=len(wrong), missing=missing,
             nameless=found.nameless, **{f"lost_{reason}": count for reason, count in found.lost.items()})
        self.assertEqual(few(wrong), {}, f"{len(wrong)} functions are told wrongly")
        self.assertLessEqual(missing, sum(found.lost.values()), "missing, and nobody says so")
        self.assertLessEqual(found.nameless, found.lost.get("library_missed", 0))
        self.assertLess(found.nameless, MOST_NAMELESS * totals["alloc_objects_total"])
        # The dynamic linker's own come on top.
        self.assertGreaterEqual(records.summary["alloc_objects_total"], totals["alloc_objects_total"])

    def test_switching_off_and_on_attributes_nothing_wrongly(self):
        target = Carousel(self, rest_us=REST_US)
        control = Control(self)
        tracer = self.attach(target, "--control", control.option)
        target.go()
        chance = random.Random(SEED)
        for _ in range(SWITCHES):
            time.sleep(chance.uniform(0, 0.2))
            control.do("disable")
            time.sleep(chance.uniform(0, 0.2))
            control.do("enable")
        totals = target.stop()
        control.do("ping")
        self.assertTrue(tracer.is_running(), tracer.err.seen)
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        truth = self.check_ride(target, totals)
        found = Found(records)
        # Every figure of a function may fall short of the truth here; none may exceed it, under any name.
        wrong = {name: figures for name, figures in found.wrong(truth).items()
                 if any(figures["told"][figure] > figures["true"][figure] for figure in FIGURES)}
        show("switches", switches=SWITCHES, cycles=totals["cycles"], allocations=totals["alloc_objects_total"],
             recorded=found.objects(), wrong_functions=len(wrong), nameless=found.nameless,
             paused_s=round(records.summary["paused_ns"] / 1e9, 1),
             **{f"lost_{reason}": count for reason, count in found.lost.items()})
        self.assertEqual(few(wrong), {}, f"{len(wrong)} functions are told wrongly")
        self.assertGreater(found.objects(), 0)
        self.assertLess(found.nameless, MOST_NAMELESS * found.objects())
        self.assertEqual([len(records.of("recording", event=event)) for event in ("disabled", "enabled")],
                         [SWITCHES, SWITCHES])
        self.assertEqual(records.summary["pauses"], SWITCHES)

    def test_killing_the_tracer_at_any_moment_leaves_the_target_as_it_was(self):
        leftovers = Leftovers()
        target = Carousel(self, rest_us=REST_US)
        target.go()
        chance = random.Random(SEED)
        needs = 0.0
        for i in range(KILLS):
            begin = time.monotonic()
            if i % 3 == 0:
                tracer = self.attach(target)
                needs = time.monotonic() - begin
                time.sleep(chance.uniform(0, 0.3))
            else:
                # Any moment of the start: loading programs, attaching, reading what is mapped.
                tracer = Tracer(self, "-f", "ndjson", "-p", target.pid)
                time.sleep(chance.uniform(0, needs))
            tracer.process.kill()
            tracer.wait()
            self.assertTrue(target.is_running(), f"kill {i}: {target.err.seen}")
        self.attach(target).stop()
        totals = target.stop()
        self.assertEqual(target.finish(), 0)
        self.check_ride(target, totals)
        gone = leftovers.are_gone()
        show("kills", kills=KILLS, cycles=totals["cycles"], allocations=totals["alloc_objects_total"],
             programs_left=0 if gone else len(harness.attached_programs() - leftovers.before))
        self.assertTrue(gone)

    def test_the_tracer_holds_no_more_at_the_end_than_early_on(self):
        target = Carousel(self, SECONDS)
        out = self.folder / "run.ndjson"
        # Reports that name every stack, so that all a tracer may want to keep is there.
        tracer = self.attach(target, "-i", "1s", "-o", out)
        target.go()
        time.sleep(SECONDS / 4)
        early = Level(tracer.pid)
        time.sleep(max(0.0, early.at + SECONDS * 3 / 4 - 1.5 - time.time()))
        late = Level(tracer.pid)
        totals = target.totals()
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        self.check_ride(target, totals)
        records = Records(out.read_text(encoding="utf-8").splitlines())
        modules = new_modules(records, early.at)
        explained = MORE_KIB + modules * MORE_KIB_PER_MODULE
        show("level", cycles=totals["cycles"], descriptors_early=early.descriptors, descriptors_late=late.descriptors,
             kib_early=early.kib, kib_late=late.kib, new_versions=modules, kib_explained=explained)
        self.assertLessEqual(late.descriptors, early.descriptors + MORE_DESCRIPTORS)
        self.assertLessEqual(late.kib, early.kib + explained)


if __name__ == "__main__":
    harness.main()
