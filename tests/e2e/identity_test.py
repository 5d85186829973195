# SPDX-License-Identifier: Apache-2.0
"""Which file a mapping shows, whatever happens to its name, its inode number, its file system or its address."""

import os
import shutil
import signal
import subprocess
import time

import harness
from harness import BACKENDS, HANG, eventually
from loader import CONSTRUCTED, CONSTRUCTED_BYTES, LoaderCase, compile_family, compile_plugin, overwrite, run

# File systems that can be made here.
FILE_SYSTEMS = [name for name in ("ext4", "xfs", "btrfs") if shutil.which(f"mkfs.{name}")]


class NameTest(LoaderCase):
    """The name says nothing."""

    def test_deleted_while_it_is_mapped(self):
        path = compile_plugin(self.folder / "one.so", "one_f")
        status = path.stat()
        early, late = self.load(), self.load()
        early.do("open", 0, path)
        path.unlink()
        compile_plugin(path, "two_f")
        late.do("open", 0, path)
        tracer = self.attach_to(early, late)
        path.unlink()
        early.do("call", 0, "one_f", 10, 1111)
        late.do("call", 0, "two_f", 20, 2222)
        early.do("close", 0)
        records = self.finish(tracer, early, late)
        self.assert_counted(records, "one_f", 10, 1111)
        self.assert_counted(records, "two_f", 20, 2222)
        load, = [record for record in records.of("library", event="load", pid=early.pid)
                 if record["path"].startswith(str(path))]
        self.assert_identity(load, status)
        self.assert_retired(records, load["module"])

    def test_replaced_by_rename_while_the_old_one_is_mapped_elsewhere(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                path = compile_plugin(self.folder / "lib.so", "old_f")
                old, new = self.load(), self.load()
                tracer = self.attach_to(old, new)
                old.do("open", 0, path)
                self.seen(tracer, "load", path)
                compile_plugin(self.folder / "next.so", "new_f").rename(path)
                new.do("open", 0, path)
                # The dynamic linker takes a name that it knows for the library that it knows.
                old.do("open", 1, f"{self.folder}/./lib.so")
                old.do("call", 0, "old_f", 10, 1001)
                old.do("call", 1, "new_f", 20, 2002)
                new.do("call", 0, "new_f", 30, 3003)
                records = self.finish(tracer, old, new)
                self.assert_counted(records, "old_f", 10, 1001)
                self.assert_counted(records, "new_f", 20, 2002, pid=old.pid)
                self.assert_counted(records, "new_f", 30, 3003, pid=new.pid)
                loads = records.of("library", event="load", build_id=records.of(
                    "library", event="load", pid=new.pid, path=str(path))[0]["build_id"])
                self.assertEqual({load["pid"] for load in loads}, {old.pid, new.pid})
                self.assertEqual(len({load["module"] for load in loads}), 1)
                self.assertNotEqual(self.module(records, path), loads[0]["module"])

    def test_two_names_of_one_file(self):
        """Hard link, symbolic link, rename: all before or after it was first seen."""
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        tracer = self.attach(target)
        names = [path, self.folder / "hard.so", self.folder / "renamed.so"]
        self.use_seen(tracer, target, names[0], "one_f", 10, 1000)
        os.link(path, names[1])
        self.use_seen(tracer, target, names[1], "one_f", 20, 1000)
        path.rename(names[2])
        self.use_seen(tracer, target, names[2], "one_f", 30, 1000)
        (self.folder / "symbolic.so").symlink_to("renamed.so")
        target.use(0, self.folder / "symbolic.so", "one_f", 40, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 100, 1000)
        self.assertEqual(len({self.module(records, name) for name in names}), 1)
        for name in names:
            self.assert_identity(self.libraries(records, "load", name)[0], names[2].stat())

    def test_a_symbolic_link_that_comes_to_point_elsewhere(self):
        one = compile_plugin(self.folder / "one.so", "one_f")
        two = compile_plugin(self.folder / "two.so", "two_f")
        link = self.folder / "link.so"
        target = self.load()
        tracer = self.attach(target)
        for path, function in ((one, "one_f"), (two, "two_f"), (one, "one_f")):
            link.symlink_to(path)
            target.use(0, link, function, 10, 1234)
            link.unlink()
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 20, 1234)
        self.assert_counted(records, "two_f", 10, 1234)
        self.assertNotEqual(self.module(records, one), self.module(records, two))

    def test_a_copy_without_any_path(self):
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        tracer = self.attach(target)
        for count in (1, 2):
            target.do("openfd", 0, path)
            name, = (line.split(maxsplit=5)[5] for line in target.maps() if "memfd" in line and "r-xp" in line)
            self.seen(tracer, "load", name.removesuffix(" (deleted)"), count)
            target.do("call", 0, "one_f", 10 * count, 1111)
            target.do("close", 0)
            self.seen(tracer, "unload", name.removesuffix(" (deleted)"), count)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 30, 1111)
        modules = {record["module"] for record in records.of("library") if "memfd" in record["path"]}
        self.assertEqual(len(modules), 2)


