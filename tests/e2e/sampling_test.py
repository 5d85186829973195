# SPDX-License-Identifier: Apache-2.0
"""Sampling: estimates are right in the mean and off by as much as they say; what is freed leaves nothing behind.

The samples differ from run to run. Bounds of single figures are four standard errors, and volumes are such that two
percent are as much, so that a test fails by chance once in a thousand runs or less.
"""

import collections
import json
import math
import re
import statistics

import harness
from harness import Case, Target, Tracer, fixture

RUNS = 50
BOUND = 4
LONG = 400  # seconds; of millions of calls on a machine with other things to do
KEYS = ("alloc_bytes_total", "alloc_objects_total", "live_bytes", "live_objects")


def variance(size, count, distance):
    """Of the estimated bytes of `count` blocks: each is in with probability p and stands for 1 / p."""
    if size >= distance:
        return 0
    p = -math.expm1(-size / distance)
    return count * size * size * (1 - p) / p


class Site:
    """What one run of the fixture does at a site, and the figures of it from every run."""

    def __init__(self, size, bytes_kept, distance):
        self.size = size
        self.kept = (bytes_kept + size - 1) // size
        self.allocated = self.kept + (self.kept + 1) // 2
        self.distance = distance
        self.runs = [collections.Counter(error_square=0, **dict.fromkeys(KEYS, 0)) for _ in range(RUNS)]

    def add(self, run, top):
        self.runs[run].update({key: top[key] for key in KEYS})
        self.runs[run]["error_square"] += top["error_bytes"] ** 2

    def values(self, key):
        return [run[key] for run in self.runs]


