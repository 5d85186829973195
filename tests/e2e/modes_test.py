# SPDX-License-Identifier: Apache-2.0
"""Recording switched off and on again from outside, while libraries come and go."""

import os
import subprocess
import time

import harness
from harness import BACKENDS, HANG, TRACER, Case, eventually
from control import Control
from loader import LoaderCase, compile_family, compile_plugin

# Libraries that bring their own allocator have probes in them, whichever way they are attached; others have none.
COMBINATIONS = [(BACKENDS[0], compile_plugin), *((backend, compile_family) for backend in BACKENDS)]


class ControlCase(LoaderCase):
    def controlled(self, target, *options):
        """A tracer, and what controls it."""
        control = Control(self)
        return self.attach(target, "--control", control.option, *options), control

    def plugins(self, kind, *functions):
        """A library for each function, all of one size."""
        return [kind(self.folder / f"{function}.so", function) for function in functions]


class PauseTest(ControlCase):
    """The orders of loading and switching that leave others with probes in code that is gone."""

    def use(self, target, slot, function, count):
        """Takes blocks of 1000 bytes and gives them back."""
        target.do("call", slot, function, count, 1000)
        target.do("free", slot, count, "free")

    def loaded(self, target, tracer, slot, path, count):
        """Loads a library, and waits until the tracer knows."""
        target.do("open", slot, path)
        self.seen(tracer, "load", path, count)

    def each_way(self, scene):
        for backend, kind in COMBINATIONS:
            with self.subTest(backend=backend, library=kind.__name__):
                scene(backend, kind)

    def before_and_in_the_pause(self, backend, kind):
        """A is traced, the heap goes off, A goes; B comes, works and goes. Where B was, and how long it was."""
        one, two, _ = self.paths = self.plugins(kind, "one_f", "two_f", "six_f")
        target = self.load()
        tracer, control = self.controlled(target, "--probe-backend", backend)
        self.loaded(target, tracer, 0, one, 1)
        self.use(target, 0, "one_f", 10)
        control.do("disable")
        self.use(target, 0, "one_f", 7)
        target.do("close", 0)
        target.do("open", 1, two)
        where, length = target.base(1), target.length(two)
        self.use(target, 1, "two_f", 20)
        target.do("close", 1)
        return target, tracer, control, where, length

    def after_the_pause(self, target, tracer, control, counts):
        """A and B come back and are counted; `counts` is what the records must say besides."""
        one, two, _ = self.paths
        loads = {path: len([line for line in tracer.out.seen if '"load"' in line and f'"{path}"' in line])
                 for path in (one, two)}
        self.loaded(target, tracer, 0, one, loads[one] + 1)
        self.loaded(target, tracer, 1, two, loads[two] + 1)
        self.use(target, 0, "one_f", 3)
        self.use(target, 1, "two_f", 5)
        records = self.finish(tracer, target)
        for function, count in counts.items():
            self.assert_counted(records, function, count, 1000, live=0)
        self.assertEqual([record["event"] for record in records.of("recording")], ["disabled", "enabled"])

    def with_nothing_at_its_place(self, backend, kind):
        target, tracer, control, _, _ = self.before_and_in_the_pause(backend, kind)
        control.do("enable")
        self.after_the_pause(target, tracer, control, {"one_f": 13, "two_f": 5})

    def test_an_unloaded_library_and_nothing_at_its_place(self):
        self.each_way(self.with_nothing_at_its_place)

    def with_data_at_its_place(self, backend, kind):
        target, tracer, control, where, length = self.before_and_in_the_pause(backend, kind)
        target.do("mapdata", hex(where), length)
        control.do("enable")
        target.do("checkdata", hex(where), length)
        control.do("disable", "enable")
        target.do("checkdata", hex(where), length)
        target.do("unmapdata", hex(where), length)
        self.loaded(target, tracer, 2, self.paths[2], 1)
        self.use(target, 2, "six_f", 4)
        records = self.finish(tracer, target)
        for function, count in {"one_f": 10, "two_f": 0, "six_f": 4}.items():
            self.assert_counted(records, function, count, 1000, live=0)

    def test_an_unloaded_library_and_data_at_its_place(self):
        self.each_way(self.with_data_at_its_place)

    def with_another_library_at_its_place(self, backend, kind):
        target, tracer, control, where, _ = self.before_and_in_the_pause(backend, kind)
        self.loaded(target, tracer, 2, self.paths[2], 1)
        self.assertEqual(target.base(2), where)
        self.use(target, 2, "six_f", 6)
        control.do("enable")
        self.use(target, 2, "six_f", 4)
        self.after_the_pause(target, tracer, control, {"one_f": 13, "two_f": 5, "six_f": 4})

    def test_an_unloaded_library_and_another_one_at_its_place(self):
        self.each_way(self.with_another_library_at_its_place)

    def with_a_changed_file(self, backend, kind):
        """A comes back as it was, B from a new file at the old path, before recording goes on."""
        target, tracer, control, _, _ = self.before_and_in_the_pause(backend, kind)
        one, two, other = self.paths
        other.rename(two)
        self.loaded(target, tracer, 0, one, 2)
        self.loaded(target, tracer, 1, two, 1)
        self.use(target, 1, "six_f", 6)
        control.do("enable")
        self.use(target, 0, "one_f", 3)
        self.use(target, 1, "six_f", 4)
        records = self.finish(tracer, target)
        for function, count in {"one_f": 13, "two_f": 0, "six_f": 4}.items():
            self.assert_counted(records, function, count, 1000, live=0)

    def test_a_library_that_comes_back_and_one_from_a_changed_file(self):
        self.each_way(self.with_a_changed_file)

    def with_two_threads(self, backend):
        """Two threads load, use and unload A and B all the time, while recording is switched off and on."""
        one, two = self.plugins(compile_plugin, "one_f", "two_f")
        target = self.load()
        tracer, control = self.controlled(target, "--probe-backend", backend)
        self.loaded(target, tracer, 8, one, 1)
        self.loaded(target, tracer, 9, two, 1)
        target.do("threads", 2, "cycle", 0, 20, one, "one_f", 5, 1000, "free")
        control.do("disable")
        target.do("threads", 2, "cycle", 0, 20, one, "one_f", 5, 1000, "free")
        target.do("close", 8)
        target.do("close", 9)
        target.ask("threads", 2, "cycle", 0, 300, two, "two_f", 5, 1000, "free")
        for _ in range(5):
            control.do("enable", "disable")
        target.answer()
        self.loaded(target, tracer, 8, one, 2)
        control.do("enable")
        target.do("threads", 2, "cycle", 0, 30, one, "one_f", 5, 1000, "free")
        target.do("close", 8)
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        self.assertEqual(target.finish(), 0)
        self.assertEqual(records.by_function("one_f")["alloc_bytes_total"], 2 * (20 + 30) * 5 * 1000)
        self.assertLessEqual(records.by_function("two_f")["alloc_objects_total"], 2 * 300 * 5)
        self.assertEqual([record["event"] for record in records.of("recording")], ["disabled", "enabled"] * 6)

    def test_two_threads_that_load_and_unload_while_recording_is_switched(self):
        # An allocator of a library is not for several threads.
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                self.with_two_threads(backend)


