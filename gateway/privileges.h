// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hnv {

// What the main thread must still be able to do when it closes the ports: an af_xdp port's program
// has to be taken off its interface (CAP_NET_ADMIN, CAP_BPF, CAP_SYS_ADMIN).
enum class AtTheEnd : uint8_t { nothing, detach_xdp };

// Once store, memory and ports are open: no new privileges, no core dumps, and of all capabilities
// only CAP_NET_BIND_SERVICE (an API port below 1024) for the calling thread and those it starts
// later. Before: CAP_NET_RAW and CAP_NET_ADMIN open af_packet, af_xdp and tap ports, CAP_SYS_ADMIN
// and CAP_IPC_LOCK hugepages and PCI devices. Threads of DPDK that already run keep theirs. Throws
// std::runtime_error.
void drop_privileges(AtTheEnd end);

// The rest, once the API listens, on the calling thread.
void drop_thread_capabilities(AtTheEnd end);

}  // namespace hnv
