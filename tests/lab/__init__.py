# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab: boots a real kernel with emulated CXL and plays scenarios against the product."""
