// SPDX-License-Identifier: Apache-2.0
//
// What a packet costs on the line: the product's own stations, over tables that the product's own
// model and compiler have made, with packets that lie in memory. Port I/O is not in the figure; the
// bare loop `bare_rx_tx_loop` (receive and hand out, no stations) is the floor it is compared with.
//
// kInFlight packets are driven through in vectors of 64; their headers are restored outside the
// timed region. `tsc_per_packet` is the median pass, so a neighbour on the machine disturbs a few
// passes and not the figure; p10 and p90 say how quiet it was. Compare figures of one run only.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>
#include <x86intrin.h>

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "compartments/checksum.h"
#include "gateway/compile.h"
#include "gateway/line.h"
#include "tests/support/random.h"

namespace hnv {
namespace {

constexpr unsigned kInFlight = 2048;
constexpr unsigned kFlows = 65536;
constexpr unsigned kHosts = 64;  // PAs of the fabric
constexpr unsigned kCustomerRoutes = 100;
constexpr unsigned kHeaderBytes = 128;  // restored before each pass
constexpr PortId kFabricPort{0};
constexpr PortId kWanPort{1};
constexpr Instant kNow{1'000'000'000'000};
const MacAddress kFabricMac({2, 0, 0, 0, 0, 0xfa});
const MacAddress kWanMac({2, 0, 0, 0, 0, 0xfb});
const MacAddress kGatewayMac({2, 0, 0, 0, 0, 0xfe});
const MacAddress kPeerMac({2, 0, 0, 0, 0, 0xee});
constexpr uint32_t kOurPa = 0x0a090001;      // 10.9.0.1
constexpr uint32_t kFirstHost = 0x0a090100;  // 10.9.1.0
constexpr uint32_t kFirstVm = 0x0a000004;    // 10.0.0.4
constexpr uint32_t kPeer = 0xc0a8320a;       // 192.168.50.10, the router
constexpr uint32_t kServer = 0xc0a8630a;     // 192.168.99.10, behind it

struct Size {
  unsigned compartments;
  unsigned records;              // in all
  Family family = Family::ipv4;  // of the fabric and of the tenants' packets
};

[[noreturn]] void stop(const std::string& why) {
  fmt::print(stderr, "bench_path: {}\n", why);
  std::exit(1);
}

template <class T>
T must(std::optional<T> value) {
  if (!value) stop("a constant of the benchmark is malformed");
  return *value;
}

// The IPv6 world is the IPv4 one with fd10::/96 (of tenants) or fd60::/96 (of the fabric) in front.
wire::Address6 wide(uint8_t block, uint32_t low) {
  wire::Address6 bytes{0xfd, block};
  for (unsigned i = 0; i < 4; ++i) bytes[12 + i] = static_cast<uint8_t>(low >> (24 - 8 * i));
  return bytes;
}
template <Space S>
IpAddress<S> address(Family family, uint32_t low) {
  if (family == Family::ipv4) return Ip4<S>(low);
  return Ip6<S>(wide(S == Space::customer ? 0x10 : 0x60, low));
}
uint8_t length(Family family, uint8_t bits) {
  return family == Family::ipv4 ? bits : static_cast<uint8_t>(bits + 96);
}

uint32_t host_of(unsigned record) { return kFirstHost + record % kHosts; }
MacAddress mac_of(unsigned record) {
  return MacAddress({2, 1, 0, static_cast<uint8_t>(record >> 16), static_cast<uint8_t>(record >> 8),
                     static_cast<uint8_t>(record)});
}

// The world of one case: the model, compiled, with every neighbour resolved.
class World {
 public:
  explicit World(Size size) : size_(size) {
    for (const auto& [name, id, mac] :
         {std::tuple{"fabric0", kFabricPort, kFabricMac}, std::tuple{"wan0", kWanPort, kWanMac}}) {
      catalog_.push_back({name, 9000, mac});
      context_.ports.emplace(name, CompileContext::PortFacts{id, wire::Mac::of(mac), 9000});
    }
    context_.next_uid = &uid_;
    choices_.gateway_mac = kGatewayMac;
    build();
  }

  [[nodiscard]] const Dataplane& plane() const { return plane_; }
  [[nodiscard]] unsigned records_per_domain() const { return size_.records / size_.compartments; }
  [[nodiscard]] Family family() const { return size_.family; }
  [[nodiscard]] uint32_t gateway_vsid(unsigned domain) const { return 4096 + 2 * domain; }
  [[nodiscard]] wire::Mac connection_mac(unsigned domain) const {
    return plane_.compartment(CompartmentId(domain))->connection(ConnectionId(0)).mac;
  }