class InodeTest(LoaderCase):
    """The inode says nothing either."""

    def overwrite_between_loads(self, compile_it, backend, path):
        """The second content is longer, and everything lies elsewhere in it."""
        compile_it(path, "old_f")
        other = compile_it(self.folder / "other.so", "new_f", "-DSLED")
        target = self.load()
        tracer = self.attach(target, "--probe-backend", backend)
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        target.work_with(0, "old_f", 10, 1111)
        self.seen(tracer, "unload", path)
        before = path.stat()
        overwrite(path, other)
        self.assertEqual(path.stat().st_ino, before.st_ino)
        target.do("open", 0, path)
        # At once, when probes of the new content may not be there yet, and none of the old one must be.
        target.do("call", 0, "new_f", 1, 1)
        target.do("free", 0, 1, "free")
        self.seen(tracer, "load", path, 2)
        target.work_with(0, "new_f", 20, 2222)
        records = self.finish(tracer, target)
        self.assert_counted(records, "old_f", 10, 1111, live=0)
        # With that block of one byte or without it.
        self.assertEqual(records.by_function("new_f")["alloc_bytes_total"] // 2222, 20)
        loads = self.libraries(records, "load", path)
        self.assertEqual(len(loads), 2)
        self.assertNotEqual(loads[0]["module"], loads[1]["module"])
        self.assertNotEqual(loads[0]["build_id"], loads[1]["build_id"])
        for load in loads:
            self.assert_identity(load, before)

    def test_an_allocator_that_is_overwritten_in_place_between_two_loads(self):
        """A probe of the old content that was still there would break the new one."""
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                self.overwrite_between_loads(compile_family, backend, self.folder / f"{backend}.so")

    def test_overwritten_in_place_between_two_loads(self):
        for kind in FILE_SYSTEMS:
            with self.subTest(kind=kind):
                where = self.make_file_system(kind)
                self.overwrite_between_loads(compile_plugin, BACKENDS[0], where / "lib.so")

    def reuse_number(self, folder, compile_it):
        """A library of another content with the inode number of one that was loaded and deleted, and with its size."""
        first = compile_it(folder / "lib.so", "old_f")
        spare = compile_it(self.folder / "spare.so", "new_f")
        old = first.stat()
        self.assertEqual(old.st_size, spare.stat().st_size)
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, first)
        self.seen(tracer, "load", first)
        target.work_with(0, "old_f", 10, 1111)
        first.unlink()

        def has_come_back():
            # The number is free when nobody holds the file any more.
            shutil.copyfile(spare, first)
            if first.stat().st_ino == old.st_ino:
                return True
            first.unlink()
            return False

        self.assertTrue(eventually(has_come_back), "the inode number did not come back")
        os.utime(first, ns=(old.st_atime_ns, old.st_mtime_ns))
        target.do("open", 0, first)
        self.seen(tracer, "load", first, 2)
        target.work_with(0, "new_f", 20, 2222)
        records = self.finish(tracer, target)
        self.assert_counted(records, "old_f", 10, 1111, live=0)
        self.assert_counted(records, "new_f", 20, 2222, live=0)
        loads = self.libraries(records, "load", first)
        self.assertEqual(len(loads), 2)
        self.assertNotEqual(loads[0]["module"], loads[1]["module"])
        self.assertEqual(loads[0]["identity"]["inode"], loads[1]["identity"]["inode"])
        self.assertNotEqual(loads[0]["identity"]["generation"], loads[1]["identity"]["generation"])

    def test_an_inode_number_that_a_new_file_has_got(self):
        self.reuse_number(self.make_file_system("ext4"), compile_plugin)

    def test_an_inode_number_that_a_new_allocator_has_got(self):
        self.reuse_number(self.make_file_system("ext4"), compile_family)


