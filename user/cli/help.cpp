// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

namespace tracer::cli {

std::string version_text() { return "tracer " TRACER_VERSION "\n"; }

std::string help_text() {
  return R"(tracer - where does a running native program's memory go?

  sudo tracer -p 4242            trace process 4242; Ctrl-C ends with a report
  sudo tracer -p 4242 -d 30s     the same for 30 seconds
  sudo tracer -- ./server --port 80
                                 start a program and trace it from the start
  sudo tracer -a                 the whole machine: which processes hold most?
  sudo tracer -p 4242 -o heap.pb.gz
                                 a profile for 'go tool pprof'
  tracer report run.ndjson -o heap.pb.gz
                                 the same later, from a recorded run

Usage: tracer [OPTIONS] --pid PID[,PID...]
       tracer [OPTIONS] [--] COMMAND [ARGUMENT...]
       tracer [OPTIONS] --all [FILTER...]
       tracer report FILE.ndjson [-o FILE]... [-f NAME]
       tracer diff BEFORE.ndjson AFTER.ndjson
       tracer --check [--pid PID]

Targets:
  -p, --pid PID[,PID...]   attach to running processes (repeatable)
  --follow                 trace forked children too (default with COMMAND);
                           other processes then pay about 0.4 us per call
  --no-follow              trace no children (default with --pid)
  -a, --all                every process of the machine, those too that start
                           later; filters say which

Filters of --all; a process must pass each kind that is given:
  --comm GLOB              name of the process, with * and ? (repeatable); the
                           kernel keeps 15 characters of it
  -u, --user USER[,...]    user name or number (repeatable)
  -G, --cgroup PATH        cgroup2 and all below it (repeatable): as in
                           /proc/PID/cgroup, or below /sys/fs/cgroup
  --container ID           container id, 6 or more of its first digits, or the
                           name of an lxc or nspawn container (repeatable)
  --exclude-pid PID[,...]  all but these processes (repeatable)
  --pidns PID|INODE        processes in the pid namespace of a process, or in
                           that of this inode number

When:
  -i, --interval TIME      a snapshot every TIME (default 5s; with COMMAND
                           only if given)
  -d, --duration TIME      stop after TIME (default: Ctrl-C, or target exit)
  -n, --count N            stop after N snapshots
  -D, --delay TIME         attach, and begin to record after TIME; -1: when
                           'enable' comes through --control
  --control FIFO[,ACK]     obey commands written to FIFO, a line each: enable,
                           disable, snapshot, ping, stop; answer 'ack' on ACK

What is shown:
  -T, --top N              the N stacks that hold most (default 10; 0: all);
                           with --all as many processes or groups. Profiles
                           hold all stacks unless it is given
  --by KIND                with --all, what is added up: process (default),
                           exe, container or user
  --older TIME             leaks are blocks older than this (default 500ms)
  --suppressions FILE      leave out known leaks (repeatable): lines such as
                           'leak:libfoo.so', as LeakSanitizer has them
  --leak-exitcode N        exit with N if anything leaked (default 0: do not)
  -I, --include REGEX      only stacks with a function or module that matches
  -X, --exclude REGEX      no stacks with a function or module that matches
  --no-inline              leave out inlined frames
  --no-demangle            names as in the symbol table
  --debuginfod[=URLS]      fetch debug information that is not installed, at
                           the end of the run (default URLs: DEBUGINFOD_URLS)

What is recorded:
  -s, --sample SIZE        record one allocation in SIZE bytes, at random, and
                           estimate the rest: 1k to 1g, such as 512k
                           (default 0: every allocation, exact counts)
  -z, --min-size SIZE      only requests of at least SIZE bytes
  -Z, --max-size SIZE      only requests of at most SIZE bytes
  --events KIND[,...]      more than allocations: mmap, memory mapped without
                           an allocator; fault, where pages are touched for
                           the first time (that is what grows RSS); misuse,
                           blocks freed twice, in the wrong way, or by an
                           address inside of them
  --family LIST            allocators beside the usual ones: python, cuda, all
  --no-family LIST         without these: libc, cxx, jemalloc, tcmalloc,
                           mimalloc, all
  --allocator SPEC         a function of an allocator of your own, or @FILE
                           with a line for each (repeatable):
                             'libpool.so:pool_get(size=1)->ptr'
                             'libpool.so:pool_put(ptr=1)'
  --call-graph MODE        how stacks are walked: dwarf (by unwind tables, the
                           default) or fp (by frame pointers)
  --max-stack N            frames per stack, 2 to 512 (default 256)
  --max-memory SIZE        memory for the tables in the kernel (default 256m)
  --max-overhead PCT       with --all, time that a process may lose to probes
                           before they are made cheaper for it; off: any
  --probe-backend NAME     auto, multi (Linux 6.6 and later) or perf

Output:
  -f, --format NAME        table (default on a terminal), ndjson (default on a
                           pipe), pprof, folded, heaptrack, speedscope, dhat
  -o, --output FILE        write to FILE (repeatable), in the format that its
                           name tells: .txt, .ndjson, .pb.gz, .folded, .zst,
                           .speedscope.json, .dhat.json; '-' is standard
                           output. %p is the process id, %h the host, %t the
                           time, %n the snapshot: a file for each
  --metric NAME            for folded: inuse_space (default), inuse_objects,
                           alloc_space or alloc_objects
  --color WHEN             auto, always or never
  -q, --quiet              errors only on standard error
  -v, --verbose            say more, and show the frames of allocators and
                           containers too; -vv says what libbpf says

Other:
  --check                  what this kernel and these privileges allow; with
                           --pid also what would be probed, and where
  -V, --version            print the version
  -h, --help               print this

'report' writes what the run itself would have written, without privileges; it
takes -o, -f, --metric, -T, -I, -X, --suppressions, --leak-exitcode, --color.
'diff' compares what is live at the end, stack by stack: -T, -o, -f (table or
ndjson). A command of such a name is traced by 'tracer -- report'.

A TIME is a number with ms, s, m, h or d; a bare number is seconds.
A SIZE is a number with k, m or g, powers of 1024; a bare number is bytes.

Exit status: 0 done, 1 failure, 2 wrong options. With COMMAND its own status,
128+N when signal N killed it, 125 the tracer failed, 126 COMMAND cannot be
executed, 127 COMMAND not found.
)";
}

}  // namespace tracer::cli
