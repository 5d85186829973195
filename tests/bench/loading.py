# SPDX-License-Identifier: Apache-2.0
"""How long after dlopen the probes of a library with an allocator of its own are there, and what is missed until then.

A file that was never seen has to be read and armed by the tracer while the program runs on. One that was seen within the
last two seconds is still armed when it comes back.
"""

import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from instruments import Failed

FILES = 50
CALLS = 200  # right after dlopen, and as many again after a pause
SIZE = 64


class Loader:
    """The fixture of that name: one answer per line."""

    def __init__(self, build):
        self._process = subprocess.Popen([build / "tests/fixtures/loader"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, bufsize=1)
        self.pid = self._process.pid
        self._process.stdout.readline()

    def do(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        answer = self._process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise Failed(f"{words}: {answer}")

    def quit(self):
        self._process.stdin.write("quit\n")
        self._process.wait(60)


def use(loader, path, pause):
    """Loads the library, calls its malloc at once and again after a pause, unloads it."""
    loader.do("open", 0, path)
    loader.do("call", 0, "malloc", CALLS, SIZE)
    time.sleep(pause)
    loader.do("call", 0, "malloc", CALLS, SIZE)
    loader.do("close", 0)


def recorded(records, path):
    """Allocations that were seen in the library's own malloc."""
    stacks = {record["stack_id"] for record in records if record["type"] == "stack" and record["frames"] and
              record["frames"][0].get("module") == str(path)}
    last = [record for record in records if record["type"] == "snapshot"][-1]
    return sum(site["alloc_objects_total"] for site in last["top"] if site["stack_id"] in stacks)


def trace(build, folder, paths):
    loader = Loader(build)
    out = folder / "loading.ndjson"
    tracer = subprocess.Popen([build / "tracer", "-T", "0", "-i", "1h", "-o", out, "-p", str(loader.pid)],
                              stderr=subprocess.PIPE, text=True)
    while "tracing pid" not in (line := tracer.stderr.readline()):
        if not line:
            raise Failed("the tracer did not start")
    for path in paths:
        use(loader, path, 0.1)
    for _ in range(20):
        use(loader, paths[-1], 0)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=60)
    loader.quit()
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def measure(build):
    """Microseconds to armed and allocations missed, of new files and of one that comes back."""
    with tempfile.TemporaryDirectory(prefix="tracer-bench-") as name:
        folder = pathlib.Path(name)
        paths = [folder / f"family_{number}.so" for number in range(FILES)]
        for path in paths:
            shutil.copy(build / "tests/fixtures/plugin_family.so", path)
        records = trace(build, folder, paths)
        armed_us = [record["armed_us"] for record in records
                    if record["type"] == "library" and "armed_us" in record and pathlib.Path(record["path"]) in paths]
        missed = [2 * CALLS - recorded(records, path) for path in paths[:-1]]
        again = 21 * 2 * CALLS - recorded(records, paths[-1])
    return {"files": FILES, "armed_us_median": statistics.median(armed_us), "armed_us_worst": max(armed_us),
            "calls_at_once": CALLS, "missed_median": statistics.median(missed), "missed_worst": max(missed),
            "reloads": 20, "missed_first_load_and_reloads": again}


def print_lines(figures):
    print(f"\nnew library with an allocator of its own, {figures['files']} files: armed {figures['armed_us_median']:.0f} µs "
          f"after dlopen announced it (worst {figures['armed_us_worst']:.0f}); of {figures['calls_at_once']} calls right "
          f"after dlopen {figures['missed_median']:.0f} were missed (worst {figures['missed_worst']:.0f})")
    print(f"the last of them loaded {figures['reloads']} times more: {figures['missed_first_load_and_reloads']} missed in "
          "its first load and all others together")
