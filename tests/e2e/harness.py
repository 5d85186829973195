# SPDX-License-Identifier: Apache-2.0
"""Runs fixtures and the tracer, and reads what they say.

Nothing here waits without a limit. No test asserts how long something took; limits only end what hangs.
"""

import collections
import json
import os
import pathlib
import platform
import queue
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

HANG = 60  # seconds after which a step counts as hanging

TRACER = os.environ["TRACER"]
FIXTURES = pathlib.Path(os.environ["FIXTURES"])
SCHEMA = pathlib.Path(__file__).resolve().parents[2] / "docs" / "ndjson-schema.json"
LIBC = "libc.so.6"

TOTALS = ("alloc_objects_total", "alloc_bytes_total", "free_objects_total", "free_bytes_total",
          "failed_objects_total", "live_objects", "live_bytes")


def kernel_release():
    return tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", platform.release()).groups())


# uprobe_multi links came with Linux 6.6.
BACKENDS = ("multi", "perf") if kernel_release() >= (6, 6) else ("perf",)


def fixture(name):
    return str(FIXTURES / name)


def scene(name, *arguments):
    return [fixture("scenes"), name, *map(str, arguments)]


def scene_now(name, number=0):
    """The command line of a scene that waits for nobody and says nothing."""
    return [fixture("scenes"), name, str(number), "now"]


def eventually(condition, limit=HANG):
    """Whether `condition` comes true in time."""
    end = time.monotonic() + limit
    while True:
        if condition():
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.02)


class Lines:
    """The lines of a stream as they come, read by a thread so that nobody blocks on a full pipe."""

    def __init__(self, stream):
        self.seen = []
        self._queue = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        with stream:
            for line in stream:
                text = line.decode("utf-8", "strict").rstrip("\n")
                self.seen.append(text)
                self._queue.put(text)
        self._queue.put(None)

    def next(self, limit=HANG):
        """The next line, None at the end of the stream."""
        try:
            return self._queue.get(timeout=limit)
        except queue.Empty:
            raise AssertionError(f"no line within {limit} s; so far: {self.seen}") from None

    def all(self, limit=HANG):
        """Every line, once the stream has ended."""
        self._thread.join(limit)
        if self._thread.is_alive():
            raise AssertionError(f"the stream did not end within {limit} s; so far: {self.seen}")
        return self.seen


class Program:
    """A child process with its output read, ended at the end of the test at the latest."""

    def __init__(self, test, arguments, **options):
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        **options)
        self.pid = self.process.pid
        test.addCleanup(self.end)
        self.out = Lines(self.process.stdout)
        self.err = Lines(self.process.stderr)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(HANG)
        if not self.process.stdin.closed:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

    def send_line(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def is_running(self):
        return self.process.poll() is None

    def wait(self, limit=HANG):
        return self.process.wait(limit)


class Target(Program):
    """A fixture: waits for a line, works, tells its truth, waits for another line, ends."""

    def __init__(self, test, arguments, **options):
        super().__init__(test, arguments, **options)
        first = self.out.next()
        assert first == "ready", f"{arguments}: {first!r} {self.err.seen}"

    def go(self):
        self.send_line()

    def truth(self):
        return json.loads(self.out.next())

    def work(self):
        self.go()
        return self.truth()

    def finish(self, limit=HANG):
        self.send_line()
        return self.wait(limit)


class Tracer(Program):
    """The tracer, writing NDJSON to its standard output unless told otherwise."""

    def __init__(self, test, *arguments, **options):
        super().__init__(test, [TRACER, *map(str, arguments)], **options)

    def wait_recording(self):
        while True:
            line = self.err.next()
            if line is None:
                raise AssertionError(f"the tracer ended: {self.err.seen}")
            if re.search(r"tracing pid \d+", line):
                return self

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self, limit=HANG):
        """Waits for the end; the run's records."""
        self.status = self.wait(limit)
        return Records(self.out.all())

    def stop(self):
        self.interrupt()
        return self.finish()


