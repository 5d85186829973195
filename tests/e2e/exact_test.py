# SPDX-License-Identifier: Apache-2.0
"""Totals, stacks and losses against programs that know them."""

import unittest

from rig import BACKENDS, RootTest, Tracer, functions_of, leaks_by_function, run_tracer, fixture


class ExactTotals(RootTest):
    def test_every_function_in_several_threads_is_counted_exactly_again_and_again(self):
        for backend in BACKENDS:
            for _ in range(3):
                with self.subTest(backend=backend):
                    truth, tracer = self.trace_scene("counts", 4, 2000, backend=backend)
                    self.assert_totals(truth, tracer.summary())
                    self.assertEqual(tracer.summary()["free_unknown_total"], 0)

    def test_a_static_program_is_counted_exactly(self):
        truth, tracer = self.trace_scene("counts_static", 2, 500)
        self.assert_totals(truth, tracer.summary())

    def test_a_snapshot_carries_the_same_totals_as_the_summary(self):
        truth, tracer = self.trace_scene("counts", 2, 100)
        self.assert_totals(truth, tracer.records("snapshot")[-1])

    def test_the_sum_over_stacks_is_the_total(self):
        truth, tracer = self.trace_scene("counts", 2, 100)
        top = tracer.records("snapshot")[-1]["top"]
        for key in ("alloc_objects_total", "alloc_bytes_total", "live_objects", "live_bytes"):
            self.assertEqual(sum(s[key] for s in top), truth[key], key)

    def test_a_command_is_counted_from_its_start(self):
        # What happens before main is the same in both runs.
        first = run_tracer("--", fixture("counts"), 2, 100, "now").summary()
        second = run_tracer("--", fixture("counts"), 2, 600, "now").summary()
        truth = {}
        for rounds in (100, 600):
            truth[rounds], _ = self.trace_scene("counts", 2, rounds)
        for key in ("alloc_objects_total", "free_objects_total", "failed_objects_total"):
            self.assertEqual(second[key] - first[key], truth[600][key] - truth[100][key], key)
        self.assertEqual(first["lost_events_total"], 0)

    def test_leaked_bytes_stand_under_the_function_that_leaked_them(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                truth, tracer = self.trace_scene("scenes", "leaks", backend=backend)
                self.assert_totals(truth, tracer.summary())
                self.assertEqual(leaks_by_function(tracer), {"leak_alpha": (100, 100000), "leak_beta": (10, 40960)})
                self.assertEqual(tracer.summary()["leaked_bytes"], 140960)

    def test_a_program_traced_from_its_start_names_its_leaks_after_its_end(self):
        tracer = run_tracer("-T", 0, "--", fixture("scenes"), "leaks", 0, "now")
        found = leaks_by_function(tracer)
        self.assertEqual(found["leak_alpha"], (100, 100000))
        self.assertEqual(found["leak_beta"], (10, 40960))

    def test_names_are_demangled_and_have_files_and_lines(self):
        _, tracer = self.trace_scene("scenes", "leaks")
        frames = [f for s in tracer.records("stack") for f in s["frames"]]
        alpha = next(f for f in frames if "leak_alpha" in f["func"])
        self.assertIn("leak_alpha()", alpha["func"])
        self.assertTrue(alpha["file"].endswith("scenes.cpp"))
        self.assertGreater(alpha["line"], 0)
        self.assertTrue(any(f["func"] == "main" for f in frames))


class DefectsOfOthers(RootTest):
    """What other tools were seen to get wrong."""

    def test_the_first_malloc_of_a_thread_and_large_blocks_keep_their_caller_and_size(self):
        # The threads are made while we trace: pthread_create allocates too.
        _, tracer = self.trace_scene("scenes", "nesting")
        found = leaks_by_function(tracer)
        self.assertEqual(found["first_of_thread"], (20, 20 * 777))
        self.assertEqual(found["large_block"], (100, 100 * 204800))
        self.assertEqual(tracer.summary()["lost_events_total"], 0)

    def test_a_failed_realloc_leaves_the_block_in_the_books(self):
        truth, tracer = self.trace_scene("scenes", "failed_realloc")
        self.assert_totals(truth, tracer.summary())
        self.assertEqual(leaks_by_function(tracer), {"leak_after_failed_realloc": (100, 300000)})

    def test_two_names_of_one_function_are_counted_once(self):
        truth, tracer = self.trace_scene("scenes", "aliases")
        self.assert_totals(truth, tracer.summary())

    def test_attaching_to_a_busy_leak_free_program_invents_no_leak(self):
        for backend in BACKENDS:
            for _ in range(3):
                with self.subTest(backend=backend):
                    target = self.start("scenes", "busy")
                    target.expect("ready")
                    target.go_on()
                    target.expect("busy")
                    tracer = Tracer("-T", 0, "--older", "100ms", "-d", "1s", "--probe-backend", backend, "-p", target.pid)
                    self.assertEqual(tracer.wait(), 0, tracer.stderr())
                    summary = tracer.summary()
                    self.assertGreater(summary["alloc_objects_total"], 1000)
                    # One block per thread may be between its malloc and its free.
                    self.assertLessEqual(summary["live_objects"], 4)
                    self.assertEqual(summary["leaks"], 0)
                    self.assertEqual(summary["lost_events_total"], 0)
                    target.go_on()

    def test_a_full_table_of_blocks_is_said_and_not_silent(self):
        truth, tracer = self.trace_scene("scenes", "blocks", 300000, options=("--max-memory", "16m"))
        summary = tracer.summary()
        self.assertFalse(summary["complete"])
        self.assertEqual(summary["alloc_objects_total"] + summary["lost_events_total"], truth["alloc_objects_total"])
        lost = tracer.records("lost")
        self.assertEqual({record["reason"] for record in lost}, {"blocks_full"})
        self.assertIn("--max-memory", lost[0]["hint"])

    def test_no_stack_is_lost_to_a_collision(self):
        truth, tracer = self.trace_scene("scenes", "stacks", 20000)
        self.assert_totals(truth, tracer.summary())
        self.assertGreaterEqual(tracer.summary()["leaks"], 20000)

    def test_a_full_stack_store_loses_the_stack_and_not_the_bytes(self):
        truth, tracer = self.trace_scene("scenes", "stacks", 30000, options=("--max-memory", "16m"))
        summary = tracer.summary()
        self.assertEqual(summary["alloc_bytes_total"], truth["alloc_bytes_total"])
        self.assertEqual(summary["live_bytes"], truth["live_bytes"])
        self.assertFalse(summary["complete"])
        self.assertEqual({record["reason"] for record in tracer.records("lost")}, {"stacks_full"})

    def test_blocks_younger_than_the_threshold_are_no_leaks(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        tracer = Tracer("--older", "1h", "-p", target.pid)
        tracer.wait_until_tracing()
        target.truth()
        tracer.interrupt()
        self.assertEqual(tracer.summary()["leaks"], 0)
        self.assertEqual(tracer.summary()["live_objects"], 110)

    def test_a_block_that_grows_keeps_its_age(self):
        target = self.start("scenes", "grow")
        target.expect("ready")
        tracer = Tracer("--older", "400ms", "-p", target.pid)
        tracer.wait_until_tracing()
        truth = target.truth()
        tracer.interrupt()
        # Its last realloc was a moment ago, its first 1.5 s.
        self.assertEqual(tracer.summary()["leaked_bytes"], truth["live_bytes"])

    def test_a_stack_deeper_than_the_limit_is_cut_and_says_so(self):
        truth, tracer = self.trace_scene("scenes", "deep", options=("--max-stack", "20"))
        self.assert_totals(truth, tracer.summary())
        stack = next(s for s in tracer.records("stack") if any("deep_call" in f for f in functions_of(s)))
        self.assertFalse(stack["complete"])
        self.assertEqual(stack["end"], "truncated")
        self.assertLessEqual(len([f for f in stack["frames"] if not f["inline"]]), 20)

    def test_libraries_that_came_later_and_are_gone_are_named(self):
        _, tracer = self.trace_scene("scenes", "plugins")
        found = leaks_by_function(tracer)
        self.assertEqual(found["plugin_a_leak"], (30, 30 * 1111))
        self.assertEqual(found["plugin_b_leak"], (30, 30 * 2222))
        events = [(r["event"], r["path"].rsplit("/", 1)[1]) for r in tracer.records("library") if "plugin_" in r["path"]]
        self.assertEqual(events.count(("load", "plugin_a.so")), 3)
        self.assertEqual(events.count(("unload", "plugin_a.so")), 3)
        self.assertEqual(events.count(("load", "plugin_b.so")), 3)

    def test_an_allocator_that_is_loaded_later_is_armed(self):
        _, tracer = self.trace_scene("scenes", "late_allocator")
        loaded = [r for r in tracer.records("library") if r["path"].endswith("plugin_pool.so")]
        self.assertEqual(sorted(loaded[0]["probes"]), ["free", "malloc"])
        snapshot = tracer.records("snapshot")[-1]
        self.assertGreaterEqual(snapshot["live_bytes"], 25 * 333)
        stacks = {s["stack_id"]: s for s in tracer.records("stack")}
        pool = [s for s in snapshot["top"] if stacks[s["stack_id"]]["frames"][0]["module"].endswith("plugin_pool.so")]
        self.assertEqual(sum(s["live_bytes"] for s in pool), 25 * 333)

    def test_the_end_of_the_target_is_noticed(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        tracer = Tracer("-T", 0, "-p", target.pid)
        tracer.wait_until_tracing()
        target.truth()
        target.end()
        self.assertEqual(tracer.wait(), 0)
        self.assertEqual(tracer.summary()["reason"], "target_exit")
        self.assertEqual(leaks_by_function(tracer)["leak_alpha"], (100, 100000))


class Survival(RootTest):
    """The target goes on, whatever it does."""

    def test_exceptions_through_and_around_probed_functions_are_caught_as_ever(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                truth, tracer = self.trace_scene("scenes", "exceptions", backend=backend)
                self.assertEqual(truth["caught"], 3000)
                self.assertEqual(tracer.summary()["failed_objects_total"] % 1000, 0)
                self.assertGreaterEqual(tracer.summary()["failed_objects_total"], 1000)

    def test_a_call_left_by_longjmp_does_not_blind_the_thread(self):
        truth, tracer = self.trace_scene("scenes", "abandoned")
        summary = tracer.summary()
        self.assertEqual(summary["live_bytes"], truth["live_bytes"])
        self.assertEqual({r["reason"] for r in tracer.records("lost")}, {"call_abandoned"})
        self.assertEqual(summary["lost_events_total"], 10)
        self.assertEqual(self.targets[0].end(), 0)

    def test_a_killed_tracer_leaves_the_target_running_and_nothing_attached(self):
        target = self.start("counts", 2, 1000)
        target.expect("ready")
        tracer = Tracer("-p", target.pid)
        tracer.wait_until_tracing()
        tracer.process.kill()
        tracer.wait()
        self.assertGreater(target.truth()["alloc_objects_total"], 0)
        self.assertEqual(target.end(), 0)
        self.assert_nothing_attached()


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
