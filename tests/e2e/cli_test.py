# SPDX-License-Identifier: Apache-2.0
"""Options, outputs, streams and exit codes of runs that go well."""

import json
import os
import re
import signal
import subprocess
import time

import jsonschema

import harness
from harness import HANG, SCHEMA, TRACER, Case, Target, Tracer, scene, scene_now


class CommandTest(Case):
    def test_the_status_of_the_command_is_passed_on(self):
        for number in (0, 1, 7, 125, 255):
            with self.subTest(status=number):
                status, records, _ = self.run_command([], ["/bin/sh", "-c", f"exit {number}"])
                self.assertEqual(status, number)
                self.assertEqual(records.summary["reason"], "target_exit")

    def test_a_signal_that_ends_the_command_becomes_128_and_its_number(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGABRT):
            with self.subTest(signal=number):
                status, records, _ = self.run_command([], scene_now("dies", int(number)))
                self.assertEqual(status, 128 + number)
                exits = records.of("process", event="exit")
                self.assertEqual(exits[-1]["signal"], number)

    def test_arguments_reach_the_command_as_they_are(self):
        arguments = ["-p", "1", "--check", "two words", "", "--", "-o"]
        _, _, tracer = self.run_command([], ["/usr/bin/printf", "<%s>\\n", *arguments])
        self.assertEqual(tracer.out.all(), [f"<{argument}>" for argument in arguments])

    def test_options_behind_the_command_are_its_own(self):
        run = subprocess.run([TRACER, "-q", "-o", "/dev/null", "-f", "ndjson", "/bin/echo", "-n", "-p", "1"],
                             capture_output=True, timeout=HANG, check=False)
        self.assertEqual((run.returncode, run.stdout), (0, b"-p 1"))

    def test_a_command_keeps_its_standard_streams(self):
        out = self.folder / "run.ndjson"
        run = subprocess.run([TRACER, "-q", "-o", out, "--", "/bin/sh", "-c", "cat; echo to stderr >&2"],
                             input=b"from stdin", capture_output=True, timeout=HANG, check=False)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"from stdin", b"to stderr\n"))

    def test_a_report_to_standard_output_comes_behind_what_the_command_wrote(self):
        run = subprocess.run([TRACER, "-q", "-f", "ndjson", "--", "/bin/sh", "-c", "echo first; sleep 0.2; echo second"],
                             capture_output=True, timeout=HANG, check=True)
        lines = run.stdout.decode().splitlines()
        self.assertEqual(lines[:2], ["first", "second"])
        records = harness.Records(lines[2:])
        self.assertEqual(records.all[0]["type"], "header")
        self.assertEqual(records.all[-1]["type"], "summary")

    def test_a_command_is_found_in_the_path(self):
        status, _, _ = self.run_command([], ["true"])
        self.assertEqual(status, 0)

    def test_an_interrupt_waits_for_the_command(self):
        out = self.folder / "run.ndjson"
        tracer = Tracer(self, "-o", out, "--", "/bin/sh", "-c", "sleep 1; exit 3").wait_recording()
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 3)

    def test_a_termination_signal_is_passed_on_to_the_command(self):
        out = self.folder / "run.ndjson"
        tracer = Tracer(self, "-o", out, "--", *scene_now("idle")).wait_recording()
        time.sleep(0.5)
        tracer.process.terminate()
        self.assertEqual(tracer.wait(), 128 + signal.SIGTERM)
        self.assertEqual(harness.Records(out.read_text().splitlines()).summary["reason"], "target_exit")


