// SPDX-License-Identifier: Apache-2.0
//
// What the gateway itself ends in a routing domain: who may reach which control-plane service at
// which of its addresses there. Looked at only for packets that `route` finds to be for the gateway
// itself; what is not in it is refused as `local_not_served`.
//
// And how much of it (RFC 6192): everybody who may speak is guaranteed a little, and a domain may
// use more as long as the control thread keeps up. So what one tenant sends, however much, takes
// nothing from another's sessions. The limits hold in each worker for itself; a session has one.
//
// Threads: immutable and shared, but for the meters; those of a worker are that worker's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "compartments/address.h"
#include "compartments/packet_meter.h"

namespace hnv {

enum class TerminatedService : uint8_t {
  bgp,             // TCP, port 179 on either side: either may open (RFC 4271 §8)
  bfd_single_hop,  // UDP to port 3784 (RFC 5881)
  bfd_multihop,    // UDP to port 4784 (RFC 5883)
};

struct TerminatedPeer {
  IpAddress<Space::customer> peer;
  // One of the gateway's, of the peer's family. Absent: any of them.
  std::optional<IpAddress<Space::customer>> own{};
  TerminatedService service = TerminatedService::bgp;
  // GTSM (RFC 5082 §3): what comes with a lower TTL is not the peer's. For a peer at most n hops
  // away 256 - n; 0 or 1: any.
  uint8_t min_ttl = 0;
  friend auto operator<=>(const TerminatedPeer&, const TerminatedPeer&) = default;
};

class Terminated {
 public:
  // A peer whose service needs no more than this is served whatever others do, ...
  static constexpr PacketRate kGuaranteed{.per_second = 200, .burst = 64};
  // ... and all peers of a domain together; ...
  static constexpr PacketRate kDomainGuaranteed{.per_second = 5'000, .burst = 256};
  // ... above it a domain has this, for the tables that are sent when sessions begin.
  static constexpr PacketRate kDomainMore{.per_second = 5'000, .burst = 256};
  // Of the 1,024 places on the way to the control thread: beyond so many waiting packets nobody has
  // more than what is guaranteed, and the last are for ARP, ND and IKE.
  static constexpr unsigned kMoreUpTo = 256;
  static constexpr unsigned kGuaranteedUpTo = 768;

  // As in a packet: IPv4 in the first four bytes.
  using Address = std::array<uint8_t, 16>;
  struct Entry {
    Address peer{};
    Address own{};  // unspecified: any
    uint32_t number = 0;
    Family family = Family::ipv4;
    TerminatedService service = TerminatedService::bgp;
    uint8_t min_ttl = 0;
  };

  // `workers` of them have meters. Doubles count once.
  Terminated(std::vector<TerminatedPeer> peers, unsigned workers);

  // Null: that peer may not speak to that address.
  [[nodiscard]] const Entry* find(TerminatedService service, Family family, const Address& peer,
                                  const Address& own) const;
  // Whether `worker` lets one packet more of it go to the control thread, for which `waiting` wait.
  // REQUIRES the worker's thread.
  [[nodiscard]] bool admit(const Entry& entry, unsigned worker, unsigned waiting,
                           Instant now) const;

  [[nodiscard]] const std::vector<TerminatedPeer>& peers() const { return peers_; }  // sorted

 private:
  struct alignas(64) Meters {  // one worker's
    PacketMeter guaranteed, more;
    std::vector<PacketMeter> peers;  // by Entry::number
  };

  std::vector<TerminatedPeer> peers_;
  std::vector<Entry> entries_;  // sorted by (service, family, peer)
  std::unique_ptr<Meters[]> meters_;
};

// Null when there is nobody; `before`, with its meters, when that says the same.
[[nodiscard]] std::shared_ptr<const Terminated> make_terminated(
    std::vector<TerminatedPeer> peers, unsigned workers,
    const std::shared_ptr<const Terminated>& before);

}  // namespace hnv
