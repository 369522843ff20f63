# SPDX-License-Identifier: Apache-2.0
"""Real peers for hnv-gateway: namespaces, Open vSwitch hosts and switch, servers, captures, the API.

Every object made here belongs to a Run, which records it by its own id and removes it again.
"""