class WhenTest(Case):
    def test_an_interrupt_gives_the_final_report(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                target = Target(self, scene("leaks"))
                tracer = self.attach(target)
                truth = target.work()
                tracer.process.send_signal(number)
                records = tracer.finish()
                self.assertEqual((tracer.status, records.summary["reason"]), (0, "signal"))
                self.assert_totals(truth, records.summary)
                self.assertTrue(target.is_running())

    def test_a_duration_ends_the_run(self):
        target = Target(self, scene("leaks"))
        tracer = self.attach(target, "-d", "300ms")
        records = tracer.finish()
        self.assertEqual((tracer.status, records.summary["reason"]), (0, "duration"))
        self.assertGreaterEqual(records.summary["duration_ns"], 300_000_000)
        self.assertTrue(target.is_running())

    def test_a_count_of_snapshots_ends_the_run(self):
        target = Target(self, scene("leaks"))
        tracer = self.attach(target, "-i", "100ms", "-n", "3")
        records = tracer.finish()
        self.assertEqual((tracer.status, records.summary["reason"]), (0, "count"))
        # Three, and the last one of the final report.
        self.assertEqual([snapshot["seq"] for snapshot in records.of("snapshot")][:3], [1, 2, 3])
        self.assertLessEqual(len(records.of("snapshot")), 4)

    def test_usr1_makes_a_snapshot_now(self):
        target = Target(self, scene("leaks"))
        tracer = self.attach(target)
        truth = target.work()
        tracer.process.send_signal(signal.SIGUSR1)
        while True:
            record = json.loads(tracer.out.next())
            if record["type"] == "snapshot":
                break
        self.assert_totals(truth, record)
        self.assertTrue(tracer.is_running())

    def test_totals_never_fall_from_snapshot_to_snapshot(self):
        target = Target(self, scene("busy"))
        target.go()
        tracer = self.attach(target, "-i", "50ms", "-n", "20")
        records = tracer.finish()
        snapshots = records.of("snapshot")
        for name in ("alloc_objects_total", "alloc_bytes_total", "free_objects_total", "peak_bytes", "t_ns"):
            values = [snapshot[name] for snapshot in snapshots]
            self.assertEqual(values, sorted(values), name)
        for snapshot in snapshots:
            self.assertEqual(snapshot["live_objects"], snapshot["alloc_objects_total"] - snapshot["free_objects_total"])
            # A block of 64 bytes per thread; a snapshot is read while they work on.
            self.assertLessEqual(snapshot["live_bytes"], snapshot["live_objects"] * 64)


class WhatTest(Case):
    def test_only_sizes_in_the_range_are_recorded(self):
        _, records = self.trace_scene("sizes", "-z", "100", "-Z", "1000")
        self.assertEqual(records.summary["alloc_objects_total"], 20)
        self.assertEqual(records.summary["live_bytes"], 10 * 100 + 10 * 1000)
        config = records.of("header")[0]["config"]
        self.assertEqual((config["min_size"], config["max_size"]), (100, 1000))

    def test_a_size_has_units(self):
        _, records = self.trace_scene("sizes", "-z", "1k")
        self.assertEqual(records.summary["live_bytes"], 10 * 10_000)

    def test_included_stacks_only(self):
        _, records = self.trace_scene("leaks", "-I", "leak_(alpha|gamma)", "--older", "0")
        snapshot, = records.last_snapshots
        self.assertEqual([site["live_bytes"] for site in snapshot["top"]], [100_000])
        leak, = records.of("leak")
        self.assertIn("leak_alpha", records.functions(leak["stack_id"]))
        # The totals are those of the process all the same.
        self.assertEqual(snapshot["live_bytes"], 140_960)

    def test_excluded_stacks_are_left_out(self):
        _, records = self.trace_scene("leaks", "-X", "leak_alpha", "--older", "0")
        leak, = records.of("leak")
        self.assertIn("leak_beta", records.functions(leak["stack_id"]))

    def test_the_top_stacks_come_first(self):
        _, records = self.trace_scene("leaks", "-T", "1", "--older", "0")
        snapshot, = records.last_snapshots
        self.assertEqual([site["live_bytes"] for site in snapshot["top"]], [100_000])
        self.assertEqual(len(records.of("leak")), 1)
        self.assertEqual(snapshot["stacks_total"], 3)

    def test_names_can_stay_as_in_the_symbol_table(self):
        _, records = self.trace_scene("leaks", "--no-demangle")
        names = {frame["func"] for stack in records.of("stack") for frame in stack["frames"]}
        self.assertTrue(any(name.startswith("_ZN5scene") and "leak_alpha" in name for name in names), names)

    def test_a_peak_between_snapshots_is_known(self):
        _, records = self.trace_scene("resizing")
        # One block at a time, of 300,000 bytes at most; its old 1000 are gone by then.
        self.assertEqual((records.summary["peak_bytes"], records.summary["live_bytes"]), (300_000, 0))


class OutputTest(Case):
    def test_two_files_of_different_formats(self):
        ndjson, text = self.folder / "run.ndjson", self.folder / "run.txt"
        target = Target(self, scene("leaks"))
        tracer = Tracer(self, "-o", ndjson, "-o", text, "--older", "0", "-p", target.pid).wait_recording()
        truth = target.work()
        tracer.stop()
        self.assertEqual(tracer.status, 0)
        self.assert_totals(truth, harness.Records(ndjson.read_text().splitlines()).summary)
        table = text.read_text()
        self.assertRegex(table, r"leak_alpha.* at .*heap_scenes\.cpp:\d+")
        self.assertRegex(table, r"97\.7 KiB in 100 blocks")
        self.assertNotIn("\x1b", table)
        self.assertEqual(sorted(os.listdir(self.folder)), ["run.ndjson", "run.txt"])

    def test_every_record_follows_the_schema(self):
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        check = jsonschema.Draft202012Validator(schema)
        runs = [self.trace_scene("plugins", "-i", "100ms")[1],
                self.trace_scene("blocks", "--max-memory", "16m", number=200_000)[1],
                self.run_command(["--older", "0"], scene_now("forks", 2))[1]]
        for records in runs:
            for record in records.all:
                check.validate(record)
        kinds = {record["type"] for records in runs for record in records.all}
        self.assertLessEqual({"header", "process", "library", "stack", "snapshot", "lost", "leak", "summary"}, kinds)

    def test_records_stand_in_the_promised_order(self):
        _, records = self.trace_scene("plugins", "-i", "100ms")
        self.assertEqual(records.all[0]["type"], "header")
        self.assertEqual(records.all[-1]["type"], "summary")
        known = set()
        for record in records.all:
            if record["type"] == "stack":
                self.assertNotIn(record["stack_id"], known)
                known.add(record["stack_id"])
            used = {site["stack_id"] for site in record.get("top", [])}
            if record["type"] == "leak":
                used.add(record["stack_id"])
            self.assertLessEqual(used, known)

    def test_a_pipe_gets_ndjson_and_a_notice(self):
        run = subprocess.run([TRACER, "--", "true"], capture_output=True, timeout=HANG, check=True)
        self.assertTrue(run.stdout.startswith(b'{"type":"header"'))
        self.assertIn(b"-f table", run.stderr)

    def test_quiet_says_nothing(self):
        run = subprocess.run([TRACER, "-q", "-f", "table", "--", *scene_now("leaks")], capture_output=True, timeout=HANG,
                             check=True)
        self.assertEqual(run.stderr, b"")
        self.assertIn(b"leak_alpha", run.stdout)

    def test_the_table_is_coloured_only_when_asked(self):
        for when, expected in (("always", True), ("never", False), ("auto", False)):
            with self.subTest(color=when):
                run = subprocess.run([TRACER, "-q", "-f", "table", "--color", when, "--", *scene_now("leaks")],
                                     capture_output=True, timeout=HANG, check=True)
                self.assertEqual(b"\x1b[" in run.stdout, expected)

    def test_a_report_replaces_the_file_as_a_whole_at_the_end(self):
        out = self.folder / "run.ndjson"
        out.write_text("what was there before\n")
        target = Target(self, scene("leaks"))
        tracer = Tracer(self, "-o", out, "-p", target.pid).wait_recording()
        self.assertEqual(out.read_text(), "what was there before\n")
        tracer.stop()
        self.assertEqual(harness.Records(out.read_text().splitlines()).all[-1]["type"], "summary")
        self.assertEqual(os.listdir(self.folder), ["run.ndjson"])


class InformationTest(Case):
    def run_tracer(self, *arguments):
        return subprocess.run([TRACER, *arguments], capture_output=True, timeout=HANG, check=False, text=True)

    def test_help_and_version(self):
        self.assertIn("Usage: tracer", self.run_tracer("--help").stdout)
        self.assertTrue(re.fullmatch(r"tracer \d+\.\d+\.\d+\n", self.run_tracer("--version").stdout))

    def test_check_says_what_the_machine_can(self):
        run = self.run_tracer("--check")
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("This machine can trace.", run.stdout)
        self.assertEqual("multi" in harness.BACKENDS, bool(re.search(r"^yes  uprobe_multi", run.stdout, re.M)))

    def test_check_of_a_process_shows_what_would_be_probed(self):
        target = Target(self, scene("leaks"))
        run = self.run_tracer("--check", "-p", str(target.pid))
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("libc.so.6", run.stdout)
        for name in ("malloc", "free", "realloc", "posix_memalign"):
            self.assertRegex(run.stdout, rf"\b{name}\b.*entry 0x")


if __name__ == "__main__":
    harness.main()
