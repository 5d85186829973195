# SPDX-License-Identifier: Apache-2.0
"""Runs the built tracer on the fixtures, as root, with a time limit on everything.

A fixture says "ready", waits for a line, acts, tells its truth as a line of JSON, waits for a line, and ends. So a tracer can attach before the
first step and report after the second, and everything in between is what the fixture itself counted.
"""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/release")
TRACER = os.environ.get("TRACER", os.path.join(BUILD, "tracer"))
FIXTURES = os.environ.get("FIXTURES", os.path.join(BUILD, "tests/fixtures"))
LIMIT = 60.0
BACKENDS = ("multi", "perf")
TOTALS = (
    "alloc_objects_total",
    "alloc_bytes_total",
    "free_objects_total",
    "free_bytes_total",
    "failed_objects_total",
    "live_objects",
    "live_bytes",
)


def fixture(name):
    return os.path.join(FIXTURES, name)


class Target:
    """A running fixture."""

    def __init__(self, name, *arguments, **popen):
        self.process = subprocess.Popen(
            [fixture(name), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **popen
        )
        self.pid = self.process.pid

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        if not ready:
            raise AssertionError("the fixture says nothing")
        return self.process.stdout.readline().decode().strip()

    def expect(self, text):
        line = self.line()
        if line != text:
            raise AssertionError(f"the fixture says {line!r} instead of {text!r}")

    def go_on(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def truth(self):
        """Lets it act and returns what it counted."""
        self.go_on()
        return json.loads(self.line())

    def end(self):
        self.go_on()
        return self.process.wait(LIMIT)

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT)
        self.process.stdin.close()
        self.process.stdout.close()


class Tracer:
    """A running tracer. Its report goes to a file, so that no pipe can block it."""

    def __init__(self, *arguments, form="ndjson", **popen):
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        command = [TRACER, "-f", form, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=self.out, stderr=self.err, **popen)

    def stderr(self):
        self.err.seek(0)
        return self.err.read().decode()

    def stdout(self):
        self.out.seek(0)
        return self.out.read().decode()

    def wait_until_tracing(self):
        end = time.monotonic() + LIMIT
        while "tracing pid" not in self.stderr():
            if self.process.poll() is not None:
                raise AssertionError("the tracer ended: " + self.stderr())
            if time.monotonic() > end:
                raise AssertionError("the tracer does not begin: " + self.stderr())
            time.sleep(0.02)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        return self.process.wait(LIMIT)

    def records(self, kind=None):
        # A traced command writes to the same place before the report does.
        records = [json.loads(line) for line in self.stdout().splitlines() if line.startswith('{"type":')]
        return [r for r in records if kind is None or r["type"] == kind]

    def summary(self):
        summaries = self.records("summary")
        if len(summaries) != 1:
            raise AssertionError(f"{len(summaries)} summaries; stderr: {self.stderr()}")
        return summaries[0]


def run_tracer(*arguments, form="ndjson", **popen):
    """A tracer that ends by itself."""
    tracer = Tracer(*arguments, form=form, **popen)
    tracer.status = tracer.wait()
    return tracer


def functions_of(stack):
    return [frame["func"] for frame in stack["frames"]]


def leaks_by_function(tracer):
    """Bytes and objects of all leak records by the innermost frame that is a function of the fixture."""
    stacks = {s["stack_id"]: s for s in tracer.records("stack")}
    found = {}
    for leak in tracer.records("leak"):
        # "scene::(anonymous namespace)::leak_alpha()" is leak_alpha.
        names = [name.replace("(anonymous namespace)", "").split("(")[0].split("::")[-1] for name in functions_of(stacks[leak["stack_id"]])]
        owner = next((name for name in names[1:] if name != "take"), names[0] if names else "?")
        objects, size = found.get(owner, (0, 0))
        found[owner] = (objects + leak["objects"], size + leak["bytes"])
    return found


def attached_programs():
    """How many BPF programs of the tracer the kernel holds."""
    out = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, timeout=LIMIT).stdout
    return sum(1 for p in json.loads(out or b"[]") if p.get("name") in ("heap_entry", "heap_return", "library_entry"))


class RootTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        # A test that is skipped looks like one that passed.
        self.assertEqual(os.geteuid(), 0, "these tests need root")
        self.targets = []

    def tearDown(self):
        for target in self.targets:
            target.kill()

    def start(self, name, *arguments):
        target = Target(name, *arguments)
        self.targets.append(target)
        return target

    def trace_scene(self, name, *scene, options=(), backend="auto"):
        """Attaches to a fixture, lets it act, and returns its truth and the tracer after its report."""
        target = self.start(name, *scene)
        target.expect("ready")
        tracer = Tracer("-T", 0, "--older", 0, "--probe-backend", backend, *options, "-p", target.pid)
        tracer.wait_until_tracing()
        truth = target.truth()
        self.assertEqual(tracer.interrupt(), 0, tracer.stderr())
        return truth, tracer

    def assert_totals(self, truth, record, lost=0):
        self.assertEqual({k: record[k] for k in TOTALS}, {k: truth[k] for k in TOTALS})
        self.assertEqual(record["lost_events_total"], lost)
        self.assertEqual(record["complete"], lost == 0)

    def assert_nothing_attached(self):
        end = time.monotonic() + LIMIT
        while attached_programs() and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(attached_programs(), 0)