class BooksTest(ControlCase):
    """Blocks that were allocated on one side of a pause and freed on the other."""

    def snapshot(self, records, nth):
        return records.of("snapshot")[nth]

    def entry(self, records, snapshot, function):
        found, = [entry for entry in snapshot["top"] if function in records.functions(entry["stack_id"])]
        return found

    def start(self):
        one, two = self.plugins(compile_plugin, "one_f", "two_f")
        target = self.load()
        tracer, control = self.controlled(target, "--older", "50ms")
        target.do("open", 0, one)
        target.do("open", 1, two)
        return target, tracer, control

    def test_what_was_freed_in_a_pause_is_no_leak(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 10, 1000)
        control.do("snapshot", "disable")
        target.do("free", 0, 4)
        control.do("enable")
        target.do("call", 1, "two_f", 5, 3000)
        control.do("snapshot")
        time.sleep(0.5)  # longer than --older
        records = self.finish(tracer, target)
        enabled, = records.of("recording", event="enabled")
        before, after = self.snapshot(records, 0), self.snapshot(records, 1)
        self.assertEqual((enabled["unverified_objects"], enabled["unverified_bytes"]),
                         (before["live_objects"], before["live_bytes"]))
        self.assertEqual((before["unverified_objects"], before["unverified_bytes"]), (0, 0))
        self.assertGreater(enabled["paused_ns"], 0)
        self.assertEqual(after["unverified_objects"], enabled["unverified_objects"])
        for totals in (after, records.summary):
            self.assertLessEqual({"unverified_objects": enabled["unverified_objects"],
                                  "unverified_bytes": enabled["unverified_bytes"]}.items(), totals.items())
        entry = self.entry(records, after, "one_f")
        self.assertEqual((entry["live_objects"], entry["unverified_objects"]), (10, 10))
        self.assertEqual(entry["unverified_bytes"], 10_000)
        self.assertEqual(records.leaks_of("one_f"), [])
        # What was allocated afterwards is as sure as ever.
        leak, = records.leaks_of("two_f")
        self.assertEqual((leak["objects"], leak["bytes"]), (5, 15_000))

    def test_what_is_freed_after_a_pause_is_counted(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 10, 1000)
        control.do("disable", "enable")
        target.do("free", 0, 7)
        control.do("snapshot")
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 10, 1000, live=3)
        entry = self.entry(records, self.snapshot(records, 0), "one_f")
        self.assertEqual((entry["unverified_objects"], entry["unverified_bytes"]), (3, 3000))

    def test_an_address_that_comes_back_after_a_pause_was_freed_in_it(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 10, 1000)
        control.do("disable")
        target.do("free", 0, 4)
        control.do("enable")
        # The allocator hands out what was freed last.
        target.do("call", 1, "two_f", 4, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 10, 1000, live=6)
        self.assert_counted(records, "two_f", 4, 1000)
        entry = self.entry(records, records.last_snapshots[0], "one_f")
        self.assertEqual((entry["unverified_objects"], entry["unverified_bytes"]), (6, 6000))

    def test_blocks_of_a_pause_that_are_freed_after_it_are_unknown(self):
        target, tracer, control = self.start()
        control.do("disable")
        target.do("call", 0, "one_f", 10, 1000)
        control.do("enable", "snapshot")
        target.do("free", 0, 8)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 0, 1000)
        self.assertEqual(records.last_snapshots[0]["free_unknown_total"],
                         self.snapshot(records, 0)["free_unknown_total"] + 8)


