// SPDX-License-Identifier: Apache-2.0
//
// Why tunnels do not come up: charon's log, line by line, sorted by tunnel and attempt.
//
//   charon ═ VICI `log` ═▶ TunnelDoctor ─▶ IkeAttempt (facts) ─▶ diagnose (words)
//
// charon names the tunnel of an attempt that we began, and of a site's as soon as it has looked at
// the identities. An attempt that ends before that is given to the tunnel that it can only have
// been meant for, by addresses and identities; else it is a fault of no tunnel.
//
// Everybody can send IKE: what is kept is bounded (256 attempts without a name, 64 faults of no
// tunnel, what IkeAttempt keeps, four attempts a tunnel), and so is how often tunnels are searched.
// What a fault says of a site is what the sender claimed, not who it was.
//
// Threads: one, the control thread.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compartments/clock.h"
#include "vpn/ike_attempt.h"
#include "vpn/tunnel_spec.h"

namespace hnv {

struct IkeLogLine {
  std::string_view group;       // "IKE", "CFG", …
  std::string_view connection;  // charon's name of it; empty or "(unnamed)": not known yet
  uint32_t ike_sa = 0;          // charon's number; 0: it is of none
  std::string_view text;
};

// A fault that belongs to no tunnel of ours.
struct StrangerFault {
  TunnelFault fault = TunnelFault::none;
  std::string remote_address, local_address;
  std::string claimed, asked;  // identities; empty: it did not come to that
  unsigned possible = 0;       // tunnels that it may have been meant for
  uint64_t count = 0;
  Instant last;
};

class TunnelDoctor {
 public:
  static constexpr size_t kMostUnnamed = 256;
  static constexpr size_t kMostStrangers = 64;

  void set(uint32_t if_id, const TunnelSpec& spec);
  void remove(uint32_t if_id);
  // Its first ESP SA, or new ones: what was wrong before is over.
  void came_up(uint32_t if_id);
  void went_down(uint32_t if_id);
  // A site that was up does not answer any more.
  void fell_silent(uint32_t if_id, uint32_t ike_sa, Instant now);
  // charon and its numbers are gone.
  void charon_ended();

  void heard(const IkeLogLine& line, Instant now);
  // Tunnels whose fault became another one since this was asked last.
  [[nodiscard]] std::set<uint32_t> take_new_faults() { return std::exchange(new_faults_, {}); }

  // The attempt that says most of what is wrong; null: nothing is known to be.
  [[nodiscard]] const IkeAttempt* fault_of(uint32_t if_id) const;
  // The last attempt, whatever became of it; null: there was none.
  [[nodiscard]] const IkeAttempt* last_of(uint32_t if_id) const;
  // Youngest first.
  [[nodiscard]] const std::list<StrangerFault>& strangers() const { return strangers_; }

 private:
  struct Known {
    std::string local_host, remote_host;  // remote: empty where it is not known
    std::string local_id, remote_id;
    IkeAuthentication method = IkeAuthentication::psk;
    bool up = false;
    // By who began: the attempt under way, and the last one that failed.
    std::array<std::optional<IkeAttempt>, 2> current, failed;
  };
  struct Match {
    std::optional<uint32_t> tunnel;
    unsigned possible = 0;
  };

  IkeAttempt& attempt_of(Known& tunnel, uint32_t ike_sa);
  static void refine(const Known& tunnel, IkeAttempt& attempt);
  IkeAttempt& unnamed(uint32_t ike_sa);
  void attribute(IkeAttempt attempt, Instant now);
  [[nodiscard]] Match match(const IkeAttempt& attempt) const;
  void note_stranger(const IkeAttempt& attempt, unsigned possible, Instant now);
  void note_stranger(StrangerFault fault, Instant now);
  void take_unowned(std::string_view text, Instant now);

  std::map<uint32_t, Known> tunnels_;  // by if_id
  std::list<IkeAttempt> unnamed_;      // youngest first
  std::list<StrangerFault> strangers_;
  std::set<uint32_t> new_faults_;
  Instant searches_since_;
  unsigned searches_ = 0;
};

}  // namespace hnv