class PlaceTest(LoaderCase):
    """File systems and namespaces."""

    def test_a_bind_mount(self):
        folder = self.folder / "there"
        folder.mkdir()
        path = compile_plugin(folder / "one.so", "one_f")
        here = self.mount(self.folder / "here", "--bind", folder)
        target = self.load()
        tracer = self.attach(target)
        for name in (path, here / "one.so"):
            self.use_seen(tracer, target, name, "one_f", 10, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 20, 1000)
        self.assertEqual(self.module(records, path), self.module(records, here / "one.so"))
        self.assert_identity(self.libraries(records, "load", here / "one.so")[0], path.stat())

    def test_tmpfs(self):
        where = self.mount(self.folder / "tmpfs", "-t", "tmpfs", "none")
        path = compile_plugin(where / "one.so", "one_f", "-DCONSTRUCTOR=one_c")
        target = self.load()
        tracer = self.attach(target)
        for nth, function in enumerate(("one_f", "one_f", "two_f"), start=1):
            if function == "two_f":
                path.unlink()
                compile_plugin(path, function)
            target.do("open", 0, path)
            self.seen(tracer, "load", path, nth)
            target.do("call", 0, function, 10 * nth, 1000)
            target.do("close", 0)
            self.seen(tracer, "unload", path, nth)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 30, 1000)
        self.assert_counted(records, "one_c", 2 * CONSTRUCTED, CONSTRUCTED_BYTES, live=0)
        self.assert_counted(records, "two_f", 30, 1000)
        self.assertEqual(self.module(records, path, 0), self.module(records, path, 1))
        self.assertNotEqual(self.module(records, path, 0), self.module(records, path, 2))
        self.assert_identity(self.libraries(records, "load", path)[2], path.stat())

    def make_overlay(self):
        lower, upper, work = (self.folder / name for name in ("lower", "upper", "work"))
        for folder in (lower, upper, work):
            folder.mkdir()
        compile_plugin(lower / "one.so", "one_f")
        return lower, self.mount(self.folder / "merged", "-t", "overlay", "none",
                                 "-o", f"lowerdir={lower},upperdir={upper},workdir={work}")

    def test_overlayfs(self):
        """The mapped file is the one of the layer, and another one from the moment it is copied up."""
        lower, merged = self.make_overlay()
        path = merged / "one.so"
        target = self.load()
        tracer = self.attach(target)
        self.use_seen(tracer, target, lower / "one.so", "one_f", 10, 1000)
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        target.do("call", 0, "one_f", 20, 1000)
        path.chmod(0o700)  # copies it up, while the old one is mapped
        target.do("opennew", 1, path)
        self.seen(tracer, "load", path, 2)
        target.do("call", 1, "one_f", 30, 1000)
        target.do("call", 0, "one_f", 40, 1000)
        target.do("close", 0)
        target.do("close", 1)
        upper = self.folder / "upper" / "one.so"
        overwrite(path, compile_plugin(self.folder / "two.so", "two_f"))
        target.use(0, path, "two_f", 50, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 100, 1000)
        self.assert_counted(records, "two_f", 50, 1000)
        below, first, above = (self.libraries(records, "load", lower / "one.so")[0],
                               *self.libraries(records, "load", path)[:2])
        self.assert_identity(below, (lower / "one.so").stat())
        self.assert_identity(first, (lower / "one.so").stat())
        self.assert_identity(above, upper.stat())
        self.assertEqual(below["module"], first["module"])
        self.assertNotEqual(first["module"], above["module"])

    def test_an_allocator_on_overlayfs(self):
        lower, merged = self.make_overlay()
        compile_family(self.folder / "pool.so", "pool_f").rename(lower / "pool.so")
        path = merged / "pool.so"
        target = self.load()
        tracer = self.attach(target)
        for nth in (1, 2, 3):
            target.do("open", 0, path)
            self.seen(tracer, "load", path, nth)
            target.work_with(0, "pool_f", 10, 1000)
            self.seen(tracer, "unload", path, nth)
            path.chmod(0o700)
        records = self.finish(tracer, target)
        self.assert_counted(records, "pool_f", 30, 1000, live=0)

    def test_a_mount_namespace_of_its_own(self):
        """What lies at the path here is another library."""
        where = self.folder / "private"
        where.mkdir()
        compile_plugin(self.folder / "one.so", "one_f")
        compile_plugin(where / "one.so", "two_f")
        target = self.load("unshare", "--mount", "--propagation", "private", "sh", "-c",
                           f'mount -t tmpfs none {where} && cp {self.folder}/one.so {where} && exec "$@"', "sh")
        tracer = self.attach(target)
        path = where / "one.so"
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        target.do("call", 0, "one_f", 10, 1111)
        target.do("close", 0)
        target.use(0, path, "one_f", 20, 1111)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 30, 1111)
        self.assertNotEqual(self.libraries(records, "load", path)[0]["identity"]["inode"], path.stat().st_ino)

    def leaves_its_file_system(self, compile_it):
        where = self.make_file_system("ext4")
        path = compile_it(where / "lib.so", "there_f")
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        self.assertFalse(self.can_unmount(where))
        target.work_with(0, "there_f", 10, 1111)
        self.assertTrue(eventually(lambda: self.can_unmount(where), limit=20), "the file system is still in use")
        # The tracer goes on, and so does the target.
        after = compile_plugin(self.folder / "after.so", "after_f")
        target.use(0, after, "after_f", 20, 2222)
        records = self.finish(tracer, target)
        self.assert_counted(records, "there_f", 10, 1111, live=0)
        self.assert_counted(records, "after_f", 20, 2222)
        self.assert_retired(records, self.module(records, path))

    def can_unmount(self, where):
        return subprocess.run(["umount", where], capture_output=True, timeout=HANG, check=False).returncode == 0

    def test_the_file_system_of_an_unloaded_library_can_be_unmounted(self):
        self.leaves_its_file_system(compile_plugin)

    def test_the_file_system_of_an_unloaded_allocator_can_be_unmounted(self):
        self.leaves_its_file_system(compile_family)

    def gives_its_space_back(self, where, compile_it):
        def free_blocks():
            run("sync", "-f", where)
            return os.statvfs(where).f_bfree

        before = free_blocks()
        path = compile_it(where / "lib.so", "there_f")
        with open(path, "ab") as file:
            file.write(os.urandom(1 << 20))
        full = free_blocks()
        self.assertLess(full, before - 200)
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        path.unlink()
        self.assertLess(free_blocks(), before - 200)
        target.work_with(0, "there_f", 10, 1111)
        self.assertTrue(eventually(lambda: free_blocks() >= before, limit=20), "the space has not come back")
        records = self.finish(tracer, target)
        self.assert_counted(records, "there_f", 10, 1111, live=0)

    def test_the_space_of_a_deleted_library_comes_back(self):
        where = self.make_file_system("ext4")
        for compile_it in (compile_plugin, compile_family):
            with self.subTest(library=compile_it.__name__):
                self.gives_its_space_back(where, compile_it)


