# SPDX-License-Identifier: Apache-2.0
"""Profiles of a run in each format, read by the tools that they are for: what these count must be what the run counted,
number by number, and a recording must give the same bytes later.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import subprocess

import jsonschema

import harness
from harness import HANG, SCHEMA, TRACER, Case, Records, Target, Tracer, fixture, scene, scene_now
from machine import MachineTracer

SPEEDSCOPE_SCHEMA = pathlib.Path(__file__).resolve().parents[1] / "schemas" / "speedscope.json"
EXTENSIONS = ("pb.gz", "folded", "zst", "heaptrack", "heaptrack.gz", "speedscope.json", "dhat.json")
# As Go's heap profiles have them, in this order.
METRICS = {"alloc_objects": "alloc_objects_total", "alloc_space": "alloc_bytes_total", "inuse_objects": "live_objects",
           "inuse_space": "live_bytes"}


def run_tool(*command, **options):
    """What a tool prints; it must end well and complain of nothing."""
    run = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=HANG, check=False,
                         **options)
    assert (run.returncode, run.stderr) == (0, ""), f"{command}: {run.returncode} {run.stderr}"
    return run.stdout


def places_of(stack):
    """The functions at each address of a stack, innermost first: more than one where some were inlined."""
    place = []
    for frame in stack["frames"]:
        place.append(frame["func"])
        if not frame["inline"]:
            yield tuple(place)
            place = []


class Profiles:
    """What the tools say about the files of one run."""

    def __init__(self, folder):
        self.folder = folder

    def go_pprof(self, *options):
        # Its own messages go to standard error even when all is well.
        environment = dict(os.environ, PPROF_TMPDIR=str(self.folder), HOME=str(self.folder))
        run = subprocess.run(["go", "tool", "pprof", "-symbolize=none", *options, self.folder / "run.pb.gz"],
                             capture_output=True, text=True, timeout=HANG, check=True, env=environment)
        return run.stdout

    def pprof(self):
        """The sums over all samples, by the name of the metric, and the raw text."""
        raw = self.go_pprof("-raw")
        body = raw.split("Samples:\n")[1].split("Locations\n")[0].splitlines()
        names = [re.match(r"\w+", word)[0] for word in body[0].split()]
        sums = collections.Counter(dict.fromkeys(names, 0))
        for line in body[1:]:
            if match := re.match(r"((?:\s*\d+)+):", line):
                sums.update(dict(zip(names, map(int, match[1].split()))))
        return dict(sums), raw

    def heaptrack(self, name, cost):
        """The sum of one cost over all stacks: heaptrack's own flame graph has whole numbers, its text rounds."""
        out = self.folder / f"heaptrack.{cost}"
        run_tool("heaptrack_print", "--disable-builtin-suppressions", "-f", self.folder / name, "-p", 0, "-a", 0, "-T", 0,
                 "-l", 0, "-F", out, "--flamegraph-cost-type", cost)
        return sum(int(line.rsplit(" ", 1)[1]) for line in out.read_text().splitlines())

    def heaptrack_text(self, name):
        return run_tool("heaptrack_print", "--disable-builtin-suppressions", "-f", self.folder / name)

    def folded(self):
        sums = collections.Counter()
        for line in (self.folder / "run.folded").read_text(encoding="utf-8").splitlines():
            stack, value = re.fullmatch(r"(.*[^ ;]) (\d+)", line).groups()
            assert not re.search(r"[\x00-\x1f]|;;", stack), line
            sums[stack] += int(value)
        return sums

    def speedscope(self):
        file = json.loads((self.folder / "run.speedscope.json").read_text(encoding="utf-8"))
        jsonschema.Draft7Validator(json.loads(SPEEDSCOPE_SCHEMA.read_text())).validate(file)
        for profile in file["profiles"]:
            assert len(profile["samples"]) == len(profile["weights"])
            assert sum(profile["weights"]) == profile["endValue"]
            assert all(frame < len(file["shared"]["frames"]) for sample in profile["samples"] for frame in sample)
        return {profile["name"]: profile["endValue"] for profile in file["profiles"]}

    def dhat(self):
        """What valgrind's dh_view.js asks for, and the sums."""
        file = json.loads((self.folder / "run.dhat.json").read_text(encoding="utf-8"))
        assert (file["dhatFileVersion"], file["mode"], file["bklt"], file["bkacc"]) == (2, "heap", True, False)
        assert {"verb", "tu", "Mtu", "tuth", "cmd", "pid", "te", "tg"} <= file.keys()
        assert file["ftbl"][0] == "[root]" and len(set(file["ftbl"])) == len(file["ftbl"])
        stacks = [tuple(point["fs"]) for point in file["pps"]]
        assert len(set(stacks)) == len(stacks) and all(0 < f < len(file["ftbl"]) for stack in stacks for f in stack)
        for point in file["pps"]:
            assert {"tb", "tbk", "tl", "mb", "mbk", "gb", "gbk", "eb", "ebk", "fs"} == point.keys()
            assert point["eb"] <= point["mb"] <= point["tb"] and point["ebk"] <= point["mbk"] <= point["tbk"]
        totals = {"alloc_space": "tb", "alloc_objects": "tbk", "inuse_space": "eb", "inuse_objects": "ebk"}
        return {name: sum(point[key] for point in file["pps"]) for name, key in totals.items()}


