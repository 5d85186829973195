# SPDX-License-Identifier: Apache-2.0
"""What tracer --all costs itself on a machine with many processes: how long it takes to begin, and what it uses when
nothing happens.

300 processes that sleep and 20 that allocate, these in 5 mount and pid namespaces with an overlayfs root each, so that
every one has a libc of its own as containers have. Then the 20 rest, and the tracer is watched.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from instruments import Failed

IDLE = 300
CONTAINERS = 5
PER_CONTAINER = 4
SETTLED_S = 8  # the first snapshot, with the names of all that has been met, is over
WATCHED_S = 10

TARGET_START_S = 2.0
TARGET_CORE_PERCENT = 1.0
TARGET_RSS_MIB = 150.0


def copy_program(program, folder):
    """The program, and what it maps, as the files of an image."""
    listed = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    for library in re.findall(r"(/\S+) \(0x", listed):
        place = folder / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, place)
    shutil.copy(program, folder / "program")
    (folder / "proc").mkdir()


class Containers:
    """Programs that wait for a line, allocate, and wait for another one, each container with files of its own."""

    def __init__(self, program, folder):
        self.processes = []
        self.lines = []
        for number in range(CONTAINERS):
            layers = folder / str(number)
            for name in ("lower", "upper", "work", "root"):
                (layers / name).mkdir(parents=True)
            copy_program(program, layers / "lower")
            # One for each program: a line that several wait for is taken by any of them, twice by a quick one.
            for program_number in range(PER_CONTAINER):
                os.mkfifo(layers / f"line{program_number}")
                self.lines.append(os.open(layers / f"line{program_number}", os.O_RDWR))
            script = (f"mount -t overlay overlay -o lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work "
                      f"{layers}/root && mount -t proc proc {layers}/root/proc && "
                      f"for i in $(seq 0 {PER_CONTAINER - 1}); do chroot {layers}/root /program leaks <{layers}/line$i & done; wait")
            self.processes.append(subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
                                                   stdout=subprocess.PIPE))

    def hear(self, word):
        """A line of each program."""
        for process in self.processes:
            for _ in range(PER_CONTAINER):
                line = process.stdout.readline().decode()
                if word not in line:
                    raise Failed(f"a program in a container said {line!r}")

    def act(self):
        for line in self.lines:
            os.write(line, b"\n")
        self.hear("alloc_objects_total")

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for line in self.lines:
            os.close(line)


class Sleepers:
    def __init__(self):
        script = f"for i in $(seq {IDLE}); do sleep 1000 & done; echo there; wait"
        self.process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
        self.process.stdout.readline()

    def end(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def cpu_seconds(pid):
    """User and system time of all its threads."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    """Resident memory: the tracer's own, and the kernel's tables that it reads through mappings (of --max-memory)."""
    own = tables = 0
    to_tables = False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            to_tables = "bpf-map" in line
        elif found := re.match(r"Rss:\s+(\d+) kB", line):
            own, tables = own + int(found[1]) * (not to_tables), tables + int(found[1]) * to_tables
    return own / 1024, tables / 1024


def watch(build, folder, containers):
    out = folder / "machine.ndjson"
    containers.hear("ready")
    begin = time.monotonic()
    tracer = subprocess.Popen([build / "tracer", "--all", "-o", out], stderr=subprocess.PIPE, text=True)
    try:
        while "tracing all" not in (line := tracer.stderr.readline()):
            if not line:
                raise Failed("the tracer did not start")
        start_s = time.monotonic() - begin
        start_cpu_s = cpu_seconds(tracer.pid)
        containers.act()
        time.sleep(SETTLED_S)
        before, begin = cpu_seconds(tracer.pid), time.monotonic()
        time.sleep(WATCHED_S)
        core = (cpu_seconds(tracer.pid) - before) / (time.monotonic() - begin)
        own_mib, tables_mib = rss_mib(tracer.pid)
        figures = {"start_s": start_s, "start_cpu_s": start_cpu_s, "core_percent": 100 * core, "rss_mib": own_mib,
                   "tables_mib": tables_mib}
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=300)
    text = out.read_text(encoding="utf-8")
    figures["processes_found"] = len(set(re.findall(r'"type":"snapshot",.*?"pid":(\d+),.*?"comm":"program"', text)))
    return figures


def measure(build):
    sleepers = Sleepers()
    with tempfile.TemporaryDirectory(prefix="tracer-bench-") as name:
        containers = None
        try:
            containers = Containers(build / "tests/fixtures/scenes", pathlib.Path(name))
            figures = watch(build, pathlib.Path(name), containers)
        finally:
            if containers is not None:
                containers.end()
            sleepers.end()
    figures |= {"idle": IDLE, "busy": CONTAINERS * PER_CONTAINER, "containers": CONTAINERS}
    if figures["processes_found"] != figures["busy"]:
        raise Failed(f"of {figures['busy']} programs in containers {figures['processes_found']} were found")
    return figures


def targets(figures):
    """(name, value, target, whether it is met)"""
    rows = [("seconds until it records", figures["start_s"], TARGET_START_S),
            ("percent of a core at rest", figures["core_percent"], TARGET_CORE_PERCENT),
            ("MiB resident", figures["rss_mib"], TARGET_RSS_MIB)]
    return [(name, value, target, value < target) for name, value, target in rows]


def print_lines(figures):
    print(f"\ntracer --all, {figures['idle']} idle processes and {figures['busy']} that have allocated in "
          f"{figures['containers']} containers (and all else that runs on this machine)")
    for name, value, target, met in targets(figures):
        print(f"{name:<27}{value:>8.2f}   {'met' if met else 'missed':<7}target: less than {target:g}")
    print(f"{'MiB of the kernel, mapped':<27}{figures['tables_mib']:>8.2f}   (of the 256 MiB of --max-memory)")
    print(f"{'seconds of CPU until then':<27}{figures['start_cpu_s']:>8.2f}")
