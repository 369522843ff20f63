// SPDX-License-Identifier: Apache-2.0
//
// What bgpd asks of BFD, and what it hears of it (RFC 5882 §10.2): a session for each peer that is
// configured with one, between the addresses of its BGP session.
//
//   bgpd ─ registration ─▶ take ─▶ step ─▶ BfdControl ─ its news ─▶ turned ─▶ bgpd
//
// The configuration has the last word: what bgpd asks for a peer that is configured without BFD, or
// is disabled, is not made. Registrations outlive a bgpd that is lost: its peers go on hearing
// BFD's packets while the next one starts, which is told at once how its sessions are.
//
// Threads: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "bgp/zapi_codec.h"
#include "gateway/bfd_control.h"
#include "gateway/compile.h"

namespace hnv {

class BgpBfd {
 public:
  // To the bgpd that has the domain with this number.
  using Tell = std::function<void(uint32_t number, const ZapiBfdSession&, ZapiBfdState)>;

  BgpBfd(BfdControl& sessions, Tell tell) : sessions_(sessions), tell_(std::move(tell)) {}

  // A domain's number in BgpGateway, and its CompartmentView's place and uid. REQUIRES that both
  // stay those of the first call.
  void configure(uint32_t number, CompartmentId domain, uint64_t uid,
                 std::shared_ptr<const CompiledBgp> bgp);
  // Its sessions end, with a farewell. Harmless when there is no such domain.
  void remove(uint32_t number);

  // What bgpd asks is done in the next step(). It takes a registration back and gives it anew, by
  // and by, to change it, which shall not end a session.
  void take(uint32_t number, const ZapiBfdSession& asked);
  void step(Instant now);
  // BfdControl's news. Of a session that no bgpd asked for, nothing.
  void turned(const BfdControl::Path& path, BfdState state);

  // Null: the peer has none, or bgpd did not ask for it yet.
  [[nodiscard]] const BfdSession* session(uint32_t number, const BgpAddress& peer) const;

 private:
  struct Request {
    ZapiBfdSession asked{};
    bool taken_back = false;
    bool to_tell = false;                    // bgpd does not know how the session is
    std::optional<BfdControl::Path> path{};  // absent: there is no session
  };
  using Key = std::pair<BgpAddress, bool>;  // the peer; whether over several hops
  struct Domain {
    CompartmentId compartment{};
    uint64_t uid = 0;
    std::shared_ptr<const CompiledBgp> bgp{};
    std::map<Key, Request> requests{};
  };

  void settle(uint32_t number, Domain& domain, Instant now);
  void settle(uint32_t number, const Domain& domain, Request& request, Instant now);

  BfdControl& sessions_;
  Tell tell_;
  std::map<uint32_t, Domain> domains_;
  std::map<uint64_t, uint32_t> numbers_;  // by uid
  std::set<uint32_t> unsettled_;
};

}  // namespace hnv
