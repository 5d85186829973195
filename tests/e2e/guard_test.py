# SPDX-License-Identifier: Apache-2.0
"""tracer --all --max-overhead: what becomes of a process that loses too much of its time to the probes."""

import shutil

import harness
from harness import Program, eventually
from machine import MANY, MachineCase

# Next to nothing but allocations, in a program of a name of its own.
BUSY = "while True: bytes(2000)"
QUIET = "import time\nwhile True: time.sleep(0.2); bytes(2000)"


class GuardTest(MachineCase):
    def setUp(self):
        super().setUp()
        self.program = self.folder / "guarded"
        shutil.copy("/usr/bin/python3", self.program)

    def run_guarded(self, script):
        return Program(self, [str(self.program), "-c", script])

    @staticmethod
    def notes_of(records):
        """What the guard says; that python3 has no symbols is another matter."""
        return [note for note in records.of("diagnostic") if note["code"].startswith("overhead_")]

    def check(self, crowd):
        """First it is sampled, then it is not recorded any more; the quiet one is left alone."""
        busy = self.run_guarded(BUSY)
        others = [self.run_guarded(QUIET) for _ in range(crowd)]
        tracer = self.trace_all("--comm", "guarded", "--max-overhead", "5")
        self.assertTrue(eventually(lambda: any('"overhead_muted"' in line for line in list(tracer.out.seen))))
        records = tracer.stop()
        self.assertTrue(busy.is_running())
        notes = self.notes_of(records)
        self.assertEqual([note["code"] for note in notes], ["overhead_sampled", "overhead_sampled", "overhead_muted"])
        self.assertEqual({note["pid"] for note in notes}, {busy.pid})
        for note in notes:
            self.assertRegex(note["message"], r"guarded makes [\d,]+ allocator calls a second, which take \d+ % of its time")
        heap = records.heap(busy.pid)
        self.assertTrue(heap["estimated"])
        self.assertEqual(heap["unverified_bytes"], heap["live_bytes"], "all of it may have been freed since")
        self.assertEqual(records.of("leak", pid=busy.pid), [])
        for other in others:
            self.assertFalse(records.heap(other.pid).get("estimated", False))

    def test_with_probes_of_its_own(self):
        self.check(crowd=1)

    def test_with_probes_for_all_processes(self):
        self.check(crowd=MANY)

    def test_without_a_limit_everything_is_recorded(self):
        busy = self.run_guarded(BUSY)
        tracer = self.trace_all("--comm", "guarded", "--max-overhead", "off", "-d", "4s")
        records = tracer.finish()
        self.assertEqual(self.notes_of(records), [])
        self.assertNotIn("estimated", records.heap(busy.pid))


if __name__ == "__main__":
    harness.main()
