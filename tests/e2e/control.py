# SPDX-License-Identifier: Apache-2.0
"""The other end of --control."""

import os
import select

from harness import HANG


class Control:
    """The other ends of --control."""

    def __init__(self, test, reads=True):
        self.paths = [test.folder / "commands", test.folder / "answers"]
        for path in self.paths:
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        self.option = ",".join(map(str, self.paths))
        # Reading and writing: so no open has to wait for the tracer.
        self._commands = os.open(self.paths[0], os.O_RDWR)
        test.addCleanup(os.close, self._commands)
        self._pending = b""
        if reads:
            self._answers = os.open(self.paths[1], os.O_RDWR)
            test.addCleanup(os.close, self._answers)

    def write(self, data):
        while data:
            data = data[os.write(self._commands, data):]

    def has_answer(self, limit):
        """Whether there is one that was not asked for yet."""
        return bool(self._pending) or bool(select.select([self._answers], [], [], limit)[0])

    def answer(self):
        while b"\n" not in self._pending:
            assert select.select([self._answers], [], [], HANG)[0], f"no answer; so far: {self._pending}"
            self._pending += os.read(self._answers, 4096)
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()

    def ask(self, command):
        self.write(f"{command}\n".encode())
        return self.answer()

    def do(self, *commands):
        for command in commands:
            answer = self.ask(command)
            assert answer == "ack", f"{command}: {answer!r}"
