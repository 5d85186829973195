# SPDX-License-Identifier: Apache-2.0
"""tracer --all: processes as they come and go, by fork, exec, exit, and the pid used again."""

import harness
from harness import scene, scene_now, site
from machine import MachineCase

LEAKS = {"leak_alpha": site(100, 1000), "leak_beta": site(10, 4096)}
POOL = 72704  # what libstdc++ takes before main


class ProcessesTest(MachineCase):
    def test_exec_ends_a_heap_and_begins_another(self):
        target = self.start(scene("exec_self"))
        tracer = self.trace_ours()
        target.go()
        self.assertEqual(target.wait(), 0)
        records = tracer.stop()
        self.assert_complete(records)
        before, after = records.heaps(target.pid)
        self.assertEqual([(heap["exited"], heap.get("execs", 0)) for heap in (before, after)], [(True, 0), (True, 1)])
        self.assertEqual(before["start_ts"], after["start_ts"])
        self.assert_sites(records, before, leak_alpha=site(1, 1000), leak_beta=site(0, 4096))
        self.assert_sites(records, after, **LEAKS)
        self.assertEqual((before["live_bytes"], after["live_bytes"]), (1000, POOL + 140_960))
        self.assertEqual([record["event"] for record in records.of("process", pid=target.pid)],
                         ["attach", "exec", "attach", "exit"])

    def test_fork_vfork_and_spawn_make_processes_of_their_own(self):
        target = self.start(scene("forks", 5))
        tracer = self.trace_ours()
        target.work()
        self.assertEqual(target.finish(), 0)
        records = tracer.stop()
        self.assert_complete(records)
        heaps = [heap for heap in records.heaps(comm="scenes") if heap["pid"] != target.pid]
        self.assertEqual([heap["exited"] for heap in heaps], [True] * 7)
        forked = [heap for heap in heaps if records.in_function(heap, "child_leak") == site(20, 64)]
        started = [heap for heap in heaps if records.in_function(heap, "leak_alpha") == site(100, 1000)]
        self.assertEqual((len(forked), len(started)), (5, 2))
        # A child of fork has what its parent had, but what it allocated is its own.
        self.assertEqual({(heap["alloc_objects_total"], heap["live_bytes"]) for heap in forked}, {(20, 20 * 64)})
        self.assertEqual({heap["live_bytes"] for heap in started}, {POOL + 140_960})
        self.assert_sites(records, records.heap(target.pid), parent_leak=site(30, 32))

    def test_threads_go_on_when_the_first_one_has_ended(self):
        """Known from before, and met for the first time without its leader."""
        known, unknown = self.start(scene("leaderless")), self.start(scene("leaderless"))
        unknown.go()
        self.assertEqual(unknown.out.next(), "leaderless")
        tracer = self.trace_ours()
        known.go()
        self.assertEqual(known.out.next(), "leaderless")
        truths = {target.pid: target.work() for target in (known, unknown)}
        self.assertEqual(unknown.finish(), 0)
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_heap(truths[unknown.pid], records.heap(unknown.pid))
        for target in (known, unknown):
            heap = records.heap(target.pid, comm="scenes")
            self.assert_sites(records, heap, leak_without_leader=site(40, 55))
            self.assertEqual(heap["exited"], target is unknown)

    def test_the_end_of_a_process_tells_how_it_ended_and_what_it_held(self):
        tracer = self.trace_ours()
        ends = {}
        for name, number, expected in (("fails", 7, (7, None)), ("dies", 15, (None, 15)), ("dies", 9, (None, 9)),
                                       ("leaks", 0, (0, None))):
            target = harness.Program(self, scene_now(name, number), preexec_fn=self.cgroup.enter)
            target.wait()
            ends[target.pid] = expected
        records = tracer.stop()
        self.assert_complete(records)
        for pid, expected in ends.items():
            end, = records.of("process", event="exit", pid=pid)
            self.assertEqual((end["exit_code"], end["signal"]), expected)
            self.assertTrue(records.heap(pid, comm="scenes")["exited"])
            self.assertGreaterEqual(records.heap(pid, comm="scenes")["live_bytes"], POOL)
        machine = records.of("machine")[-1]
        heaps = [heap for heap in records.heaps() if heap["exited"]]
        self.assertEqual(machine["held_at_exit_bytes_total"], sum(heap["live_bytes"] for heap in heaps))
        self.assertEqual(machine["processes_exited_total"], len(heaps))

    def test_a_process_that_unmaps_everything_is_told_with_what_it_had(self):
        target = self.start(scene("unmaps_everything"))
        tracer = self.trace_ours()
        target.go()
        self.assertEqual(target.wait(), -11)
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_sites(records, records.heap(target.pid, exited=True), leak_before_unmapping=site(60, 56))
        self.assertEqual(records.of("process", event="exit", pid=target.pid)[0]["signal"], 11)

    def test_a_pid_that_is_used_again_is_another_process(self):
        target = self.start(scene("same_pid", 4))
        tracer = self.trace_ours()
        target.work()
        records = tracer.stop()
        self.assert_complete(records)
        heaps = [heap for heap in records.heaps(comm="scenes") if heap["pid"] != target.pid]
        self.assertEqual(len({heap["pid"] for heap in heaps}), 1)
        self.assertEqual([records.in_function(heap, "namesake_leak") for heap in heaps], [site(n, 48) for n in (1, 2, 3, 4)])
        self.assertEqual([record["event"] for record in records.of("process", pid=heaps[0]["pid"])], ["attach", "exit"] * 4)


if __name__ == "__main__":
    harness.main()
