// SPDX-License-Identifier: Apache-2.0
#include "gateway/ports.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <net/if.h>
#include <optional>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

namespace hnv {
namespace {

constexpr uint16_t kRxDescriptors = 1024;
constexpr uint16_t kTxDescriptors = 1024;
constexpr unsigned kAfPacketDefaultFrame = 2048;
// 8 MiB a queue at that size. The driver's own 512 are full in 51 ms of a VM's steady 10,000
// packets a second, and a VM's processor is away for longer than that at times.
constexpr unsigned kAfPacketFrames = 4096;
// What AF_PACKET puts in front of a frame in its ring (TPACKET2_HDRLEN, aligned, and headroom).
constexpr unsigned kAfPacketHeader = 130;

[[noreturn]] void refuse(const PortConfig& port, const std::string& what) {
  throw std::runtime_error(fmt::format("port {}: {}", port.name, what));
}

// The kernel interface of an af_packet, af_xdp or tap device.
std::optional<std::string> kernel_interface(const PortConfig& port) {
  const size_t at = port.device.find("iface=");
  if (at == std::string::npos) return std::nullopt;
  const size_t from = at + 6;
  return port.device.substr(from, port.device.find(',', from) - from);
}

// af_packet's ring has 512 frames of 2048 bytes unless told otherwise: enough for an MTU of about
// 1900. What the device's arguments say of the ring is left as it is.
std::string device_arguments(const PortConfig& port) {
  const auto says = [&](const char* word) { return port.device.find(word) != std::string::npos; };
  if (!port.device.starts_with("net_af_packet") || says("framesz=")) return port.device;
  std::string device =
      says("framecnt=") ? port.device : fmt::format("{},framecnt={}", port.device, kAfPacketFrames);
  const unsigned needed = port.mtu + 18U + kAfPacketHeader;
  if (needed <= kAfPacketDefaultFrame) return device;
  unsigned frame = kAfPacketDefaultFrame;
  while (frame < needed) frame *= 2;
  return fmt::format("{},framesz={},blocksz={}", device, frame, frame * 4);
}

std::optional<unsigned> kernel_mtu(const std::string& interface) {
  std::ifstream file("/sys/class/net/" + interface + "/mtu");
  unsigned mtu = 0;
  if (file >> mtu) return mtu;
  return std::nullopt;
}

}  // namespace

PortLock::PortLock(const PortConfig& port) {
  const std::string what = kernel_interface(port).value_or(port.device);
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // Abstract: gone with the process, and one per network namespace, as the interfaces are.
  const std::string name = "hnv-gateway/port/" + what;
  const size_t length = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + 1, name.data(), length);
  if (fd_ < 0 || bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length)) != 0) {
    const int error = errno;
    if (fd_ >= 0) close(fd_);
    if (error == EADDRINUSE) refuse(port, fmt::format("another hnv-gateway uses {}", what));
    refuse(port, fmt::format("cannot lock {}: {}", what, std::strerror(error)));
  }
}

PortLock::~PortLock() {
  if (fd_ >= 0) close(fd_);
}

PortLock::PortLock(PortLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Port::Port(const PortConfig& config, rte_mempool& packets, unsigned workers)
    : config_(config), lock_(config), workers_(workers) {
  if (const auto interface = kernel_interface(config_); interface &&
                                                        !config_.device.starts_with("net_tap") &&
                                                        if_nametoindex(interface->c_str()) == 0) {
    refuse(config_, fmt::format("no such device {}: no interface {} in this network namespace",
                                config_.device, *interface));
  }
  rte_dev_iterator iterator{};
  const std::string device = device_arguments(config_);
  if (rte_dev_probe(device.c_str()) != 0) {
    refuse(config_, fmt::format("no such device {} ({}); give a PCI address or a DPDK vdev such as "
                                "net_af_packet0,iface=eth1",
                                config_.device, rte_strerror(rte_errno)));
  }
  uint16_t id = RTE_MAX_ETHPORTS;
  // rte_eth_dev_get_port_by_name wants the bare device name.
  const std::string name = device.substr(0, device.find(','));
  if (rte_eth_dev_get_port_by_name(name.c_str(), &id) != 0) {
    RTE_ETH_FOREACH_MATCHING_DEV(id, device.c_str(), &iterator) {
      rte_eth_iterator_cleanup(&iterator);
      break;
    }
  }
  if (id >= RTE_MAX_ETHPORTS) refuse(config_, fmt::format("{} is no Ethernet device", device));
  id_ = id;
  configure(packets);
}

void Port::configure(rte_mempool& packets) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(id_, &info);
  queues_ = queues_wanted(config_,
                          {.most_rx = info.max_rx_queues,
                           .most_tx = info.max_tx_queues,
                           .spreads = (info.flow_type_rss_offloads & RTE_ETH_RSS_IP) != 0},
                          workers_);
  configure_queues(info);
  set_up_queues(packets);
  set_mtu();
  if (const int error = rte_eth_dev_start(id_); error != 0) {
    refuse(config_, fmt::format("{} does not start: {}", config_.device, rte_strerror(-error)));
  }
  if (rte_eth_promiscuous_enable(id_) != 0) {
    limitations_.emplace_back("no promiscuous mode: L3 connections' own MACs may not be received");
  }
  if (config_.device.starts_with("net_af_packet") && queues_.rx > 1) {
    limitations_.emplace_back(
        "qpairs: the kernel shares out by outer addresses only, and under load it moves packets of "
        "one flow to another queue; without qpairs the workers share out by inner flow, in order");
  }
  note_checksums(info.rx_offload_capa);
  rte_ether_addr mac{};
  rte_eth_macaddr_get(id_, &mac);
  std::memcpy(mac_.byte, mac.addr_bytes, sizeof mac_.byte);
}

