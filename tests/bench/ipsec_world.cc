// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/ipsec_world.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "compartments/checksum.h"
#include "tests/bench/passes.h"
#include "vpn/charon/sa_protocol.h"

namespace hnv {
namespace {

constexpr unsigned kMachines = 8000;
constexpr uint32_t kOurs = 0xc0a832fe;  // the external network's own address
constexpr uint32_t kSite = 0xcb007107;  // 203.0.113.7: of all sites
constexpr uint32_t kRate = 40'000'000;  // kbit/s: more than a tunnel gets here
constexpr uint32_t kBurst = 1'000'000;
// Where rates are exceeded: half a vector comes in a breath, of which 19 in 20 may pass.
constexpr unsigned kOffered = kVector / 2;
constexpr uint64_t kBreathNanoseconds = 25'000;
constexpr uint32_t kLeastBurst = 2'000;
constexpr uint8_t kIpv4InIpsec = 4;

SaSelector everything() {
  return {.from = Ip4<Space::customer>(0), .to = Ip4<Space::customer>(0xffffffff)};
}

wire::Ipv4 ipv4(size_t bytes, uint8_t protocol, uint32_t source, uint32_t destination) {
  wire::Ipv4 ip{};
  ip.version_ihl = 0x45;
  ip.total_length = be16{static_cast<uint16_t>(bytes)};
  ip.ttl = 64;
  ip.protocol = protocol;
  ip.source = be32{source};
  ip.destination = be32{destination};
  set_checksum(ip);
  return ip;
}

}  // namespace

IpsecWorld::~IpsecWorld() {
  line_.drain();
  for (rte_mbuf* mbuf : back_) rte_pktmbuf_free(mbuf);
}

SaSpec IpsecWorld::spec(const IpsecShape& shape, unsigned tunnel, SaDirection direction) {
  const bool inbound = direction == SaDirection::inbound;
  const bool gcm = shape.cipher == BenchCipher::aes256gcm;
  const SaEndpoint ours{Ip4<Space::external>(kOurs), 0};
  const SaEndpoint theirs{Ip4<Space::external>(kSite), 0};
  SaSpec out;
  out.direction = direction;
  out.spi = inbound ? sa_protocol::make_spi(3, tunnel) : 0x40000000 + tunnel;
  out.if_id = tunnel + 1;
  out.source = inbound ? theirs : ours;
  out.destination = inbound ? ours : theirs;
  out.cipher = gcm ? SaCipher::aes_gcm : SaCipher::aes_cbc;
  out.integrity = gcm ? SaIntegrity::none : SaIntegrity::hmac_sha256_128;
  out.replay_window = ReplayWindow::kLargest;
  out.source_selectors = {everything()};
  out.destination_selectors = {everything()};
  std::vector<uint8_t> key(32);
  for (unsigned i = 0; i < key.size(); ++i) {
    key[i] = static_cast<uint8_t>(tunnel >> (i % 2 * 8)) ^ static_cast<uint8_t>(i * 7);
  }
  out.keys = std::make_shared<const SaKeys>(
      SaKeys{SecretBytes(key), SecretBytes(std::vector<uint8_t>(gcm ? 4 : 0, 9)),
             SecretBytes(std::vector<uint8_t>(gcm ? 0 : 32, 5))});
  return out;
}

TunnelRate IpsecWorld::rate() const {
  if (shape_.limits == BenchLimits::off) return {};
  if (shape_.limits == BenchLimits::suffice) return {kRate, kBurst};
  const uint64_t offered =
      uint64_t{shape_.size} * 8 * kOffered * 1'000'000 / kBreathNanoseconds / shape_.tunnels;
  return {static_cast<uint32_t>(offered * 19 / 20), kLeastBurst};
}

// What leads through the domain's L3 connection leads through its tunnel.
void IpsecWorld::add_tunnel(Dataplane& plane, IpsecPlan& plan, unsigned tunnel) {
  const VsidEntry* entry = plane.vsids->find(World::gateway_vsid(tunnel));
  if (entry == nullptr) stop("a domain has not been compiled");
  auto view = std::make_shared<CompartmentView>(*plane.compartment(entry->compartment));
  auto made = std::make_shared<TunnelView>();
  made->id = TunnelId(tunnel);
  made->uid = tunnel + 1;
  made->compartment = view->id;
  made->compartment_uid = view->uid;
  made->network = OutsideNetworkId(0);
  made->outbound = made->inbound = rate();
  made->meters_owner = std::make_shared<TunnelMeters>();
  made->traffic_owner = std::shared_ptr<ConnectionCounters[]>(new ConnectionCounters[1]);
  made->drops_owner = std::shared_ptr<TunnelCounters[]>(new TunnelCounters[1]);
  made->meters = made->meters_owner.get();
  made->traffic = made->traffic_owner.get();
  made->drops = made->drops_owner.get();
  auto connections = std::make_shared<std::vector<ConnectionView>>(*view->connections_owner);
  made->connection = ConnectionId(static_cast<uint32_t>(connections->size()));
  ConnectionView own;
  own.tunnel = made->id;
  own.counters = made->traffic_owner;
  connections->push_back(own);
  auto hops = std::make_shared<std::vector<Hop>>(*view->hops_owner);
  for (Hop& hop : *hops) {
    if (hop.kind != HopKind::connection_via) continue;
    hop.kind = HopKind::ipsec;
    hop.connection = made->connection;
  }
  view->connections_owner = connections;
  view->connections = connections->data();
  view->hops_owner = hops;
  view->hops = hops->data();
  plane.compartments = plane.compartments.with(view->id.value(), view);
  plan.tunnels = plan.tunnels.with(tunnel, made);
  sas_.add_tunnel(made->if_id(), 0);
  for (const SaDirection direction : {SaDirection::inbound, SaDirection::outbound}) {
    const auto added = sas_.add(0, spec(shape_, tunnel, direction), SaDatabase::Origin::fresh,
                                Duration::zero(), kNow);
    if (!added) stop(added.error().message);
  }
  SaSpec site = spec(shape_, tunnel, SaDirection::inbound);
  site_keys_.push_back(EspKeys::make(site));
}

IpsecWorld::IpsecWorld(const IpsecShape& shape)
    : shape_(shape), world_({shape.tunnels, kMachines}), sequences_(shape.tunnels, 0) {
  constexpr uint8_t kPublicBits = 5;
  world_.put_nat(kPublicBits);  // the external network gets a default route with it
  world_.commit(kNow);
  plane_ = world_.plane();
  sas_.add_charon(0, {0, sa_protocol::kIndexes});
  auto plan = std::make_shared<IpsecPlan>();
  for (unsigned tunnel = 0; tunnel < shape.tunnels; ++tunnel) add_tunnel(plane_, *plan, tunnel);
  if (shape.paced && shape.limits == BenchLimits::off) add_buffers();
  plan->serial = 1;
  plan->addresses = VpnAddresses({{(*plane_.outside)[0].attachment, Ip4<Space::external>(kOurs)}});
  plan->sas = sas_.table();
  plane_.ipsec = plan;
}

// In no order, as those that have waited.
void IpsecWorld::add_buffers() {
  for (unsigned i = 0; i < Shaper::kPackets; ++i) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(&packet_pool());
    if (mbuf == nullptr) stop("too few packet buffers");
    back_.insert(back_.begin() + static_cast<std::ptrdiff_t>(random_.below(back_.size() + 1)),
                 mbuf);
  }
}

