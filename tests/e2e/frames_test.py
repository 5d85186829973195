# SPDX-License-Identifier: Apache-2.0
"""Call stacks, frame by frame, against glibc's backtrace() (libgcc's unwinder) at the same place, through everything that
is hard to walk. The fixture is built without frame pointers."""

import collections
import json
import os
import pathlib
import time

import harness
import loader
from harness import BACKENDS, Case, Target, fixture, site

# Where a stack ends that cannot be whole, and why.
ENDS = {
    "deep": "truncated",
    "lazy_binding": "unsupported_rule",  # the dynamic linker's trampoline keeps its CFA in rbx
    "generated_code_without_frame_pointer": "jit_code",
}
# backtrace() goes no further than code without call frame information; tracer follows its frame pointer.
BEYOND = {"generated_code"}
# At any instruction, also inside of the allocator, where the signal's own block belongs to the call that it interrupted.
MAY_MISS = {"timer"}
LEAST_KINDS = 30
# What libc has below main: not shown.
MOST_BELOW_MAIN = 3


def physical(frames):
    """(name of the file, address in it) of each frame that is not inlined."""
    return [(os.path.basename(frame.get("module", "")), int(frame.get("module_offset", "0"), 16)) for frame in frames
            if not frame["inline"]]


def same(frame, true):
    """The program knows a library by the name it is loaded by, tracer by that of the file."""
    return frame[1] == true[1] and frame[0].startswith(true[0])


class Stacks:
    """The stacks of the last snapshot by the size of their blocks, which is that of one place only."""

    def __init__(self, records):
        self.by_size = collections.defaultdict(list)
        for snapshot in records.last_snapshots:
            for entry in snapshot["top"]:
                # Two signals may find the program at the very same place.
                if entry["alloc_objects_total"] == 1:
                    self.by_size[entry["alloc_bytes_total"]].append(records.stacks[entry["stack_id"]])


