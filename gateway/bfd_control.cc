// SPDX-License-Identifier: Apache-2.0
#include "gateway/bfd_control.h"

#include <utility>

#include "compartments/wire.h"
#include "gateway/ike_packets.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

constexpr uint16_t kFirstPort = 49'152;
constexpr uint16_t kPorts = 16'384;

bool is_udp(std::span<const uint8_t> ip) {
  if (ip.size() >= sizeof(wire::Ipv4) && ip[0] >> 4 == 4) return ip[9] == wire::ip_protocol::kUdp;
  return ip.size() >= sizeof(wire::Ipv6) && ip[6] == wire::ip_protocol::kUdp;
}

}  // namespace

BfdControl::BfdControl(rte_mempool& packets, unsigned workers, Inject inject, Tell tell)
    : packets_(packets), workers_(workers), inject_(std::move(inject)), tell_(std::move(tell)) {}

// RFC 5880 §10: not to be guessed.
uint32_t BfdControl::fresh_discriminator() {
  uint32_t drawn = 0;
  do {
    drawn = static_cast<uint32_t>(random_());
  } while (drawn == 0 || !discriminators_.insert(drawn).second);
  return drawn;
}

void BfdControl::plan(const Path& path, Entry& entry) {
  due_.erase({entry.due, path});
  entry.due = entry.session.due();
  due_.insert({entry.due, path});
}

void BfdControl::set(const Path& path, CompartmentId domain, const BfdTimers& timers, Instant now) {
  auto at = sessions_.find(path);
  if (at == sessions_.end()) {
    const auto seed = static_cast<uint32_t>(random_());
    const auto port = static_cast<uint16_t>(kFirstPort + ports_++ % kPorts);
    at = sessions_
             .emplace(path, Entry{.domain = domain,
                                  .session = {fresh_discriminator(), timers, seed, now},
                                  .source_port = port})
             .first;
  } else {
    at->second.session.set(timers, now);
  }
  plan(path, at->second);
}

BfdControl::Sessions::iterator BfdControl::end(Sessions::iterator at) {
  send(at->first, at->second, at->second.session.farewell());
  due_.erase({at->second.due, at->first});
  discriminators_.erase(at->second.session.discriminator());
  return sessions_.erase(at);
}

void BfdControl::remove(const Path& path) {
  const auto at = sessions_.find(path);
  if (at != sessions_.end()) end(at);
}

void BfdControl::remove_domain(uint64_t uid) {
  auto at = sessions_.lower_bound(Path{.uid = uid, .own = {}, .peer = {}});
  while (at != sessions_.end() && at->first.uid == uid) at = end(at);
}

bool BfdControl::take(const rte_mbuf& packet, Instant now) {
  const std::span<const uint8_t> ip(rte_pktmbuf_mtod(&packet, const uint8_t*),
                                    rte_pktmbuf_data_len(&packet));
  if (!is_udp(ip)) return false;
  const auto datagram = read_bfd_datagram(ip);
  const uint64_t uid = static_cast<const SideNote*>(packet.buf_addr)->origin.compartment_uid;
  const auto at = datagram ? sessions_.find(Path{.uid = uid,
                                                 .own = datagram->ends.destination,
                                                 .peer = datagram->ends.source,
                                                 .multihop = datagram->ends.multihop})
                           : sessions_.end();
  // §6.8.6: one that names a session must name this one.
  if (at == sessions_.end() ||
      (datagram->packet.your_discriminator != 0 &&
       datagram->packet.your_discriminator != at->second.session.discriminator())) {
    ++counts_.discarded;
    return true;
  }
  ++counts_.received;
  Entry& entry = at->second;
  if (const auto answer = entry.session.receive(datagram->packet, now)) {
    send(at->first, entry, *answer);
  }
  tell_news(at->first, entry);
  plan(at->first, entry);
  return true;
}

void BfdControl::step(Instant now) {
  // Each session once: what it is due for next lies ahead, or it waits for the next step.
  for (size_t left = due_.size(); left > 0 && due_.begin()->first <= now; --left) {
    const Path path = due_.begin()->second;
    Entry& entry = sessions_.find(path)->second;
    const auto packet = entry.session.step(now);
    if (packet) send(path, entry, *packet);
    tell_news(path, entry);
    plan(path, entry);
  }
}

void BfdControl::tell_news(const Path& path, Entry& entry) {
  const bool up = entry.session.state() == BfdState::up;
  if (up == entry.up) return;
  entry.up = up;
  if (up) return tell_(path, BfdState::up);
  const bool ended = entry.session.diagnostic() == BfdDiagnostic::neighbor_signaled_down &&
                     entry.session.remote_state() == BfdState::admin_down;
  tell_(path, ended ? BfdState::admin_down : BfdState::down);
}

void BfdControl::send(const Path& path, const Entry& entry, const BfdPacket& packet) {
  const auto bytes =
      write_bfd_datagram({path.own, path.peer, path.multihop}, entry.source_port, packet);
  rte_mbuf* mbuf = packet_to_inject(packets_, bytes);
  if (mbuf == nullptr) {
    ++counts_.sent_lost;
    return;
  }
  SideNote& note = side_note(*mbuf);
  note.origin = {
      .compartment_uid = path.uid, .compartment = entry.domain, .ingress = Ingress::self};
  note.at_route = true;
  note.worker = static_cast<uint8_t>(entry.domain.value() % workers_);
  if (inject_(mbuf)) {
    ++counts_.sent;
  } else {
    rte_pktmbuf_free(mbuf);
    ++counts_.sent_lost;
  }
}

const BfdSession* BfdControl::session(const Path& path) const {
  const auto at = sessions_.find(path);
  return at == sessions_.end() ? nullptr : &at->second.session;
}

}  // namespace hnv
