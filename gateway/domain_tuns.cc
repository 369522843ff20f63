// SPDX-License-Identifier: Apache-2.0
#include "gateway/domain_tuns.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <sys/epoll.h>
#include <unistd.h>
#include <utility>

#include <spdlog/spdlog.h>

#include "compartments/ip6_checks.h"
#include "compartments/ip_checks.h"
#include "compartments/terminated.h"
#include "gateway/ike_packets.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

constexpr be16 kBgp{179};
// Larger than any port's MTU; what fills it was cut.
constexpr size_t kLargest = 9'600;

struct Segment {
  IpAddress<Space::customer> source, destination;
};

// A whole segment of BGP, without IP options, extension headers or fragments: TCP sends none.
std::optional<Segment> segment_of(std::span<const uint8_t> packet) {
  Segment segment;
  size_t ports_at = 0;
  if (packet.size() >= sizeof(wire::Ipv4) && packet[0] >> 4 == 4) {
    wire::Ipv4 ip;
    std::memcpy(&ip, packet.data(), sizeof ip);
    if (!ipv4_header_fits(ip, static_cast<uint32_t>(packet.size())) ||
        ip.header_bytes() != sizeof ip || ip.total_length.value() != packet.size() ||
        ip.is_fragment() || ip.protocol != wire::ip_protocol::kTcp) {
      return std::nullopt;
    }
    segment = {CaAddress(ip.source.value()), CaAddress(ip.destination.value())};
    ports_at = sizeof ip;
  } else if (packet.size() >= sizeof(wire::Ipv6) && packet[0] >> 4 == 6) {
    wire::Ipv6 ip;
    std::memcpy(&ip, packet.data(), sizeof ip);
    if (!ipv6_header_fits(ip, static_cast<uint32_t>(packet.size())) ||
        ip.total_length() != packet.size() || ip.next_header != wire::ip_protocol::kTcp) {
      return std::nullopt;
    }
    segment = {CaAddress6(ip.source), CaAddress6(ip.destination)};
    ports_at = sizeof ip;
  } else {
    return std::nullopt;
  }
  wire::Ports ports;
  if (packet.size() < ports_at + sizeof ports) return std::nullopt;
  std::memcpy(&ports, packet.data() + ports_at, sizeof ports);
  if (ports.source != kBgp && ports.destination != kBgp) return std::nullopt;
  return segment;
}

bool is_own(const CompartmentView& domain, const IpAddress<Space::customer>& address) {
  HopId hop;
  if (address.is_v4()) {
    hop = domain.fib_owner->lookup(address.v4().value());
  } else {
    hop = domain.fib6->lookup(address.v6());
  }
  return hop.valid() && !is_on_link(hop) && domain.hop(hop).kind == HopKind::local;
}

bool may_leave(const CompartmentView& domain, std::span<const uint8_t> packet) {
  const auto segment = segment_of(packet);
  return segment && domain.terminated != nullptr && is_own(domain, segment->source) &&
         domain.terminated->find(TerminatedService::bgp, segment->destination.family(),
                                 segment->destination.bytes(), segment->source.bytes()) != nullptr;
}

}  // namespace

DomainTuns::DomainTuns(rte_mempool& packets, unsigned workers, Inject inject)
    : packets_(packets),
      workers_(workers),
      inject_(std::move(inject)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) throw std::runtime_error("the kernel gives no epoll");
}

void DomainTuns::add(CompartmentId domain, uint64_t uid, OwnedFd tun) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = uid}};
  remove(uid);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, tun.get(), &event) != 0) {
    spdlog::error("a routing domain's TUN cannot be watched: {}", std::strerror(errno));
    return;
  }
  tuns_.insert_or_assign(uid, Tun{std::move(tun), domain});
}

void DomainTuns::remove(uint64_t uid) {
  const auto at = tuns_.find(uid);
  if (at == tuns_.end()) return;
  // Said, not left to the close: the launcher has the same file open.
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, at->second.fd.get(), nullptr);
  tuns_.erase(at);
}

void DomainTuns::give(const rte_mbuf& packet) {
  const auto at = tuns_.find(static_cast<const SideNote*>(packet.buf_addr)->origin.compartment_uid);
  const size_t bytes = rte_pktmbuf_data_len(&packet);
  if (at != tuns_.end() && write(at->second.fd.get(), rte_pktmbuf_mtod(&packet, const uint8_t*),
                                 bytes) == static_cast<ssize_t>(bytes)) {
    ++counts_.given;
  } else {
    ++counts_.given_lost;
  }
}

void DomainTuns::add_to(std::vector<pollfd>& fds) const {
  if (!tuns_.empty()) fds.push_back({epoll_.get(), POLLIN, 0});
}

void DomainTuns::step(const Compartments& compartments) {
  for (unsigned left = tuns_.empty() ? 0 : kAtOnce; left >= kTurn;) {
    // Those that are named go to the end of the kernel's list: the next call names others.
    std::array<epoll_event, kAtOnce / kTurn> ready{};
    const int count = epoll_wait(epoll_.get(), ready.data(), static_cast<int>(left / kTurn), 0);
    if (count <= 0) return;
    for (const epoll_event& event : std::span(ready).first(static_cast<size_t>(count))) {
      const auto at = tuns_.find(event.data.u64);
      const unsigned taken = at == tuns_.end() ? 0 : drain(at->first, at->second, compartments);
      left -= std::max(taken, 1U);
    }
  }
}

unsigned DomainTuns::drain(uint64_t uid, Tun& tun, const Compartments& compartments) {
  const uint32_t place = tun.domain.value();
  const CompartmentView* domain = place < compartments.size() ? compartments[place].get() : nullptr;
  if (domain != nullptr && domain->uid != uid) domain = nullptr;
  std::array<uint8_t, kLargest> packet;  // NOLINT(cppcoreguidelines-pro-type-member-init): as read
  for (unsigned i = 0; i < kTurn; ++i) {
    const ssize_t bytes = read(tun.fd.get(), packet.data(), packet.size());
    if (bytes <= 0) {
      if (bytes < 0 && errno != EAGAIN && errno != EINTR) {
        // The TUN is gone, and would be reported for ever.
        (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, tun.fd.get(), nullptr);
        spdlog::warn("{}: its TUN is gone: {}", domain == nullptr ? "a domain" : domain->name,
                     std::strerror(errno));
      }
      return i;
    }
    const std::span<const uint8_t> sent(packet.data(), static_cast<size_t>(bytes));
    if (domain == nullptr || sent.size() == packet.size() || !may_leave(*domain, sent)) {
      ++counts_.refused;
      continue;
    }
    send(*domain, sent);
  }
  return kTurn;
}

void DomainTuns::send(const CompartmentView& domain, std::span<const uint8_t> packet) {
  rte_mbuf* mbuf = packet_to_inject(packets_, packet);
  if (mbuf == nullptr) {
    ++counts_.sent_lost;
    return;
  }
  SideNote& note = side_note(*mbuf);
  note.origin = {
      .compartment_uid = domain.uid, .compartment = domain.id, .ingress = Ingress::session};
  note.at_route = true;
  // Always the same one, so that a session's segments keep their order.
  note.worker = static_cast<uint8_t>(domain.id.value() % workers_);
  if (inject_(mbuf)) {
    ++counts_.sent;
  } else {
    rte_pktmbuf_free(mbuf);
    ++counts_.sent_lost;
  }
}

}  // namespace hnv
