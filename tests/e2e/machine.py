# SPDX-License-Identifier: Apache-2.0
"""Runs of the whole machine, and what they are tried on: cgroups, namespaces, containers of our own making.

Other people's processes run on the machine at the same time and may be in the records: tests look at their own only.
"""

import collections
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import uuid

from harness import HANG, LIBC, Case, Program, Records, Target, Tracer, eventually, fixture

PATIENCE = 3 * HANG
# Of the blocks of everybody else there may be many.
MEMORY = "512m"
# With so many processes that pass the filters, probes are there for all processes, and nothing of a new one is missed.
MANY = 17


class MachineTracer(Tracer):
    """Looks at everybody's files first, and has much to tell in the end: on a loaded machine that takes its time."""

    def wait_recording(self):
        while (line := self.err.next(PATIENCE)) is not None:
            if "tracing all processes" in line:
                return self
        raise AssertionError(f"the tracer ended: {self.err.seen}")

    def finish(self, limit=PATIENCE):
        records = super().finish(limit)
        assert self.status == 0, self.err.seen
        return MachineRecords(records)


class MachineRecords(Records):
    """The records of a run of the whole machine, with the last snapshot of each heap."""

    def __init__(self, records):
        self.all, self.stacks = records.all, records.stacks

    def heaps(self, pid=None, **values):
        """The last snapshots of all heaps, of a process if `pid` is given, in the order in which they ended."""
        last = {}
        heap_of = collections.Counter()
        for record in self.of("snapshot"):
            # After an exit the same pid is another process, however soon.
            key = (record["pid"], heap_of[record["pid"]])
            last.pop(key, None)
            last[key] = record
            heap_of[record["pid"]] += record["exited"]
        return [record for record in last.values() if pid in (None, record["pid"]) and
                all(record.get(name) == value for name, value in values.items())]

    def heap(self, pid, **values):
        found = self.heaps(pid, **values)
        assert len(found) == 1, f"{len(found)} heaps of pid {pid}: {found}"
        return found[0]

    def pids(self):
        """Everybody who is spoken of, but in libraries, which may be seen in anybody."""
        return {record["pid"] for kind in ("process", "snapshot", "leak") for record in self.of(kind)}

    def in_function(self, heap, name):
        """The totals of all stacks of a heap that `name` is in."""
        totals = collections.Counter(alloc_objects_total=0, alloc_bytes_total=0, live_objects=0, live_bytes=0)
        for site in heap["top"]:
            if name in self.functions(site["stack_id"]):
                totals.update({key: site[key] for key in totals})
        return dict(totals)


def cgroup_mount():
    """Where the one hierarchy of cgroup2 is: /sys/fs/cgroup, or on hybrid machines somewhere below."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for words in map(str.split, file):
            if words[words.index("-") + 1] == "cgroup2" and words[3] == "/":
                return pathlib.Path(words[4])
    raise AssertionError("no cgroup2 is mounted")


class Cgroup:
    """A cgroup of our own, removed with all that is in it at the end of the test."""

    def __init__(self, test, name=None, parent=None):
        self.folder = (parent.folder if parent else cgroup_mount()) / (name or f"tracer-e2e-{uuid.uuid4().hex[:12]}")
        self.path = "/" + str(self.folder.relative_to(cgroup_mount()))  # as in /proc/PID/cgroup
        self.folder.mkdir()
        test.addCleanup(self.remove)

    def enter(self):
        """For preexec_fn: the program begins inside."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def pids(self):
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def kill(self):
        """Everything in it was started by this test."""
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def remove(self):
        def is_gone():
            try:
                self.kill()
                self.folder.rmdir()
            except FileNotFoundError:
                return True
            except OSError:
                return False
            return True
        return eventually(is_gone)


class Image:
    """The files of a program of a container: the fixture `scenes`, and its own copy of everything that it maps."""

    def __init__(self, folder):
        self.folder = folder
        program = pathlib.Path(fixture("scenes"))
        listed = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True, timeout=HANG).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            place = folder / library.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
        shutil.copy(program, folder / "scenes")
        for name in ("proc", "tmp"):
            (folder / name).mkdir()


