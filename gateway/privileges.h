// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hnv {

// Once store, memory and ports are open: no new privileges, no core dumps, and of all capabilities
// only CAP_NET_BIND_SERVICE (an API port below 1024) for the calling thread and those it starts
// later. Before: CAP_NET_RAW and CAP_NET_ADMIN open af_packet, af_xdp and tap ports, CAP_SYS_ADMIN
// and CAP_IPC_LOCK hugepages and PCI devices. Threads of DPDK that already run keep theirs. Throws
// std::runtime_error.
void drop_privileges();

// The rest, once the API listens; and all, on a worker's own thread, which DPDK started before.
void drop_thread_capabilities();

}  // namespace hnv
