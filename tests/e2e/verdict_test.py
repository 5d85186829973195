# SPDX-License-Identifier: Apache-2.0
"""Leaks are told from warm-ups, caches, batches and bursts, and come first."""

import harness
from harness import Case, Target, fixture

SECONDS = 10
# What each site of the fixture may be called. A cache that is full and replaces entries at random stays so full.
EXPECTED = {
    "leaks": {"growing"},
    "warms_up": {"stopped"},
    "cache_fills": {"stopped"},
    "cache_slows": {"slowing", "unclear", "stopped"},
    "cache_replaces": {"recycled"},
    "log_saws": {"level", "unclear"},
    "batch_runs": {"level", "unclear"},
    "burst_stays": {"stopped"},
    # Of many sites one may seem to grow by chance; it still is none that leaks.
    "serves": {"level", "unclear", "stopped", "recycled"},
}


class VerdictTest(Case):
    def site_of(self, records, leak):
        # The name of an instance of a template has its return type in front.
        caller = records.functions(leak["stack_id"])[1].split()[-1]
        self.assertIn(caller, EXPECTED)
        return caller

    def test_the_one_site_of_a_hundred_that_leaks_comes_first(self):
        target = Target(self, [fixture("service"), str(SECONDS)])
        table = self.folder / "run.txt"
        tracer = self.attach(target, "-o", "-", "-o", table, "--older", "0")
        target.go()
        truth = target.truth()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)

        leaks = records.of("leak")
        names = [self.site_of(records, leak) for leak in leaks]
        self.assertEqual(names[0], "leaks", list(zip(names, [leak["verdict"] for leak in leaks])))
        for name, leak in zip(names, leaks):
            self.assertIn(leak["verdict"], EXPECTED[name], (name, leak))
        self.assertEqual(set(names), set(EXPECTED) - {"log_saws", "batch_runs"} | set(names))

        leak = leaks[0]
        self.assertEqual(leak["bytes"], truth["leaked_bytes"])
        rate = truth["leaked_bytes"] / SECONDS
        self.assertAlmostEqual(leak["growth_bytes_per_s"], rate, delta=0.1 * rate)
        self.assertLess(leak["growth_error_bytes_per_s"], 0.1 * rate)
        self.assertAlmostEqual(leak["freed_share"], 0.999, places=3)
        self.assertAlmostEqual(leak["observed_ns"] / 1e9, SECONDS, delta=2)
        # It has leaked evenly: of what is live a quarter is older than three quarters of the time.
        for quarter, stayed in enumerate(leak["stayed_bytes"], 1):
            self.assertAlmostEqual(stayed / leak["bytes"], 1 - quarter / 4, delta=0.15)

        text = table.read_text(encoding="utf-8")
        last = text[text.index("Still allocated"):]
        self.assertRegex(last, r"\n   1\..*\n      growing [\d.]+ (B|KiB)/s ±[\d.]+%   freed 99\.9\d%.*\n      #1 leaks ")
        self.assertRegex(last, r"stopped growing \d+\.\d s ago   freed 0%\n      #1 warms_up ")
        self.assertEqual(last.count("      growing ") - last.count("more slowly") - last.count("old blocks are freed"), 1)


if __name__ == "__main__":
    harness.main()
