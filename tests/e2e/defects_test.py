# SPDX-License-Identifier: Apache-2.0
"""What other tracers get wrong in one process: each known defect is a test."""

import time

import harness
from harness import BACKENDS, Case, Target, scene, scene_now, site


class DefectsTest(Case):
    def test_the_first_allocation_of_a_thread_is_seen(self):
        # It makes an arena, with calls of mmap inside.
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, records = self.trace_scene("nesting", "--probe-backend", backend)
                self.assertEqual(records.by_function("first_of_thread"), site(20, 777))
                self.assert_nothing_lost(records)

    def test_blocks_that_malloc_maps_keep_their_size_and_caller(self):
        _, records = self.trace_scene("nesting")
        self.assertEqual(records.by_function("large_block"), site(100, 204800))

    def test_a_realloc_into_a_mapping_of_its_own_and_back_is_one_block(self):
        truth, records = self.trace_scene("resizing")
        self.assert_totals(truth, records.summary)
        self.assertEqual(records.by_function("resize"), site(100, 150_250, live=0))

    def test_a_failed_realloc_leaves_the_block(self):
        truth, records = self.trace_scene("failed_realloc")
        self.assertEqual(records.by_function("leak_after_failed_realloc"), site(100, 3000))
        self.assert_totals(truth, records.summary)

    def test_two_names_of_one_function_count_once(self):
        truth, records = self.trace_scene("aliases")
        self.assertEqual(records.by_function("aligned_pair"), site(1100, 640, live=100))
        self.assert_totals(truth, records.summary)

    def test_attaching_to_a_busy_program_invents_no_blocks(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target = Target(self, scene("busy"))
                target.go()
                self.assertEqual(target.out.next(), "busy")
                tracer = self.attach(target, "--probe-backend", backend)
                time.sleep(1)
                records = tracer.stop()
                self.assertEqual(tracer.status, 0)
                summary = records.summary
                self.assertGreater(summary["alloc_objects_total"], 1000)
                # One per thread at most is between its malloc and its free when recording ends or begins.
                self.assertLessEqual(summary["live_objects"], 4)
                self.assertLessEqual(summary["free_unknown_total"], 4)
                self.assertEqual(summary["leaks"], 0)
                self.assert_nothing_lost(records)
                self.assertTrue(target.is_running())

    def test_a_full_table_of_blocks_is_reported(self):
        truth, records = self.trace_scene("blocks", "--max-memory", "16m", number=400_000)
        summary = records.summary
        lost = sum(record["count"] for record in records.of("lost", reason="blocks_full"))
        self.assertGreater(lost, 0)
        self.assertEqual(summary["alloc_objects_total"] + lost, truth["alloc_objects_total"])
        self.assertEqual((summary["complete"], summary["lost_events_total"]), (False, lost))
        self.assertTrue(all("--max-memory" in record["hint"] for record in records.of("lost")))

    def test_a_full_store_of_stacks_is_reported_and_loses_no_bytes(self):
        truth, records = self.trace_scene("stacks", "--max-memory", "16m", number=60_000)
        self.assert_totals(truth, records.summary)
        self.assertFalse(records.summary["complete"])
        self.assertGreater(len(records.of("lost", reason="stacks_full")), 0)

    def test_twenty_thousand_stacks_are_all_kept_apart(self):
        truth, records = self.trace_scene("stacks", number=20_000)
        self.assert_totals(truth, records.summary)
        self.assert_nothing_lost(records)
        snapshot, = records.last_snapshots
        self.assertEqual([entry["live_objects"] for entry in snapshot["top"]], [1] * 20_000)
        paths = {tuple(frame["module_offset"] for frame in record["frames"]) for record in records.of("stack")}
        self.assertEqual(len(paths), 20_000)

    def test_leaks_are_older_than_half_a_second_unless_told_otherwise(self):
        _, records = self.trace_scene("nothing")
        self.assertEqual(records.of("header")[0]["config"]["older_ns"], 500_000_000)

    def test_only_blocks_older_than_asked_are_leaks(self):
        _, records = self.trace_scene("ages", "--older", "2s", number=3000)
        leak, = records.of("leak")
        self.assertIn("leak_old", records.functions(leak["stack_id"]))
        self.assertEqual((leak["bytes"], leak["objects"]), (10_000, 10))
        self.assertEqual((records.summary["leaks"], records.summary["leaked_bytes"]), (1, 10_000))
        self.assertEqual(records.by_function("leak_young"), site(10, 2000))

    def test_with_an_age_of_zero_every_live_block_is_a_leak(self):
        truth, records = self.trace_scene("ages", "--older", "0", number=1)
        self.assertEqual(sum(leak["bytes"] for leak in records.of("leak")), truth["live_bytes"])

    def test_a_block_that_grows_keeps_its_age(self):
        _, records = self.trace_scene("grow", "--older", "1s")
        leak, = records.leaks_of("grow_once")
        self.assertEqual((leak["bytes"], leak["objects"]), (40_000, 1))
        self.assertGreater(leak["mean_age_ns"], 1_000_000_000)

    def test_names_of_a_program_that_has_ended_are_known(self):
        _, records, _ = self.run_command([], scene_now("leaks"))
        stack, = [records.stacks[leak["stack_id"]] for leak in records.leaks_of("leak_beta")]
        frame, = [frame for frame in stack["frames"] if harness.simple_name(frame["func"]) == "leak_beta"]
        self.assertEqual(frame["func"], "scene::(anonymous namespace)::leak_beta()")
        self.assertTrue(frame["file"].endswith("tests/fixtures/heap_scenes.cpp"), frame)
        self.assertGreater(frame["line"], 0)
        self.assertEqual(harness.simple_name(stack["frames"][0]["func"]), "malloc")
        self.assertTrue(stack["complete"], stack["end"])

    def test_a_piped_output_appears_at_once(self):
        target = Target(self, scene("leaks"))
        tracer = self.attach(target, "-i", "200ms")
        # Each of them must come while the tracer runs: a buffered output would keep them back.
        kinds = [harness.json.loads(tracer.out.next())["type"] for _ in range(3)]
        self.assertEqual(kinds[0], "header")
        while harness.json.loads(tracer.out.next())["type"] != "snapshot":
            pass
        self.assertTrue(tracer.is_running())
        self.assertTrue(target.is_running())

    def test_the_end_of_the_target_is_noticed(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target = Target(self, scene("leaks"))
                tracer = self.attach(target, "--probe-backend", backend)
                truth = target.work()
                self.assertEqual(target.finish(), 0)
                records = tracer.finish()
                self.assertEqual(tracer.status, 0)
                self.assertEqual(records.summary["reason"], "target_exit")
                self.assert_totals(truth, records.summary)
                exit_record, = records.of("process", event="exit")
                self.assertEqual((exit_record["exit_code"], exit_record["signal"]), (0, None))

    def test_a_target_that_is_killed_ends_the_run_too(self):
        target = Target(self, scene("leaks"))
        tracer = self.attach(target)
        target.work()
        target.process.kill()
        records = tracer.finish()
        self.assertEqual((tracer.status, records.summary["reason"]), (0, "target_exit"))
        exit_record, = records.of("process", event="exit")
        self.assertEqual((exit_record["exit_code"], exit_record["signal"]), (None, 9))

    def test_a_stack_deeper_than_the_limit_is_cut_and_says_so(self):
        _, records = self.trace_scene("deep", "--max-stack", "40")
        stack = records.stacks[records.last_snapshots[0]["top"][0]["stack_id"]]
        self.assertEqual((stack["end"], stack["complete"]), ("truncated", False))
        self.assertEqual(len({frame["module_offset"] for frame in stack["frames"][:3]}), 3)
        self.assertGreaterEqual(len(stack["frames"]), 40)

    def test_a_program_at_a_long_path_is_traced(self):
        folder = self.folder / ("d" * 200) / ("e" * 200)
        folder.mkdir(parents=True)
        program = folder / "counts"
        harness.shutil.copy2(harness.fixture("counts_static"), program)
        target = Target(self, [str(program), "1", "20"])
        tracer = self.attach(target)
        truth = target.work()
        records = tracer.stop()
        self.assert_totals(truth, records.summary)
        library, = [record for record in records.of("library", event="load") if record["probes"]]
        self.assertEqual(library["path"], str(program))


if __name__ == "__main__":
    harness.main()