class FormatsCase(Case):
    def outputs(self):
        names = ["run.ndjson", "run.txt", *(f"run.{extension}" for extension in EXTENSIONS)]
        return [word for name in names for word in ("-o", self.folder / name)]

    def records(self):
        return Records((self.folder / "run.ndjson").read_text(encoding="utf-8").splitlines())

    def check_same_bytes_later(self, *more):
        later = self.folder / "later"
        later.mkdir()
        names = [f"run.{extension}" for extension in (*EXTENSIONS, *more)]
        run_tool(TRACER, "report", self.folder / "run.ndjson",
                 *(word for name in names for word in ("-o", later / name)))
        for name in names:
            self.assertEqual((later / name).read_bytes(), (self.folder / name).read_bytes(), name)

    def check_totals(self, of):
        """`of`: the record that says what was counted in all."""
        expected = {metric: of[member] for metric, member in METRICS.items()}
        profiles = Profiles(self.folder)
        sums, raw = profiles.pprof()
        self.assertEqual(sums, expected)
        self.assertEqual(list(sums), list(METRICS))
        self.assertEqual(profiles.speedscope(), expected)
        self.assertEqual(profiles.dhat(), expected)
        self.assertEqual(sum(profiles.folded().values()), expected["inuse_space"])
        for name in ("run.zst", "run.heaptrack", "run.heaptrack.gz"):
            self.assertEqual(profiles.heaptrack(name, "allocations"), expected["alloc_objects"], name)
            self.assertEqual(profiles.heaptrack(name, "leaked"), expected["inuse_space"], name)
        for metric in METRICS:
            top = profiles.go_pprof("-top", "-unit=B" if "space" in metric else "-unit=count", f"-sample_index={metric}")
            shown = re.search(r"of (\d+)B? total", top)
            self.assertEqual(int(shown[1]) if shown else 0, expected[metric], top)
        return profiles, raw

    def check_records(self):
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        for record in self.records().all:
            validator.validate(record)
        run_tool("jq", "-ce", ".type", self.folder / "run.ndjson")


