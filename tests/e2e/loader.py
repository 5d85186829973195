# SPDX-License-Identifier: Apache-2.0
"""The fixture `loader`, which does what it is told, and the libraries that it loads, compiled by the tests."""

import os
import pathlib
import subprocess
import types

import harness
from harness import HANG, Case, Target, eventually, fixture, site

# What a library with a constructor takes per load (loader_plugin.c).
CONSTRUCTED, CONSTRUCTED_BYTES = 5, 333
# xfs wants 300 MiB at least; the images are sparse files.
IMAGE_BYTES = {"ext4": 16 << 20, "xfs": 512 << 20, "btrfs": 512 << 20}
SOURCES = pathlib.Path(__file__).resolve().parents[1] / "fixtures"


def compile_library(path, sources, *options):
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls",
                    "-Wl,--build-id", *options, "-o", path, *(SOURCES / source for source in sources)],
                   check=True, timeout=HANG)
    return path


def compile_plugin(path, function, *options):
    """A library whose `function` takes a block from the program's allocator."""
    return compile_library(path, ["loader_plugin.c"], f"-DNAME={function}", *options)


def compile_family(path, function, *options):
    """The same, from an allocator of the library's own."""
    return compile_library(path, ["loader_plugin.c", "plugin_pool.c"], f"-DNAME={function}", "-DPOOL_FAMILY",
                           "-fno-builtin", "-Wl,-Bsymbolic", *options)


def compile_musl(path, sources, *options):
    subprocess.run(["musl-gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", *options, "-o",
                    path, *(SOURCES / source for source in sources)], check=True, timeout=HANG)
    return path


def offset_of(program, function):
    """File offset of a function's first instruction, by readelf."""
    def lines(option):
        return subprocess.run(["readelf", "-W", option, program], check=True, timeout=HANG, stdout=subprocess.PIPE,
                              text=True).stdout.splitlines()

    address, = {int(words[1], 16) for words in map(str.split, lines("-s")) if len(words) == 8 and words[7] == function}
    for words in map(str.split, lines("-l")):
        if words and words[0] == "LOAD":
            offset, start, _, size = (int(word, 16) for word in words[1:5])
            if start <= address < start + size:
                return address - start + offset
    raise AssertionError(f"no segment holds {function}")


def run(*command):
    subprocess.run([str(word) for word in command], check=True, timeout=HANG, stdout=subprocess.DEVNULL)


def overwrite(path, content):
    """Writes into the file that is there, as `cp` does."""
    with open(path, "r+b") as file:
        file.write(content.read_bytes())
        file.truncate()


class Loader(Target):
    """The fixture that loads and unloads libraries line by line."""

    def __init__(self, test, *prefix):
        super().__init__(test, [*map(str, prefix), fixture("loader")])

    def ask(self, *words):
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def answer(self):
        answer = self.out.next()
        assert answer is not None, f"the target has ended with status {self.wait()}"
        assert answer.startswith("ok"), answer
        return answer[3:]

    def do(self, *words):
        self.ask(*words)
        return self.answer()

    def base(self, slot):
        return int(self.do("base", slot), 16)

    def use(self, slot, path, function, count, size):
        """Loads, calls and unloads."""
        self.do("open", slot, path)
        self.do("call", slot, function, count, size)
        self.do("close", slot)

    def work_with(self, slot, function, count, size):
        """Takes blocks of a loaded library and gives them back to it, before they go with it; unloads."""
        self.do("call", slot, function, count, size)
        self.do("free", slot, count, "free")
        self.do("close", slot)

    def maps(self):
        return pathlib.Path(f"/proc/{self.pid}/maps").read_text(encoding="utf-8").splitlines()

    def length(self, path):
        """Bytes of address space that the file takes."""
        ranges = []
        for line in self.maps():
            if line.endswith(f" {path}"):
                ranges += [int(word, 16) for word in line.split()[0].split("-")]
        return max(ranges) - min(ranges)


class LoaderCase(Case):
    """Traces loaders, and undoes mounts."""

    def load(self, *prefix):
        return Loader(self, *prefix)

    def attach_to(self, *targets):
        """One tracer for several targets."""
        return self.attach(types.SimpleNamespace(pid=",".join(str(target.pid) for target in targets)))

    def finish(self, tracer, *targets):
        """The records, after everybody has ended well and nothing was lost."""
        records = tracer.stop()
        self.assertEqual(tracer.status, 0, tracer.err.seen)
        for target in targets:
            self.assertEqual(target.finish(), 0)
        self.assert_nothing_lost(records)
        return records

    def mount(self, where, *arguments):
        where.mkdir(exist_ok=True)
        run("mount", *arguments, where)
        self.addCleanup(self.unmount, where)
        return where

    def unmount(self, where):
        # os.path.ismount() does not see bind mounts.
        while f" {where} " in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8"):
            run("umount", "--lazy", where)

    def make_file_system(self, kind):
        """A mounted file system of its own."""
        image = self.folder / f"{kind}.image"
        with open(image, "wb") as file:
            file.truncate(IMAGE_BYTES[kind])
        run(f"mkfs.{kind}", *(["-q"] if kind != "btrfs" else []), image)
        return self.mount(self.folder / kind, "-o", "loop", image)

    def seen(self, tracer, event, path, count=1):
        """Waits until the tracer has told `event` of the library so often."""
        def told():
            # A line is in `seen` as a whole.
            records = harness.Records(line for line in list(tracer.out.seen) if '"library"' in line)
            return len(records.of("library", event=event, path=str(path))) >= count

        self.assertTrue(eventually(told), f"no {event} of {path}: {tracer.out.seen}")

    def use_seen(self, tracer, target, path, function, count, size):
        """Loads, calls and unloads, slowly enough for the tracer to tell all of it."""
        target.do("open", 0, path)
        self.seen(tracer, "load", path)
        target.do("call", 0, function, count, size)
        target.do("close", 0)
        self.seen(tracer, "unload", path)

    def libraries(self, records, event, path):
        return records.of("library", event=event, path=str(path))

    def module(self, records, path, nth=0):
        """The number of the library that was the nth to be loaded from `path`."""
        return self.libraries(records, "load", path)[nth]["module"]

    def assert_counted(self, records, function, objects, size, live=None, pid=None):
        """`function` took so many blocks of `size` bytes, and `live` (default all) are left."""
        expected = site(objects, size, live)
        found = records.by_function(function, pid=pid)
        self.assertEqual({name: found[name] for name in expected}, expected, function)

    def assert_identity(self, record, status):
        identity = record["identity"]
        device = f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
        self.assertEqual((identity["device"], identity["inode"]), (device, status.st_ino), record)
        self.assertEqual(identity["by"], "generation" if identity["generation"] else "change_time", record)

    def assert_retired(self, records, module):
        states = [record["state"] for record in records.of("library", module=module)]
        self.assertEqual(states[-1], "retired", states)
