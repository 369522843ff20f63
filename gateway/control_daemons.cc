// SPDX-License-Identifier: Apache-2.0
//
// The control loop's part for the daemons beside it: charon's tunnels and packets, bgpd's routes.
#include <array>
#include <memory>
#include <poll.h>
#include <span>
#include <unistd.h>
#include <utility>

#include "gateway/control_loop.h"
#include "gateway/ike_packets.h"

namespace hnv {
namespace {

constexpr unsigned kAtOnce = 256;
constexpr int kPollMilliseconds = 1;
constexpr Duration kFarewell = std::chrono::seconds(2);
constexpr Duration kLastWords = std::chrono::seconds(1);

}  // namespace

void ControlLoop::serve_tunnels(Instant at) {
  for (auto& worker : workers_) {
    IpsecNotice notice;
    for (unsigned i = 0; i < kAtOnce && worker->ipsec_notices().pop(&notice, 1) == 1; ++i) {
      ipsec_->take(notice, at);
    }
  }
  send_ike(at);
  ipsec_->step(at);
  for (const auto& [tunnel, up] : ipsec_->take_turned()) turned_tunnels_[tunnel] = up;
  turn_tunnels(at);
}

// Others are served while it compiles. What it builds on stays, and nothing else is built on that:
// REQUIRES that no compilation is under way.
void ControlLoop::compile_beside(Instant at, const CompileOn& compile) {
  under_way_ = true;
  const std::shared_ptr<const Compiled> before = compiled_;
  Compilation done = compile(before, *changes_->current());
  under_way_ = false;
  to_release_.insert(to_release_.end(), done.released.begin(), done.released.end());
  put_live(std::move(done.next), at);
  ipsec_->configure(compiled_, at);
  resolver_->act(done.actions);
}

// Routes through tunnels that went up or down.
void ControlLoop::turn_tunnels(Instant at) {
  if (under_way_ || turned_tunnels_.empty() || changes_ == nullptr) return;
  const TurnedTunnels turned = std::exchange(turned_tunnels_, {});
  compile_beside(at, [&](const auto& before, const DesiredState& model) {
    return compile_turned(before, model, turned, context_, next_hops_, at);
  });
}

// BFD's sessions, and routes that BGP brings and takes.
void ControlLoop::serve_bgp(Instant at) {
  bfd_->step(at);  // before bgpd is told what came of it
  bgp_->step(at);
  if (under_way_ || changes_ == nullptr) return;
  const LearnedRoutes learned = bgp_->take_learned(at);
  if (learned.empty()) return;
  compile_beside(at, [&](const auto& before, const DesiredState& model) {
    return compile_learned(before, model, learned, context_, next_hops_, at);
  });
}

void ControlLoop::send_ike(Instant at) {
  std::array<uint8_t, 9'600> packet{};
  for (unsigned i = 0; i < kAtOnce && ipsec_->tun() >= 0; ++i) {
    const ssize_t bytes = read(ipsec_->tun(), packet.data(), packet.size());
    if (bytes <= 0) break;
    const std::span<const uint8_t> sent(packet.data(), static_cast<size_t>(bytes));
    const auto way = way_of(sent, ipsec_->addresses(), root_);
    if (!way || way->next.failed) continue;
    rte_mbuf* mbuf = packet_to_inject(eal_.packets(), sent);
    if (mbuf == nullptr) break;
    SideNote& note = side_note(*mbuf);
    if (way->next.ask) {  // goes on when the neighbour's next hop is published
      note.resolve = true;
      note.attachment = (*root_.outside)[way->network.value()].attachment;
      note.family = way->destination.family();
      note.address = way->destination.bytes();
      resolver_->take(mbuf, *compiled_, at);
      continue;
    }
    note.next_hop = way->next.hop;
    note.next_hop_uid = root_.next_hops[way->next.hop.value()].uid;
    if (!inject(mbuf)) rte_pktmbuf_free(mbuf);
  }
}

// A peer that is told nothing believes in its session for up to its hold time: it sends packets to
// nobody, and lets no new one come up.
void ControlLoop::say_farewell() {
  const auto serve_while = [this](Instant until, const auto& more) {
    while (more() && now() < until) {
      std::vector<pollfd> fds;
      ipsec_->add_to(fds);
      bgp_->add_to(fds);
      tuns_->add_to(fds);
      (void)poll(fds.data(), fds.size(), kPollMilliseconds);
      serve(now());
    }
  };
  ipsec_->stop();
  bgp_->stop();
  serve_while(now() + kFarewell, [this] { return !ipsec_->ended() || !bgp_->ended(); });
  bgp_->kill();
  serve_while(now() + kLastWords, [this] { return !bgp_->ended(); });
  // What the kernel said when the sockets were closed, for bgpd or by itself.
  uint64_t said = UINT64_MAX;
  serve_while(now() + kLastWords,
              [this, &said] { return tuns_->taken() != std::exchange(said, tuns_->taken()); });
  send_ike(now());  // charon's may have come after the last look
}

}  // namespace hnv