// With as many queues as are wanted, or, when the driver will not, with one pair.
void Port::configure_queues(const rte_eth_dev_info& info) {
  rte_eth_conf conf{};
  // Some drivers refuse a larger MTU here and carry the frames all the same; see set_mtu.
  const uint32_t largest = info.max_rx_pktlen > RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN
                               ? info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN
                               : RTE_ETHER_MTU;
  conf.rxmode.mtu = std::min<uint32_t>(config_.mtu, largest);
  if (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) {
    conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  }
  // The outer addresses and ports; the GRE key too where the port knows NVGRE.
  constexpr uint64_t kFlows =
      RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_NVGRE;
  if (queues_.rx > 1 && (info.flow_type_rss_offloads & kFlows) != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & kFlows;
  }
  if (rte_eth_dev_configure(id_, queues_.rx, queues_.tx, &conf) == 0) return;
  if (queues_.rx > 1 || queues_.tx > 1) {
    limitations_.push_back(fmt::format("the driver refuses {} receive and {} transmit queues",
                                       queues_.rx, queues_.tx));
    queues_ = {};
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
    conf.rx_adv_conf.rss_conf.rss_hf = 0;
    if (rte_eth_dev_configure(id_, 1, 1, &conf) == 0) return;
  }
  refuse(config_, fmt::format("{} cannot be configured with one queue pair", config_.device));
}

void Port::set_up_queues(rte_mempool& packets) {
  uint16_t rx = kRxDescriptors;
  uint16_t tx = kTxDescriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx);
  // A device by address fills its receive queues with buffers when it starts.
  const unsigned needed = unsigned{queues_.rx} * rx;
  if (!config_.device.starts_with("net_") && rte_mempool_avail_count(&packets) < needed) {
    refuse(config_, fmt::format("its {} receive queues need {} packet buffers and {} are free; "
                                "raise memory.packetBuffers",
                                queues_.rx, needed, rte_mempool_avail_count(&packets)));
  }
  const auto socket = static_cast<unsigned>(std::max(rte_eth_dev_socket_id(id_), 0));
  for (uint16_t q = 0; q < queues_.rx; ++q) {
    if (const int error = rte_eth_rx_queue_setup(id_, q, rx, socket, nullptr, &packets);
        error != 0) {
      refuse(config_, fmt::format("{} refuses receive queue {}: {}", config_.device, q,
                                  rte_strerror(-error)));
    }
  }
  for (uint16_t q = 0; q < queues_.tx; ++q) {
    if (const int error = rte_eth_tx_queue_setup(id_, q, tx, socket, nullptr); error != 0) {
      refuse(config_, fmt::format("{} refuses transmit queue {}: {}", config_.device, q,
                                  rte_strerror(-error)));
    }
  }
}

void Port::set_mtu() {
  if (rte_eth_dev_set_mtu(id_, config_.mtu) == 0) return;
  if (config_.mtu > 1500) {
    limitations_.push_back(fmt::format(
        "the driver takes no MTU of {}: frames of that size are sent as they are", config_.mtu));
  }
  const auto interface = kernel_interface(config_);
  if (!interface) return;
  const auto mtu = kernel_mtu(*interface);
  if (mtu && *mtu < config_.mtu) {
    limitations_.push_back(fmt::format(
        "the kernel's MTU of {} is {}: larger packets are lost; `ip link set {} mtu {}`",
        *interface, *mtu, *interface, config_.mtu));
  }
}

void Port::note_checksums(uint64_t rx_capabilities) {
  if ((rx_capabilities & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) == 0) {
    limitations_.emplace_back("no checksum offload: IP checksums are verified in software");
  }
}

Port::~Port() {
  if (id_ == 0xffff) return;
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

Port::Port(Port&& other) noexcept
    : config_(std::move(other.config_)),
      lock_(std::move(other.lock_)),
      workers_(other.workers_),
      id_(std::exchange(other.id_, uint16_t{0xffff})),
      queues_(other.queues_),
      mac_(other.mac_),
      limitations_(std::move(other.limitations_)) {}

PortState Port::state() const {
  PortState state;
  state.name = config_.name;
  state.device = config_.device;
  state.mac_address = mac_.address();
  state.mtu = config_.mtu;
  state.limitations = limitations_;
  state.rx_queues = queues_.rx;
  state.tx_queues = queues_.tx;
  state.spreading = workers_ == 1 ? "none" : queues_.rx >= workers_ ? "port" : "software";
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(id_, &info) == 0) state.driver = info.driver_name;
  rte_eth_link link{};
  state.link_up = rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status != 0;
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) == 0) {
    state.rx_packets = stats.ipackets;
    state.rx_bytes = stats.ibytes;
    state.tx_packets = stats.opackets;
    state.tx_bytes = stats.obytes;
    state.rx_missed = stats.imissed;
    state.rx_errors = stats.ierrors;
    state.tx_errors = stats.oerrors;
  }
  return state;
}

}  // namespace hnv