class Container(Target):
    """A scene with a mount and a pid namespace, an overlayfs root and a cgroup of its own, as runtimes make them.

    The overlay is mounted in its mount namespace only, and ends with it, unless `root` says where it is mounted.
    """

    def __init__(self, test, image, scene_arguments, within=None, root=None, **options):
        self.id = uuid.uuid4().hex + uuid.uuid4().hex
        self.cgroup = Cgroup(test, f"docker-{self.id}.scope", within)
        layers = test.folder / self.id
        for name in ("upper", "work", "merged"):
            (layers / name).mkdir(parents=True)
        self.root = root or layers / "merged"
        script = 'mount -t proc proc "$root/proc" && exec chroot "$root" /scenes "$@"'
        if root is None:
            script = (f'mount -t overlay overlay -o "lowerdir=$lower,upperdir={layers}/upper,workdir={layers}/work" "$root"'
                      f' && {script}')
        super().__init__(test, ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh",
                                *map(str, scene_arguments)],
                         env={**os.environ, "root": str(self.root), "lower": str(image.folder)},
                         preexec_fn=self.cgroup.enter, **options)
        # As the host numbers it: the only child of unshare.
        self.pid, = [pid for pid in self.cgroup.pids() if pid != self.process.pid]


class MachineCase(Case):
    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)  # for other users
        self.cgroup = Cgroup(self)

    def trace_all(self, *options):
        """A tracer of the whole machine that records, with no periodic snapshots unless asked, and exactly: a fixture does
        little else than allocate."""
        defaults = {"-f": "ndjson", "-T": "0", "-i": "1h", "--max-memory": MEMORY, "--max-overhead": "off"}
        given = [word for option, value in defaults.items() if option not in options for word in (option, value)]
        return MachineTracer(self, "--all", *given, *options).wait_recording()

    def trace_ours(self, *options):
        """The same for the processes that start in this test's cgroup, so that other people's load is nothing to it. They
        are many: probes are there for everybody, and nothing of a new process is missed."""
        self.crowd(self.cgroup)
        return self.trace_all("--cgroup", self.cgroup.path, *options)

    def crowd(self, cgroup):
        """Fills a cgroup with processes that do nothing."""
        crowd = Program(self, ["sh", "-c", f"for i in $(seq {MANY}); do sleep 1000 & done; echo there; wait"],
                        preexec_fn=cgroup.enter)
        self.assertEqual(crowd.out.next(), "there")
        self.addCleanup(cgroup.kill)

    def wait_attached(self, tracer, *targets):
        """Until the tracer has looked at each of them: of what has ended before, /proc says nothing any more."""
        for target in targets:
            parts = '"type":"process","event":"attach"', f'"pid":{target.pid},', '"comm":"scenes"'
            self.assertTrue(eventually(lambda parts=parts: any(all(part in line for part in parts)
                                                               for line in list(tracer.out.seen))),
                            [line for line in tracer.out.seen if parts[1] in line])

    def wait_armed(self, tracer, *targets):
        """Until each of them has probes of its own: where few pass the filters they come when a process is noticed."""
        def is_armed(line, pid):
            record = json.loads(line)
            return (record["type"], record.get("event"), record.get("pid")) == ("library", "load", pid) and \
                record["path"].endswith(LIBC)
        for target in targets:
            self.assertTrue(eventually(lambda pid=target.pid: any(f'"pid":{pid},' in line and is_armed(line, pid)
                                                                  for line in list(tracer.out.seen))), target.pid)

    def start(self, arguments, within=None, **options):
        """A fixture that begins in the cgroup of the test, or one below it."""
        return Target(self, arguments, preexec_fn=(within or self.cgroup).enter, **options)

    def run_program(self, arguments, within=None, **options):
        """A program of the cgroup from start to end; its pid."""
        process = subprocess.Popen(list(map(str, arguments)), preexec_fn=(within or self.cgroup).enter, **options)
        self.assertEqual(process.wait(HANG), 0)
        return process.pid

    def assert_heap(self, truth, heap):
        """What a fixture counted, and nothing besides: it was attached to before it began."""
        self.assertEqual(truth, {name: heap[name] for name in truth})

    def assert_sites(self, records, heap, **functions):
        for name, expected in functions.items():
            self.assertEqual(records.in_function(heap, name), expected, name)

    def assert_complete(self, records):
        self.assertEqual((records.of("lost"), records.summary["lost_events_total"], records.summary["complete"]),
                         ([], 0, True))
