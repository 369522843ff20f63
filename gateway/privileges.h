// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hnv {

// Once everything is open: no new privileges, no core dumps, and no capabilities for the calling
// thread and those it starts later. Before: CAP_NET_RAW and CAP_NET_ADMIN open af_packet, af_xdp
// and tap ports, CAP_SYS_ADMIN and CAP_IPC_LOCK hugepages and PCI devices, CAP_NET_BIND_SERVICE an
// API port below 1024. Threads of DPDK that already run keep theirs. Throws std::runtime_error.
void drop_privileges();

// For a worker's own thread, which DPDK started before.
void drop_thread_capabilities();

}  // namespace hnv