void IpsecWorld::fill_out(Packets& packets, unsigned size) {
  constexpr unsigned kEthernetAndCheck = 18;
  if (frames_size_ != size) {
    constexpr size_t kVsid = 14 + 20 + 4;  // in a frame
    std::map<std::array<uint8_t, 3>, std::vector<Frame>> by_domain;
    for (const Frame& frame : make_frames(world_, Path::nvgre_to_l3, size + kEthernetAndCheck)) {
      const uint8_t* vsid = &frame.bytes[kVsid];
      by_domain[{vsid[0], vsid[1], vsid[2]}].push_back(frame);
    }
    frames_.clear();
    for (auto& [vsid, frames] : by_domain) frames_.push_back(std::move(frames));
    frames_size_ = size;
  }
  // As in fill_in: of any tunnel, as likely.
  for (unsigned i = 0; i < kInFlight; ++i) {
    const std::vector<Frame>& frames = frames_[random_.below(frames_.size())];
    restore(packets[i], frames[random_.below(frames.size())]);
  }
}

void IpsecWorld::fill_in(Packets& packets, unsigned size) {
  const EspFormat format = esp_format_of(spec(shape_, 0, SaDirection::inbound).cipher,
                                         spec(shape_, 0, SaDirection::inbound).integrity);
  const uint32_t mask = format.alignment - 1U;
  const uint32_t encrypted = (size + 2 + mask) & ~mask;
  const uint32_t head = sizeof(wire::Ethernet) + sizeof(wire::Ipv4) + 8U + format.iv_bytes;
  for (unsigned i = 0; i < kInFlight; ++i) {
    const unsigned tunnel = random_.below(shape_.tunnels);
    rte_mbuf* mbuf = packets[i];
    mbuf->data_off = RTE_PKTMBUF_HEADROOM;
    mbuf->data_len = static_cast<uint16_t>(head + encrypted + format.icv_bytes);
    mbuf->pkt_len = mbuf->data_len;
    auto* at = rte_pktmbuf_mtod(mbuf, uint8_t*);
    auto& ethernet = *reinterpret_cast<wire::Ethernet*>(at);
    ethernet.destination = wire::Mac::of(kWanMac);
    ethernet.source = wire::Mac::of(kPeerMac);
    ethernet.type = wire::ether_type::kIpv4;
    auto& outer = *reinterpret_cast<wire::Ipv4*>(at + sizeof ethernet);
    outer = ipv4(mbuf->data_len - sizeof ethernet, wire::ip_protocol::kEsp, kSite, kOurs);
    uint8_t* esp = at + sizeof ethernet + sizeof outer;
    const be32 words[4] = {be32{sa_protocol::make_spi(3, tunnel)}, be32{++sequences_[tunnel]},
                           be32{0}, be32{sequences_[tunnel]}};
    std::memcpy(esp, words, sizeof words);
    uint8_t* inner = at + head;
    *reinterpret_cast<wire::Ipv4*>(inner) =
        ipv4(size, wire::ip_protocol::kUdp, kServer,
             kFirstVm + random_.below(world_.records_per_domain()));
    uint8_t* trailer = inner + size;
    const uint32_t padding = encrypted - size - 2;
    for (uint32_t p = 1; p <= padding; ++p) *trailer++ = static_cast<uint8_t>(p);
    *trailer++ = static_cast<uint8_t>(padding);
    *trailer = kIpv4InIpsec;
    const EspJob job{.keys = site_keys_[tunnel].get(), .esp = esp, .bytes = encrypted};
    site_.seal(&job, 1);
  }
}