 private:
  void put(ResourceKey key, ResourceSpec spec) {
    change_.operations.push_back(Put{std::move(key), std::move(spec), {}});
  }
  [[nodiscard]] IpAddress<Space::customer> ca(uint32_t low) const {
    return address<Space::customer>(size_.family, low);
  }
  [[nodiscard]] Prefix<Space::customer> prefix(uint32_t low, uint8_t bits) const {
    return {ca(low), length(size_.family, bits)};
  }
  void put_networks();
  void put_domain(unsigned domain);
  void build();

  Size size_;
  PortCatalog catalog_;
  ServerChoices choices_;
  CompileContext context_;
  uint64_t uid_ = 1;
  Change change_;
  NextHops next_hops_;
  std::shared_ptr<const Compiled> compiled_;
  Dataplane plane_;
};

void World::put_networks() {
  ProviderNetworkSpec fabric;
  fabric.port = "fabric0";
  fabric.provider_addresses = {
      {address<Space::provider>(size_.family, kOurPa), length(size_.family, 16)}};
  put(ProviderNetworkKey{"fabric"}, fabric);
  ExternalNetworkSpec shared;
  shared.port = "wan0";
  shared.ip_addresses = {{Ip4<Space::external>(0xc0a832fe), 24}};
  put(ExternalNetworkKey{"shared"}, shared);
}

void World::put_domain(unsigned domain) {
  const std::string name = fmt::format("d{}", domain);
  put(RoutingDomainKey{name}, RoutingDomainSpec{});
  VirtualSubnetSpec gateway;
  gateway.virtual_subnet_id = Vsid::from(gateway_vsid(domain));
  gateway.address_prefixes = {prefix(0x0aff0000, 24)};
  gateway.kind = SubnetKind::gateway;
  gateway.provider_network = "fabric";
  put(VirtualSubnetKey{name, "gateway"}, gateway);
  VirtualSubnetSpec machines;
  machines.virtual_subnet_id = Vsid::from(gateway_vsid(domain) + 1);
  machines.address_prefixes = {prefix(0x0a000000, 12)};
  machines.provider_network = "fabric";
  put(VirtualSubnetKey{name, "vms"}, machines);
  for (unsigned i = 0; i < records_per_domain(); ++i) {
    LookupRecordSpec record;
    record.customer_address = ca(kFirstVm + i);
    record.provider_address = address<Space::provider>(size_.family, host_of(i));
    record.mac_address = mac_of(i);
    put(LookupRecordKey{name, "vms", *record.customer_address}, record);
  }
  for (unsigned i = 0; i < kCustomerRoutes; ++i) {
    CustomerRouteSpec route;
    route.destination_prefix = prefix(0xac100000 + (i << 8), 24);
    route.next_hop = ca(0x0aff0009);
    put(CustomerRouteKey{name, fmt::format("r{}", i)}, route);
  }
  NetworkConnectionSpec connection;
  connection.l3.external_network = "shared";
  connection.l3.ip_addresses = {{ca(0xc0a83201), length(size_.family, 24)}};
  connection.l3.mac_address =
      MacAddress({2, 2, 0, 0, static_cast<uint8_t>(domain >> 8), static_cast<uint8_t>(domain)});
  connection.l3.peer_ip_addresses = {ca(kPeer)};
  connection.routes = {{prefix(0xc0a80000, 16), 1}};
  put(NetworkConnectionKey{name, "datacentre"}, connection);
}

void World::build() {
  put_networks();
  for (unsigned domain = 0; domain < size_.compartments; ++domain) put_domain(domain);
  const auto nothing = std::make_shared<const Model>();
  const auto applied = apply(nothing, change_, catalog_, choices_);
  if (!applied) stop(applied.error().error.message);
  change_ = {};
  const Model& model = *applied->next;
  Compilation done = compile(compile_nothing(context_), *nothing, model,
                             differences(*nothing, model), context_, next_hops_, kNow);
  compiled_ = done.next;
  Neighbors::Actions actions;
  for (const auto& link : done.new_links) next_hops_.set_link(link, kNow, actions);
  // Everybody answers.
  Neighbors::Actions answers;
  for (const auto& request : actions.requests) {
    const auto& bytes = request.key.address.bytes();
    uint32_t low = 0;
    std::memcpy(&low, bytes.data() + (request.key.address.is_v4() ? 0 : 12), sizeof low);
    const unsigned host = __builtin_bswap32(low) - kFirstHost;
    next_hops_.learn(request.key.link, request.key.address, host < kHosts ? mac_of(host) : kPeerMac,
                     kNow, answers);
  }
  next_hops_.apply(answers.changes);
  next_hops_.publish_into(plane_.next_hops, plane_.links);
  plane_.compartments = compiled_->compartments;
  plane_.vsids = compiled_->vsids;
  plane_.l3 = compiled_->l3;
  plane_.attachments = compiled_->attachments;
}

// --- packets ---

enum class Path : uint8_t { nvgre_to_nvgre, nvgre_to_l3, l3_to_nvgre };

struct Frame {
  uint8_t bytes[kHeaderBytes] = {};
  uint16_t length = 0;
};

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
  put_ip(at, family, 0x10, source, destination, wire::ip_protocol::kUdp, bytes);
  const wire::Ports ports{be16{static_cast<uint16_t>(1024 + random.below(60000))}, be16{2000}};
  std::memcpy(at + ip_bytes(family), &ports, sizeof ports);
}

Frame nvgre_frame(const World& world, unsigned domain, unsigned record, uint32_t destination,
                  unsigned inner_bytes, Random& random) {
  const Family family = world.family();
  Frame frame;
  uint8_t* at = frame.bytes;
  const wire::Ethernet outer{wire::Mac::of(kFabricMac), wire::Mac::of(mac_of(record % kHosts)),
                             ether_type_of(family)};
  std::memcpy(at, &outer, sizeof outer);
  at += sizeof outer;
  const unsigned headers = ip_bytes(family) + sizeof(wire::Gre) + sizeof(wire::Ethernet);
  put_ip(at, family, 0x60, host_of(record), kOurPa, wire::ip_protocol::kGre, headers + inner_bytes);
  at += ip_bytes(family);
  const wire::Gre gre{
      be16{0x2000}, wire::kTransparentEthernet,
      be32{world.gateway_vsid(domain) << 8 | static_cast<uint32_t>(random.below(256))}};
  std::memcpy(at, &gre, sizeof gre);
  at += sizeof gre;
  const wire::Ethernet inner{wire::Mac::of(kGatewayMac), wire::Mac::of(mac_of(record)),
                             ether_type_of(family)};
  std::memcpy(at, &inner, sizeof inner);
  at += sizeof inner;
  write_inner(at, family, kFirstVm + record, destination, inner_bytes, random);
  frame.length = static_cast<uint16_t>(sizeof outer + headers + inner_bytes);
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

std::vector<Frame> make_frames(const World& world, Path path, unsigned compartments,
                               unsigned size) {
  Random random(7);
  const unsigned inner = size - 18;
  std::vector<Frame> frames;
  frames.reserve(kFlows);
  for (unsigned i = 0; i < kFlows; ++i) {
    const auto domain = static_cast<unsigned>(random.below(compartments));
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

// --- the measurement ---

rte_mempool& pool() {
  static rte_mempool* made = rte_pktmbuf_pool_create("bench", 2 * kInFlight - 1, 256, 0, 2176, 0);
  if (made == nullptr) stop("no packet buffers");
  return *made;
}

class Packets {
 public:
  explicit Packets(const std::vector<Frame>& frames) : frames_(frames), mbufs_(kInFlight) {
    for (auto& mbuf : mbufs_) mbuf = rte_pktmbuf_alloc(&pool());
  }
  ~Packets() {
    for (auto* mbuf : mbufs_) rte_pktmbuf_free(mbuf);
  }
  Packets(const Packets&) = delete;
  Packets& operator=(const Packets&) = delete;
  Packets(Packets&&) = delete;
  Packets& operator=(Packets&&) = delete;

  void restore() {
    for (rte_mbuf* mbuf : mbufs_) {
      const Frame& frame = frames_[next_++ % frames_.size()];
      mbuf->data_off = RTE_PKTMBUF_HEADROOM;
      mbuf->data_len = frame.length;
      mbuf->pkt_len = frame.length;
      std::memcpy(rte_pktmbuf_mtod(mbuf, void*), frame.bytes, kHeaderBytes);
    }
  }
  [[nodiscard]] rte_mbuf* operator[](size_t i) const { return mbufs_[i]; }

 private:
  const std::vector<Frame>& frames_;
  std::vector<rte_mbuf*> mbufs_;
  size_t next_ = 0;
};

template <class Pass>
void measure(benchmark::State& state, Packets& packets, Pass pass) {
  std::vector<double> costs;
  for (auto unused : state) {
    (void)unused;
    packets.restore();
    _mm_mfence();
    const uint64_t begin = __rdtsc();
    pass();
    const auto cycles = static_cast<double>(__rdtsc() - begin);
    costs.push_back(cycles / kInFlight);
    state.SetIterationTime(cycles / 2.6e9);
  }
  std::sort(costs.begin(), costs.end());
  state.counters["tsc_per_packet"] = costs[costs.size() / 2];
  state.counters["p10"] = costs[costs.size() / 10];
  state.counters["p90"] = costs[costs.size() * 9 / 10];
}

void run_path(benchmark::State& state, Path path, Size size, unsigned bytes) {
  static std::pair<std::string, std::unique_ptr<World>> kept;  // the cases come world by world
  const std::string name =
      fmt::format("{}/{}/{}", size.compartments, size.records, size.family == Family::ipv4 ? 4 : 6);
  if (kept.first != name) kept = {name, std::make_unique<World>(size)};
  const World& world = *kept.second;
  const std::vector<Frame> frames = make_frames(world, path, size.compartments, bytes);
  Packets packets(frames);
  Line line(0, 2);
  const PortId in = path == Path::l3_to_nvgre ? kWanPort : kFabricPort;
  const unsigned out = path == Path::nvgre_to_l3 ? 1 : 0;
  measure(state, packets, [&] {
    for (unsigned base = 0; base < kInFlight; base += kVector) {
      for (unsigned i = 0; i < kVector; ++i) {
        __builtin_prefetch(rte_pktmbuf_mtod(packets[base + i], void*));
        __builtin_prefetch(rte_pktmbuf_mtod_offset(packets[base + i], void*, 64));
      }
      for (unsigned i = 0; i < kVector; ++i) line.receive(packets[base + i], in);
      line.run(world.plane(), kNow);
      line.sent(out, line.outbox(out).count);
    }
  });
  const WorkerCounters& counters = line.counters();
  if (counters.tx.value() != counters.rx.value() || !sum(counters, line.held()).balanced()) {
    state.SkipWithError("packets were lost on the way: the figure would be wrong");
  }
}

// Received and handed out again, with the same counters: what the loop itself costs.
void bare_rx_tx_loop(benchmark::State& state) {
  const std::vector<Frame> frames(kFlows);
  Packets packets(frames);
  WorkerCounters counters;
  Line::Outbox box;
  measure(state, packets, [&] {
    for (unsigned base = 0; base < kInFlight; base += kVector) {
      box.count = 0;
      for (unsigned i = 0; i < kVector; ++i) {
        rte_mbuf* mbuf = packets[base + i];
        __builtin_prefetch(rte_pktmbuf_mtod(mbuf, void*));
        mbuf->port = 0;
        counters.rx.add();
        box.packets[box.count++] = mbuf;
      }
      benchmark::DoNotOptimize(box.packets.data());
      counters.tx.add(box.count);
    }
  });
}

void register_paths() {
  benchmark::RegisterBenchmark("bare_rx_tx_loop", bare_rx_tx_loop)->UseManualTime()->MinTime(0.2);
  const std::pair<Path, const char*> paths[] = {{Path::nvgre_to_nvgre, "nvgre_to_nvgre"},
                                                {Path::nvgre_to_l3, "nvgre_to_l3"},
                                                {Path::l3_to_nvgre, "l3_to_nvgre"}};
  const auto add = [](const std::string& name, Path path, Size size, unsigned bytes) {
    benchmark::RegisterBenchmark(fmt::format("{}/compartments:{}/records:{}/size:{}", name,
                                             size.compartments, size.records, bytes)
                                     .c_str(),
                                 run_path, path, size, bytes)
        ->UseManualTime()
        ->MinTime(0.2);
  };
  for (const Size size : {Size{1, 64}, Size{64, 8000}, Size{4000, 8000}}) {
    for (const Family family : {Family::ipv4, Family::ipv6}) {
      for (const auto& [path, name] : paths) {
        for (const unsigned bytes : {64U, 512U, 1420U}) {
          // UDP over IPv6 needs a few bytes more.
          const unsigned frame = family == Family::ipv6 && bytes == 64 ? 70 : bytes;
          add(family == Family::ipv4 ? name : std::string(name) + "_ipv6", path,
              {size.compartments, size.records, family}, frame);
        }
      }
    }
  }
}

}  // namespace
}  // namespace hnv

int main(int argc, char** argv) {
  // Packets in small pages would measure the TLB: as a figure of the product, run with hugepages
  // (the runner sees to it where it may).
  const char* huge = std::getenv("HNV_BENCH_HUGEPAGES");
  std::vector<const char*> eal{"hnv_bench_path",         "--no-pci", "--no-telemetry", "-l", "1",
                               "--log-level=lib.*:error"};
  if (huge != nullptr) {
    eal.insert(eal.end(), {"--in-memory", "-m", "64"});
  } else {
    eal.insert(eal.end(), {"--no-huge", "-m", "64", "--file-prefix=hnv-bench-path"});
  }
  if (rte_eal_init(static_cast<int>(eal.size()), const_cast<char**>(eal.data())) < 0) {
    hnv::stop("DPDK does not start");
  }
  benchmark::Initialize(&argc, argv);
  hnv::register_paths();
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
