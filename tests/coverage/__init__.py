# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests execute of the engine."""
