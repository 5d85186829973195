# SPDX-License-Identifier: Apache-2.0
"""fork, vfork, posix_spawn and exec."""

import harness
from harness import BACKENDS, Case, Target, scene, scene_now, site

LEAKS = {"leak_alpha": site(100, 1000), "leak_beta": site(10, 4096)}


class ChildrenTest(Case):
    def assert_family_counted(self, parent, records):
        """Five forked children, two programs started in two ways, and the parent itself."""
        self.assert_nothing_lost(records)
        forked = [snapshot for snapshot in records.last_snapshots
                  if records.by_function("child_leak", snapshot["pid"])["alloc_objects_total"]]
        self.assertEqual(len(forked), 5)
        for snapshot in forked:
            self.assertEqual(records.by_function("child_leak", snapshot["pid"]), site(20, 64))
            self.assertTrue(snapshot["exited"])
        started = {snapshot["pid"] for snapshot in records.last_snapshots
                   if records.by_function("leak_alpha", snapshot["pid"])["alloc_objects_total"]}
        self.assertEqual(len(started), 2)
        for pid in started:
            for name, expected in LEAKS.items():
                self.assertEqual(records.by_function(name, pid), expected)
        self.assertEqual(records.by_function("parent_leak"), site(30, 32))
        self.assertEqual(records.by_function("parent_leak", parent), site(30, 32))

    def test_children_of_a_command_are_followed(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                status, records, _ = self.run_command(["--probe-backend", backend], scene_now("forks", 5))
                self.assertEqual(status, 0)
                parent = records.of("process", event="exec")[0]["pid"]
                self.assert_family_counted(parent, records)

    def test_children_of_an_attached_process_are_followed_when_asked(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target = Target(self, scene("forks", 5))
                tracer = self.attach(target, "--follow", "--probe-backend", backend)
                target.work()
                records = tracer.stop()
                self.assertEqual(tracer.status, 0)
                self.assertEqual(target.finish(), 0)
                self.assert_family_counted(target.pid, records)

    def test_children_of_an_attached_process_are_not_followed_otherwise(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                truth, records = self.trace_scene("forks", "--probe-backend", backend, number=5)
                self.assert_totals(truth, records.summary)
                self.assert_nothing_lost(records)
                self.assertEqual(records.summary["processes"], 1)

    def test_children_of_a_command_are_not_followed_when_unwanted(self):
        status, records, _ = self.run_command(["--no-follow"], scene_now("forks", 5))
        self.assertEqual(status, 0)
        self.assertEqual(records.by_function("parent_leak"), site(30, 32))
        self.assertEqual(records.by_function("child_leak"), site(0, 64))
        self.assertEqual(records.by_function("leak_alpha"), site(0, 1000))

    def test_other_processes_are_not_counted_although_probes_are_there_for_all(self):
        other = Target(self, [harness.fixture("counts"), "2", "300"])
        target = Target(self, scene("leaks"))
        tracer = self.attach(target, "--follow")
        other.work()
        truth = target.work()
        records = tracer.stop()
        self.assert_totals(truth, records.summary)

    def test_a_process_that_becomes_another_program_is_two_heaps(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                status, records, _ = self.run_command(["--probe-backend", backend], scene_now("exec_self"))
                self.assertEqual(status, 0)
                self.assert_nothing_lost(records)
                self.assertEqual(records.by_function("leak_alpha"), site(101, 1000))
                # The program before, the program after, and the tracer's own child before it became the first of them.
                self.assertEqual(len({snapshot["pid"] for snapshot in records.last_snapshots}), 1)
                live = sorted(snapshot["live_bytes"] for snapshot in records.last_snapshots)
                self.assertEqual(live[-2:], [72704 + 1000, 72704 + 140_960])

    def test_an_attached_process_is_traced_on_after_its_exec(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target = Target(self, scene("exec_self"))
                tracer = self.attach(target, "--probe-backend", backend)
                target.go()
                self.assertEqual(target.wait(), 0)
                records = tracer.finish()
                self.assertEqual((tracer.status, records.summary["reason"]), (0, "target_exit"))
                self.assertEqual(records.by_function("leak_alpha"), site(101, 1000))
                self.assertEqual(records.by_function("leak_beta"), site(10, 4096))

    def test_a_program_by_fork_and_exec_is_followed(self):
        status, records, _ = self.run_command([], scene_now("fork_exec"))
        self.assertEqual(status, 0)
        self.assertEqual(records.by_function("leak_alpha"), site(100, 1000))
        self.assert_nothing_lost(records)

    def test_programs_that_come_and_go_at_once_are_counted(self):
        program = harness.fixture("scenes")
        script = f"{program} leaks 0 now | {program} sizes 0 now; {program} failed_realloc 0 now"
        for _ in range(6):
            status, records, _ = self.run_command([], ["/bin/sh", "-c", script])
            self.assertEqual(status, 0)
            # Also the names of the last program, whose file was known and let go before it ran.
            self.assert_nothing_lost(records)
            self.assertEqual(records.by_function("leak_after_failed_realloc")["live_objects"], 100)
            live = [snapshot["live_bytes"] - 72704 for snapshot in records.last_snapshots]
            for expected in (140_960, 111_100, 300_000):
                self.assertEqual(live.count(expected), 1, (expected, live))

    def test_programs_of_a_shell_are_named(self):
        program = harness.fixture("scenes")
        status, records, _ = self.run_command([], ["/bin/sh", "-c", f"{program} leaks 300 now | {program} leaks 400 now"])
        self.assertEqual(status, 0)
        self.assertEqual(records.by_function("leak_alpha"), site(200, 1000))

    def test_many_short_children_are_all_counted(self):
        status, records, _ = self.run_command([], scene_now("forks", 200))
        self.assertEqual(status, 0)
        self.assert_nothing_lost(records)
        self.assertEqual(records.by_function("child_leak"), site(200 * 20, 64))


if __name__ == "__main__":
    harness.main()
