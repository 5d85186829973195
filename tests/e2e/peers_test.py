# SPDX-License-Identifier: Apache-2.0
"""Figures that are known to the byte, for every function that takes memory and every way to come to it."""

import shutil

import harness
from harness import BACKENDS, Records, eventually
from loader import Loader, LoaderCase, compile_library, compile_plugin, overwrite

# function: a thousand blocks of the first size, one of the second; the sum, written out.
PEERS = {"by_malloc": (1999, 993, 1_999_993),
         "by_pointer": (2000, 3, 2_000_003),
         "by_calloc": (2000, 147, 2_000_147),
         "by_realloc": (30_000, 170, 30_000_170),
         "by_posix_memalign": (30_000, 193, 30_000_193),
         "by_aligned_alloc": (30_000, 2016, 30_002_016)}
# What by_all takes, in its order, in multiples of its argument.
ALL = (1, 2, 3, 3, 64, 1, 1, 1, 1)

# A library with a function for each way to take memory; every function is void* f(size_t).
PEERS_SOURCE = r"""
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>

#define KEEP(pointer) __asm__ volatile("" : "+r"(pointer) : : "memory")

/* A data section, where whoever patches import tables finds nothing to patch. */
void* (*malloc_in_data)(size_t size) = malloc;

void* by_malloc(size_t size) {
  void* block = malloc(size);
  KEEP(block);
  return block;
}

void* by_pointer(size_t size) {
  void* block = malloc_in_data(size);
  KEEP(block);
  return block;
}

void* by_calloc(size_t size) {
  void* block = calloc(1, size);
  KEEP(block);
  return block;
}

/* One block that changes its size all the time. */
void* by_realloc(size_t size) {
  static void* block;
  block = realloc(block, size);
  KEEP(block);
  return block;
}

void* by_posix_memalign(size_t size) {
  void* block = NULL;
  if (posix_memalign(&block, 64, size) != 0) abort();
  KEEP(block);
  return block;
}

void* by_aligned_alloc(size_t size) {
  void* block = aligned_alloc(16, size);
  KEEP(block);
  return block;
}

static void release(void* block) {
  KEEP(block);
  free(block);
}

/* Every function that takes memory by itself, and nothing left. */
void* by_all(size_t size) {
  void* block = malloc(size);
  block = realloc(block, 2 * size);
  release(reallocarray(block, 3, size));
  release(calloc(3, size));
  release(aligned_alloc(64, 64 * size));
  release(memalign(256, size));
  release(valloc(size));
  release(pvalloc(size));
  release(by_posix_memalign(size));
  return NULL;
}
"""


def compile_peers(folder):
    source = folder / "peers.c"
    source.write_text(PEERS_SOURCE, encoding="utf-8")
    return compile_library(folder / "peers.so", [source])


