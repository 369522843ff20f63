// SPDX-License-Identifier: Apache-2.0
//
// What the gateway wants of one charon, kept true: its version is checked before it is told
// anything, tunnels are loaded by deltas, started at a bounded pace, tried again when they are
// lost, and all of that once more after charon was restarted.
//
//   CharonProcess ─(connections)─▶ IkeControl ─▶ ViciClient ═ charon
//
// What charon's log says goes to the TunnelDoctor.
//
// Threads: one, the control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compartments/clock.h"
#include "compartments/result.h"
#include "vpn/charon_config.h"
#include "vpn/peer_watch.h"
#include "vpn/tunnel_doctor.h"
#include "vpn/vici_client.h"

namespace hnv {

struct IkeTunnelState {
  enum class Phase : uint8_t {
    idle,        // nothing is asked of it
    connecting,  // asked for, not up
    up,
    failed,  // numberOfTries is used up; connect() or a change begins anew
  };
  Phase phase = Phase::idle;
  Instant since;
  unsigned tries = 0;   // since it was up last
  uint64_t rekeys = 0;  // of its ESP SAs
  std::string remote_host;
  struct Sa {  // an IKE SA that is up
    std::string local_host, remote_host, remote_id;
    std::string algorithms;  // "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384"
    Instant since;
  };
  std::map<std::string, Sa> sas;  // by charon's number
  std::string fault;              // why charon does not have it; empty: it has
};

class IkeControl {
 public:
  enum class State : uint8_t {
    away,     // no charon
    loading,  // connected; it is being told
    ready,    // it has every tunnel
    refused,  // of a version that the plugin does not know: it is told nothing
  };
  // Starts after one another; more at once would only wait for each other's answers.
  static constexpr unsigned kStartsASecond = 100;

  // `lost`: the connections ended while charon may live (CharonProcess::reconnect).
  explicit IkeControl(std::function<void()> lost);

  // Connections to a charon: it is brought to what is wanted, whatever it has. And its end.
  void attach(OwnedFd commands, OwnedFd events);
  void charon_ended();

  // A tunnel as it shall be; gone. REQUIRES check(spec).empty() and identities that are accepted.
  void set(uint32_t if_id, const TunnelSpec& spec, Instant now);
  void remove(uint32_t if_id);
  // By hand, or because a packet waits.
  void connect(uint32_t if_id, Instant now);
  void disconnect(uint32_t if_id, Instant now);
  void rekey(uint32_t if_id);

  void add_to(std::vector<pollfd>& fds) const { vici_.add_to(fds); }
  void step(Instant now);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const std::string& version() const { return version_; }
  [[nodiscard]] const IkeTunnelState* tunnel(uint32_t if_id) const;
  [[nodiscard]] TunnelDoctor& doctor() { return doctor_; }
  [[nodiscard]] const TunnelDoctor& doctor() const { return doctor_; }
  // For questions that have no effect (list-sas, stats).
  [[nodiscard]] ViciClient& vici() { return vici_; }

 private:
  struct Tunnel {
    IkeTunnelState state;
    std::set<std::string> children;  // that are up, by charon's number: it is while there is one
    bool wanted = false;             // connected, or to be
    bool queued = false;             // in starts_
    bool silent = false;             // its site fell silent: begun anew at once, not by and by
    std::optional<Instant> next_try;
  };

  void check_version();
  void load_everything();
  void finish_loading();
  void send(std::vector<CharonCommand> commands);
  void send(CharonCommand command);
  void answered(const std::string& name, std::optional<uint32_t> key_of, uint32_t if_id,
                const Result<ViciClient::Answer>& answer);
  void take_event(const std::string& event, const ViciSection& message);
  void take_log(const ViciSection& message);
  void abandon_silent();
  void take_connection(const std::string& event, bool up, const std::string& name,
                       const ViciSection& connection);
  void take_ike_sa(const std::string& event, bool up, IkeTunnelState& tunnel,
                   const ViciSection& connection) const;
  void judge(uint32_t if_id, Tunnel& tunnel);
  void want(uint32_t if_id, Tunnel& tunnel);
  void start_some();
  void retry();

  std::function<void()> lost_;
  CharonConfig config_;
  TunnelDoctor doctor_;
  PeerWatch peers_;
  std::map<uint32_t, Tunnel> tunnels_;
  State state_ = State::away;
  std::string version_;
  std::deque<uint32_t> starts_;
  Instant now_;
  Instant next_start_;
  Instant next_look_;
  ViciClient vici_;  // last: its callbacks use what stands above
};

}  // namespace hnv
