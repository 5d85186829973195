# SPDX-License-Identifier: Apache-2.0
"""Children, exec, several processes, and what a user gets when things go wrong."""

import json
import os
import signal
import stat
import subprocess
import tempfile
import time
import unittest

from rig import LIMIT, TRACER, RootTest, Tracer, fixture, leaks_by_function, run_tracer


def last_snapshots(tracer):
    last = max(r["seq"] for r in tracer.records("snapshot"))
    return [r for r in tracer.records("snapshot") if r["seq"] == last]


class Children(RootTest):
    def test_children_of_a_command_are_counted_from_their_first_allocation(self):
        tracer = run_tracer("-T", 0, "--", fixture("scenes"), "forks", 0, "now")
        self.assertEqual(tracer.status, 0, tracer.stderr())
        found = leaks_by_function(tracer)
        self.assertEqual(found["child_leak"], (100, 6400))
        # Once by vfork and exec, once by posix_spawn.
        self.assertEqual(found["leak_alpha"], (200, 200000))
        self.assertEqual(found["leak_beta"], (20, 81920))
        self.assertEqual(tracer.summary()["lost_events_total"], 0)
        self.assertEqual(len([r for r in tracer.records("process") if r["event"] == "fork"]), 5)

    def test_children_are_left_alone_without_follow(self):
        tracer = run_tracer("-T", 0, "--no-follow", "--", fixture("scenes"), "forks", 0, "now")
        self.assertNotIn("child_leak", leaks_by_function(tracer))
        self.assertNotIn("leak_alpha", leaks_by_function(tracer))
        target = self.start("scenes", "forks")
        target.expect("ready")
        tracer = Tracer("-T", 0, "-p", target.pid)
        tracer.wait_until_tracing()
        target.truth()
        tracer.interrupt()
        self.assertNotIn("child_leak", leaks_by_function(tracer))

    def test_children_of_a_process_are_counted_with_follow(self):
        _, tracer = self.trace_scene("scenes", "forks", options=("--follow",))
        found = leaks_by_function(tracer)
        self.assertEqual(found["child_leak"], (100, 6400))
        self.assertEqual(found["leak_alpha"], (200, 200000))

    def test_exec_ends_one_heap_and_starts_another(self):
        tracer = run_tracer("-T", 0, "--", fixture("scenes"), "exec_self", 0, "now")
        found = leaks_by_function(tracer)
        self.assertEqual(found["leak_alpha"], (101, 101000))
        self.assertEqual(found["leak_beta"], (10, 40960))
        self.assertEqual(len([r for r in tracer.records("process") if r["event"] == "exec"]), 2)

    def test_several_processes_are_told_apart(self):
        first, second = self.start("scenes", "leaks"), self.start("scenes", "failed_realloc")
        for target in (first, second):
            target.expect("ready")
        tracer = Tracer("--older", 0, "-T", 0, "-p", f"{first.pid},{second.pid}")
        tracer.wait_until_tracing()
        while tracer.stderr().count("tracing pid") < 2:
            time.sleep(0.02)
        truths = {t.pid: t.truth() for t in (first, second)}
        tracer.interrupt()
        for snapshot in last_snapshots(tracer):
            self.assert_totals(truths[snapshot["pid"]], snapshot)
        self.assertEqual(tracer.summary()["live_bytes"], sum(t["live_bytes"] for t in truths.values()))

    def test_the_status_of_a_command_is_passed_on(self):
        self.assertEqual(run_tracer("--", fixture("scenes"), "fails", 0, "now").status, 7)
        self.assertEqual(run_tracer("--", fixture("scenes"), "dies", 0, "now").status, 128 + signal.SIGTERM)
        self.assertEqual(run_tracer("sh", "-c", "exit 5").status, 5)

    def test_a_command_keeps_its_arguments_and_streams(self):
        command = [TRACER, "-q", "-o", "/dev/null", "-f", "ndjson", "--", "sh", "-c", 'read x; echo "<$x> <$1>"; echo e >&2', "sh", "a b"]
        out = subprocess.run(command, input=b"typed\n", capture_output=True, timeout=LIMIT)
        self.assertEqual((out.returncode, out.stdout, out.stderr), (0, b"<typed> <a b>\n", b"e\n"))

    def test_the_report_of_a_command_comes_after_its_own_output(self):
        out = subprocess.run([TRACER, "-q", "-f", "ndjson", "--", "echo", "hello"], capture_output=True, timeout=LIMIT).stdout
        lines = out.decode().splitlines()
        self.assertEqual(lines[0], "hello")
        self.assertEqual(json.loads(lines[-1])["type"], "summary")


