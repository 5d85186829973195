# SPDX-License-Identifier: Apache-2.0
"""tracer --all and containers: files of their own on overlayfs, in mount and pid namespaces of their own."""

import subprocess

import harness
from harness import HANG, eventually, scene, site
from machine import Container, Image, MachineCase

LEAKS = {"leak_alpha": site(100, 1000), "leak_beta": site(10, 4096)}


class ContainersTest(MachineCase):
    def setUp(self):
        super().setUp()
        self.images = []
        for name in ("first", "second"):
            folder = self.folder / name
            folder.mkdir()
            self.images.append(Image(folder))

    def container(self, image, name="leaks", **options):
        return Container(self, image, [name], within=self.cgroup, **options)

    def assert_attributed(self, records, container):
        """To the cgroup's container, under the pid of the host and that of the container."""
        attached, = [record for record in records.of("process", event="attach", pid=container.pid)
                     if record["comm"] == "scenes"]
        self.assertEqual((attached["container_id"], attached["ns_pid"]), (container.id, 1))

    def wait_for_libc(self, tracer, image):
        """Until the image's own libc, a file of its own, has probes."""
        inode = next(image.folder.rglob("libc.so.6")).stat().st_ino

        def is_armed(line):
            return f'"inode":{inode},' in line and '"probes":["' in line
        self.assertTrue(eventually(lambda: any(is_armed(line) for line in list(tracer.out.seen))))

    def test_containers_from_before_and_after_are_counted_with_a_libc_per_image(self):
        before = [self.container(self.images[0]), self.container(self.images[0])]
        tracer = self.trace_ours()
        after = [self.container(self.images[1]), self.container(self.images[0])]
        for image in self.images:
            self.wait_for_libc(tracer, image)
        truths = {container.pid: container.work() for container in before + after}
        ended = before[0]
        self.wait_attached(tracer, *before, *after)
        self.assertEqual(ended.finish(), 0)
        records = tracer.stop()
        self.assert_complete(records)
        for container in before + after:
            heap = records.heap(container.pid, comm="scenes")
            self.assertEqual(heap["exited"], container is ended)
            # The mounts of the one that has ended are gone, and its names are known all the same.
            self.assert_sites(records, heap, **LEAKS)
            self.assert_attributed(records, container)
        for container in before:
            self.assert_heap(truths[container.pid], records.heap(container.pid))

    def test_few_containers_get_probes_of_their_own(self):
        before = self.container(self.images[0])
        tracer = self.trace_all("--container", before.id[:12])
        truth = before.work()
        self.wait_attached(tracer, before)
        self.assertEqual(before.finish(), 0)
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_heap(truth, records.heap(before.pid))
        self.assert_sites(records, records.heap(before.pid), **LEAKS)
        self.assert_attributed(records, before)

    def test_an_overlay_can_be_unmounted_after_its_container_has_ended(self):
        root = self.folder / "root"
        layers = [self.folder / name for name in ("upper", "work")]
        for folder in (root, *layers):
            folder.mkdir()
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.images[0].folder},upperdir={layers[0]},"
                        f"workdir={layers[1]}", root], check=True, timeout=HANG)
        self.addCleanup(subprocess.run, ["umount", "-l", root], check=False, stderr=subprocess.DEVNULL)
        tracer = self.trace_ours("-i", "200ms")
        container = self.container(self.images[0], root=root)
        self.wait_for_libc(tracer, self.images[0])
        container.work()
        # The files are new to the machine: whole stacks take the time to read them.
        self.assertTrue(eventually(lambda: any("leak_beta" in line for line in list(tracer.out.seen))))
        self.assertEqual(container.finish(), 0)

        def is_unmounted():
            return subprocess.run(["umount", root], check=False, timeout=HANG, stderr=subprocess.DEVNULL).returncode == 0
        self.assertTrue(eventually(is_unmounted, limit=30))
        self.assertTrue(tracer.is_running())
        records = tracer.stop()
        self.assert_sites(records, records.heap(container.pid, comm="scenes"), **LEAKS)
        self.assert_complete(records)

    def test_a_cgroup_that_is_removed_while_it_is_traced_ends_nothing(self):
        container = self.container(self.images[0])
        other = self.start(scene("leaks"))
        tracer = self.trace_all("--cgroup", container.cgroup.path, "--cgroup", self.cgroup.path)
        container.work()
        self.wait_attached(tracer, container)
        self.assertEqual(container.finish(), 0)
        self.assertTrue(container.cgroup.remove())
        truth = other.work()
        records = tracer.stop()
        self.assert_complete(records)
        self.assert_heap(truth, records.heap(other.pid))
        self.assert_attributed(records, container)
        self.assert_sites(records, records.heap(container.pid, exited=True), **LEAKS)


if __name__ == "__main__":
    harness.main()