class FramesTest(Case):
    def compare(self, truth, records):
        stacks = Stacks(records)
        kinds = collections.Counter()
        wrong, missing = [], []
        for true in truth["stacks"]:
            kind = true["kind"]
            found = stacks.by_size.get(true["size"], [])
            if not found and kind not in MAY_MISS:
                missing.append(kind)
            if not found:
                continue
            kinds[kind] += 1
            # Other blocks, of the C library, may have the same size.
            if not any(self.is_right(kind, stack, true["frames"]) for stack in found):
                wrong.append((kind, found[0]["end"], physical(found[0]["frames"])[1:9], true["frames"][:8]))
        self.assertEqual(wrong[:3], [], f"{len(wrong)} of {sum(kinds.values())} stacks differ")
        self.assertEqual(missing, [])
        self.assertGreaterEqual(len(kinds), LEAST_KINDS, kinds)
        return kinds

    def is_right(self, kind, stack, frames):
        # Without malloc, and mark() at another place than where it asks for its backtrace.
        mine, theirs = physical(stack["frames"])[2:], frames[1:]
        is_whole = len(theirs) - MOST_BELOW_MAIN <= len(mine) <= len(theirs)
        if kind in BEYOND:
            is_whole = len(mine) > len(theirs)
        elif kind in ENDS:
            is_whole = True
        return (is_whole and all(same(*pair) for pair in zip(mine, theirs)) and
                stack["end"] == ENDS.get(kind, "complete"))

    def take(self, *options):
        target = Target(self, [fixture("frames")])
        tracer = self.attach(target, *options)
        truth = target.work()
        self.assertEqual(target.finish(), 0)
        records = tracer.finish()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assert_nothing_lost(records)
        return truth, records

    def test_every_kind_of_frame_is_as_libgcc_sees_it(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                truth, records = self.take("--probe-backend", backend)
                kinds = self.compare(truth, records)
                self.assertGreater(kinds["step"], 30, "single steps through functions, each stack from there")
                ends = records.summary["stack_ends"]
                self.assertEqual(sum(ends.values()), records.summary["alloc_objects_total"])
                self.assertEqual(ends["truncated"], 1)

    def test_a_deeper_limit_shows_more_of_a_deep_stack(self):
        truth, records = self.take("--max-stack", "512")
        self.compare(truth, records)
        deep, = [true for true in truth["stacks"] if true["kind"] == "deep"]
        stack, = Stacks(records).by_size[deep["size"]]
        self.assertEqual(len(physical(stack["frames"])), 512)

    def test_frames_of_generated_code_and_above_are_marked(self):
        truth, records = self.take()
        stacks = Stacks(records)
        for true in truth["stacks"]:
            if true["kind"] == "generated_code":
                frames = [frame for frame in stacks.by_size[true["size"]][0]["frames"] if not frame["inline"]]
                marked = [frame.get("by") for frame in frames]
                self.assertEqual(marked.count("frame_pointer"), 1, frames)
                self.assertIn("ip", frames[marked.index("frame_pointer") - 1])
            elif true["kind"] not in ENDS and stacks.by_size[true["size"]]:
                frames = stacks.by_size[true["size"]][0]["frames"]
                self.assertNotIn("frame_pointer", [frame.get("by") for frame in frames], true["kind"])

    def test_another_tools_return_probes_are_looked_through(self):
        probes = ReturnProbes(self, fixture("scenes"), ["_ZN5scene10leak_alphaEv", "main"])
        target = Target(self, harness.scene("leaks"))
        tracer = self.attach(target)
        target.work()
        self.assertEqual(target.finish(), 0)
        records = tracer.finish()
        self.assertEqual(records.by_function("leak_alpha"), site(100, 1000))
        stacks = [stack for stack in records.stacks.values()
                  if "leak_alpha" in " ".join(frame["func"] for frame in stack["frames"])]
        self.assertEqual([(stack["end"], stack["frames"][-1]["func"]) for stack in stacks], [("complete", "main")])
        self.assertGreater(probes.hits(), 99)

    def test_two_libraries_that_take_turns_at_one_address(self):
        rounds = 10_000
        paths = [loader.compile_plugin(self.folder / f"{name}.so", f"{name}_turn") for name in ("one", "two")]
        target = loader.Loader(self)
        tracer = self.attach(target)
        bases = collections.Counter()
        for path, function in zip(paths, ("one_turn", "two_turn")):
            target.use(0, path, function, 1, 10)
        time.sleep(0.3)
        for number in range(rounds):
            name, path = (("one_turn", paths[0]), ("two_turn", paths[1]))[number % 2]
            target.do("open", 0, path)
            if number % 100 < 2:
                bases[name, target.base(0)] += 1
            target.do("call", 0, name, 1, 1000)
            target.do("close", 0)
        target.ask("quit")
        self.assertEqual(target.wait(), 0)
        records = tracer.finish()
        self.assert_nothing_lost(records)
        self.assertEqual(len({base for _, base in bases}), 1, "they do not take turns at one address")
        for path, function in zip(paths, ("one_turn", "two_turn")):
            self.assertEqual(records.by_function(function)["alloc_objects_total"], rounds // 2 + 1)
            for stack in records.stacks.values():
                if function in [frame["func"] for frame in stack["frames"]]:
                    modules = [os.path.basename(frame["module"]) for frame in stack["frames"]]
                    self.assertEqual((modules[1], stack["end"]), (path.name, "complete"), stack)

    def test_a_program_of_musl(self):
        for name, options in (("dynamic", []), ("static", ["-static"])):
            with self.subTest(linked=name):
                program = loader.compile_musl(self.folder / name, ["musl_program.c"], "-O2", "-fomit-frame-pointer",
                                              *options)
                target = Target(self, [str(program)])
                tracer = self.attach(target, "--probe-backend", "multi")
                target.go()
                self.assertEqual(target.out.next(), "done")
                self.assertEqual(target.finish(), 0)
                records = tracer.finish()
                self.assertEqual(records.by_function("own_block"), site(60, 300, live=30))
                stack, = [stack for stack in records.stacks.values()
                          if "own_block" in [frame["func"] for frame in stack["frames"]]]
                functions = [frame["func"] for frame in stack["frames"] if not frame["inline"]]
                self.assertEqual(functions[:3], ["malloc", "own_block", "main"])
                self.assertNotEqual(stack["end"], "no_table")

    def test_frame_pointers_on_demand(self):
        truth, records = self.trace_scene("leaks", "--call-graph", "fp")
        header, = records.of("header")
        self.assertEqual(header["config"]["unwind"], "fp")
        self.assertEqual(records.by_function("leak_alpha"), site(100, 1000))
        self.assertEqual(truth["live_bytes"] > 0, True)
        stacks = [stack for stack in records.stacks.values()
                  if "leak_alpha" in " ".join(frame["func"] for frame in stack["frames"])]
        self.assertEqual([(stack["end"], stack["frames"][-1]["func"]) for stack in stacks], [("complete", "main")])


class ReturnProbes:
    """Return probes as perf and ftrace place them, without any of the tracer's code."""

    TRACING = pathlib.Path("/sys/kernel/tracing")

    def __init__(self, test, program, functions):
        if not (self.TRACING / "uprobe_events").exists():
            harness.subprocess.run(["mount", "-t", "tracefs", "nodev", self.TRACING], check=True, timeout=harness.HANG)
        self.group = f"tracer_test_{os.getpid()}"
        test.addCleanup(self.remove)
        for number, function in enumerate(functions):
            self.write(f"r:{self.group}/p{number} {program}:{loader.offset_of(program, function):#x}\n")
        (self.TRACING / "events" / self.group / "enable").write_text("1")

    def hits(self):
        profile = (self.TRACING / "uprobe_profile").read_text()
        return sum(int(line.split()[-1]) for line in profile.splitlines() if self.group in line or " p0 " in line)

    def write(self, line):
        """As `echo line >> uprobe_events` does."""
        events = os.open(self.TRACING / "uprobe_events", os.O_WRONLY | os.O_APPEND)
        try:
            os.write(events, line.encode())
        finally:
            os.close(events)

    def remove(self):
        folder = self.TRACING / "events" / self.group
        if not folder.exists():
            return
        (folder / "enable").write_text("0")
        names = [path.name for path in folder.iterdir() if path.is_dir()]
        for name in names:
            self.write(f"-:{self.group}/{name}\n")


if __name__ == "__main__":
    harness.main()
