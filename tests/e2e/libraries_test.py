# SPDX-License-Identifier: Apache-2.0
"""Libraries that come and go while the trace runs."""

import os

import harness
import loader
from harness import BACKENDS, Case, Target, site


class LibrariesTest(Case):
    def test_each_plugin_gets_its_own_bytes_although_they_share_addresses(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                truth, records = self.trace_scene("plugins", "--probe-backend", backend)
                self.assertEqual(records.by_function("plugin_a_leak"), site(30, 1111))
                self.assertEqual(records.by_function("plugin_b_leak"), site(30, 2222))
                # The linker's own blocks come on top of these.
                self.assertGreaterEqual(records.summary["alloc_bytes_total"], truth["alloc_bytes_total"])
                self.assert_nothing_lost(records)

    def test_loading_and_unloading_is_told(self):
        _, records = self.trace_scene("plugins")
        for event in ("load", "unload"):
            names = [os.path.basename(record["path"]) for record in records.of("library", event=event)]
            self.assertEqual(names.count("plugin_a.so"), 3, (event, names))
            self.assertEqual(names.count("plugin_b.so"), 3, (event, names))

    def test_names_and_lines_of_an_unloaded_library_are_known(self):
        _, records = self.trace_scene("plugins")
        leak, = records.leaks_of("plugin_a_leak")
        frame, = [frame for frame in records.stacks[leak["stack_id"]]["frames"] if frame["func"] == "plugin_a_leak"]
        self.assertTrue(frame["file"].endswith("tests/fixtures/plugin_leak.cpp"), frame)
        self.assertEqual(os.path.basename(frame["module"]), "plugin_a.so")

    def test_an_allocator_that_is_loaded_later_is_traced(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, records = self.trace_scene("late_family", "--probe-backend", backend)
                pool = [entry for entry in records.last_snapshots[0]["top"]
                        if records.modules(entry["stack_id"])[0] == "plugin_family.so"]
                self.assertEqual(sum(entry["alloc_objects_total"] for entry in pool), 75)
                self.assertEqual(sum(entry["alloc_bytes_total"] for entry in pool), 25 * (333 + 111 + 222))
                self.assertEqual(sum(entry["live_bytes"] for entry in pool), 25 * 333)
                self.assert_nothing_lost(records)
                library, = [record for record in records.of("library", event="load")
                            if record["path"].endswith("/plugin_family.so")]
                self.assertLessEqual({"malloc", "calloc", "realloc", "free"}, set(library["probes"]))

    def test_a_program_that_was_replaced_on_disk_is_traced_and_named(self):
        """What is mapped counts, not what lies at the path."""
        folder = self.folder / "copy"
        folder.mkdir()
        harness.shutil.copy2(harness.fixture("scenes"), folder / "scenes")
        target = Target(self, [str(folder / "scenes"), "leaks"])
        # Another program lies at the path when the tracer comes.
        (folder / "scenes").unlink()
        harness.shutil.copy2(harness.fixture("counts"), folder / "scenes")
        tracer = self.attach(target)
        target.work()
        records = tracer.stop()
        self.assertEqual(tracer.status, 0)
        self.assertEqual(records.by_function("leak_alpha"), site(100, 1000))
        stacks = [records.functions(stack) for stack in records.stacks]
        self.assertEqual([names[-1] for names in stacks if "leak_alpha" in names], ["main"])

    def test_a_library_that_is_loaded_twenty_times_is_traced_each_time(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                _, records = self.trace_scene("throwing_constructor", "--probe-backend", backend)
                loads = [record for record in records.of("library", event="load")
                         if record["path"].endswith("/plugin_throws.so")]
                self.assertGreaterEqual(len(loads), 1)
                self.assertGreater(records.summary["alloc_objects_total"], 4000)

    def test_a_program_of_another_c_library(self):
        """musl: linker and allocator are one file, and what was loaded once stays."""
        program = loader.compile_musl(self.folder / "program", ["musl_program.c"])
        plugins = [loader.compile_musl(self.folder / f"{name}.so", ["loader_plugin.c"], "-DNAME=take_block", "-shared",
                                       "-fPIC") for name in ("first", "second")]
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                target = Target(self, [str(program), *map(str, plugins), str(plugins[0])])
                tracer = self.attach(target, "--probe-backend", backend)
                target.go()
                self.assertEqual(target.out.next(), "done")
                self.assertEqual(target.finish(), 0)
                records = tracer.finish()
                self.assert_nothing_lost(records)
                self.assertEqual(records.by_function("take_block"), site(120, 1000))
                self.assertEqual(records.by_function("own_block"), site(60, 300, live=30))
                self.assertEqual(records.summary["alloc_bytes_total"], 120 * 1000 + 60 * 300)
                loaded = [os.path.basename(record["path"]) for record in records.of("library", event="load")]
                self.assertEqual(loaded.count("first.so"), 1)
                self.assertEqual(loaded.count("second.so"), 1)


if __name__ == "__main__":
    harness.main()
