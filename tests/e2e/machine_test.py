# SPDX-License-Identifier: Apache-2.0
"""tracer --all: who is counted, how exactly, and what filters leave out."""

import os
import shutil
import subprocess

import harness
from harness import HANG, Target, eventually, fixture, scene, scene_now, site
from machine import MANY, Cgroup, MachineCase

LEAKS = {"leak_alpha": site(100, 1000), "leak_beta": site(10, 4096), "no_leak": site(1000, 5000, live=0)}
POOL = 72704  # what libstdc++ takes before main
LEAKS_OBJECTS = 1 + 100 + 10 + 1000
SOMEBODY = 64321  # a user that nobody else here is


class CountsTest(MachineCase):
    def test_every_process_of_the_machine_is_counted_exactly_whether_it_began_before_or_after(self):
        """Without a filter: what others do may fill the tables, and is said then."""
        before = [Target(self, [fixture("counts"), "2", str(rounds)]) for rounds in (20, 40)]
        tracer = self.trace_all("-T", "10")
        after = [Target(self, [fixture("counts"), "2", str(rounds)]) for rounds in (30, 50)]
        truths = {target.pid: target.work() for target in before + after}
        self.assertEqual(before[0].finish(), 0)
        records = tracer.stop()
        lost = records.summary["lost_events_total"]
        self.assertEqual(records.summary["complete"], lost == 0)
        heaps = {target.pid: records.heap(target.pid, comm="counts") for target in before + after}
        self.assertEqual([target.pid for target in before + after if heaps[target.pid]["exited"]], [before[0].pid])
        for name in harness.TOTALS:
            off = [heaps[target.pid][name] - truths[target.pid][name] for target in before + after]
            # Of those who began later all that came before main was counted too.
            differences = [off[0], off[1], off[2] - off[3]]
            if lost == 0:
                self.assertEqual(differences, [0, 0, 0], name)
        machine = records.of("machine")[-1]
        self.assertEqual(machine["processes_seen_total"], machine["processes_exited_total"] + machine["processes_live"])
        self.assertEqual(machine["processes_seen_total"], records.summary["processes"])
        self.assertGreaterEqual(machine["alloc_bytes_total"], sum(heap["alloc_bytes_total"] for heap in heaps.values()))

    def test_totals_are_told_by_function(self):
        targets = [self.start(scene("leaks")) for _ in range(2)]
        tracer = self.trace_ours()
        targets.append(self.start(scene("leaks")))
        for target in targets:
            target.work()
        records = tracer.stop()
        self.assert_complete(records)
        for target in targets:
            heap = records.heap(target.pid, comm="scenes")
            self.assert_sites(records, heap, **LEAKS)
            self.assertEqual(heap["alloc_objects_total"], LEAKS_OBJECTS - (target is not targets[2]))

    def test_a_program_that_lasts_milliseconds_is_counted_exactly(self):
        # Of a file that is met for the first time the stacks of the first milliseconds may have no table; counts are exact.
        self.start(scene("leaks"))
        tracer = self.trace_ours()
        pids = [self.run_program(scene_now("leaks")) for _ in range(20)]
        records = tracer.stop()
        self.assert_complete(records)
        for pid in pids:
            heap = records.heap(pid, comm="scenes")
            self.assertTrue(heap["exited"])
            self.assertEqual((heap["alloc_objects_total"], heap["live_bytes"]), (LEAKS_OBJECTS, POOL + 140_960))
            self.assert_sites(records, heap, **LEAKS)

    def test_the_tracer_itself_is_not_counted(self):
        tracer = self.trace_ours()
        records = tracer.stop()
        self.assertNotIn(tracer.pid, records.pids())

    def test_the_perf_backend_counts_the_same(self):
        target = self.start(scene("leaks"))
        tracer = self.trace_ours("--probe-backend", "perf")
        pid = self.run_program(scene_now("leaks"))
        truth = target.work()
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_heap(truth, records.heap(target.pid))
        self.assert_sites(records, records.heap(pid, comm="scenes"), **LEAKS)

    def test_periodic_snapshots_tell_of_whoever_does_something(self):
        busy, idle = self.start(scene("leaks")), self.start(scene("leaks"))
        tracer = self.trace_ours("-i", "200ms")
        busy.work()
        lines = tracer.out.seen
        self.assertTrue(eventually(lambda: any(f'"pid":{busy.pid},' in line and '"snapshot"' in line for line in list(lines))))
        records = tracer.stop()
        self.assertEqual(records.heaps(idle.pid), [])
        self.assertGreater(len(records.of("machine")), 1)


