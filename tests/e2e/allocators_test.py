# SPDX-License-Identifier: Apache-2.0
"""Every family of allocators, in the ways it is met: the totals are exactly the program's own."""

import subprocess
import unittest

import families
import harness
from families import JEMALLOC, MIMALLOC, TCMALLOC
from harness import BACKENDS, Case, Target, Tracer

ROUNDS = "200"


class AllocatorsCase(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = families.Folder()
        cls.addClassCleanup(cls.made.remove)

    def assert_exact(self, command, *options, preload=None, backends=("auto",), unknown=0):
        """Traces a program that tells its truth; the records."""
        for backend in backends:
            environment = {"LD_PRELOAD": str(preload)} if preload else {}
            target = Target(self, [str(word) for word in command], env=environment)
            tracer = self.attach(target, "--probe-backend", backend, *options)
            truth = target.work()
            records = tracer.stop()
            self.assertEqual(tracer.status, 0, tracer.err.seen)
            self.assertEqual(target.finish(), 0)
            self.assertGreater(truth["alloc_objects_total"], 100)
            self.assert_totals(truth, records.summary)
            self.assertEqual(records.summary["free_unknown_total"], unknown)
            self.assert_nothing_lost(records)
        return records


class FamiliesTest(AllocatorsCase):
    def test_a_preloaded_allocator_is_counted_once(self):
        for library in (JEMALLOC, TCMALLOC, MIMALLOC):
            with self.subTest(library=library.name):
                records = self.assert_exact([self.made.c("plain"), ROUNDS], preload=library)
                modules = {module for snapshot in records.last_snapshots for site in snapshot["top"]
                           for module in records.modules(site["stack_id"])[:1]}
                self.assertEqual({module.split(".so")[0] for module in modules}, {library.name.split(".so")[0]})

    def test_every_function_of_a_linked_allocator(self):
        cases = {
            "jemalloc": ("-DHAS_JEMALLOC", "-ljemalloc"),
            "tcmalloc": ("-DHAS_TCMALLOC", "-DPREFIX=tc_", "-Daligned_alloc=memalign", "-ltcmalloc_minimal"),
            "mimalloc": ("-DHAS_MIMALLOC", "-DPREFIX=mi_", "-lmimalloc"),
        }
        for name, options in cases.items():
            with self.subTest(name):
                self.assert_exact([self.made.c(name, *options), ROUNDS])

    def test_an_allocator_inside_of_the_program(self):
        cases = {
            "jemalloc.a": ("-DHAS_JEMALLOC", "-Wl,-Bstatic", "-ljemalloc", "-Wl,-Bdynamic", "-lstdc++", "-lm"),
            "tcmalloc.a": ("-DHAS_TCMALLOC", "-DPREFIX=tc_", "-Daligned_alloc=memalign", "-Wl,-Bstatic",
                           "-ltcmalloc_minimal", "-Wl,-Bdynamic", "-lstdc++", "-lm", "-lpthread"),
        }
        for name, options in cases.items():
            with self.subTest(name):
                self.assert_exact([self.made.c(name, *options), ROUNDS])

    def test_an_allocator_with_a_prefix_beside_libc(self):
        for prefix in ("je_", "_rjem_"):
            with self.subTest(prefix):
                program = self.made.c(f"with{prefix}", f"-DPREFIX={prefix}", "-DHAS_JEMALLOC",
                                      self.made.prefixed_jemalloc[prefix], "-lm", "-lpthread")
                self.assert_exact([program, ROUNDS])

    def test_static_programs_of_both_c_libraries(self):
        cases = {
            "glibc static": ("gcc", "-static"),
            "musl": ("musl-gcc",),
            "musl static": ("musl-gcc", "-static"),
        }
        for name, (compiler, *options) in cases.items():
            with self.subTest(name):
                program = self.made.c(name.replace(" ", "-"), *options, compiler=compiler)
                self.assert_exact([program, ROUNDS])

    def test_a_stripped_static_program_with_packed_symbols(self):
        for compiler in ("gcc", "musl-gcc"):
            with self.subTest(compiler):
                program = self.made.c(f"packed-{compiler}", "-static", compiler=compiler)
                self.assert_exact([self.made.strip_to_debug_data(program), ROUNDS])

    def test_rust_with_the_allocator_of_the_system(self):
        self.assert_exact([self.made.rust("rust"), ROUNDS])

    def test_rust_with_its_jemalloc(self):
        archive = self.made.prefixed_jemalloc["_rjem_"]
        program = self.made.rust("rust-jemalloc", "--cfg", "jemalloc", "-C", f"link-arg={archive}")
        self.assert_exact([program, ROUNDS])


class OperatorsTest(AllocatorsCase):
    """C++: what leaves by an exception is no allocation, and does no harm."""

    def program(self, *options):
        return self.made.cxx("cxx" + "".join(option for option in options if option.startswith("-l")), *options)

    def test_every_operator_and_a_thousand_exceptions(self):
        for library in (None, JEMALLOC, TCMALLOC):
            with self.subTest(library=library):
                self.assert_exact([self.program(), ROUNDS, "1000", "0"], preload=library, backends=BACKENDS)

    def test_every_operator_of_mimalloc(self):
        self.assert_exact([self.program(), ROUNDS, "0", "0"], preload=MIMALLOC, backends=BACKENDS)

    def test_exceptions_and_cancelled_threads_around_every_allocator(self):
        """The scenes of survival_test.py, whose functions are other allocators' here."""
        for library in (JEMALLOC, TCMALLOC):
            for name, failed in (("exceptions", 1000), ("cancelled", 0)):
                with self.subTest(library=library.name, scene=name):
                    target = Target(self, harness.scene(name), env={"LD_PRELOAD": str(library)})
                    tracer = self.attach(target)
                    target.go()
                    if name == "exceptions":
                        self.assertEqual(target.out.next(), '{"caught":3000}')
                    target.truth()
                    records = tracer.stop()
                    self.assertEqual(target.finish(), 0)
                    self.assertEqual(records.summary["failed_objects_total"], failed)
                    self.assert_nothing_lost(records)

    def test_mimalloc_as_debian_builds_it_aborts_where_it_should_throw_also_without_a_tracer(self):
        done = subprocess.run([self.program(), "0", "1", "0"], env={"LD_PRELOAD": str(MIMALLOC)}, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=harness.HANG, check=False)
        self.assertEqual(done.returncode, -6, done)

    def test_operators_of_an_allocator_inside_of_the_program(self):
        static = ("-Wl,-Bstatic", "-ljemalloc", "-Wl,-Bdynamic")
        self.assert_exact([self.program(*static), ROUNDS, "1000", "0"])
        self.assert_exact([self.made.cxx("cxx-static", "-static"), ROUNDS, "1000", "0"])

    def test_a_new_handler_that_leaps_out_leaves_calls_that_are_counted_as_lost(self):
        for backend in BACKENDS[:1]:
            with self.subTest(backend=backend):
                target = Target(self, [str(self.program()), "10", "0", "100"], env={"LD_PRELOAD": str(TCMALLOC)})
                tracer = self.attach(target, "--probe-backend", backend)
                truth = target.work()
                records = tracer.stop()
                self.assertEqual(target.finish(), 0)
                self.assert_totals(truth, records.summary)
                lost = {record["reason"]: record["count"] for record in records.of("lost")}
                # The last one is still open as far as anybody knows.
                self.assertEqual(lost, {"call_abandoned": 99})


class ChosenTest(AllocatorsCase):
    """Families and functions that are traced when one asks for them."""

    def test_memory_of_a_gpu(self):
        stub, program = self.made.path / "libcudart.so", self.made.path / "cuda"
        families.run("gcc", "-O1", "-shared", "-fPIC", "-o", stub, families.SOURCES / "cuda_stub.c")
        families.run("gcc", "-O1", "-o", program, families.SOURCES / "cuda_program.c", stub)
        self.assert_exact([program], "--family", "cuda", "--no-family", "libc")

    def own_pool(self):
        library, program = self.made.path / "libpool.so", self.made.path / "pool"
        source = families.SOURCES / "own_pool.cpp"
        families.run("g++", "-std=c++20", "-O2", "-shared", "-fPIC", "-o", library, source)
        families.run("g++", "-std=c++20", "-O1", "-DPOOL_PROGRAM", "-o", program, source, library)
        return program

    POOL = ("pool_get(size=1)->ptr", "pool_take(out=1, count=2, size=3)", "pool_grow(ptr=2, size=3)->ptr",
            "pool_put(ptr=2)")

    def test_an_allocator_of_ones_own_that_throws(self):
        options = [word for line in self.POOL for word in ("--allocator", "libpool.so:" + line)]
        self.assert_exact([self.own_pool()], *options, "--no-family", "all", backends=BACKENDS)

    def test_an_allocator_of_ones_own_from_a_file(self):
        described = self.folder / "pool.allocator"
        described.write_text("# The pool.\n\n" + "".join(f"*pool*:{line}\n" for line in self.POOL), encoding="utf-8")
        self.assert_exact([self.own_pool()], "--allocator", f"@{described}", "--no-family", "all")

    def test_a_function_that_is_in_no_file_is_an_error(self):
        target = Target(self, [str(self.own_pool())])
        tracer = Tracer(self, "-p", target.pid, "--allocator", "libpool.so:pool_gat(size=1)->ptr", "--no-family", "all")
        self.assertEqual(tracer.wait(), 1)
        self.assert_one_error(tracer.err.all(), "libpool.so:pool_gat", "nm -D")

    def test_a_stripped_program_is_an_error_that_names_the_way_out(self):
        program = self.made.c("stripped", "-static", "-s")
        target = Target(self, [str(program), "1"])
        tracer = Tracer(self, "-p", target.pid)
        self.assertEqual(tracer.wait(), 1)
        self.assert_one_error(tracer.err.all(), "maps no file that defines malloc", "--allocator")

    def test_check_says_where_probes_would_go_and_why_not(self):
        program = self.made.cxx("cxx")
        target = Target(self, [str(program), "1", "0", "0"], env={"LD_PRELOAD": str(JEMALLOC)})
        tracer = Tracer(self, "--check", "--pid", target.pid)
        self.assertEqual(tracer.wait(), 0)
        text = "\n".join(tracer.out.all())
        self.assertRegex(text, r"_Znwm +entry 0x[0-9a-f]+ \+ \d+ +emulated by the kernel\n +\d exits, \d emulated: 0x")
        self.assertRegex(text, r"no probe needed: counted in the function that it calls: .*_Znam")
        self.assertRegex(text, r"no allocator functions: .*/cxx")


if __name__ == "__main__":
    unittest.main(verbosity=2)
