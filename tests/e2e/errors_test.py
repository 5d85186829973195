# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong: one line that says what, one that says what to do, the right exit code, and nothing left behind."""

import os
import signal
import struct
import subprocess
import time

import harness
from harness import (HANG, TRACER, Case, Leftovers, Program, Target, Tracer, children_of, eventually, scene, scene_now,
                     state_of)

NO_SUCH_PID = 4194303


def elf32_that_pauses():
    """A 32-bit program of 64 bytes of code at most: pause() through int 0x80, for ever."""
    code = b"\xb8\x1d\x00\x00\x00\xcd\x80\xeb\xf7"
    base, headers = 0x08048000, 52 + 32
    size = headers + len(code)
    header = b"\x7fELF\x01\x01\x01" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + headers, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    return header + segment + code


class ErrorsTest(Case):
    def setUp(self):
        super().setUp()
        self.leftovers = Leftovers()

    def assert_refused(self, arguments, status, pattern=".", hint=".", **options):
        run = subprocess.run([options.pop("program", TRACER), *map(str, arguments)], capture_output=True, timeout=HANG, check=False,
                             stdin=subprocess.DEVNULL, **options)
        lines = run.stderr.decode().splitlines()
        self.assertEqual(run.returncode, status, lines)
        self.assert_one_error(lines, pattern, hint)
        self.assertEqual(self.leftovers.are_gone(), True, "something is still attached")

    def test_a_process_that_does_not_exist(self):
        self.assert_refused(["-p", NO_SUCH_PID], 1, f"no process with pid {NO_SUCH_PID}", "pgrep")

    def test_one_of_two_processes_does_not_exist(self):
        target = Target(self, scene("leaks"))
        self.assert_refused(["-p", f"{target.pid},{NO_SUCH_PID}"], 1, str(NO_SUCH_PID))
        target.work()
        self.assertEqual(target.finish(), 0)

    def test_a_failed_attach_leaves_no_file(self):
        self.assert_refused(["-o", self.folder / "run.ndjson", "-p", NO_SUCH_PID], 1, "no process")
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_process_that_exits_while_the_tracer_attaches(self):
        for delay in (1, 150, 250, 300, 350, 400, 450, 500, 600, 700):
            target = Target(self, scene("lasts", delay))
            tracer = Tracer(self, "-f", "ndjson", "-d", "5s", "-p", target.pid)
            target.go()
            target.truth()
            target.finish()
            status = tracer.wait()
            lines = tracer.err.all()
            if status == 0:
                self.assertEqual(harness.Records(tracer.out.all()).summary["reason"], "target_exit")
            else:
                self.assertEqual(status, 1, lines)
                self.assert_one_error(lines, "exited|no process with pid|has ended")
        self.assertTrue(self.leftovers.are_gone())

    def test_a_zombie(self):
        child = subprocess.Popen(["true"])
        self.addCleanup(child.wait)
        self.assertTrue(eventually(lambda: state_of(child.pid) == "Z"))
        self.assert_refused(["-p", child.pid], 1, "has exited already")

    def test_a_kernel_thread(self):
        self.assert_refused(["-p", "2"], 1, "kernel thread")

    def test_a_thread_instead_of_its_process(self):
        target = Target(self, [harness.fixture("counts"), "2", "10"])
        thread = next(int(name) for name in os.listdir(f"/proc/{target.pid}/task") if int(name) != target.pid)
        self.assert_refused(["-p", thread], 2, f"thread of process {target.pid}", f"--pid {target.pid}")

    def test_a_32_bit_program(self):
        program = self.folder / "pauses"
        program.write_bytes(elf32_that_pauses())
        program.chmod(0o755)
        self.assert_refused(["-p", Program(self, [str(program)]).pid], 1, "32-bit")

    def test_a_program_without_an_allocator(self):
        self.assert_refused(["-p", Program(self, [harness.fixture("no_allocator")]).pid], 1, "no file that defines malloc")

    def test_a_static_program_without_symbols(self):
        program = self.folder / "stripped"
        subprocess.run(["strip", "-o", program, harness.fixture("counts_static")], check=True, timeout=HANG)
        target = Target(self, [str(program), "1", "10"])
        self.assert_refused(["-p", target.pid], 1, "no file that defines malloc", "symbols")
        target.work()
        self.assertEqual(target.finish(), 0)

    def as_nobody(self):
        """A copy of the tracer that everyone may run: the build may lie where nobody may look."""
        program = self.folder / "tracer"
        harness.shutil.copy(TRACER, program)
        program.chmod(0o755)
        self.folder.chmod(0o755)
        return {"program": str(program), "user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}

    def test_an_ordinary_user(self):
        options = self.as_nobody()
        target = Target(self, ["/bin/sh", "-c", "echo ready; read line"], user=65534, group=65534)
        self.assert_refused(["-p", target.pid], 1, hint="root|CAP_", **options)
        self.assert_refused(["--", "true"], 125, hint="root|CAP_", **options)

    def test_outputs_that_cannot_be_written(self):
        (self.folder / "directory.ndjson").mkdir()
        target = Target(self, scene("leaks"))
        for path, pattern in ((self.folder / "no" / "such" / "run.ndjson", "No such file"), ("/proc/run.ndjson", "/proc")):
            with self.subTest(path=str(path)):
                self.assert_refused(["-o", path, "-p", target.pid], 1, pattern)
                self.assert_refused(["-o", path, "--", "true"], 125, pattern)
        with self.subTest("a directory"):
            self.assert_refused(["-d", "100ms", "-o", self.folder / "directory.ndjson", "-p", target.pid], 1, "directory")
        self.assertEqual(os.listdir(self.folder), ["directory.ndjson"])

    def test_a_full_disk(self):
        target = Target(self, scene("leaks"))
        with open("/dev/full", "wb") as full:
            run = subprocess.run([TRACER, "-q", "-f", "ndjson", "-d", "100ms", "-p", str(target.pid)], stdout=full,
                                 stderr=subprocess.PIPE, timeout=HANG, check=False)
        self.assertEqual(run.returncode, 1)
        self.assert_one_error(run.stderr.decode().splitlines(), "No space left")

    def test_a_reader_that_goes_away(self):
        target = Target(self, scene("leaks"))
        for backend in harness.BACKENDS:
            with self.subTest(backend=backend):
                run = subprocess.run(
                    ["/bin/bash", "-c", '"$0" "$@" | head -1; exit "${PIPESTATUS[0]}"', TRACER, "-q", "-f", "ndjson", "-i", "50ms",
                     "--probe-backend", backend, "-p", str(target.pid)], capture_output=True, timeout=HANG, check=False)
                self.assertEqual((run.returncode, run.stderr), (128 + signal.SIGPIPE, b""))
                self.assertTrue(run.stdout.startswith(b'{"type":"header"'))
                self.assertTrue(self.leftovers.are_gone())
        target.work()
        self.assertEqual(target.finish(), 0)

    def test_a_command_that_is_not_there(self):
        self.assert_refused(["-o", self.folder / "a.ndjson", "--", "no-such-command-here"], 127, "cannot run", "PATH")
        self.assert_refused(["-o", self.folder / "a.ndjson", "--", "/no/such/command"], 127, "cannot run")
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_command_that_is_no_program(self):
        text = self.folder / "text"
        text.write_text("just text\n")
        self.assert_refused(["-o", self.folder / "a.ndjson", "--", text], 126, "cannot run")
        self.assert_refused(["-o", self.folder / "a.ndjson", "--", self.folder], 126, "cannot run")
        self.assertEqual(os.listdir(self.folder), ["text"])

    def test_command_lines_that_make_no_sense(self):
        for arguments in ([], ["--no-such-option", "-p", "1"], ["-p", "0"], ["-p", "-4"], ["-p", "12x"], ["-p", "1,"],
                          ["-p", "99999999999999999999"], ["-i", "soon", "-p", "1"], ["-i", "0", "-p", "1"],
                          ["-d", "-1s", "-p", "1"], ["-d", "0", "-p", "1"], ["-n", "0", "-p", "1"], ["-T", "-1", "-p", "1"],
                          ["--older", "x", "-p", "1"], ["-z", "10q", "-p", "1"], ["-z", "2k", "-Z", "1k", "-p", "1"],
                          ["-I", "(", "-p", "1"], ["-X", "[", "-p", "1"], ["-f", "xml", "-p", "1"], ["-o", "a.unknown", "-p", "1"],
                          ["--probe-backend", "magic", "-p", "1"], ["--follow", "--no-follow", "-p", "1"],
                          ["--max-memory", "1k", "-p", "1"], ["--color", "pink", "-p", "1"], ["-p"], ["--max-stack", "1000", "-p", "1"]):
            with self.subTest(arguments=arguments):
                self.assert_refused(arguments, 2)

    def test_command_lines_with_a_command_that_make_no_sense(self):
        self.assert_refused(["--no-such-option", "--", "true"], 125, "no-such-option")
        self.assert_refused(["-p", "1", "true"], 125, "exclude each other")

    def test_a_misspelt_option_is_guessed(self):
        self.assert_refused(["--intervall", "1s", "-p", "1"], 2, "--intervall", "--interval")

    def test_a_second_interrupt_does_not_wait_for_the_command(self):
        tracer = Tracer(self, "-q", "-o", self.folder / "run.ndjson", "--", *scene_now("idle"))
        self.assertTrue(eventually(lambda: [state_of(child) for child in children_of(tracer.pid)] == ["S"]))
        time.sleep(1.5)  # until it is past its start, during which it is held
        child, = children_of(tracer.pid)
        self.addCleanup(os.kill, child, signal.SIGKILL)
        tracer.interrupt()
        time.sleep(0.3)
        self.assertTrue(tracer.is_running())
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 130)
        self.assertEqual(state_of(child), "S")
        self.assertTrue(self.leftovers.are_gone())


if __name__ == "__main__":
    harness.main()