class PeersTest(LoaderCase):
    def call_all(self, target):
        for function, (size, last, _) in PEERS.items():
            target.do("call", 0, function, 1000, size)
            target.do("call", 0, function, 1, last)

    def assert_peers(self, records):
        for function, (_, last, total) in PEERS.items():
            found = records.by_function(function)
            expected = {"alloc_objects_total": 1001, "alloc_bytes_total": total, "live_objects": 1001,
                        "live_bytes": total}
            if function == "by_realloc":
                expected.update(live_objects=1, live_bytes=last)
            self.assertEqual({name: found[name] for name in expected}, expected, function)

    def test_each_function_to_the_byte(self):
        """The library is there before the tracer."""
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target = self.load()
                target.do("open", 0, compile_peers(self.folder))
                tracer = self.attach(target, "--probe-backend", backend)
                self.call_all(target)
                self.assert_peers(self.finish(tracer, target))

    def test_each_function_of_a_library_that_comes_later(self):
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, compile_peers(self.folder))
        self.call_all(target)
        self.assert_peers(self.finish(tracer, target))

    def test_each_function_of_a_library_in_a_new_namespace(self):
        """It has a C library of its own, the same file at another address."""
        target = self.load()
        tracer = self.attach(target)
        target.do("opennew", 0, compile_peers(self.folder))
        self.call_all(target)
        self.assert_peers(self.finish(tracer, target))

    def test_nothing_is_above_the_smallest_size(self):
        target = self.load()
        target.do("open", 0, compile_peers(self.folder))
        tracer = self.attach(target, "-z", "64m")
        self.call_all(target)
        records = self.finish(tracer, target)
        self.assertEqual((records.summary["alloc_objects_total"], records.summary["alloc_bytes_total"]), (0, 0))
        self.assertEqual(records.last_snapshots[0]["top"], [])

    def test_eight_threads_with_every_function_leave_nothing(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                path = compile_peers(self.folder)
                target = self.load()
                for slot in range(8):
                    target.do("open", slot, path)
                tracer = self.attach(target, "--probe-backend", backend, "--older", "1ms")
                target.do("threads", 8, "call", 0, "by_all", 500, 100)
                records = self.finish(tracer, target)
                found = records.by_function("by_all")
                expected = {"alloc_objects_total": 8 * 500 * len(ALL), "alloc_bytes_total": 8 * 500 * sum(ALL) * 100,
                            "live_objects": 0, "live_bytes": 0}
                # Where another thread changes the mappings all the time a stack may end before the caller, which is told.
                last = records.last_snapshots[0]
                told = sum(count for end, count in last["stack_ends"].items() if end != "complete")
                missing = expected["alloc_objects_total"] - found["alloc_objects_total"]
                self.assertGreaterEqual(last["alloc_objects_total"], expected["alloc_objects_total"])
                self.assertLessEqual(missing, told, (last["stack_ends"], records.of("lost")))
                self.assertLess(missing, expected["alloc_objects_total"] // 100)
                if not missing:
                    self.assertEqual({name: found[name] for name in expected}, expected)
                self.assertEqual((found["live_objects"], found["live_bytes"]), (0, 0))
                self.assertEqual(records.leaks_of("by_all"), [])


class PreloadTest(LoaderCase):
    """A library in front of the allocator keeps doing what it does, and is no second allocation."""

    def compile_preload(self):
        return compile_library(self.folder / "fill.so", ["fill_malloc.c"]), compile_peers(self.folder)

    def assert_counted_once(self, records):
        for function, count, size in (("by_malloc", 100, 1999), ("by_pointer", 50, 2003), ("by_calloc", 25, 2011)):
            self.assert_counted(records, function, count, size)
        stacks = {entry["stack_id"] for entry in records.last_snapshots[0]["top"]
                  if "by_malloc" in records.functions(entry["stack_id"])}
        for stack in stacks:
            self.assertEqual(records.functions(stack)[:3], ["malloc", "by_malloc", "call_function"])
            self.assertEqual(records.modules(stack)[:3], ["fill.so", "peers.so", "loader"])
        self.assertNotEqual(stacks, set())

    def work(self, target, peers):
        target.do("open", 0, peers)
        target.do("call", 0, "by_malloc", 100, 1999)
        target.do("filled", 0, 1999, 0xff)
        target.do("open", 1, peers)
        target.do("call", 1, "by_pointer", 50, 2003)
        target.do("filled", 1, 2003, 0xff)
        target.do("open", 2, peers)
        target.do("call", 2, "by_calloc", 25, 2011)
        target.do("filled", 2, 2011, 0)

    def test_a_preloaded_allocator_of_a_running_program(self):
        fill, peers = self.compile_preload()
        target = self.load("env", f"LD_PRELOAD={fill}")
        tracer = self.attach(target)
        self.work(target, peers)
        self.assert_counted_once(self.finish(tracer, target))

    def test_a_preloaded_allocator_of_a_program_from_its_start(self):
        fill, peers = self.compile_preload()
        out = self.folder / "run.ndjson"
        target = Loader(self, harness.TRACER, "-q", "-o", out, "-T", "0", "--", "env", f"LD_PRELOAD={fill}")
        self.work(target, peers)
        self.assertEqual(target.finish(), 0)
        records = Records(out.read_text(encoding="utf-8").splitlines())
        self.assert_nothing_lost(records)
        snapshot, = [snapshot for snapshot in records.last_snapshots if snapshot["comm"] == "loader"]
        self.assertGreater(snapshot["alloc_objects_total"], 175)
        for function, count, size in (("by_malloc", 100, 1999), ("by_pointer", 50, 2003), ("by_calloc", 25, 2011)):
            self.assert_counted(records, function, count, size)


class ReloadTest(LoaderCase):
    """A library that comes again: at its old address, at another one, as another file."""

    def test_the_same_library_at_the_same_and_at_another_address(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                path = compile_plugin(self.folder / "one.so", "one_f")
                target = self.load()
                tracer = self.attach(target, "--probe-backend", backend)
                target.do("open", 0, path)
                base, length = target.base(0), target.length(path)
                target.do("call", 0, "one_f", 1000, 1999)
                target.do("close", 0)
                target.do("open", 0, path)
                self.assertEqual(target.base(0), base)
                target.do("call", 0, "one_f", 1000, 1999)
                target.do("close", 0)
                target.do("mapdata", hex(base), length)
                target.do("open", 0, path)
                self.assertNotEqual(target.base(0), base)
                target.do("call", 0, "one_f", 1000, 1999)
                target.do("checkdata", hex(base), length)
                target.do("close", 0)
                self.assert_counted(self.finish(tracer, target), "one_f", 3000, 1999)

    def test_between_two_traces(self):
        """One trace must not remember what another has seen."""
        one, two = (compile_plugin(self.folder / f"{name}.so", f"{name}_f") for name in ("one", "two"))
        target = self.load()
        bases = []
        for path, function, count in ((one, "one_f", 100), (two, "two_f", 200)):
            tracer = self.attach(target)
            target.use(0, path, function, count, 1999)
            records = tracer.stop()
            self.assert_nothing_lost(records)
            self.assert_counted(records, function, count, 1999)
            target.do("open", 0, one)
            bases.append(target.base(0))
            target.do("call", 0, "one_f", 300, 1999)  # which nobody traces
            target.do("close", 0)
        self.assertEqual(bases[0], bases[1])
        tracer = self.attach(target)
        target.use(0, one, "one_f", 400, 1999)
        self.assert_counted(self.finish(tracer, target), "one_f", 400, 1999)

    def test_another_library_at_the_address_of_a_dead_one(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                one, two = (compile_plugin(self.folder / f"{name}.so", f"{name}_f") for name in ("one", "two"))
                target = self.load()
                tracer = self.attach(target, "--probe-backend", backend)
                target.do("open", 0, one)
                base = target.base(0)
                target.do("call", 0, "one_f", 1000, 1999)
                target.do("close", 0)
                target.do("open", 0, two)
                self.assertEqual(target.base(0), base)
                target.do("call", 0, "two_f", 1000, 3000)
                target.do("call", 0, "two_f", 1, 17)
                target.do("close", 0)
                records = self.finish(tracer, target)
                self.assert_counted(records, "one_f", 1000, 1999)
                self.assertEqual(records.by_function("two_f")["alloc_bytes_total"], 3_000_017)
                self.assertEqual(records.by_function("two_f")["alloc_objects_total"], 1001)

    def test_a_rebuilt_library_with_the_old_inode_number(self):
        """As the linker does it: unlink and create. Once while tracing, once between two traces."""
        path = self.folder / "lib.so"
        spare = compile_plugin(self.folder / "spare.so", "two_f")
        compile_plugin(path, "one_f")
        number = path.stat().st_ino
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        target.do("call", 0, "one_f", 1000, 1999)
        target.do("close", 0)
        path.unlink()

        def is_rebuilt():
            # The number is free when nobody holds the old file any more.
            shutil.copyfile(spare, path)
            if path.stat().st_ino == number:
                return True
            path.unlink()
            return False

        self.assertTrue(eventually(is_rebuilt), "the inode number did not come back")
        target.do("open", 0, path)
        target.do("call", 0, "two_f", 1000, 3000)
        target.do("close", 0)
        records = tracer.stop()
        self.assert_nothing_lost(records)
        self.assert_counted(records, "one_f", 1000, 1999)
        self.assert_counted(records, "two_f", 1000, 3000)
        overwrite(path, compile_plugin(self.folder / "third.so", "six_f"))
        tracer = self.attach(target)
        target.use(0, path, "six_f", 500, 1999)
        records = self.finish(tracer, target)
        self.assert_counted(records, "six_f", 500, 1999)


if __name__ == "__main__":
    harness.main()