class LoaderTest(LoaderCase):
    """What the dynamic linker can do."""

    def test_each_constructor_of_a_library_that_was_seen_before_is_counted(self):
        path = compile_plugin(self.folder / "one.so", "one_f", "-DCONSTRUCTOR=one_c")
        target = self.load()
        tracer = self.attach(target)
        target.do("cycle", 0, 21, path, "one_f", 3, 1000)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 63, 1000)
        self.assert_counted(records, "one_c", 21 * CONSTRUCTED, CONSTRUCTED_BYTES, live=0)

    def take_snapshot(self, tracer):
        """Returns when there is one more."""
        def count():
            return sum('{"type":"snapshot"' in line for line in list(tracer.out.seen))

        before = count()
        tracer.process.send_signal(signal.SIGUSR1)
        self.assertTrue(eventually(lambda: count() > before))

    def test_each_constructor_of_an_allocator_that_was_seen_before_is_counted(self):
        """Only the first load may be faster than the probes."""
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                path = compile_family(self.folder / "pool.so", "pool_f", "-DCONSTRUCTOR=pool_c")
                target = self.load()
                tracer = self.attach(target, "--probe-backend", backend)
                target.do("open", 0, path)
                self.seen(tracer, "load", path)
                target.work_with(0, "pool_f", 3, 1000)
                self.take_snapshot(tracer)
                target.do("cycle", 0, 20, path, "pool_f", 3, 1000, "free")
                records = self.finish(tracer, target)
                self.assertEqual(records.by_function("pool_f")["alloc_objects_total"], 63)
                first = records.of("snapshot")[0]
                early = sum(entry["alloc_objects_total"] for entry in first["top"]
                            if "pool_c" in records.functions(entry["stack_id"]))
                self.assertEqual(records.by_function("pool_c")["alloc_objects_total"] - early, 20 * CONSTRUCTED)

    def test_the_states_of_an_allocator(self):
        path = compile_family(self.folder / "pool.so", "pool_f")
        plain = compile_plugin(self.folder / "plain.so", "plain_f")
        target = self.load()
        tracer = self.attach(target)
        for slot, library in enumerate((path, plain)):
            target.do("open", slot, library)
            self.seen(tracer, "load", library)
            target.do("close", slot)
            self.seen(tracer, "unload", library)
        records = self.finish(tracer, target)
        load, = self.libraries(records, "load", path)
        self.assertEqual(load["state"], "armed")
        self.assertGreater(load["armed_us"], 0)
        self.assertLessEqual({"malloc", "calloc", "realloc", "free"}, set(load["probes"]))
        load, = self.libraries(records, "load", plain)
        self.assertEqual((load["state"], load["probes"]), ("inspected", []))
        self.assertNotIn("armed_us", load)
        self.assert_retired(records, load["module"])

    def test_a_dlopen_that_fails(self):
        junk = self.folder / "junk.so"
        junk.write_bytes(b"\x7fELF" + bytes(8000))
        dependency = compile_plugin(self.folder / "libdependency.so", "dependency_f")
        orphan = compile_plugin(self.folder / "orphan.so", "orphan_f", "-Wl,--no-as-needed", dependency)
        dependency.unlink()
        missing = compile_plugin(self.folder / "missing.so", "missing_f", "-DMISSING=nobody_has_it",
                                 "-DCONSTRUCTOR=missing_c")
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        tracer = self.attach(target)
        for _ in range(10):
            for failing in ("/no/such.so", junk, orphan, missing):
                target.do("openfail", failing)
            target.use(0, path, "one_f", 2, 1111)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 20, 1111)
        self.assert_counted(records, "missing_c", 0, 0)

    def test_reference_counts(self):
        path = compile_plugin(self.folder / "one.so", "one_f", "-DCONSTRUCTOR=one_c")
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, path)
        target.do("open", 1, path)
        target.do("call", 0, "one_f", 10, 1000)
        target.do("close", 0)
        target.do("call", 1, "one_f", 20, 1000)
        self.seen(tracer, "load", path)
        self.assertEqual(self.libraries(harness.Records(tracer.out.seen), "unload", path), [])
        target.do("close", 1)
        self.seen(tracer, "unload", path)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 30, 1000)
        self.assert_counted(records, "one_c", CONSTRUCTED, CONSTRUCTED_BYTES, live=0)
        self.assertEqual([len(self.libraries(records, event, path)) for event in ("load", "unload")], [1, 1])

    def test_a_library_that_is_never_deleted(self):
        path = compile_plugin(self.folder / "one.so", "one_f", "-DCONSTRUCTOR=one_c")
        target = self.load()
        tracer = self.attach(target)
        target.do("opennodelete", 0, path)
        base = target.base(0)
        target.do("call", 0, "one_f", 10, 1000)
        target.do("close", 0)
        target.do("open", 1, path)
        self.assertEqual(target.base(1), base)
        target.do("call", 1, "one_f", 20, 1000)
        target.do("close", 1)
        self.seen(tracer, "load", path)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 30, 1000)
        self.assert_counted(records, "one_c", CONSTRUCTED, CONSTRUCTED_BYTES, live=0)
        self.assertEqual([len(self.libraries(records, event, path)) for event in ("load", "unload")], [1, 0])

    def test_a_library_in_two_namespaces(self):
        path = compile_plugin(self.folder / "one.so", "one_f")
        target = self.load()
        tracer = self.attach(target)
        target.do("open", 0, path)
        target.do("opennew", 1, path)
        self.seen(tracer, "load", path, 2)
        target.do("call", 0, "one_f", 10, 1000)
        target.do("call", 1, "one_f", 20, 1000)
        target.do("close", 0)
        target.do("call", 1, "one_f", 30, 1000)
        target.do("close", 1)
        self.seen(tracer, "unload", path, 2)
        records = self.finish(tracer, target)
        self.assert_counted(records, "one_f", 60, 1000)
        loads = self.libraries(records, "load", path)
        self.assertEqual(len({load["start"] for load in loads}), 2)
        self.assertEqual(len({load["module"] for load in loads}), 1)

    def test_a_library_that_pulls_in_another(self):
        needed = compile_plugin(self.folder / "libneeded.so", "needed_f", "-DCONSTRUCTOR=needed_c")
        path = compile_plugin(self.folder / "one.so", "one_f", "-DNEEDED=needed_f", "-DCONSTRUCTOR=one_c",
                              "-Wl,--no-as-needed,-rpath,$ORIGIN", needed)
        target = self.load()
        tracer = self.attach(target)
        # From its second life on the library's unwind table is there, and each stack is whole.
        target.use(0, path, "one_f", 0, 1000)
        self.seen(tracer, "unload", needed)
        time.sleep(0.2)
        target.do("cycle", 0, 5, path, "one_f", 10, 1000)
        target.do("open", 0, path)
        self.seen(tracer, "load", needed)
        target.do("close", 0)
        self.seen(tracer, "unload", needed)
        records = self.finish(tracer, target)
        # one_f's stacks hold its own blocks and those of needed_f, which it calls.
        self.assert_counted(records, "one_f", 100, 1000)
        self.assert_counted(records, "needed_f", 50, 1000)
        self.assert_counted(records, "one_c", 7 * CONSTRUCTED, CONSTRUCTED_BYTES, live=0)
        self.assert_counted(records, "needed_c", 7 * CONSTRUCTED, CONSTRUCTED_BYTES, live=0)
        self.assertNotEqual(self.module(records, path), self.module(records, needed))

    def test_names_outlive_the_library_its_address_and_its_file(self):
        for backend in BACKENDS:
            with self.subTest(backend=backend):
                one = compile_plugin(self.folder / "one.so", "one_f")
                two = compile_plugin(self.folder / "two.so", "two_f")
                target = self.load()
                tracer = self.attach(target, "--probe-backend", backend)
                target.do("open", 0, one)
                base = target.base(0)
                self.seen(tracer, "load", one)
                target.do("call", 0, "one_f", 10, 1111)
                target.do("close", 0)
                one.unlink()
                target.do("open", 0, two)
                self.assertEqual(target.base(0), base)
                self.seen(tracer, "load", two)
                target.do("call", 0, "two_f", 20, 2222)
                target.do("close", 0)
                two.unlink()
                records = self.finish(tracer, target)
                self.assert_counted(records, "one_f", 10, 1111)
                self.assert_counted(records, "two_f", 20, 2222)
                self.assertEqual([entry for entry in records.last_snapshots[0]["top"]
                                  if {"one_f", "two_f"} <= set(records.functions(entry["stack_id"]))], [])


if __name__ == "__main__":
    harness.main()
