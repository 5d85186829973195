# SPDX-License-Identifier: Apache-2.0
"""tracer --all under many processes: a build, hundreds that come and go, a fork bomb, tables that are full."""

import collections
import json
import os
import pathlib
import re
import subprocess
import uuid

import harness
from harness import HANG, eventually, fixture, scene, scene_now, site
from machine import PATIENCE, MachineCase

INSTANCES = pathlib.Path("/sys/kernel/tracing/instances")
SOMEBODY = 64322  # a user that nobody else here is
SOURCES = 30


class Executions:
    """What a process and its descendants execute, as the kernel's own tracing tells it."""

    def __init__(self, test):
        if not INSTANCES.exists():
            subprocess.run(["mount", "-t", "tracefs", "tracefs", INSTANCES.parent], check=True, timeout=HANG)
        self.folder = INSTANCES / f"tracer-e2e-{uuid.uuid4().hex[:12]}"
        self.folder.mkdir()
        test.addCleanup(self.folder.rmdir)
        (self.folder / "buffer_size_kb").write_text("4096")
        (self.folder / "options" / "event-fork").write_text("1")
        self.switch = self.folder / "events/sched/sched_process_exec/enable"

    def follow_self(self):
        """For preexec_fn."""
        (self.folder / "set_event_pid").write_text(str(os.getpid()))
        self.switch.write_text("1")

    def seen(self):
        """Counts of (pid, name of the program)."""
        self.switch.write_text("0")
        text = (self.folder / "trace").read_text(encoding="utf-8")
        found = re.findall(r"sched_process_exec: filename=(\S+) pid=(\d+) ", text)
        return collections.Counter((int(pid), os.path.basename(path)[:15]) for path, pid in found)


class BuildTest(MachineCase):
    def make_tree(self, name):
        """Small files that make something of each other, and a Makefile for them."""
        folder = self.folder / name
        folder.mkdir()
        for i in range(SOURCES):
            (folder / f"part{i}.c").write_text(f"#include <stdlib.h>\nint part{i}(int n) {{ int *p = malloc(sizeof *p); *p = "
                                               f"n + {i}; n = *p; free(p); return n; }}\n")
        names = range(SOURCES)
        (folder / "main.c").write_text("#include <stdio.h>\n" + "".join(f"int part{i}(int);\n" for i in names) +
                                       "int main(void) { printf(\"%d\\n\", " + "+".join(f"part{i}({i})" for i in names) +
                                       "); return 0; }\n")
        objects = " ".join(f"part{i}.o" for i in names)
        (folder / "Makefile").write_text(f"sum: main.o {objects}\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O1 -c -o $@ $<\n")
        return folder

    def build(self, folder, *targets, **options):
        subprocess.run(["make", "-s", "-j4", *targets], cwd=folder, check=True, timeout=4 * HANG, **options)

    def test_a_build_is_seen_whole_and_its_result_is_the_same(self):
        trees = [self.make_tree("untraced"), self.make_tree("traced")]
        self.build(trees[0])
        executions = Executions(self)

        def begin():
            self.cgroup.enter()
            executions.follow_self()
        tracer = self.trace_ours("-T", "3")
        self.build(trees[1], preexec_fn=begin)
        records = tracer.stop()
        # A name of a process that has ended may be lost so; nothing is that was to be counted.
        self.assertLessEqual({record["reason"] for record in records.of("lost")}, {"mapping_busy"})
        for part in ("sum", "main.o", "part7.o"):
            self.assertEqual((trees[0] / part).read_bytes(), (trees[1] / part).read_bytes(), part)
        expected = executions.seen()
        # gcc for each file and for the program, and what gcc starts.
        self.assertGreaterEqual(sum(expected.values()), 3 * (SOURCES + 1) + 3)
        programs = {name for _, name in expected}
        counted = collections.Counter((heap["pid"], heap["comm"]) for heap in records.heaps() if heap["comm"] in programs)
        self.assertEqual(counted, expected)
        self.assertTrue(all(heap["exited"] for heap in records.heaps() if heap["comm"] in programs))
        self.compare_with_a_command(records, trees[0])

    def compare_with_a_command(self, records, folder):
        """The compiler and the assembler of a file do the same under a tracer that started them."""
        objects = folder / "part7.o"
        objects.unlink()
        out = self.folder / "alone.ndjson"
        tracer = harness.Tracer(self, "-o", out, "-T", "3", "--", "make", "-s", "-j4", "part7.o", cwd=folder)
        self.assertEqual(tracer.wait(PATIENCE), 0, tracer.err.seen)
        alone = harness.Records(out.read_text(encoding="utf-8").splitlines())
        for program in ("as", "cc1"):
            heap, = [heap for heap in alone.last_snapshots if heap["comm"] == program]
            same = [other for other in records.heaps(comm=program)
                    if all(other[name] == heap[name] for name in ("alloc_objects_total", "free_objects_total"))]
            # Names of temporary files vary, and with them a little of what is done for each of the 30 files.
            self.assertTrue(same, heap)


class MapEntries:
    """How full the maps of a tracer are, by bpftool."""

    def __init__(self, tracer):
        held = set()
        for info in pathlib.Path(f"/proc/{tracer.pid}/fdinfo").iterdir():
            try:
                held.update(re.findall(r"^map_id:\s+(\d+)", info.read_text(encoding="ascii"), re.MULTILINE))
            except FileNotFoundError:
                pass  # closed meanwhile
        maps = json.loads(subprocess.run(["bpftool", "-j", "map", "show"], check=True, stdout=subprocess.PIPE,
                                         timeout=HANG).stdout)
        self.ids = {entry["name"]: entry["id"] for entry in maps if str(entry["id"]) in held}

    def keys(self, name):
        dumped = subprocess.run(["bpftool", "-j", "map", "dump", "id", str(self.ids[name])], check=True,
                                stdout=subprocess.PIPE, timeout=HANG).stdout
        return [entry.get("formatted", entry)["key"] for entry in json.loads(dumped)]