class Reports(RootTest):
    def test_piped_output_appears_at_once(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        process = subprocess.Popen([TRACER, "-q", "-i", "100ms", "-p", str(target.pid)], stdout=subprocess.PIPE)
        self.assertEqual(json.loads(process.stdout.readline())["type"], "header")
        while json.loads(process.stdout.readline())["type"] != "snapshot":
            pass
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0)

    def test_count_and_duration_end_the_run(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        counted = run_tracer("-i", "100ms", "-n", 3, "-p", target.pid)
        self.assertEqual(counted.summary()["reason"], "count")
        timed = run_tracer("-d", "300ms", "-p", target.pid)
        self.assertEqual(timed.summary()["reason"], "duration")
        self.assertGreaterEqual(timed.summary()["duration_ns"], 300_000_000)

    def test_several_outputs_are_written_and_only_whole(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        with tempfile.TemporaryDirectory() as directory:
            table, lines = os.path.join(directory, "a.txt"), os.path.join(directory, "a.ndjson")
            tracer = Tracer("-o", table, "-o", lines, "--older", "0", "-p", target.pid)
            tracer.wait_until_tracing()
            self.assertFalse(os.path.exists(table) or os.path.exists(lines))
            target.truth()
            tracer.interrupt()
            self.assertEqual(sorted(os.listdir(directory)), ["a.ndjson", "a.txt"])
            with open(table) as text:
                self.assertIn("leak_alpha", text.read())
            with open(lines) as text:
                self.assertEqual(json.loads(text.read().splitlines()[-1])["type"], "summary")

    def test_sizes_and_names_filter(self):
        truth, tracer = self.trace_scene("scenes", "leaks", options=("-z", 2000))
        self.assertEqual(set(leaks_by_function(tracer)), {"leak_beta"})
        _, tracer = self.trace_scene("scenes", "leaks", options=("-Z", 2000))
        self.assertEqual(set(leaks_by_function(tracer)), {"leak_alpha"})
        _, tracer = self.trace_scene("scenes", "leaks", options=("-I", "alpha"))
        self.assertEqual(set(leaks_by_function(tracer)), {"leak_alpha"})
        _, tracer = self.trace_scene("scenes", "leaks", options=("-X", "alpha"))
        self.assertEqual(set(leaks_by_function(tracer)), {"leak_beta"})

    def test_every_record_follows_the_published_schema(self):
        import jsonschema

        schema = os.path.join(os.path.dirname(__file__), "../../docs/ndjson-schema.json")
        with open(schema) as text:
            validator = jsonschema.Draft202012Validator(json.load(text))
        tracer = run_tracer("-T", 0, "--", fixture("scenes"), "forks", 0, "now")
        for record in tracer.records():
            self.assertEqual([e.message for e in validator.iter_errors(record)], [], record)
        described = set()
        for record in tracer.records():
            if record["type"] == "stack":
                self.assertNotIn(record["stack_id"], described)
                described.add(record["stack_id"])
            used = [record["stack_id"]] if record["type"] == "leak" else [s["stack_id"] for s in record.get("top", [])]
            self.assertTrue(described.issuperset(used))

    def test_check_says_what_would_be_probed(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        out = subprocess.run([TRACER, "--check", "--pid", str(target.pid)], capture_output=True, timeout=LIMIT)
        self.assertEqual(out.returncode, 0, out.stdout)
        self.assertIn("This machine can trace.", out.stdout.decode())
        self.assertRegex(out.stdout.decode(), r"\bfree\b.*emulated")


class BadLuck(RootTest):
    """Each: one clear line with a hint, the right status, nothing left behind."""

    def assert_refused(self, tracer, status, message):
        self.assertEqual(tracer.status, status, tracer.stderr())
        errors = [l for l in tracer.stderr().splitlines() if l.startswith("tracer: error: ")]
        hints = [l for l in tracer.stderr().splitlines() if l.startswith("tracer: hint: ")]
        self.assertEqual(len(errors), 1, tracer.stderr())
        self.assertEqual(len(hints), 1, tracer.stderr())
        self.assertRegex(errors[0], message)

    def test_a_process_that_does_not_exist(self):
        self.assert_refused(run_tracer("-p", 4194000), 1, "there is no process with pid 4194000")

    def test_a_process_that_ends_at_once(self):
        for _ in range(5):
            process = subprocess.Popen(["true"])
            tracer = run_tracer("-d", "2s", "-p", process.pid)
            process.wait()
            self.assertIn(tracer.status, (0, 1))
            self.assertNotIn("internal error", tracer.stderr())

    def test_a_zombie(self):
        process = subprocess.Popen(["true"])
        time.sleep(0.3)
        self.assert_refused(run_tracer("-p", process.pid), 1, "has exited already")
        process.wait()

    def test_a_kernel_thread(self):
        self.assert_refused(run_tracer("-p", 2), 1, "is a kernel thread")

    def test_a_32_bit_program(self):
        # pause() by int 0x80, in the smallest ELF32 file that the kernel takes.
        code = bytes.fromhex("b81d000000cd80ebf7")
        header = bytes.fromhex("7f454c46010101000000000000000000") + b"".join(
            [(2).to_bytes(2, "little"), (3).to_bytes(2, "little"), (1).to_bytes(4, "little"), (0x08048054).to_bytes(4, "little"),
             (52).to_bytes(4, "little"), bytes(8), (52).to_bytes(2, "little"), (32).to_bytes(2, "little"), (1).to_bytes(2, "little"), bytes(6)])
        size = 84 + len(code)
        segment = b"".join(v.to_bytes(4, "little") for v in (1, 0, 0x08048000, 0x08048000, size, size, 5, 0x1000))
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(header + segment + code)
        os.chmod(file.name, 0o700)
        process = subprocess.Popen([file.name])
        try:
            time.sleep(0.1)
            self.assert_refused(run_tracer("-p", process.pid), 1, "is a 32-bit program")
        finally:
            process.kill()
            process.wait()
            os.unlink(file.name)

    def test_a_program_without_an_allocator(self):
        process = subprocess.Popen([fixture("no_allocator")])
        try:
            time.sleep(0.1)
            self.assert_refused(run_tracer("-p", process.pid), 1, "no file that defines malloc")
        finally:
            process.kill()
            process.wait()

    def test_no_root(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            copy = os.path.join(directory, "tracer")
            subprocess.run(["cp", TRACER, copy], check=True)
            os.chmod(copy, 0o755)
            out = subprocess.run([copy, "--", "true"], capture_output=True, user=65534, group=65534, extra_groups=[], timeout=LIMIT)
        self.assertEqual(out.returncode, 125)
        lines = out.stderr.decode().splitlines()
        self.assertTrue(any("error" in l for l in lines) and any("root" in l and "hint" in l for l in lines), lines)

    def test_an_unwritable_output(self):
        self.assert_refused(run_tracer("-o", "/no/such/directory/a.ndjson", "-p", os.getpid()), 1, "/no/such/directory")
        self.assert_refused(run_tracer("-o", "/no/such/directory/a.ndjson", "--", "true"), 125, "/no/such/directory")

    def test_options_that_make_no_sense(self):
        self.assert_refused(run_tracer("--frobnicate"), 2, "frobnicate")
        self.assert_refused(run_tracer(), 2, "nothing to trace")
        self.assert_refused(run_tracer("-p", "x"), 2, "--pid")

    def test_commands_that_cannot_run(self):
        self.assert_refused(run_tracer("--", "no-such-command-anywhere"), 127, "cannot run the command")
        self.assert_refused(run_tracer("--", "/etc/passwd"), 126, "cannot run the command")

    def test_a_reader_that_goes_away(self):
        target = self.start("scenes", "leaks")
        target.expect("ready")
        process = subprocess.Popen([TRACER, "-q", "-f", "ndjson", "-i", "50ms", "-p", str(target.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(LIMIT), -signal.SIGPIPE)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()
        self.assertGreater(target.truth()["alloc_objects_total"], 0)

    def test_nothing_stays_attached_after_any_of_this(self):
        self.assert_nothing_attached()


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
