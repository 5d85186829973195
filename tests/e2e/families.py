# SPDX-License-Identifier: Apache-2.0
"""Compiles the fixtures of allocators, each in the ways it is met: preloaded, linked, static, prefixed, stripped."""

import functools
import pathlib
import shutil
import subprocess
import tempfile

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"
LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
JEMALLOC = LIBRARIES / "libjemalloc.so.2"
TCMALLOC = LIBRARIES / "libtcmalloc_minimal.so.4"
MIMALLOC = LIBRARIES / "libmimalloc.so.2"

# Calls must reach the allocator, and a program's own code must not be cleverer than the allocator's.
C_FLAGS = ("-O1", "-g", "-fno-builtin", "-fno-omit-frame-pointer", "-Wno-alloc-size-larger-than")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Folder:
    """Compiled fixtures, made when they are first asked for, gone with the tests."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="tracer-families-"))

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def compile(self, compiler, name, source, *options):
        path = self.path / name
        if not path.exists():
            run(compiler, "-o", path, SOURCES / source, *options)
        return path

    def c(self, name, *options, compiler="gcc"):
        return self.compile(compiler, name, "families.c", *C_FLAGS, *options)

    def cxx(self, name, *options):
        return self.compile("g++", name, "families_cxx.cpp", "-std=c++20", *C_FLAGS, *options)

    @functools.cached_property
    def prefixed_jemalloc(self):
        """jemalloc with the names that --with-jemalloc-prefix would give it, for each prefix: only its C half."""
        archives = {}
        for prefix in ("je_", "_rjem_"):
            names = run("nm", "-g", "--defined-only", LIBRARIES / "libjemalloc.a")
            wanted = ("malloc calloc realloc free posix_memalign aligned_alloc memalign valloc mallocx rallocx xallocx "
                      "sallocx dallocx sdallocx nallocx mallctl mallctlnametomib mallctlbymib malloc_stats_print "
                      "malloc_usable_size").split()
            defined = {line.split()[-1] for line in names.splitlines() if len(line.split()) == 3}
            archive = self.path / f"lib{prefix}malloc.a"
            run("objcopy", *(f"--redefine-sym={name}={prefix}{name}" for name in wanted if name in defined),
                LIBRARIES / "libjemalloc.a", archive)
            run("ar", "d", archive, "jemalloc_cpp.o")
            archives[prefix] = archive
        return archives

    def strip_to_debug_data(self, program):
        """`program` without its symbol table, which is packed into .gnu_debugdata as Fedora does."""
        stripped, names = program.with_suffix(".stripped"), program.with_suffix(".names")
        run("objcopy", "--only-keep-debug", program, names)
        run("strip", "--strip-debug", names)
        run("xz", "--keep", "--force", names)
        run("objcopy", "--strip-all", f"--add-section=.gnu_debugdata={names}.xz", program, stripped)
        return stripped

    def rust(self, name, *options):
        path = self.path / name
        if not path.exists():
            run("rustc", "-C", "opt-level=1", "-g", *options, "-o", path, SOURCES / "families.rs")
        return path
