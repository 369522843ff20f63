// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/frames.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include <rte_eal.h>

#include "compartments/checksum.h"
#include "nat/transport.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

wire::Ipv4 ipv4(uint32_t source, uint32_t destination, uint8_t protocol, unsigned length) {
  wire::Ipv4 ip{.version_ihl = 0x45,
                .tos = 0,
                .total_length = be16{static_cast<uint16_t>(length)},
                .id = be16{0},
                .fragment = be16{0},
                .ttl = 64,
                .protocol = protocol,
                .checksum = be16{0},
                .source = be32{source},
                .destination = be32{destination}};
  set_checksum(ip);
  return ip;
}

wire::Ipv6 ipv6(const wire::Address6& source, const wire::Address6& destination, uint8_t protocol,
                unsigned length) {
  return {.version_class_flow = be32{wire::kIpv6Version},
          .payload_length = be16{static_cast<uint16_t>(length - sizeof(wire::Ipv6))},
          .next_header = protocol,
          .hop_limit = 64,
          .source = source,
          .destination = destination};
}

void put_ip(uint8_t* at, Family family, uint8_t block, uint32_t source, uint32_t destination,
            uint8_t protocol, unsigned bytes) {
  if (family == Family::ipv4) {
    const wire::Ipv4 ip = ipv4(source, destination, protocol, bytes);
    std::memcpy(at, &ip, sizeof ip);
  } else {
    const wire::Ipv6 ip = ipv6(wide(block, source), wide(block, destination), protocol, bytes);
    std::memcpy(at, &ip, sizeof ip);
  }
}
unsigned ip_bytes(Family family) {
  return family == Family::ipv4 ? sizeof(wire::Ipv4) : sizeof(wire::Ipv6);
}
be16 ether_type_of(Family family) {
  return family == Family::ipv4 ? wire::ether_type::kIpv4 : wire::ether_type::kIpv6;
}

// An inner UDP packet; `size` counts like a tenant's Ethernet frame with its check sequence.
void write_inner(uint8_t* at, Family family, uint32_t source, uint32_t destination, unsigned bytes,
                 Random& random) {
  put_ip(at, family, kTenantBlock, source, destination, wire::ip_protocol::kUdp, bytes);
  const wire::Ports ports{be16{static_cast<uint16_t>(1024 + random.below(60000))}, be16{2000}};
  std::memcpy(at + ip_bytes(family), &ports, sizeof ports);
}

// The headers around an inner packet of `inner_bytes`. Returns where that begins.
uint8_t* write_nvgre(Frame& frame, const World& world, unsigned domain, unsigned record,
                     unsigned inner_bytes, uint8_t flow_id) {
  const Family family = world.family();
  uint8_t* at = frame.bytes;
  const wire::Ethernet outer{wire::Mac::of(kFabricMac), wire::Mac::of(mac_of(record % kHosts)),
                             ether_type_of(family)};
  std::memcpy(at, &outer, sizeof outer);
  at += sizeof outer;
  const unsigned headers = ip_bytes(family) + sizeof(wire::Gre) + sizeof(wire::Ethernet);
  put_ip(at, family, kFabricBlock, host_of(record), kOurPa, wire::ip_protocol::kGre,
         headers + inner_bytes);
  at += ip_bytes(family);
  const wire::Gre gre{be16{0x2000}, wire::kTransparentEthernet,
                      be32{World::gateway_vsid(domain) << 8 | flow_id}};
  std::memcpy(at, &gre, sizeof gre);
  at += sizeof gre;
  const wire::Ethernet inner{wire::Mac::of(kGatewayMac), wire::Mac::of(mac_of(record)),
                             ether_type_of(family)};
  std::memcpy(at, &inner, sizeof inner);
  frame.length = static_cast<uint16_t>(sizeof outer + headers + inner_bytes);
  return at + sizeof inner;
}

Frame nvgre_frame(const World& world, unsigned domain, unsigned record, uint32_t destination,
                  unsigned inner_bytes, Random& random) {
  Frame frame;
  const auto flow_id = static_cast<uint8_t>(random.below(256));
  uint8_t* at = write_nvgre(frame, world, domain, record, inner_bytes, flow_id);
  write_inner(at, world.family(), kFirstVm + record, destination, inner_bytes, random);
  return frame;
}

Frame l3_frame(const World& world, unsigned domain, uint32_t destination, unsigned inner_bytes,
               Random& random) {
  Frame frame;
  const wire::Ethernet ethernet{world.connection_mac(domain), wire::Mac::of(kPeerMac),
                                ether_type_of(world.family())};
  std::memcpy(frame.bytes, &ethernet, sizeof ethernet);
  write_inner(frame.bytes + sizeof ethernet, world.family(), kServer, destination, inner_bytes,
              random);
  frame.length = static_cast<uint16_t>(sizeof ethernet + inner_bytes);
  return frame;
}

