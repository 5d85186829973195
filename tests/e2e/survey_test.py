# SPDX-License-Identifier: Apache-2.0
"""Stacks of real programs are whole: scripts/survey in short."""

import pathlib
import subprocess
import sys

import harness
from harness import Case

SURVEY = pathlib.Path(__file__).resolve().parents[2] / "scripts/survey"


class SurveyTest(Case):
    def test_stacks_of_real_programs_are_whole(self):
        survey = subprocess.run([sys.executable, "-B", SURVEY, "--tracer", harness.TRACER, "--delay", "3", "--seconds", "2",
                                 "g++", "python3", "perl", "redis-server"],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=harness.HANG * 4,
                                check=False)
        self.assertEqual(survey.returncode, 0, survey.stdout)
        counts = [int(line.split()[1].replace(",", "")) for line in survey.stdout.splitlines()[1:]]
        self.assertEqual(len(counts), 4, survey.stdout)
        self.assertGreater(min(counts), 1000, survey.stdout)


if __name__ == "__main__":
    harness.main()
