# SPDX-License-Identifier: Apache-2.0
"""Real programs: the tracer's totals beside what their allocators say of themselves. Each comparison is printed."""

import json
import os
import pathlib
import subprocess
import unittest

from families import JEMALLOC
from harness import Case, Program, Target, Tracer, eventually, site
from servers_test import Redis, free_port

PYTHON = "/usr/bin/python3"

# Keeps blocks of known sizes, then says what glibc says of them (mallinfo2: uordblks and hblkhd).
MALLINFO = """
import ctypes, sys
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks",
                                                     "fsmblks", "uordblks", "fordblks", "keepcost")]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
def in_use():
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd
in_use()
print("ready", flush=True)
sys.stdin.readline()
before = in_use()
kept = [bytearray(600 + i * 37 % 5000) for i in range(20000)]
print('{"in_use":%d}' % (in_use() - before), flush=True)
sys.stdin.readline()
"""

# Calls Python's own allocator by its names.
PYMEM = """
import ctypes, sys
functions = ctypes.pythonapi
for name in ("PyMem_Malloc", "PyMem_RawMalloc", "PyObject_Malloc"):
    function = getattr(functions, name)
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
functions.PyMem_Free.argtypes = [ctypes.c_void_p]
functions.PyMem_Free(functions.PyMem_Malloc(1))
print("ready", flush=True)
sys.stdin.readline()
for i in range(1000):
    block = functions.PyMem_Malloc(12345)
    if i % 2:
        functions.PyMem_Free(block)
    functions.PyMem_RawMalloc(23456)
    functions.PyObject_Malloc(301)
print("{}", flush=True)
sys.stdin.readline()
"""


class GoTest(Case):
    def build(self, source):
        program = self.folder / "program"
        (self.folder / "main.go").write_text(source, encoding="utf-8")
        environment = dict(os.environ, GOCACHE=str(self.folder / "cache"), GO111MODULE="off", CGO_ENABLED="1", HOME=str(self.folder))
        subprocess.run(["go", "build", "-o", program, "main.go"], cwd=self.folder, env=environment, check=True, timeout=300)
        return str(program)

    def test_of_a_program_with_a_c_side_that_side_is_seen_and_the_tracer_says_so(self):
        source = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "cgo.go"
        target = Target(self, [self.build(source.read_text(encoding="utf-8"))])
        tracer = self.attach(target)
        target.go()
        self.assertEqual(target.out.next(), "done")
        records = tracer.stop()
        self.assertEqual(target.finish(), 0)
        self.assertEqual(records.by_function("take"), site(100, 1000))
        self.assertEqual([note["pid"] for note in records.of("diagnostic", code="go_heap_not_seen")], [target.pid])
        self.assertTrue(any("only its C side" in line for line in tracer.err.seen))

    def test_a_program_without_one_is_refused_with_the_reason(self):
        program = self.build('package main\nimport "time"\nfunc main() { time.Sleep(time.Hour) }\n')
        target = Program(self, [program])
        tracer = Tracer(self, "-p", target.pid)
        self.assertEqual(tracer.wait(), 1)
        lines = tracer.err.all()
        self.assertTrue(any("is written in Go" in line for line in lines), lines)
        self.assertTrue(any("maps no file that defines malloc" in line for line in lines), lines)
        self.assertTrue(target.is_running())


class RealAllocatorsTest(Case):
    def compare(self, what, tracer, allocator, least, most, why):
        """`allocator` / `tracer` within bounds; the reason for these is printed beside it."""
        ratio = allocator / tracer
        print(f"\n  {what}: tracer {tracer:,}, allocator {allocator:,}, ratio {ratio:.4f}; "
              f"expected {least} to {most}: {why}", flush=True)
        self.assertGreaterEqual(ratio, least, what)
        self.assertLessEqual(ratio, most, what)

    def test_redis_with_its_jemalloc(self):
        port = free_port()
        server = Program(self, ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no",
                                "--activedefrag", "no", "--daemonize", "no"], cwd=self.folder)

        def is_up():
            try:
                client = Redis(port)
            except OSError:
                return False
            client.close()
            return True
        self.assertTrue(eventually(is_up), server.err.seen)
        client = Redis(port, self)
        for i in range(100):
            client.ask("SET", f"warm:{i}", "x")
        before = client.info("memory")
        tracer = self.attach(server)
        for i in range(20000):
            client.ask("SET", f"key:{i}", "x" * (10 + i * 31 % 700))
        after = client.info("memory")
        records = tracer.stop()
        self.assert_nothing_lost(records)
        self.assertEqual(after["mem_allocator"], "jemalloc-5.3.0")
        grown = {name: int(after[name]) - int(before[name]) for name in ("used_memory", "allocator_allocated")}
        # Frees of blocks from before the attach are in redis's figures and not in ours: the old hash tables.
        for name, value in grown.items():
            self.compare(f"redis INFO {name}", records.summary["live_bytes"], value, 0.95, 1.25,
                         "jemalloc counts blocks with the rest of their size class, up to a fifth of each")

    def test_python_with_glibc(self):
        target = Target(self, [PYTHON, "-c", MALLINFO])
        tracer = self.attach(target)
        in_use = target.work()["in_use"]
        records = tracer.stop()
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        self.assertGreater(records.summary["live_objects"], 20000)
        self.compare("mallinfo2", records.summary["live_bytes"], in_use, 1.0, 1.01,
                     "glibc counts 8 bytes of header and the rest of 16 with each block, here of 3 KB")

    def test_pythons_own_functions(self):
        target = Target(self, [PYTHON, "-c", PYMEM])
        tracer = self.attach(target, "--family", "python")
        target.work()
        records = tracer.stop()
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        snapshot, = records.last_snapshots
        found = {(site["alloc_objects_total"], site["alloc_bytes_total"], site["live_objects"])
                 for site in snapshot["top"] if site["alloc_objects_total"] == 1000}
        self.assertLessEqual({(1000, 12_345_000, 500), (1000, 23_456_000, 1000), (1000, 301_000, 1000)}, found)

    def test_a_rust_program_that_others_wrote_on_jemalloc(self):
        """ripgrep, on a jemalloc that counts requests by itself and tells at the end."""
        texts = self.folder / "texts"
        texts.mkdir()
        for i in range(200):
            lines = [f"line {n} of {i}: needle\n" for n in range(i * 3)]
            (texts / f"{i}.txt").write_text("".join(lines), encoding="ascii")
        settings = (f"LD_PRELOAD={JEMALLOC}", "MALLOC_CONF=stats_print:true,stats_print_opts:J")
        status, records, tracer = self.run_command(
            [], ["env", *settings, "rg", "--no-config", "-c", "-j", "2", "needle [0-9]*|of 1[0-9]*:", str(texts)])
        self.assertEqual(status, 0, tracer.err.seen)
        self.assert_nothing_lost(records)
        stats = json.loads(next(line for line in tracer.err.all() if line.startswith('{"jemalloc"')))
        arenas = stats["jemalloc"]["stats.arenas"]["merged"]
        requests = arenas["small"]["nrequests"] + arenas["large"]["nrequests"]
        # The first program of this process was env.
        own = max(snapshot["alloc_objects_total"] for snapshot in records.last_snapshots)
        self.compare("ripgrep, jemalloc's requests", own, requests, 0.95, 1.01,
                     "a realloc that stays in its size class is an allocation for the tracer, no request for jemalloc")


if __name__ == "__main__":
    unittest.main(verbosity=2)