class FiltersTest(MachineCase):
    """Each with few processes that pass, which get probes of their own, and with many, who are filtered in the kernel."""

    def check(self, wanted, other, *options):
        """Processes that functions start, before the tracer and after it: only the `wanted` are spoken of."""
        for many in (False, True):
            with self.subTest(many=many):
                self.check_once(wanted, other, MANY if many else 1, *options)

    def check_once(self, wanted, other, count, *options):
        passing, others = [wanted() for _ in range(count)], [other()]
        tracer = self.trace_all(*options)
        passing.append(wanted())
        others.append(other())
        if count < MANY:
            self.wait_armed(tracer, passing[-1])
        acting = [*passing[-2:], *others]
        truths = {target.pid: target.work() for target in acting}
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_heap(truths[passing[-2].pid], records.heap(passing[-2].pid))
        for target in passing[-2:]:
            self.assert_sites(records, records.heap(target.pid, comm=self.comm), leak_alpha=site(100, 1000))
        self.assertTrue(records.pids().isdisjoint({target.pid for target in others}))
        attached = records.of("process", event="attach")
        self.assertEqual([record for record in attached if not self.is_wanted(record)], [])
        for target in passing + others:
            target.end()

    def setUp(self):
        super().setUp()
        self.comm = "scenes"
        self.is_wanted = lambda record: True
        self.scenes = self.folder / "wanted-program"
        shutil.copy(fixture("scenes"), self.scenes)

    def ours(self):
        return self.start(scene("leaks"))

    def anywhere(self):
        return Target(self, scene("leaks"))

    def renamed(self):
        self.comm = "wanted-program"
        return Target(self, [str(self.scenes), "leaks"])

    def test_by_name(self):
        self.check(self.renamed, self.anywhere, "--comm", "want?d-*")

    def test_a_program_is_asked_for_its_name_again_when_it_becomes_another(self):
        """Its own name does not pass, that of the program that it becomes does, and the other way round."""
        other = self.folder / "becomes-other"
        shutil.copy(fixture("scenes"), other)
        self.crowd_of_scenes()
        tracer = self.trace_all("--comm", "scenes")
        pid = self.run_program(["sh", "-c", f"exec {fixture('scenes')} leaks 0 now"])
        back = self.run_program([fixture("scenes"), "leaks", "0", "now"])
        outside = self.run_program([other, "leaks", "0", "now"])
        records = tracer.stop()
        for wanted in (pid, back):
            self.assert_sites(records, records.heap(wanted), **LEAKS)
        self.assertNotIn(outside, records.pids())

    def crowd_of_scenes(self):
        return [Target(self, scene("leaks")) for _ in range(MANY)]

    def test_by_user(self):
        def somebody():
            return Target(self, ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", str(self.scenes),
                                 "leaks"])
        self.comm = "wanted-program"
        self.is_wanted = lambda record: (record["uid"], record["user"]) == (SOMEBODY, f"uid {SOMEBODY}")
        self.check(somebody, self.anywhere, "--user", str(SOMEBODY))

    def test_by_the_name_of_a_user(self):
        def nobody():
            return Target(self, ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", str(self.scenes), "leaks"])
        self.comm = "wanted-program"
        self.is_wanted = lambda record: record["user"] == "nobody"
        self.check(nobody, self.anywhere, "--user", "nobody")

    def test_by_cgroup_and_all_below_it(self):
        below = Cgroup(self, "below", self.cgroup)
        self.check(lambda: self.start(scene("leaks"), within=below), self.anywhere, "--cgroup", self.cgroup.path)

    def test_by_the_directory_of_a_cgroup(self):
        sibling = Cgroup(self)
        self.check(self.ours, lambda: self.start(scene("leaks"), within=sibling), "--cgroup", self.cgroup.folder)

    def test_by_container(self):
        identity, other = "3f5e" + "0" * 60, "77aa" + "1" * 60
        wanted, sibling = (Cgroup(self, f"docker-{name}.scope", self.cgroup) for name in (identity, other))
        self.is_wanted = lambda record: record["container_id"] == identity
        self.check(lambda: self.start(scene("leaks"), within=wanted), lambda: self.start(scene("leaks"), within=sibling),
                   "--container", identity[:12])

    def test_all_but_some_pids(self):
        excluded = [self.ours(), self.ours()]
        wanted = self.ours()
        tracer = self.trace_ours("--exclude-pid", excluded[0].pid, "--exclude-pid", excluded[1].pid)
        for target in [*excluded, wanted]:
            target.work()
        records = tracer.stop()
        self.assertEqual({heap["pid"] for heap in records.heaps()}, {wanted.pid})
        for target in excluded:
            self.assertNotIn(target.pid, records.pids())

    def namespace(self):
        """A scene as process 1 of a pid namespace, and its pid here."""
        target = Target(self, ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *scene("leaks")])
        target.pid, = harness.children_of(target.pid)
        return target

    def test_by_pid_namespace(self):
        wanted, other = self.namespace(), self.namespace()
        inode = os.stat(f"/proc/{wanted.pid}/ns/pid").st_ino
        crowd = [Target(self, ["nsenter", "-t", str(wanted.pid), "-p", "-m", "--", *scene("leaks")]) for _ in range(MANY)]
        for value in (wanted.pid, inode):
            tracer = self.trace_all("--pidns", value)
            outside = self.anywhere()
            subprocess.run(["nsenter", "-t", str(wanted.pid), "-p", "-m", "--", *scene_now("leaks")], check=True, timeout=HANG)
            outside.work()
            records = tracer.stop()
            heap, = records.heaps(comm="scenes")
            self.assert_sites(records, heap, **LEAKS)
            self.assertTrue(records.pids().isdisjoint({outside.pid, other.pid}))
        for target in crowd:
            target.end()
        tracer = self.trace_all("--pidns", wanted.pid)
        truths = {target.pid: target.work() for target in (wanted, other)}
        records = tracer.stop()
        self.assert_heap(truths[wanted.pid], records.heap(wanted.pid))
        self.assertEqual(records.of("process", event="attach", pid=wanted.pid)[0]["ns_pid"], 1)
        self.assertNotIn(other.pid, records.pids())

    def test_all_kinds_of_filters_must_be_passed(self):
        """One process passes all of them, each other one all but one."""
        def somebody(program, within, user=SOMEBODY):
            return self.start(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", str(program), "leaks"],
                              within=within)
        sibling = Cgroup(self)
        other_name = self.folder / "other-program"
        shutil.copy(self.scenes, other_name)
        wanted = somebody(self.scenes, self.cgroup)
        others = [somebody(other_name, self.cgroup), somebody(self.scenes, sibling),
                  somebody(self.scenes, self.cgroup, SOMEBODY + 1)]
        tracer = self.trace_all("--comm", "nothing-like-it", "--comm", "wanted*", "--user", str(SOMEBODY), "--cgroup",
                                self.cgroup.path)
        truths = [target.work() for target in [wanted, *others]]
        records = tracer.stop()
        self.assert_heap(truths[0], records.heap(wanted.pid))
        self.assertEqual(records.pids(), {wanted.pid})

    def test_filters_that_name_nothing_are_refused(self):
        for options in (["--cgroup", "/no-such-cgroup"], ["--container", "123456789abc"], ["--pidns", "4194304"],
                        ["--user", "no-such-user"]):
            with self.subTest(options=options):
                tracer = harness.Tracer(self, "--all", "-d", "1", "-o", self.folder / "out.ndjson", *options)
                self.assertNotEqual(tracer.wait(), 0)
                self.assert_one_error(tracer.err.all())


if __name__ == "__main__":
    harness.main()
