# SPDX-License-Identifier: Apache-2.0
"""Names of generated code, and what is said where there are none."""

import subprocess

import harness
from harness import Case, Target, fixture


class NamesTest(Case):
    def test_generated_code_has_the_names_of_its_perf_map(self):
        target = Target(self, [fixture("jit")])
        tracer = self.attach(target, "--older", "0")
        target.work()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        leak, = [leak for leak in records.of("leak") if leak["bytes"] == 10 * 1234]
        frames = [frame["func"] for frame in records.stacks[leak["stack_id"]]["frames"]]
        self.assertEqual(frames[:4], ["malloc", "LazyCompile:*generated /app/server.js:12", "run", "main"])
        self.assertNotIn("module", records.stacks[leak["stack_id"]]["frames"][1])

    def test_a_stripped_program_is_told_once_with_a_reason_and_a_hint(self):
        program = self.folder / "stripped"
        subprocess.run(["strip", "-o", program, fixture("jit")], check=True)
        target = Target(self, [str(program)])
        table = self.folder / "run.txt"
        tracer = self.attach(target, "--older", "0", "-o", "-", "-o", table)
        target.work()
        records = tracer.stop()
        self.assertEqual(target.finish(), 0)
        note, = [note for note in records.of("diagnostic", code="names_missing") if str(program) in note["message"]]
        self.assertRegex(note["message"], r"stripped: \d+ address(es)? without a name: no symbol covers them, and there "
                                          r"is no debug file: ")
        self.assertRegex(note["hint"], "--debuginfod")
        text = table.read_text(encoding="utf-8")
        self.assertEqual(text.count("without a name"), 1)
        self.assertRegex(text, r"\[stripped\+0x[0-9a-f]+\]")


if __name__ == "__main__":
    harness.main()