class ValidatorsTest(FormatsCase):
    def test_a_command_in_every_format(self):
        status, _, _ = self.run_command(self.outputs(), scene_now("leaks"))
        self.assertEqual(status, 0)
        summary = self.records().summary
        profiles, raw = self.check_totals(summary)
        self.assertGreater(summary["live_bytes"], 100_000)
        self.check_records()
        self.check_same_bytes_later("txt")
        stack, = [stack for stack in profiles.folded() if "leak_alpha" in stack]
        self.assertRegex(stack, r"^(?:[^;]+;)*main;[^;]*leaks\(\);[^;]*leak_alpha\(\);[^;]*take\(unsigned long\)$")
        self.assertEqual(profiles.folded()[stack], 100_000)
        # All blocks that were freed are of one size: the peak can be met.
        self.assertEqual(profiles.heaptrack("run.zst", "peak"), summary["peak_bytes"])
        self.assertRegex(profiles.heaptrack_text("run.zst"), r"calls to allocation functions: 1111 ")
        build_id = re.search(r"Build ID: (\w+)", run_tool("readelf", "-n", fixture("scenes")))[1]
        self.assertIn(f"{fixture('scenes')} {build_id} [FN][FL][LN][IN]", raw)
        self.assertRegex(raw, r"1: 0x0/0xffffffffffffffff/0x0 \S+/scenes ")
        self.assertIn("Period: 1\n", raw)
        self.assertRegex(profiles.go_pprof("-traces"), r"(?s)comm: +scenes.*leak_alpha")

    def test_inlined_frames_are_all_there_and_innermost_first(self):
        target = Target(self, [fixture("frames")])
        tracer = Tracer(self, *self.outputs(), "-p", target.pid).wait_recording()
        target.work()
        self.assertEqual(target.finish(), 0)
        self.assertEqual(tracer.wait(), 0, tracer.err.seen)
        _, raw = self.check_totals(self.records().summary)
        known = {tuple(re.match(r" *(?:0x\w+ (?:M=\d+ )?)?(.*) \S*:\d+ s=\d+", line)[1] for line in place.splitlines())
                 for place in re.split(r"^ *\d+: ", raw.split("Locations\n")[1].split("Mappings\n")[0], flags=re.M)[1:]}
        inlined = 0
        for stack in self.records().of("stack"):
            for functions in places_of(stack):
                inlined += len(functions) > 1
                if len(functions) > 1:
                    self.assertIn(functions, known)
        self.assertGreater(inlined, 0)
        self.check_same_bytes_later("txt")

    def test_a_process_that_is_attached_to(self):
        target = Target(self, scene("leaks"))
        tracer = Tracer(self, *self.outputs(), "-i", "1h", "-p", target.pid).wait_recording()
        truth = target.work()
        tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        summary = self.records().summary
        self.assert_totals(truth, summary)
        self.check_totals(summary)
        self.check_same_bytes_later("txt")
        self.assertIn("\nA\n", (self.folder / "run.heaptrack").read_text())

    def test_several_processes_are_told_apart(self):
        commands = [" ".join(scene_now(name)) for name in ("leaks", "grow")]
        status, _, _ = self.run_command(self.outputs(), ["/bin/sh", "-c", "; ".join(commands)])
        self.assertEqual(status, 0)
        profiles, raw = self.check_totals(self.records().summary)
        self.check_same_bytes_later("txt")
        snapshots = [record for record in self.records().last_snapshots if record["live_bytes"]]
        self.assertGreaterEqual(len(snapshots), 3)
        for snapshot in snapshots:
            root = f"{snapshot['comm']}-{snapshot['pid']};"
            held = sum(value for stack, value in profiles.folded().items() if stack.startswith(root))
            self.assertEqual(held, snapshot["live_bytes"], root)
            self.assertRegex(raw, rf"pid:\[{snapshot['pid']}\]")

    def test_estimates_are_what_the_run_estimates(self):
        status, _, _ = self.run_command([*self.outputs(), "-s", "4k"], scene_now("leaks"))
        self.assertEqual(status, 0)
        summary = self.records().summary
        self.assertTrue(summary["estimated"])
        _, raw = self.check_totals(summary)
        self.assertIn("Period: 4096\n", raw)
        self.assertIn("[sampled 4.0 KiB]", (self.folder / "run.heaptrack").read_text())
        self.check_same_bytes_later("txt")
        self.check_records()

    def test_top_and_filters_make_the_same_profiles_later(self):
        for options in (["-T", "1"], ["-I", "leak_alpha"], ["-X", "leak_alpha"]):
            with self.subTest(options=options):
                out = self.folder / "filtered"
                out.mkdir()
                run_tool(TRACER, "-q", *options, "-o", out / "run.ndjson", "-o", out / "run.folded", "--",
                         *scene_now("leaks"))
                run_tool(TRACER, "report", out / "run.ndjson", "-o", out / "later.folded")
                self.assertEqual((out / "run.folded").read_text(), (out / "later.folded").read_text())
                for file in out.iterdir():
                    file.unlink()
                out.rmdir()

    def test_the_whole_machine(self):
        targets = [Target(self, scene("leaks")) for _ in range(2)]
        ended = Target(self, scene("leaks"))
        tracer = MachineTracer(self, *self.outputs(), "-a", "--comm", "scenes", "-i", "1h").wait_recording()
        for target in targets:
            target.work()
        ended.work()
        self.assertEqual(ended.finish(), 0)
        tracer.interrupt()
        self.assertEqual(tracer.wait(), 0, tracer.err.seen)
        machine = self.records().of("machine")[-1]
        profiles, raw = self.check_totals(machine)
        self.assertIn("[processes that have ended]", raw)
        self.check_records()
        self.check_same_bytes_later("txt")
        for target in targets:
            self.assertTrue(any(stack.startswith(f"scenes-{target.pid};") for stack in profiles.folded()))


