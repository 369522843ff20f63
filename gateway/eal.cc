// SPDX-License-Identifier: Apache-2.0
#include "gateway/eal.h"

#include <algorithm>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>

#include "gateway/reentry.h"

namespace hnv {
namespace {

// Ethernet header, two tags to be generous, and the frame check some ports leave on.
constexpr unsigned kFrameOverhead = 14 + 8 + 4;
static_assert(RTE_PKTMBUF_HEADROOM >= kSideNoteRoom + 56,
              "a SideNote and the NVGRE headers must both fit in front of a packet");

uint64_t free_hugepage_bytes() {
  // The default size of 2 MiB; another size is used when it is the kernel's default.
  std::ifstream meminfo("/proc/meminfo");
  std::string word;
  uint64_t free_pages = 0;
  uint64_t page_kilobytes = 0;
  while (meminfo >> word) {
    if (word == "HugePages_Free:") meminfo >> free_pages;
    if (word == "Hugepagesize:") meminfo >> page_kilobytes;
  }
  return free_pages * page_kilobytes * 1024;
}

bool wants_pci(const Bootstrap& bootstrap) {
  return std::any_of(bootstrap.ports.begin(), bootstrap.ports.end(), [](const PortConfig& port) {
    return port.device.find(':') != std::string::npos && !port.device.starts_with("net_");
  });
}

std::vector<std::string> arguments(const Bootstrap& bootstrap, bool hugepages) {
  // Threads by number, each bound to its processor: two may share one.
  std::string lcores = fmt::format("0@{}", bootstrap.control_lcore);
  for (unsigned i = 0; i < bootstrap.worker_lcores.size(); ++i) {
    lcores += fmt::format(",{}@{}", eal_lcore_of(i), bootstrap.worker_lcores[i]);
  }
  std::vector<std::string> args{"hnv-gateway",
                                "--lcores",
                                lcores,
                                "--main-lcore",
                                "0",
                                "-m",
                                std::to_string(bootstrap.memory_megabytes),
                                "--no-telemetry",
                                "--log-level=lib.*:error",
                                "--log-level=pmd.*:error"};
  if (hugepages) {
    args.emplace_back("--in-memory");
  } else {
    // Nothing of this process lies in /run/dpdk for another one, so that kill -9 leaves nothing
    // there and several gateways do not meet. (--in-memory, which means the same, wants hugepages.)
    args.emplace_back("--no-huge");
    args.emplace_back("--no-shconf");
  }
  if (!wants_pci(bootstrap)) args.emplace_back("--no-pci");
  return args;
}

}  // namespace

Eal::Eal(const Bootstrap& bootstrap) {
  const uint64_t wanted = uint64_t{bootstrap.memory_megabytes} << 20;
  const uint64_t available = free_hugepage_bytes();
  hugepages_ = bootstrap.hugepages == HugepageUse::on ||
               (bootstrap.hugepages == HugepageUse::automatic && available >= wanted);
  if (bootstrap.hugepages == HugepageUse::on && available < wanted) {
    throw std::runtime_error(
        fmt::format("memory: {} MiB of hugepages are wanted and {} MiB are free; write more to "
                    "/proc/sys/vm/nr_hugepages, or set memory.hugepages to \"auto\" or \"off\"",
                    bootstrap.memory_megabytes, available >> 20));
  }
  if (!hugepages_ && bootstrap.hugepages == HugepageUse::automatic) {
    spdlog::warn("memory: too few hugepages are free ({} MiB); running on small pages, slower",
                 available >> 20);
  }
  std::vector<std::string> args = arguments(bootstrap, hugepages_);
  std::vector<char*> argv;
  argv.reserve(args.size());
  for (std::string& arg : args) argv.push_back(arg.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    throw std::runtime_error(fmt::format(
        "DPDK does not start ({}); may this process run on the lcores {} and {}, and is the memory "
        "there?",
        rte_strerror(rte_errno), bootstrap.control_lcore,
        fmt::join(bootstrap.worker_lcores, ", ")));
  }
  memory_bytes_ = wanted;
  uint16_t mtu = 1500;
  for (const PortConfig& port : bootstrap.ports) mtu = std::max(mtu, port.mtu);
  const unsigned room = std::max<unsigned>(RTE_MBUF_DEFAULT_BUF_SIZE,
                                           RTE_PKTMBUF_HEADROOM + mtu + kFrameOverhead + 512);
  packets_ = rte_pktmbuf_pool_create("packets", bootstrap.packet_buffers, 256, 0,
                                     static_cast<uint16_t>((room + 127) / 128 * 128),
                                     static_cast<int>(rte_socket_id()));
  if (packets_ == nullptr) {
    const std::string why = rte_strerror(rte_errno);
    rte_eal_cleanup();
    throw std::runtime_error(
        fmt::format("memory: no room for {} packet buffers of {} bytes in {} MiB ({}); raise "
                    "memory.megabytes or "
                    "lower memory.packetBuffers",
                    bootstrap.packet_buffers, room, bootstrap.memory_megabytes, why));
  }
}

Eal::~Eal() {
  rte_mempool_free(packets_);
  rte_eal_cleanup();
}

}  // namespace hnv
