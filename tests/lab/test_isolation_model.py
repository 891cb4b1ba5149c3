# SPDX-License-Identifier: LGPL-2.1-or-later
"""The model of isolation registers behaves as the specification says."""

import struct
import unittest

from . import isolation_model as im


class ModelTest(unittest.TestCase):
    def setUp(self):
        self.memory = bytearray(im.BLOCK)
        self.port = im.Port(self.memory, 0)

    def read(self, offset):
        return struct.unpack_from("<I", self.memory, offset)[0]

    def write(self, offset, word, now=0.0):
        struct.pack_into("<I", self.memory, offset, word)
        self.port.poll(now)

    def arm(self):
        self.write(im.CONTROL, im.ISOLATION | im.LINK_DOWN | im.TIMEOUT_ENABLE | 2)

    def test_a_walk_finds_the_capability(self):
        header = self.read(im.REGISTERS)
        found = [self.read(im.REGISTERS + 4 * i) for i in range(1, (header >> 24) + 1)]
        self.assertEqual([element >> 20 for element in found if element & 0xFFFF == 9], [im.POINTER])
        self.assertEqual(header & 0xFFFF, 1)

    def test_off_after_reset_a_timeout_isolates_nothing(self):
        self.assertFalse(self.port.isolate(0.0, 0.1))
        self.assertFalse(self.port.describe()["isolated"])
        self.assertTrue(self.read(im.STATUS) & im.TIMEOUT)

    def test_status_is_sticky_and_cleared_by_writing_one(self):
        self.arm()
        self.assertTrue(self.port.isolate(0.0, 0.0))
        self.port.poll(1.0)
        self.write(im.STATUS, 0, 1.0)
        self.assertTrue(self.read(im.STATUS) & im.ISOLATED)
        self.write(im.STATUS, im.ISOLATED, 1.0)
        self.assertFalse(self.read(im.STATUS) & im.ISOLATED)
        self.assertTrue(self.read(im.STATUS) & im.TIMEOUT, "only what was written as one goes")
        self.assertEqual(self.port.violations, [])

    def test_the_value_shown_written_back_is_a_write(self):
        self.arm()
        self.port.isolate(0.0, 0.0)
        self.port.poll(1.0)
        shown = self.read(im.STATUS) & im.CLEARABLE
        self.write(im.STATUS, shown, 1.0)
        self.assertEqual(self.read(im.STATUS) & im.CLEARABLE, 0)

    def test_busy_keeps_the_status_and_is_told(self):
        self.arm()
        self.port.isolate(0.0, 1.0)
        self.write(im.STATUS, im.ISOLATED, 0.5)
        self.assertTrue(self.read(im.STATUS) & im.ISOLATED)
        self.assertTrue(self.port.violations)
        self.port.poll(2.0)
        self.assertFalse(self.read(im.STATUS) & im.BUSY)

    def test_toggling_under_traffic_is_a_violation(self):
        self.arm()
        self.assertEqual(self.port.violations, [])
        self.port.traffic = True
        self.write(im.CONTROL, 0)
        self.assertEqual(self.port.violations, ["isolation was toggled under traffic"])

    def test_clearing_before_the_link_was_down_is_a_violation(self):
        link = {"up": True}
        port = im.Port(self.memory, 0, lambda: link["up"])
        struct.pack_into("<I", self.memory, im.CONTROL, im.ISOLATION | im.LINK_DOWN)
        port.poll(0.0)
        self.assertFalse(port.control & im.LINK_DOWN, "what is not offered stays off")
        self.assertFalse(port.isolate(0.0, 0.0))
        port.poll(1.0)
        struct.pack_into("<I", self.memory, im.STATUS, im.ISOLATED)
        port.poll(1.0)
        self.assertEqual(port.violations, ["the status was cleared before the link was down"])
        port.isolate(1.0, 0.0)
        port.poll(2.0)
        link["up"] = False
        struct.pack_into("<I", self.memory, im.STATUS, im.ISOLATED)
        port.poll(2.0)
        self.assertEqual(port.history[-1], "cleared")
        self.assertEqual(len(port.violations), 1)

    def test_busy_ends_when_it_is_told_to(self):
        self.arm()
        self.port.isolate(0.0, 1e9)
        self.port.poll(1e6)
        self.assertTrue(self.port.describe()["busy"])
        self.port.idle()
        self.port.poll(1e6)
        self.assertFalse(self.port.describe()["busy"])


if __name__ == "__main__":
    unittest.main()
