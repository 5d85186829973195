# SPDX-License-Identifier: Apache-2.0
"""Blocks that are given back as they must not be: --events misuse."""

import unittest

import harness


class MisuseTest(harness.Case):
    def trace(self, name, *arguments):
        """The records of a fixture's run until it ends by itself."""
        target = harness.Target(self, [harness.fixture(name), *arguments])
        tracer = self.attach(target, "--events", "misuse")
        target.go()
        return target, tracer

    def anomalies(self, records):
        """By the function that freed: kind, how often, by what allocated and freed, and the function that allocated."""
        found = {}
        for record in records.of("anomaly"):
            freed, allocated = records.functions(record["stack_id"]), records.functions(record["alloc_stack_id"])
            name = next(function for function in freed if not function.startswith(("free", "operator")) or "_" in function)
            self.assertNotIn(name, found)
            found[name] = (record["kind"], record["total"], record.get("allocated_by"), record.get("freed_by"),
                           next(function for function in allocated if function.startswith("by_")))
        return found

    def test_wrong_pairs_are_told_with_both_stacks_and_right_ones_are_not(self):
        target, tracer = self.trace("misuse")
        truth = target.truth()
        records = tracer.stop()
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        self.assertEqual(self.anomalies(records), {
            "delete_malloced": ("mismatched_free", truth["delete_malloced"], "malloc", "new", "by_malloc"),
            "free_new": ("mismatched_free", truth["free_new"], "new", "malloc", "by_new"),
            "delete_array_as_one": ("mismatched_free", truth["delete_array_as_one"], "new[]", "new", "by_new_array"),
        })

    def test_a_second_free_is_told_though_it_ends_the_program(self):
        target, tracer = self.trace("misuse_fatal", "twice")
        self.assertEqual(target.wait(), -6)
        records = tracer.finish()
        found = self.anomalies(records)
        self.assertEqual(found, {"free_twice": ("double_free", 1, None, None, "by_malloc")})
        self.assertIn("free_once", records.functions(records.of("anomaly")[0]["first_free_stack_id"]))

    def test_a_free_inside_of_a_block_is_told(self):
        target, tracer = self.trace("misuse_fatal", "inside")
        self.assertEqual(target.wait(), -6)
        records = tracer.finish()
        self.assertEqual(self.anomalies(records), {"free_inside": ("interior_free", 1, None, None, "by_malloc")})
        self.assertEqual((records.of("anomaly")[0]["offset"], records.of("anomaly")[0]["size"]), (32, 100))

    def test_programs_that_are_right_give_no_alarm(self):
        for command in (["/usr/bin/cmake", "--version"], ["/usr/bin/g++", "-xc++", "-fsyntax-only", "/dev/null"],
                        harness.scene_now("forks", 2), ["/usr/bin/python3", "-c", "import json"]):
            status, records, _ = self.run_command(["--events", "misuse"], command)
            self.assertEqual(status, 0, command)
            self.assertEqual(records.of("anomaly"), [], command)

    def test_a_program_that_is_attached_to_gives_no_alarm_for_what_was_before(self):
        target = harness.Target(self, harness.scene("leaks"))
        tracer = self.attach(target, "--events", "misuse")
        target.work()
        self.assertEqual(target.finish(), 0)
        self.assertEqual(tracer.finish().of("anomaly"), [])

    def test_the_table_shows_them(self):
        target = harness.Target(self, [harness.fixture("misuse")])
        tracer = self.attach(target, "--events", "misuse", "-f", "table")
        target.work()
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 0)
        text = "\n".join(tracer.out.all())
        self.assertEqual(target.finish(), 0)
        self.assertRegex(text, r"Misuse in pid \d+ misuse   3 kinds of it")
        self.assertRegex(text, r"a block of 100 B of malloc or its like is freed by operator delete   3 times")
        self.assertRegex(text, r"freed by\n(.*\n)+? +#\d+ .*free_new.*\n(.*\n)+? +allocated by\n(.*\n)+? +#\d+ .*by_new")

    def test_it_needs_every_block(self):
        tracer = harness.Tracer(self, "--events", "misuse", "--sample", "512k", "-p", 1)
        self.assertEqual(tracer.wait(), 2)
        self.assert_one_error(tracer.err.all(), "--events misuse needs every block")


if __name__ == "__main__":
    unittest.main()
