# SPDX-License-Identifier: Apache-2.0
"""How long names of 100,000 addresses take, and how much memory: a large library that has names only (libLLVM), and one
with debug information (tracer itself), beside addr2line and llvm-symbolizer."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ADDRESSES = 100_000
LLVM = pathlib.Path("/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1")
LIMIT = 120  # seconds; addr2line takes longer on a file with much debug information


def code_of(path):
    """Start and size of .text."""
    for line in subprocess.run(["readelf", "-S", "-W", path], check=True, capture_output=True, text=True).stdout.split("\n"):
        words = line.replace("[ ", "[").split()
        if len(words) > 5 and words[1] == ".text":
            return int(words[3], 16), int(words[5], 16)
    raise ValueError(f"{path}: no .text")


def addresses_of(path, count):
    start, size = code_of(path)
    return [start + offset for offset in random.Random(1).sample(range(size), min(count, size))]


def measure_tool(command, addresses):
    """Seconds and most memory in KiB of a program that reads addresses; None when it takes too long."""
    with tempfile.TemporaryFile("w+") as file:
        file.write("".join(f"{address:#x}\n" for address in addresses))
        file.seek(0)
        begin = time.monotonic()
        child = subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while time.monotonic() - begin < LIMIT:
            pid, _, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                return time.monotonic() - begin, usage.ru_maxrss
            time.sleep(0.01)
        child.kill()
        os.wait4(child.pid, 0)
        return None


def measure(build, path, count=ADDRESSES):
    addresses = addresses_of(path, count)
    text = "".join(f"{address:#x}\n" for address in addresses)
    ours = json.loads(subprocess.run([build / "tests/bench/bench_symbols", path], input=text, check=True,
                                     capture_output=True, text=True).stdout)
    tools = {
        "addr2line -i -f -C": measure_tool(["addr2line", "-i", "-f", "-C", "-e", path], addresses),
        "llvm-symbolizer": measure_tool(["llvm-symbolizer", "--obj", path], addresses),
    }
    return {"path": str(path), "size_bytes": path.stat().st_size, "addresses": len(addresses), "ours": ours, "tools": tools}


def print_lines(measured):
    ours = measured["ours"]
    print(f"names of {measured['addresses']:,} addresses in {measured['path']} "
          f"({measured['size_bytes'] >> 20} MiB):")
    print(f"  tracer              {ours['all_s']:8.2f} s {ours['max_rss_kib'] >> 10:6} MiB   "
          f"(the first {ours['first_s']:.2f} s; {ours['named']:,} have names, {ours['frames']:,} frames)")
    for tool, result in measured["tools"].items():
        if result is None:
            print(f"  {tool:<19} more than {LIMIT} s")
        else:
            print(f"  {tool:<19} {result[0]:8.2f} s {result[1] >> 10:6} MiB")


def measure_all(build):
    return [measure(build, path) for path in (LLVM, build / "tracer") if path.exists()]


if __name__ == "__main__":
    for one in measure_all(pathlib.Path(sys.argv[1])):
        print_lines(one)