class ManyProcessesTest(MachineCase):
    PROCESSES = 250

    def run_many(self, count):
        script = f'for i in $(seq {count}); do {" ".join(scene_now("leaks"))}; done'
        self.run_program(["sh", "-c", script])

    def footprint(self, pid):
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            resident = int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])
        return resident, len(os.listdir(f"/proc/{pid}/fd"))

    def test_processes_that_have_ended_leave_nothing_behind(self):
        target = self.start(scene("leaks"))
        tracer = self.trace_ours("-T", "3")
        target.work()
        # What stays known: the files and names of the programs.
        self.run_many(50)
        maps = MapEntries(tracer)

        def entries():
            return [len(maps.keys(name)) for name in ("stack_ids", "blocks")]

        def is_quiet():
            return entries() == [3, 110]  # of the target
        self.assertTrue(eventually(is_quiet), entries())
        before = self.footprint(tracer.pid)
        self.run_many(self.PROCESSES)
        self.assertTrue(eventually(is_quiet), entries())
        after = self.footprint(tracer.pid)
        # Some room for what names and records take the first time.
        self.assertLess(after[0] - before[0], self.PROCESSES * 8, (before, after))
        self.assertLess(after[1] - before[1], self.PROCESSES, (before, after))
        # The processes of others come and go.
        def left_behind():
            dead = {key for key in map(int, maps.keys("processes")) if not harness.state_of(key)}
            return dead & {int(key) for key in maps.keys("processes")}
        self.assertTrue(eventually(lambda: not left_behind()), left_behind())
        records = tracer.stop()
        self.assert_complete(records)
        heaps = records.heaps(comm="scenes", exited=True)
        self.assertEqual(len(heaps), 50 + self.PROCESSES)
        self.assertEqual({heap["alloc_objects_total"] for heap in heaps}, {1111})

    def test_hundreds_of_idle_processes_cost_nothing_and_are_not_spoken_of(self):
        script = "for i in $(seq 300); do sleep 1000 & done; echo there; wait"
        idle = harness.Program(self, ["sh", "-c", script], preexec_fn=self.cgroup.enter)
        self.addCleanup(self.cgroup.kill)
        self.assertEqual(idle.out.next(), "there")
        sleeping = harness.children_of(idle.pid)
        self.assertEqual(len(sleeping), 300)
        target = self.start(scene("leaks"))
        tracer = self.trace_all("--cgroup", self.cgroup.path)
        truth = target.work()
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_heap(truth, records.heap(target.pid))
        self.assertTrue(records.pids().isdisjoint(sleeping))

    def test_a_fork_bomb_that_burns_out_is_counted_exactly(self):
        program = self.folder / "scenes"
        program.write_bytes(pathlib.Path(fixture("scenes")).read_bytes())
        program.chmod(0o755)
        bomb = self.start(["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", "prlimit",
                           "--nproc=150", program, "bomb", "20"])
        tracer = self.trace_ours()
        truth = bomb.work()
        self.assertEqual(bomb.finish(), 0)
        records = tracer.stop()
        self.assert_complete(records)
        heaps = records.heaps(comm="scenes")
        self.assertGreater(len(heaps), 50)
        self.assertEqual(sum(heap["alloc_objects_total"] for heap in heaps), truth["alloc_objects_total"])
        self.assertEqual(len(heaps) * 3, truth["alloc_objects_total"])
        # Those of the first moments may have ended before the program's unwind table was made.
        whole = [heap for heap in heaps if heap["stack_ends"] == {"complete": 3}]
        for heap in whole:
            self.assert_sites(records, heap, bomb_leak=site(3, 72))

    def test_full_tables_are_said_and_nothing_else_happens(self):
        """First by one process, then by the stacks of another, while further ones come and go."""
        blocks, stacks = self.start(scene("blocks", 400_000)), self.start(scene("stacks", 60_000))
        tracer = self.trace_ours("--max-memory", "16m", "-T", "3")
        truths = {target.pid: target.work() for target in (blocks, stacks)}
        self.run_many(20)
        records = tracer.stop()
        lost = {record["reason"]: record["hint"] for record in records.of("lost")}
        self.assertEqual(set(lost), {"blocks_full", "stacks_full"})
        self.assertTrue(all("--max-memory" in hint for hint in lost.values()))
        totals = {reason: max(record["total"] for record in records.of("lost", reason=reason)) for reason in lost}
        self.assertEqual((records.summary["complete"], records.summary["lost_events_total"]), (False, sum(totals.values())))
        missing = sum(truth["alloc_objects_total"] - records.heap(pid)["alloc_objects_total"]
                      for pid, truth in truths.items())
        missing += sum(1111 - heap["alloc_objects_total"] for heap in records.heaps(comm="scenes", exited=True))
        # The shell has lost some, too.
        self.assertLessEqual(missing, totals["blocks_full"])
        self.assertLess(totals["blocks_full"] - missing, 5000)
        self.assertEqual((blocks.finish(), stacks.finish()), (0, 0))


if __name__ == "__main__":
    harness.main()
