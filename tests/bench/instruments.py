# SPDX-License-Identifier: Apache-2.0
"""The measured program and what is put on it: nothing, empty probes, tracer, or a peer."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

ATTACH_TIMEOUT_S = 30
HEAPTRACK_PRELOAD = pathlib.Path("/usr/lib/heaptrack/libheaptrack_preload.so")

# What the usual bpftrace script for leaks does at each call.
BPFTRACE_SCRIPT = """
uprobe:{libc}:malloc /pid == {pid}/ {{ @size[tid] = arg0; }}
uretprobe:{libc}:malloc /pid == {pid} && @size[tid]/ {{ @live[retval] = (@size[tid], ustack); delete(@size[tid]); }}
uprobe:{libc}:free /pid == {pid}/ {{ delete(@live[arg0]); }}
END {{ clear(@size); clear(@live); }}
"""


class Failed(Exception):
    """A measurement that could not be made; the text says why."""


class Pairs:
    """The measured program: answers how long a malloc/free pair takes."""

    def __init__(self, build, threads, environment=None, depth=20):
        self.process = subprocess.Popen(
            [build / "tests/bench/bench_pairs", str(depth), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.last_pairs = 0
        self.run(1)  # its libraries are mapped now

    @property
    def pid(self):
        return self.process.pid

    def run(self, milliseconds):
        """Runs pairs for so long; nanoseconds per pair."""
        self.process.stdin.write(f"{milliseconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the measured program ended with status {self.process.wait()}")
        answer = json.loads(line)
        self.last_pairs = answer["pairs"]
        return answer["ns_per_pair"]

    def wait_until_slower_than(self, ns_per_pair, attacher):
        """Probes show in the measured program itself, which needs no word from who attaches them."""
        deadline = time.monotonic() + ATTACH_TIMEOUT_S
        while self.run(5) < ns_per_pair:
            if attacher.poll() is not None:
                raise Failed(f"it ended with status {attacher.returncode} before it had attached")
            if time.monotonic() > deadline:
                raise Failed(f"no probe within {ATTACH_TIMEOUT_S} s")
            time.sleep(0.05)

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Floor:
    """Three empty programs, at the best sites or at the first instructions."""

    def __init__(self, build, pairs, site):
        self.process = subprocess.Popen(
            [build / "tests/bench/bench_floor", str(pairs.pid), site],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self.process.communicate()[1].strip())
        self.description = json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate()


class Attached:
    """A tool that attaches to the running program and is ended by SIGINT."""

    def __init__(self, command, pairs, native_ns):
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.errors)
        try:
            pairs.wait_until_slower_than(20 * native_ns, self.process)
        except Failed as failure:
            self.stop()
            raise Failed(f"{failure}\n{self.error_text()}") from failure

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Tracer(Attached):
    """tracer with its defaults or more options; checks afterwards that it saw each measured pair."""

    def __init__(self, build, pairs, native_ns, *options):
        self.pairs = pairs
        self.folder = tempfile.TemporaryDirectory(prefix="tracer-bench-")
        self.output = pathlib.Path(self.folder.name) / "run.ndjson"
        super().__init__([build / "tracer", "-p", str(pairs.pid), "-o", self.output, *options], pairs, native_ns)

    def __exit__(self, *_):
        measured = self.pairs.last_pairs
        self.stop()
        with self.folder:
            records = [json.loads(line) for line in self.output.read_text().splitlines()]
        summary = next((record for record in records if record["type"] == "summary"), None)
        if summary is None:
            raise Failed(f"tracer wrote no summary\n{self.error_text()}")
        if not summary["complete"]:
            raise Failed(f"tracer lost {summary['lost_events_total']} events")
        if summary.get("estimated"):
            return
        for counter in ("alloc_objects_total", "free_objects_total"):
            if summary[counter] < measured:
                raise Failed(f"tracer's {counter} is {summary[counter]}, but {measured} pairs were made")


def bpftrace(pairs, native_ns):
    script = BPFTRACE_SCRIPT.format(libc=libc_of(pairs.pid), pid=pairs.pid)
    return Attached(["bpftrace", "-p", str(pairs.pid), "-e", script], pairs, native_ns)


def libc_of(pid):
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        if path.rpartition("/")[2].startswith("libc.so."):
            return path
    raise Failed(f"process {pid} has no libc.so")


def heaptrack_environment(folder):
    """heaptrack cannot be relied on to attach: the program starts under its library."""
    return {"LD_PRELOAD": str(HEAPTRACK_PRELOAD), "DUMP_HEAPTRACK_OUTPUT": str(pathlib.Path(folder) / "raw")}


def missing_peers():
    """Names of the peers that are not installed."""
    missing = []
    if shutil.which("bpftrace") is None:
        missing.append("bpftrace")
    if not HEAPTRACK_PRELOAD.exists():
        missing.append("heaptrack")
    return missing