class SamplingTest(Case):
    def trace_sites(self, distance, bytes_kept, sizes):
        """The sites by size."""
        target = Target(self, [fixture("sampled"), "sites", str(RUNS), str(bytes_kept), *map(str, sizes)])
        tracer = self.attach(target, "-s", distance)
        target.go()
        target.out.next(LONG)
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        self.assertEqual(records.of("header")[0]["config"]["sample_bytes"], distance)
        sites = {size: Site(size, bytes_kept, distance) for size in sizes}
        snapshot, = records.last_snapshots
        for top in snapshot["top"]:
            functions = records.functions(top["stack_id"])
            if "descend" not in functions:
                continue
            name, = [name for name in functions if name.startswith("site_")]
            sites[int(name[5:])].add(functions.count("descend") - 1, top)
        return sites

    def assert_unbiased(self, site):
        true_bytes, true_live = site.size * site.allocated, site.size * site.kept
        error = math.sqrt(variance(site.size, site.allocated, site.distance) / RUNS)
        self.assertLess(BOUND * error, 0.02 * true_bytes, "two percent must be worth a test")
        for key, truth in (("alloc_bytes_total", true_bytes), ("alloc_objects_total", site.allocated)):
            self.assertAlmostEqual(statistics.mean(site.values(key)) / truth, 1, delta=0.02, msg=key)
        live_error = math.sqrt(variance(site.size, site.kept, site.distance) / RUNS)
        self.assertAlmostEqual(statistics.mean(site.values("live_bytes")), true_live,
                               delta=BOUND * live_error + true_live * 0.0005)

    def assert_spread_as_predicted(self, site):
        """Of 50 values the standard deviation is within a third of the right one, but for one time in a thousand."""
        if site.size >= site.distance:
            self.assertEqual(set(site.values("live_bytes")), {site.size * site.kept}, "counted exactly")
            self.assertEqual(set(site.values("error_square")), {0})
            return
        for key, count in (("live_bytes", site.kept), ("alloc_bytes_total", site.allocated)):
            predicted = math.sqrt(variance(site.size, count, site.distance))
            self.assertTrue(0.6 < statistics.stdev(site.values(key)) / predicted < 1.5, (key, predicted, site.values(key)))
        said = statistics.mean(site.values("error_square"))
        self.assertAlmostEqual(said / variance(site.size, site.kept, site.distance), 1, delta=0.1)

    def check_sites(self, distance, bytes_kept, sizes):
        for size, site in self.trace_sites(distance, bytes_kept, sizes).items():
            with self.subTest(distance=distance, size=size):
                self.assert_unbiased(site)
                self.assert_spread_as_predicted(site)

    def test_small_blocks_are_estimated_without_bias(self):
        self.check_sites(1024, 560_000, [16, 100])

    def test_middling_and_large_blocks_are_estimated_without_bias(self):
        self.check_sites(16384, 9_000_000, [1000, 10_000, 1_048_576])

    def test_blocks_close_to_the_distance_are_estimated_without_bias(self):
        self.check_sites(65536, 30_000_000, [50_000, 1_048_576])

    def test_a_churn_of_ten_million_allocations_holds_thousands_of_entries(self):
        calls, kept, distance = 10_000_000, 2_000_000, 512 << 10
        target = Target(self, [fixture("sampled"), "churn", str(calls), str(kept), "2"])
        tracer = self.attach(target, "-s", "512k", "-v")
        target.go()
        truth = json.loads(target.out.next(LONG))
        self.assertEqual(truth["alloc_objects_total"], calls)
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assert_nothing_lost(records)
        counted, = [re.search(r"([\d,]+) blocks in the table", line) for line in tracer.err.seen
                    if "blocks in the table" in line]
        entries = int(counted[1].replace(",", ""))
        # One entry per sample, that is per 512 KiB of what is live.
        samples = truth["live_bytes"] / distance
        self.assertAlmostEqual(entries, samples, delta=6 * math.sqrt(samples))
        self.assertLess(entries, 10_000)
        summary = records.summary
        self.assertIs(summary["estimated"], True)
        self.assertIsNone(summary["free_unknown_total"])
        for key in ("alloc_bytes_total", "free_bytes_total", "live_bytes"):
            self.assertAlmostEqual(summary[key], truth[key], delta=BOUND * math.sqrt(truth[key] * distance), msg=key)
        for key in ("alloc_objects_total", "free_objects_total", "live_objects"):
            # Small blocks stand for more: the mean of 1/size is what counts, of sizes from 16 to 239.
            error = math.sqrt(truth[key] * distance * math.log(240 / 16) / 224)
            self.assertAlmostEqual(summary[key], truth[key], delta=BOUND * error, msg=key)
        target.go()
        self.assertEqual(target.finish(LONG), 0)

    def test_what_is_freed_leaves_nothing_behind(self):
        target = Target(self, [fixture("sampled"), "churn", "200000", "1000", "4"])
        tracer = self.attach(target, "-s", "4k")
        truth = target.work()
        target.go()
        target.out.next()
        records = tracer.stop()
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        snapshot, = records.last_snapshots
        # The rest is the C library's own, which keeps what its threads need for the next ones.
        sites = [site for site in snapshot["top"] if "run" in records.functions(site["stack_id"])]
        self.assertAlmostEqual(sum(site["alloc_bytes_total"] for site in sites), truth["alloc_bytes_total"],
                               delta=BOUND * math.sqrt(truth["alloc_bytes_total"] * 4096))
        for key in ("live_bytes", "live_objects", "error_bytes"):
            self.assertEqual({site[key] for site in sites}, {0}, key)

    def test_children_of_a_command_are_sampled_too(self):
        plain = [fixture("sampled"), "sites", "1", "3000000", "100"]
        status, records, _ = self.run_command(["-s", "16k"], ["sh", "-c", f"yes | {' '.join(plain)} >/dev/null; :"])
        self.assertEqual(status, 0)
        snapshot = max(records.last_snapshots, key=lambda one: one["alloc_bytes_total"])
        self.assertIs(snapshot["estimated"], True)
        self.assertAlmostEqual(records.by_function("site_100")["live_bytes"], 3_000_000,
                               delta=BOUND * math.sqrt(3_000_000 * 16384))

    def test_the_table_marks_estimates_and_says_what_they_are(self):
        target = Target(self, [fixture("sampled"), "sites", "1", "3000000", "100"])
        tracer = self.attach(target, "-f", "table", "--older", "0", "-s", "16k")
        target.work()
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 0)
        self.assertEqual(target.finish(), 0)
        text = "\n".join(tracer.out.all())
        self.assertRegex(text, r"1\. +~[\d.]+ [KM]iB ±\d+(\.\d)?% in ~[\d,]+ blocks")
        self.assertIn("Figures with ~ are estimated from a sample of one in 16.0 KiB (--sample)", text)

    def test_a_distance_out_of_bounds_is_refused_with_a_hint(self):
        for size in ("1023", "2g", "-1"):
            tracer = Tracer(self, "-s", size, "-p", "1")
            self.assertEqual(tracer.wait(), 2)
            self.assert_one_error(tracer.err.all(), pattern="--sample", hint=".")


if __name__ == "__main__":
    harness.main()