class Records:
    """The records of one run."""

    def __init__(self, lines):
        self.all = [json.loads(line) for line in lines]
        self.stacks = {record["stack_id"]: record for record in self.of("stack")}

    def of(self, kind, **values):
        return [record for record in self.all
                if record["type"] == kind and all(record.get(name) == value for name, value in values.items())]

    @property
    def summary(self):
        found = self.of("summary")
        assert len(found) == 1, f"{len(found)} summaries; last record: {self.all[-1:]}"
        return found[0]

    @property
    def last_snapshots(self):
        """The final snapshot of each process (a pid has several after an exec)."""
        seq = max(record["seq"] for record in self.of("snapshot"))
        return self.of("snapshot", seq=seq)

    def functions(self, stack_id):
        """Names without arguments and namespaces, innermost first."""
        return [simple_name(frame["func"]) for frame in self.stacks[stack_id]["frames"]]

    def modules(self, stack_id):
        return [os.path.basename(frame.get("module", "")) for frame in self.stacks[stack_id]["frames"]]

    def by_function(self, name, pid=None):
        """The final totals of all stacks that `name` is in. Needs --top 0."""
        totals = collections.Counter(alloc_objects_total=0, alloc_bytes_total=0, live_objects=0, live_bytes=0)
        for snapshot in self.last_snapshots:
            if pid is not None and snapshot["pid"] != pid:
                continue
            for site in snapshot["top"]:
                if name in self.functions(site["stack_id"]):
                    totals.update({key: site[key] for key in totals})
        return dict(totals)

    def leaks_of(self, name):
        return [leak for leak in self.of("leak") if name in self.functions(leak["stack_id"])]


def simple_name(name):
    """`ns::(anonymous namespace)::f<int>(char)` → `f`."""
    name = name.replace("(anonymous namespace)::", "")
    return re.split(r"[(<]", name)[0].split("::")[-1]


def site(objects, size, live=None):
    """What by_function() returns for `objects` allocations of `size` bytes of which `live` are left (default all)."""
    live = objects if live is None else live
    return {"alloc_objects_total": objects, "alloc_bytes_total": objects * size, "live_objects": live,
            "live_bytes": live * size}


class Case(unittest.TestCase):
    """A test that needs root, with a directory of its own."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        # A failure and not a skip: a skipped test proves nothing.
        assert os.geteuid() == 0, "the end-to-end tests attach probes, which only root may do"
        assert os.access(TRACER, os.X_OK), f"no tracer at {TRACER}"

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tracer-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def attach(self, target, *options):
        """A tracer that records `target`, without periodic snapshots unless asked."""
        pid = target if isinstance(target, int) else target.pid
        defaults = {"-f": "ndjson", "-T": "0", "-i": "1h"}
        given = [word for option, value in defaults.items() if option not in options for word in (option, value)]
        return Tracer(self, *given, *options, "-p", pid).wait_recording()

    def trace_scene(self, name, *options, number=0):
        """Attaches to a scene before it acts; its truth and the records, when it has acted and still lives."""
        target = Target(self, scene(name, number))
        tracer = self.attach(target, *options)
        truth = target.work()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        return truth, records

    def run_command(self, options, command, **popen):
        """`tracer -o FILE -- command`: its exit status, the records, the program (for what it printed)."""
        out = self.folder / "run.ndjson"
        tracer = Tracer(self, "-o", out, "-T", "0", *options, "--", *command, **popen)
        status = tracer.wait()
        records = Records(out.read_text(encoding="utf-8").splitlines()) if out.exists() else None
        return status, records, tracer

    def assert_totals(self, truth, summary):
        self.assertEqual({name: truth[name] for name in TOTALS}, {name: summary[name] for name in TOTALS})

    def assert_nothing_lost(self, records):
        self.assertEqual((records.summary["lost_events_total"], records.summary["complete"]), (0, True),
                         records.of("lost"))
        self.assertEqual(records.of("lost"), [])

    def assert_one_error(self, lines, pattern=".", hint="."):
        """Exactly one error with one hint behind it, and no other kind of complaint."""
        errors = [i for i, line in enumerate(lines) if line.startswith("tracer: error: ")]
        self.assertEqual(len(errors), 1, lines)
        self.assertRegex(lines[errors[0]], pattern)
        self.assertEqual(sum(line.startswith("tracer: hint: ") for line in lines), 1, lines)
        self.assertTrue(lines[errors[0] + 1].startswith("tracer: hint: "), lines)
        self.assertRegex(lines[errors[0] + 1], hint)
        self.assertEqual([line for line in lines if not line.startswith("tracer: ")], [])


def state_of(pid):
    """The letter of proc(5), None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


TRACER_PROGRAMS = {"heap_entry", "heap_return", "heap_exit", "library_entry", "process_fork", "process_exec",
                   "process_exit"}


def attached_programs():
    """Ids of the tracer's BPF programs that the kernel holds."""
    listed = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True, timeout=HANG).stdout
    return {program["id"] for program in json.loads(listed) if program.get("name") in TRACER_PROGRAMS}


class Leftovers:
    """Notices BPF programs that outlive the tracer."""

    def __init__(self):
        self.before = attached_programs()

    def are_gone(self):
        """The kernel takes its time: links and maps are freed after a grace period."""
        return eventually(lambda: not attached_programs() - self.before, limit=30)


def main():
    unittest.main(verbosity=2)
