# SPDX-License-Identifier: Apache-2.0
"""The target behaves as it does without a tracer, whatever it does and however the tracer ends."""

import time

import harness
from harness import BACKENDS, Case, Leftovers, Target, Tracer, children_of, eventually, scene, site, state_of


class SurvivalTest(Case):
    def trace_until_done(self, name, backend, lines=0):
        """Attaches, lets the scene act; what it said before its truth, the truth, the records."""
        target = Target(self, scene(name))
        tracer = self.attach(target, "--probe-backend", backend)
        target.go()
        said = [target.out.next() for _ in range(lines)]
        truth = target.truth()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        return said, truth, records

    def test_exceptions_are_caught_as_ever(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                said, _, records = self.trace_until_done("exceptions", backend, lines=1)
                self.assertEqual(said, ['{"caught":3000}'])
                self.assertEqual(records.summary["failed_objects_total"], 1000)
                self.assert_nothing_lost(records)

    def test_a_library_whose_constructor_throws_can_be_loaded(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, _, records = self.trace_until_done("throwing_constructor", backend)
                # Twenty times a hundred exceptions with a string each.
                self.assertGreater(records.summary["alloc_objects_total"], 4000)
                self.assert_nothing_lost(records)

    def test_signals_on_a_stack_of_their_own_disturb_no_count(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, truth, records = self.trace_until_done("signals", backend)
                self.assert_totals(truth, records.summary)
                self.assert_nothing_lost(records)

    def test_calls_that_a_signal_handler_left_are_reported_and_later_ones_counted(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, _, records = self.trace_until_done("abandoned", backend)
                self.assertEqual(records.by_function("leak_afterwards"), site(50, 555))
                lost = sum(record["count"] for record in records.of("lost"))
                self.assertEqual(sum(record["count"] for record in records.of("lost", reason="call_abandoned")), lost)
                self.assertLessEqual(lost, 10)
                self.assertEqual(records.summary["complete"], lost == 0)

    def test_threads_that_are_cancelled_or_leave_are_counted(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, _, records = self.trace_until_done("cancelled", backend)
                self.assertEqual(records.by_function("leak_before_the_end"), site(10, 88))
                self.assertEqual(records.by_function("leak_afterwards"), site(50, 99))
                self.assertEqual(records.by_function("churn_once")["live_objects"], 0)
                self.assert_nothing_lost(records)

    def test_killing_the_tracer_leaves_the_target_running_and_nothing_attached(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                leftovers = Leftovers()
                target = Target(self, [harness.fixture("counts"), "4", "2000"])
                tracer = self.attach(target, "--probe-backend", backend)
                target.go()
                time.sleep(0.05)
                tracer.process.kill()
                tracer.wait()
                self.assertGreater(target.truth()["alloc_objects_total"], 0)
                self.assertEqual(target.finish(), 0)
                self.assertTrue(leftovers.are_gone())

    def test_a_command_goes_on_when_the_tracer_is_killed(self):
        mark = self.folder / "mark"
        tracer = Tracer(self, "-q", "--", "/bin/sh", "-c", f"echo $$ > {mark}; sleep 0.5; echo done >> {mark}")
        self.assertTrue(eventually(lambda: mark.exists() and mark.read_text()))
        tracer.process.kill()
        self.assertTrue(eventually(lambda: "done" in mark.read_text()))

    def test_a_command_is_not_left_stopped_whenever_the_tracer_is_killed(self):
        for delay in (0.3, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8):
            with self.subTest(delay=delay):
                tracer = Tracer(self, "-q", "--", "/bin/sleep", "0.2")
                time.sleep(delay)
                children = children_of(tracer.pid)
                tracer.process.kill()
                tracer.wait()
                for child in children:
                    self.assertTrue(eventually(lambda: state_of(child) in (None, "Z"), limit=20), state_of(child))

    def test_attaching_and_detaching_again_and_again_changes_nothing(self):
        leftovers = Leftovers()
        target = Target(self, scene("busy"))
        target.go()
        self.assertEqual(target.out.next(), "busy")
        for _ in range(5):
            for backend in BACKENDS:
                tracer = self.attach(target, "--probe-backend", backend)
                records = tracer.stop()
                self.assertEqual(tracer.status, 0)
                self.assertLessEqual(records.summary["live_objects"], 4)
        target.send_line()
        truth = target.truth()
        self.assertEqual(truth["live_objects"], 0)
        self.assertEqual(target.finish(), 0)
        self.assertTrue(leftovers.are_gone())

    def test_two_tracers_at_one_process_do_not_disturb_each_other(self):
        target = Target(self, [harness.fixture("counts"), "2", "100"])
        tracers = [self.attach(target, "--probe-backend", backend) for backend in (BACKENDS[0], BACKENDS[-1])]
        truth = target.work()
        for tracer in tracers:
            records = tracer.stop()
            self.assertEqual(tracer.status, 0)
            self.assert_totals(truth, records.summary)
            self.assert_nothing_lost(records)


if __name__ == "__main__":
    harness.main()