void IpsecWorld::take_back(Packets& packets) {
  if (!std::exchange(given_, false)) return;
  for (unsigned i = 0; i < kInFlight; ++i) {
    rte_mbuf* mbuf = nullptr;
    if (back_.empty()) {
      mbuf = rte_pktmbuf_alloc(&packet_pool());
      if (mbuf == nullptr) stop("too few packet buffers");
    } else {
      mbuf = back_.front();
      back_.pop_front();
    }
    packets.put(i, mbuf);
  }
}

uint64_t IpsecWorld::forwarded() { return std::exchange(forwarded_, 0); }

void IpsecWorld::forward_paced(Packets& packets, PortId in, unsigned out) {
  given_ = true;
  for (unsigned next = 0; next < kInFlight;) {
    const unsigned count = std::min({line_.room(), kOffered, kInFlight - next});
    for (unsigned i = 0; i < count; ++i) {
      __builtin_prefetch(rte_pktmbuf_mtod(packets[next + i], void*));
      __builtin_prefetch(rte_pktmbuf_mtod_offset(packets[next + i], void*, 64));
    }
    for (unsigned i = 0; i < count; ++i) line_.receive(packets[next + i], in);
    next += count;
    now_ = now_ + std::chrono::nanoseconds(kBreathNanoseconds * count / kOffered);
    line_.run(plane_, now_);
    // What another direction has left in its queues leaves by the other port.
    for (const unsigned port : {0U, 1U}) {
      Line::Outbox& box = line_.outbox(port);
      back_.insert(back_.end(), box.packets.begin(), box.packets.begin() + box.count);
      forwarded_ += port == out ? box.count : 0;
      line_.sent(port, box.count);
    }
  }
}

void IpsecWorld::forward(Packets& packets, PortId in, unsigned out) {
  if (shape_.paced) return forward_paced(packets, in, out);
  for (unsigned base = 0; base < kInFlight; base += kVector) {
    for (unsigned i = 0; i < kVector; ++i) {
      __builtin_prefetch(rte_pktmbuf_mtod(packets[base + i], void*));
      __builtin_prefetch(rte_pktmbuf_mtod_offset(packets[base + i], void*, 64));
    }
    for (unsigned i = 0; i < kVector; ++i) line_.receive(packets[base + i], in);
    now_ = now_ + std::chrono::microseconds(50);
    line_.run(plane_, now_);
    if (line_.outbox(out).count != kVector) [[unlikely]] {
      stop_for_loss(line_);
    }
    line_.sent(out, kVector);
  }
}

}  // namespace hnv