// A whole UDP packet; what it carries is zeros.
void write_udp(uint8_t* at, uint32_t source, be16 source_port, uint32_t destination,
               be16 destination_port, unsigned bytes) {
  const wire::Ipv4 ip = ipv4(source, destination, wire::ip_protocol::kUdp, bytes);
  wire::Udp udp{.source = source_port,
                .destination = destination_port,
                .length = be16{static_cast<uint16_t>(bytes - sizeof ip)},
                .checksum = be16{0}};
  const uint64_t pseudo = uint64_t{ip.source.raw()} + ip.destination.raw() +
                          be16{wire::ip_protocol::kUdp}.raw() + udp.length.raw();
  const auto sum = static_cast<uint16_t>(~checksum_fold(pseudo + checksum_sum(&udp, sizeof udp)));
  udp.checksum = be16::from_raw(sum == 0 ? uint16_t{0xffff} : sum);
  std::memcpy(at, &ip, sizeof ip);
  std::memcpy(at + sizeof ip, &udp, sizeof udp);
}

}  // namespace

Frame frame_out(const World& world, const NatFlow& flow, unsigned size) {
  const unsigned bytes = size - 18;
  Frame frame;
  uint8_t* at = write_nvgre(frame, world, flow.domain, flow.record, bytes,
                            static_cast<uint8_t>(flow.inside_port ^ flow.inside_port >> 8));
  write_udp(at, kFirstVm + flow.record, be16{flow.inside_port}, flow.remote, be16{flow.remote_port},
            bytes);
  return frame;
}

Frame frame_back(const NatFlow& flow, unsigned size) {
  const unsigned bytes = size - 18;
  Frame frame;
  const wire::Ethernet ethernet{wire::Mac::of(kWanMac), wire::Mac::of(kPeerMac),
                                wire::ether_type::kIpv4};
  std::memcpy(frame.bytes, &ethernet, sizeof ethernet);
  write_udp(frame.bytes + sizeof ethernet, flow.remote, be16{flow.remote_port}, flow.outside,
            be16{flow.outside_port}, bytes);
  frame.length = static_cast<uint16_t>(sizeof ethernet + bytes);
  return frame;
}

std::vector<Frame> make_frames(const World& world, Path path, unsigned size, unsigned flows) {
  Random random(7);
  const unsigned inner = size - 18;
  std::vector<Frame> frames;
  frames.reserve(flows);
  for (unsigned i = 0; i < flows; ++i) {
    const auto domain = static_cast<unsigned>(random.below(world.size().compartments));
    const auto from = static_cast<unsigned>(random.below(world.records_per_domain()));
    const auto to = static_cast<uint32_t>(kFirstVm + random.below(world.records_per_domain()));
    if (path == Path::l3_to_nvgre) {
      frames.push_back(l3_frame(world, domain, to, inner, random));
    } else {
      frames.push_back(nvgre_frame(world, domain, from, path == Path::nvgre_to_l3 ? kServer : to,
                                   inner, random));
    }
  }
  return frames;
}

rte_mempool& packet_pool() {
  static rte_mempool* made =
      rte_pktmbuf_pool_create("bench", 8 * kInFlight - 1, 256, sizeof(uint64_t), 2176, 0);
  if (made == nullptr) stop("no packet buffers");
  return *made;
}

Packets::Packets(const std::vector<Frame>& frames) : frames_(&frames), mbufs_(kInFlight) {
  allocate();
}
Packets::Packets() : mbufs_(kInFlight) { allocate(); }
void Packets::allocate() {
  for (auto& mbuf : mbufs_) {
    mbuf = rte_pktmbuf_alloc(&packet_pool());
    if (mbuf == nullptr) stop("too few packet buffers");
  }
}
Packets::~Packets() {
  for (auto* mbuf : mbufs_) rte_pktmbuf_free(mbuf);
}

void Packets::restore() {
  for (rte_mbuf* mbuf : mbufs_) hnv::restore(mbuf, (*frames_)[next_++ % frames_->size()]);
}

void start_eal(const char* program, const char* lcores, unsigned megabytes) {
  // Packets in small pages would measure the TLB: as a figure of the product, run with hugepages
  // (the runner sees to it where it may).
  const bool huge = std::getenv("HNV_BENCH_HUGEPAGES") != nullptr;
  const std::string memory = std::to_string(megabytes);
  std::vector<const char*> eal{program, "--no-pci", "--no-telemetry", "--log-level=lib.*:error",
                               "--lcores", lcores, "-m", memory.c_str(),
                               // Nothing in the file system: two of them may run at once.
                               huge ? "--in-memory" : "--no-huge"};
  if (!huge) eal.push_back("--no-shconf");
  if (rte_eal_init(static_cast<int>(eal.size()), const_cast<char**>(eal.data())) < 0) {
    stop("DPDK does not start");
  }
}

}  // namespace hnv
