# SPDX-License-Identifier: Apache-2.0
"""Every call of the malloc family is counted exactly once, with both ways to attach."""

import harness
from harness import BACKENDS, Case, Target, fixture


class TotalsTest(Case):
    def trace_counts(self, backend, program="counts"):
        target = Target(self, [fixture(program), "4", "200"])
        tracer = self.attach(target, "--probe-backend", backend)
        truth = target.work()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        return truth, records

    def test_totals_of_four_threads_are_exact_every_time(self):
        for backend in BACKENDS:
            for attempt in range(3):
                with self.subTest(backend=backend, attempt=attempt):
                    truth, records = self.trace_counts(backend)
                    self.assertGreater(truth["failed_objects_total"], 0)
                    self.assert_totals(truth, records.summary)
                    self.assertEqual(records.summary["free_unknown_total"], 0)
                    self.assert_nothing_lost(records)
                    self.assertEqual(records.of("header")[0]["config"]["backend"], backend)

    def test_stacks_add_up_to_the_totals(self):
        _, records = self.trace_counts(BACKENDS[0])
        snapshot, = records.last_snapshots
        self.assertEqual(snapshot["stacks_total"], len(snapshot["top"]))
        for name in ("alloc_objects_total", "alloc_bytes_total", "live_objects", "live_bytes"):
            self.assertEqual(sum(site[name] for site in snapshot["top"]), snapshot[name], name)

    def test_a_static_program_is_counted_like_any_other(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                truth, records = self.trace_counts(backend, "counts_static")
                self.assert_totals(truth, records.summary)
                self.assert_nothing_lost(records)

    def test_two_processes_in_one_run_are_kept_apart(self):
        targets = [Target(self, [fixture("counts"), "1", str(rounds)]) for rounds in (50, 80)]
        tracer = self.attach(targets[0], "-p", targets[1].pid)
        truths = {target.pid: target.work() for target in targets}
        records = tracer.stop()
        self.assertEqual({snapshot["pid"] for snapshot in records.last_snapshots}, set(truths))
        for snapshot in records.last_snapshots:
            self.assert_totals(truths[snapshot["pid"]], snapshot)
        self.assertEqual(records.summary["processes"], 2)
        self.assertEqual(records.summary["alloc_bytes_total"], sum(t["alloc_bytes_total"] for t in truths.values()))

    def test_a_command_is_counted_from_its_first_call_on(self):
        """The difference between two runs is the work: all else, before main and around threads, is the same in both."""
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                summaries, truths = [], []
                for rounds in ("0", "200"):
                    status, records, tracer = self.run_command(["--probe-backend", backend],
                                                               [fixture("counts"), "4", rounds, "now"])
                    self.assertEqual(status, 0, tracer.err.seen)
                    self.assert_nothing_lost(records)
                    summaries.append(records.summary)
                    lines = tracer.out.all()
                    self.assertEqual(lines[0], "ready")
                    truths.append(harness.json.loads(lines[1]))
                for name in harness.TOTALS:
                    self.assertEqual(summaries[1][name] - summaries[0][name], truths[1][name] - truths[0][name], name)

    def test_a_command_with_a_bare_main_has_only_the_pool_of_libstdcxx_beside_its_own(self):
        status, records, _ = self.run_command([], harness.scene_now("leaks"))
        self.assertEqual(status, 0)
        self.assert_nothing_lost(records)
        self.assertEqual(records.summary["alloc_objects_total"], 1 + 100 + 10 + 1000)
        self.assertEqual(records.summary["alloc_bytes_total"], 72704 + 100 * 1000 + 10 * 4096 + 1000 * 5000)
        self.assertEqual(records.by_function("leak_alpha"), harness.site(100, 1000))
        self.assertEqual(records.by_function("leak_beta"), harness.site(10, 4096))
        self.assertEqual(records.by_function("no_leak"), harness.site(1000, 5000, live=0))


if __name__ == "__main__":
    harness.main()