class FilesTest(FormatsCase):
    def test_a_file_for_each_snapshot_where_the_name_has_a_number(self):
        target = Target(self, scene("leaks"))
        tracer = Tracer(self, "-o", self.folder / "run-%p-%n.folded", "-o", self.folder / "last.folded", "-i", "300ms",
                        "-n", "3", "-p", target.pid).wait_recording()
        target.work()
        self.assertEqual(tracer.wait(), 0, tracer.err.seen)
        numbered = sorted(path.name for path in self.folder.glob("run-*.folded"))
        self.assertEqual(numbered, [f"run-{target.pid}-{number}.folded" for number in range(1, len(numbered) + 1)])
        self.assertGreaterEqual(len(numbered), 3)
        self.assertEqual((self.folder / numbered[-1]).read_text(), (self.folder / "last.folded").read_text())
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), sorted([*numbered, "last.folded"]))

    def test_a_name_that_tells_no_format_is_refused_with_the_ones_that_do(self):
        for name in ("heap.profile", "x", "run.%n.ndjson", "%q.folded", "%p/run.folded"):
            with self.subTest(name=name):
                run = subprocess.run([TRACER, "-o", self.folder / name, "-p", "1"], capture_output=True, text=True,
                                     timeout=HANG, check=False)
                self.assertEqual(run.returncode, 2, run.stderr)
                self.assert_one_error(run.stderr.splitlines())

    def test_one_metric_per_folded_file(self):
        for metric, member in METRICS.items():
            with self.subTest(metric=metric):
                status, _, _ = self.run_command(["-o", self.folder / "run.folded", "--metric", metric],
                                                scene_now("leaks"))
                self.assertEqual(status, 0)
                self.assertEqual(sum(Profiles(self.folder).folded().values()), self.records().summary[member])


class RecordingsTest(FormatsCase):
    def record(self, name, *command):
        run_tool(TRACER, "-q", "-o", self.folder / name, "--", *command)
        return self.folder / name

    def report(self, *arguments):
        return subprocess.run([TRACER, *map(str, arguments)], capture_output=True, text=True, timeout=HANG, check=False)

    def test_what_is_whole_of_a_damaged_recording_is_kept(self):
        whole = self.record("run.ndjson", *scene_now("leaks")).read_bytes()
        cut = self.folder / "cut.ndjson"
        cut.write_bytes(whole[:-40])
        run = self.report("report", cut, "-f", "folded")
        self.assertEqual(run.returncode, 1)
        line = whole.count(b"\n")
        self.assert_one_error(run.stderr.splitlines(), rf"cut\.ndjson:{line}: ", "cut off")
        self.assertIn("leak_alpha", run.stdout)

    def test_nobody_needs_privileges_to_read_one(self):
        recording = self.record("run.ndjson", *scene_now("leaks"))
        program = shutil.copy(TRACER, self.folder / "tracer")
        os.chmod(self.folder, 0o755)
        with recording.open("rb") as file:
            shown = run_tool(program, "report", "-", "-f", "folded", stdin=file, user=65534, group=65534,
                             extra_groups=[])
        self.assertEqual(shown, self.report("report", recording, "-f", "folded").stdout)
        self.assertIn("leak_alpha", shown)

    def test_two_runs_are_compared_stack_by_stack(self):
        before = self.record("before.ndjson", *scene_now("grow"))
        after = self.record("after.ndjson", *scene_now("leaks"))
        run = self.report("diff", before, after, "-f", "ndjson")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        head, *changes = map(json.loads, run.stdout.splitlines())
        validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
        for record in (head, *changes):
            validator.validate(record)
        kinds = {change["frames"][-2]["func"].split("::")[-1]: change["change"] for change in changes}
        self.assertEqual(kinds, {"leaks()": "new", "grow()": "gone"})
        growth = [change["growth_bytes"] for change in changes]
        self.assertEqual(growth, sorted(growth, reverse=True))
        self.assertEqual(sum(growth), head["after"]["live_bytes"] - head["before"]["live_bytes"])
        table = self.report("diff", before, after)
        self.assertEqual((table.returncode, table.stderr), (0, ""))
        self.assertRegex(table.stdout, r"2 new, 0 grown, 0 shrunk, 1 gone")

    def test_known_leaks_are_left_out_and_counted(self):
        suppressions = self.folder / "known.supp"
        suppressions.write_text("# ours\nleak:leak_alpha\nleak:libstdc++\n")
        status, records, _ = self.run_command(["--suppressions", suppressions, "--leak-exitcode", "7", "--older", "0"],
                                              scene_now("leaks"))
        self.assertEqual(status, 7, "leak_beta is left")
        self.assertEqual((records.leaks_of("leak_alpha"), len(records.leaks_of("leak_beta"))), ([], 1))
        self.assertEqual((records.summary["leaks"], records.summary["suppressed_leaks"]), (1, 2))
        self.assertEqual(records.summary["suppressed_bytes"], 100_000 + 72_704)
        suppressions.write_text("leak:scenes$\nleak:libstdc++\n")
        status, records, _ = self.run_command(["--suppressions", suppressions, "--leak-exitcode", "7", "--older", "0"],
                                              scene_now("leaks"))
        self.assertEqual((status, records.summary["leaks"]), (0, 0))
        suppressions.write_text("leak:a\nrace:b\n")
        run = self.report("--suppressions", suppressions, "-p", "1")
        self.assertEqual(run.returncode, 2)
        self.assert_one_error(run.stderr.splitlines(), r"known\.supp:2: ")


if __name__ == "__main__":
    harness.main()
