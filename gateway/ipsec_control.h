// SPDX-License-Identifier: Apache-2.0
//
// The tunnels' control side while the gateway runs: charon is started and watched, told what the
// configuration wants, its SAs are made the workers', and what the workers notice is brought to it.
//
//   Compiled ─▶ configure ─▶ IkeControl ═ charon ═ plugin ─▶ SaChannel ─▶ SaDatabase ─▶ publish
//
// Threads: the control thread. Without a launcher there is no IKE: tunnels stay down and say why.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <poll.h>
#include <string>
#include <vector>

#include "api/control.h"
#include "gateway/compile.h"
#include "vpn/charon_process.h"
#include "vpn/ike_control.h"
#include "vpn/ipsec_notice.h"
#include "vpn/sa_channel.h"

namespace hnv {

// What is there to run IKE with, made while the process was young (start_ike).
struct IkeStart {
  std::optional<Launcher> launcher;
  uid_t user = 0;        // charon's
  std::string off = {};  // why there is no launcher
};
struct IpsecConfig;
// REQUIRES what fork_launcher does. `runtime_directory` exists.
[[nodiscard]] IkeStart start_ike(const std::optional<IpsecConfig>& config,
                                 const std::string& runtime_directory);

class IpsecControl {
 public:
  // `publish` makes sas() the workers' and returns when those that look again find it.
  IpsecControl(IkeStart start, std::function<void()> publish);

  // What is compiled is live, or about to be.
  void configure(const std::shared_ptr<const Compiled>& compiled, Instant now);
  void add_to(std::vector<pollfd>& fds) const;
  void step(Instant now);
  // Tells sites farewell; until ended() something is under way.
  void stop();
  [[nodiscard]] bool ended() const { return !process_ || process_->pid() < 0; }

  [[nodiscard]] const SaTable& sas() const { return sas_.table(); }
  // charon's TUN; -1: there is none.
  [[nodiscard]] int tun() const { return tun_.get(); }
  // Where charon may speak from: tunnels' addresses, and for some seconds those of tunnels that are
  // gone, whose sites are to hear of it.
  [[nodiscard]] const std::map<IpAddress<Space::external>, OutsideNetworkId>& addresses() const {
    return addresses_;
  }
  // charon has every tunnel. Before, it would refuse a site whose tunnel it does not know yet, and
  // the site may not ask again; to silence it does.
  [[nodiscard]] bool takes_ike() const { return ike_ && ike_->state() == IkeControl::State::ready; }
  // Tunnels that went up or down since this was asked last, as they are now.
  [[nodiscard]] TurnedTunnels take_turned();
  void take(const IpsecNotice& notice, Instant now);

  [[nodiscard]] Result<void> act(TunnelId tunnel, TunnelAction action, Instant now);
  // connectionState, unreachabilityReason and what IKE knows; counters are the caller's.
  [[nodiscard]] ConnectionState state(TunnelId tunnel, Instant now) const;
  [[nodiscard]] TunnelDoctorState doctor(TunnelId tunnel, Instant now) const;
  [[nodiscard]] std::vector<IkeFaultState> ike_faults(Instant now) const;
  void describe(SystemState& out) const;

 private:
  void keep_addresses(const CompiledIpsec& before, const CompiledIpsec& after, Instant now);
  void tell_addresses();
  void collect_use(Instant now);
  [[nodiscard]] std::string reason(const CompiledTunnel& tunnel, uint32_t if_id) const;
  [[nodiscard]] std::string fault_of(const TunnelSpec& spec, uint32_t if_id) const;
  void say_faults(Instant now);
  void add_sas(uint32_t if_id, Instant now, TunnelState& out) const;
  [[nodiscard]] bool is_up(TunnelId tunnel) const;

  std::string off_;
  std::shared_ptr<const Compiled> compiled_;  // as it is configured
  SaDatabase sas_;
  OwnedFd tun_;
  std::map<IpAddress<Space::external>, OutsideNetworkId> addresses_;
  std::map<IpAddress<Space::external>, Instant> leaving_;  // of them, until when
  std::map<TunnelId, Instant> up_;                         // since when
  TurnedTunnels turned_;
  Instant next_use_;
  std::map<TunnelId, Instant> said_;       // when a fault was said last in the log
  std::map<uint64_t, Instant> sas_since_;  // by uid, for answers
  std::optional<IkeControl> ike_;
  std::optional<SaChannel> channel_;
  std::optional<CharonProcess> process_;
};

}  // namespace hnv