class CommandsTest(ControlCase):
    def start(self, *options):
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        target.do("open", 0, path)
        return (target, *self.controlled(target, *options))

    def test_recording_that_begins_when_it_is_enabled(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target, tracer, control = self.start("-D", "-1", "--probe-backend", backend)
                target.do("call", 0, "one_f", 10, 1000)
                control.do("enable")
                target.do("call", 0, "one_f", 20, 1000)
                records = self.finish(tracer, target)
                self.assert_counted(records, "one_f", 20, 1000)
                self.assertEqual([record["event"] for record in records.of("recording")], ["disabled", "enabled"])

    def test_recording_that_begins_later(self):
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        target.do("open", 0, path)
        tracer = self.attach(target, "-D", "900ms")
        target.do("call", 0, "one_f", 10, 1000)
        self.assertTrue(eventually(lambda: any('"enabled"' in line for line in list(tracer.out.seen))))
        target.do("call", 0, "one_f", 20, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 20, 1000)

    def test_switching_twice_is_switching_once(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 1, 1000)
        control.do("enable")
        target.do("call", 0, "one_f", 2, 1000)
        control.do("disable", "disable")
        target.do("call", 0, "one_f", 4, 1000)
        control.do("enable", "enable")
        target.do("call", 0, "one_f", 8, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 11, 1000)
        self.assertEqual([record["event"] for record in records.of("recording")], ["disabled", "enabled"])

    def test_a_run_that_ends_while_it_does_not_record(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 10, 1000)
        control.do("disable")
        target.do("call", 0, "one_f", 20, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 10, 1000)

    def test_ping_and_snapshot(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 10, 1000)
        control.do("ping", "snapshot")
        target.do("call", 0, "one_f", 20, 1000)
        records = self.finish(tracer, target)
        # The one that was asked for, and the last one.
        self.assertEqual([record["seq"] for record in records.of("snapshot")], [1, 2])
        self.assert_counted(records, "one_f", 30, 1000)

    def test_stop(self):
        target, tracer, control = self.start()
        target.do("call", 0, "one_f", 10, 1000)
        control.do("stop")
        records = tracer.finish()
        self.assertEqual((tracer.status, records.summary["reason"]), (0, "control"))
        self.assert_counted(records, "one_f", 10, 1000)
        self.assertEqual(target.finish(), 0)

    def test_an_unknown_command_changes_nothing(self):
        target, tracer, control = self.start()
        for command in ("disabled", "enable please", "ENABLE", "x" * 3000):
            self.assertRegex(control.ask(command), "^error: ")
            target.do("call", 0, "one_f", 10, 1000)
        control.do("ping")
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 40, 1000)
        self.assertEqual(records.of("recording"), [])

    def test_commands_in_one_write_and_in_several(self):
        target, tracer, control = self.start()
        control.write(b"disable\nping\n")
        self.assertEqual([control.answer(), control.answer()], ["ack", "ack"])
        target.do("call", 0, "one_f", 10, 1000)
        control.write(b"ena")
        self.assertFalse(control.has_answer(0.3))
        control.write(b"ble\npi")
        self.assertEqual(control.answer(), "ack")
        target.do("call", 0, "one_f", 20, 1000)
        control.write(b"ng\n")
        self.assertEqual(control.answer(), "ack")
        self.assertFalse(control.has_answer(0.1))
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 20, 1000)

    def test_nobody_reads_the_answers(self):
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        target.do("open", 0, path)
        control = Control(self, reads=False)
        tracer = self.attach(target, "--control", control.option)
        # More answers than a FIFO holds.
        control.write(b"ping\n" * 40_000)
        target.do("call", 0, "one_f", 10, 1000)
        control.write(b"snapshot\nstop\n")
        records = tracer.finish()
        self.assertEqual((tracer.status, records.summary["reason"]), (0, "control"))
        self.assert_counted(records, "one_f", 10, 1000)
        self.assertEqual(target.finish(), 0)

    def test_commands_without_answers(self):
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        target.do("open", 0, path)
        control = Control(self, reads=False)
        tracer = self.attach(target, "--control", control.paths[0], "-D", "-1")
        control.write(b"enable\n")
        self.assertTrue(eventually(lambda: any('"enabled"' in line for line in list(tracer.out.seen))))
        target.do("call", 0, "one_f", 10, 1000)
        control.write(b"stop\n")
        records = tracer.finish()
        self.assertEqual(tracer.status, 0)
        self.assert_counted(records, "one_f", 10, 1000)


class RefusedTest(Case):
    def assert_refused(self, *options, pattern):
        run = subprocess.run([TRACER, *map(str, options), "-p", str(os.getpid())], capture_output=True, timeout=HANG,
                             check=False, stdin=subprocess.DEVNULL)
        lines = run.stderr.decode().splitlines()
        self.assert_one_error(lines, pattern)
        self.assertEqual(run.returncode, 2, lines)

    def test_a_fifo_that_does_not_exist(self):
        missing = self.folder / "missing"
        self.assert_refused("--control", missing, pattern=f"{missing}.*(No such file|not exist)")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        self.assert_refused("--control", f"{fifo},{missing}", pattern=f"{missing}")

    def test_a_path_that_is_no_fifo(self):
        plain = self.folder / "plain"
        plain.write_bytes(b"enable\n")
        self.assert_refused("--control", plain, pattern=f"{plain}.*not a FIFO")
        self.assert_refused("--control", self.folder, pattern=str(self.folder))
        self.assertEqual(plain.read_bytes(), b"enable\n")

    def test_recording_that_nobody_can_enable(self):
        self.assert_refused("-D", "-1", pattern="delay")


if __name__ == "__main__":
    harness.main()
