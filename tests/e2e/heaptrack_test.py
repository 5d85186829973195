# SPDX-License-Identifier: Apache-2.0
"""The same programs under heaptrack, which preloads a library into them and sees every call, and under the tracer.

What differs is constant and explained: heaptrack's own library brings libstdc++ and its emergency pool of 72,704 bytes into
a C program, one call more. No work may add to that.
"""

import os
import re
import subprocess

import harness
from harness import HANG, Case, scene_now

# Equal for both, so that a program's own start is the same.
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PERL_HASH_SEED": "0", "LC_ALL": "C"}


class HeaptrackTest(Case):
    def heaptrack(self, command):
        """Calls to allocation functions."""
        run = subprocess.run(["heaptrack", "-o", self.folder / "data", *command], env=ENVIRONMENT, capture_output=True,
                             timeout=HANG, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        data, = self.folder.glob("data*")
        printed = subprocess.run(["heaptrack_print", "--disable-builtin-suppressions", "-f", data], capture_output=True,
                                 timeout=HANG, check=True, text=True).stdout
        data.unlink()
        return int(re.search(r"^calls to allocation functions: (\d+)", printed, re.M).group(1))

    def traced(self, command):
        status, records, _ = self.run_command(["--no-follow"], command, env=ENVIRONMENT)
        self.assertEqual(status, 0)
        self.assert_nothing_lost(records)
        return records.summary["alloc_objects_total"]

    def compare(self, name, command):
        calls = self.heaptrack(command), self.traced(command)
        print(f"\n{name}: heaptrack {calls[0]}, tracer {calls[1]} calls", flush=True)
        return calls

    def test_a_cplusplus_program_makes_the_same_number_of_calls(self):
        self.assertEqual(self.compare("nothing", scene_now("nothing")), (1, 1))
        self.assertEqual(self.compare("leaks", scene_now("leaks")), (1111, 1111))
        self.assertEqual(self.compare("aliases", scene_now("aliases")), (1101, 1101))
        self.assertEqual(self.compare("grow", scene_now("grow")), (41, 41))

    def test_perl_makes_the_same_number_of_calls_but_for_a_constant(self):
        idle = self.compare("perl, idle", ["perl", "-e", "1"])
        busy = self.compare("perl, busy", ["perl", "-e", "my %h; $h{$_} = 'x' x $_ for 1..3000; $h{$_} .= 'y' for 1..3000"])
        self.assertGreater(busy[1], idle[1] + 5000)
        self.assertEqual((idle[0] - idle[1], busy[0] - busy[1]), (1, 1))


if __name__ == "__main__":
    harness.main()
