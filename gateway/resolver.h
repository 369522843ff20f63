// SPDX-License-Identifier: Apache-2.0
//
// The control thread's ARP and ND: what workers punt comes in here, requests go out through their
// inject rings. Packets that asked for a neighbour nobody knew go back to the worker as soon as the
// next hop is published; they wait there, in the hold table, with those that follow.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <rte_mbuf.h>

#include "compartments/clock.h"
#include "gateway/address_watch.h"
#include "gateway/compile.h"
#include "gateway/next_hops.h"
#include "gateway/path_mtu.h"
#include "gateway/reentry.h"

namespace hnv {

class Resolver {
 public:
  // `inject` hands one packet with its SideNote to a worker; false when its ring is full.
  using Inject = std::function<bool(rte_mbuf*)>;

  Resolver(NextHops& next_hops, AddressWatch& watch, rte_mempool& packets, Inject inject)
      : next_hops_(next_hops), watch_(watch), packets_(packets), inject_(std::move(inject)) {}
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  Resolver(Resolver&&) = delete;
  Resolver& operator=(Resolver&&) = delete;

  // A punted packet; takes it over.
  void take(rte_mbuf* mbuf, const Compiled& compiled, Instant now);
  // What is due.
  void tick(Instant now);
  // Takes over what changed and sends what is asked for.
  void act(const Neighbors::Actions& actions);
  // After a publish: the packets that waited for it go back.
  void flush();

  [[nodiscard]] uint64_t requests_sent() const { return requests_sent_; }

 private:
  void resolve(rte_mbuf* mbuf, const Compiled& compiled, Instant now);
  void learn(const rte_mbuf& mbuf, const Compiled& compiled, Instant now);
  bool is_claim(const uint8_t* l3, const wire::Ethernet& ethernet, const SideNote& note,
                Instant now);
  void learn_arp(const wire::Arp& arp, const wire::Ethernet& ethernet, const OutLink& link,
                 Instant now);
  void learn_nd(const wire::Ipv6& ip, const wire::Ethernet& ethernet, const OutLink& link,
                Instant now);
  void learn_path_mtu(const std::optional<PathMtu>& path, const OutLink& link, Instant now);
  void send_request(const Neighbors::Request& request);

  NextHops& next_hops_;
  AddressWatch& watch_;
  rte_mempool& packets_;
  Inject inject_;
  std::vector<rte_mbuf*> waiting_;  // for the next publish
  uint64_t requests_sent_ = 0;
};

}  // namespace hnv
