# SPDX-License-Identifier: Apache-2.0
"""Memory that no allocator hands out: --events mmap and fault."""

import json
import pathlib
import re
import unittest

import jsonschema

import harness


def rss_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class MemoryTest(harness.Case):
    def trace(self, *options):
        target = harness.Target(self, [harness.fixture("mapped")])
        tracer = self.attach(target, *options)
        before = rss_bytes(target.pid)
        truth = target.work()
        truth["rss_growth"] = rss_bytes(target.pid) - before
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        check = jsonschema.Draft202012Validator(json.loads(harness.SCHEMA.read_text(encoding="utf-8")))
        for record in records.of("snapshot"):
            check.validate(record)
        return truth, records

    @staticmethod
    def sums(records, array, member):
        """Bytes by each of the functions that a stack goes through."""
        found = {}
        for site in records.last_snapshots[0][array]:
            for name in set(records.functions(site["stack_id"])):
                found[name] = found.get(name, 0) + site[member]
        return found

    def test_mapped_bytes_are_those_that_are_left_and_belong_to_who_mapped_them(self):
        truth, records = self.trace("--events", "mmap")
        mapped = self.sums(records, "top_mapped", "mapped_bytes")
        for name in ("map_kept", "map_cut", "map_over", "map_moved", "map_reserved", "map_released", "grow_break"):
            self.assertEqual(mapped.get(name, 0), truth[name], name)
        for site in records.last_snapshots[0]["top_mapped"]:
            self.assertTrue(records.stacks[site["stack_id"]]["complete"], records.stacks[site["stack_id"]])

    def test_what_allocators_map_is_theirs_and_what_they_hold_back_is_a_number(self):
        truth, records = self.trace("--events", "mmap")
        last = records.last_snapshots[0]
        self.assertNotIn("allocate_much", self.sums(records, "top_mapped", "mapped_bytes"))
        # The large block lies in a mapping of its own, the small one in a new arena.
        self.assertGreater(last["allocator_mapped_bytes"], truth["large"])
        self.assertGreater(last["allocator_mapped_bytes"], last["live_bytes"])

    def test_first_touches_are_counted_by_stack_and_explain_the_growth_of_rss(self):
        truth, records = self.trace("--events", "fault")
        touched = self.sums(records, "top_touched", "touched_bytes")
        self.assertEqual(touched["touch_pages"], truth["touched_pages"] * 4096)
        total = records.last_snapshots[0]["touched_bytes"]
        self.assertEqual(total, sum(site["touched_bytes"] for site in records.last_snapshots[0]["top_touched"]))
        # Pages of files come in several at once, and the kernel counts in batches of 64 pages per processor.
        self.assertAlmostEqual(total, truth["rss_growth"], delta=1 << 20)

    def test_a_command_is_followed_from_its_first_instruction(self):
        out = self.folder / "run.ndjson"
        tracer = harness.Tracer(self, "--events", "mmap,fault", "-T", "0", "-o", out, "--", harness.fixture("mapped"))
        tracer.send_line()
        tracer.send_line()
        self.assertEqual(tracer.wait(), 0)
        records = harness.Records(out.read_text(encoding="utf-8").splitlines())
        self.assertEqual(self.sums(records, "top_mapped", "mapped_bytes")["map_kept"], 8 << 20)
        # The dynamic linker's own.
        self.assertIn("_start", self.sums(records, "top_touched", "touched_bytes"))

    def test_the_table_says_how_live_mapped_and_resident_bytes_differ(self):
        target = harness.Target(self, [harness.fixture("mapped")])
        tracer = self.attach(target, "--events", "mmap", "--events", "fault", "-f", "table")
        target.work()
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 0)
        text = "\n".join(tracer.out.all())
        self.assertEqual(target.finish(), 0)
        self.assertRegex(text, r"mapped without an allocator")
        self.assertRegex(text, r"8\.0 MiB +\S+% by mmap \(libc\.so\.6\)\n +#1 .*\n +#2 .*map_kept")
        self.assertRegex(text, r"3\.9 MiB +\S+%\n +#1 .*touch_pages")
        # With the thread's stack of 8 MiB.
        self.assertRegex(text, r"mapped +25\.0 MiB by the program itself, \S+ MiB by allocators")
        self.assertRegex(text, r"held back +\S+ \S+ by allocators")
        self.assertRegex(text, r"resident +\S+ MiB \(RSS\)")

    def test_nothing_of_it_is_there_unless_asked_for(self):
        _, records = self.trace()
        for member in ("mapped_bytes", "touched_bytes", "top_mapped", "top_touched"):
            self.assertNotIn(member, records.last_snapshots[0])

    def test_an_unknown_kind_is_refused(self):
        tracer = harness.Tracer(self, "--events", "mmap,swap", "-p", 1)
        self.assertEqual(tracer.wait(), 2)
        self.assert_one_error(tracer.err.all(), "--events 'swap': must be mmap, fault or misuse")


if __name__ == "__main__":
    unittest.main()
