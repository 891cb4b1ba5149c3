# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ways in which the lab ends other than well."""


class FormatError(Exception):
    """A topology or scenario file says something it may not; the text names file, place and key."""


class LabError(Exception):
    """The lab itself could not do what was asked: QEMU, the guest or a channel failed."""


class HostEnded(LabError):
    """The emulated host is not there any more; the text says how it ended."""


class StepFailed(Exception):
    """A step or an expectation of a scenario did not hold."""

    def __init__(self, what: str, last=None):
        super().__init__(what)
        self.what = what
        self.last = last
