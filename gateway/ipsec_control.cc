// SPDX-License-Identifier: Apache-2.0
#include "gateway/ipsec_control.h"

#include <pwd.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "gateway/bootstrap.h"
#include "vpn/diagnosis.h"

namespace hnv {
namespace {

constexpr Duration kUseEvery = std::chrono::milliseconds(500);
constexpr Duration kFarewells = std::chrono::seconds(5);
constexpr Duration kBetweenFaults = std::chrono::seconds(10);  // of one tunnel, in the log
constexpr uint32_t kSpis = 1U << 15;  // inbound SAs that there can be at once

uint32_t if_id_of(TunnelId tunnel) { return tunnel.value() + 1; }
TunnelId tunnel_of(uint32_t if_id) { return TunnelId(if_id - 1); }

std::string endpoint(const SaSpec& sa, const SaEndpoint& end) {
  if (sa.encapsulation == SaEncapsulation::none) return end.address.to_string();
  return end.address.is_v4() ? fmt::format("{}:{}", end.address.to_string(), end.port)
                             : fmt::format("[{}]:{}", end.address.to_string(), end.port);
}

std::string to_name(TunnelFault fault) {
  for (const auto& [name, value] : kTunnelFaultNames) {
    if (value == fault) return std::string(name);
  }
  return {};
}

std::string algorithms_of(const SaSpec& sa) {
  const size_t bits = sa.keys == nullptr ? 0 : sa.keys->encryption.size() * 8;
  std::string text = fmt::format("{}-{}", to_string(sa.cipher), bits);
  if (sa.integrity != SaIntegrity::none) text += fmt::format("/{}", to_string(sa.integrity));
  return text;
}

}  // namespace

IkeStart start_ike(const std::optional<IpsecConfig>& config, const std::string& runtime_directory) {
  const auto off = [](std::string why) { return IkeStart{{}, 0, std::move(why)}; };
  if (!config) return off("the bootstrap file has no \"ipsec\" section");
  if (access(config->charon.c_str(), X_OK) != 0) {
    return off(fmt::format("{} is not there: install strongSwan's charon-systemd", config->charon));
  }
  const passwd* user = getpwnam(config->user.c_str());
  if (user == nullptr) return off(fmt::format("there is no user {} for charon", config->user));
  CharonPlace place;
  place.folder = config->folder.value_or(runtime_directory + "/ike");
  place.user = user->pw_uid;
  place.group = user->pw_gid;
  place.binary = config->charon;
  place.plugins = config->plugins.value_or("");
  auto launcher = fork_launcher(place);
  if (!launcher) return off("charon cannot be started: " + launcher.error().message);
  return {std::move(*launcher), place.user, {}};
}

IpsecControl::IpsecControl(IkeStart start, std::function<void()> publish)
    : off_(std::move(start.off)) {
  if (!start.launcher) return;
  tun_ = std::move(start.launcher->tun);
  ike_.emplace([this] { process_->reconnect(); });
  process_.emplace(std::move(start.launcher->control), start.launcher->pid,
                   CharonProcess::Events{[this](OwnedFd commands, OwnedFd events) {
                                           ike_->attach(std::move(commands), std::move(events));
                                         },
                                         [this](int) { ike_->charon_ended(); }});
  channel_.emplace(
      std::move(start.launcher->sas),
      SaChannel::Options{
          .charon = 0, .user = start.user, .range = {0, kSpis}, .counters_every = kUseEvery},
      sas_, std::move(publish));
}

void IpsecControl::configure(const std::shared_ptr<const Compiled>& compiled, Instant now) {
  static const CompiledIpsec kNothing;
  const CompiledIpsec& before = compiled_ == nullptr ? kNothing : *compiled_->ipsec;
  const CompiledIpsec& after = *compiled->ipsec;
  const bool differs = before.serial != after.serial;
  if (differs && ike_) {
    const auto spec_of = [](const CompiledTunnel& tunnel) { return &*tunnel.model->spec.tunnel; };
    using Tunnels = CowMap<TunnelId, CompiledTunnel>;
    Tunnels::difference(before.tunnels, after.tunnels,
                        [&](TunnelId id, const CompiledTunnel* was, const CompiledTunnel* is) {
                          if (is != nullptr) return;
                          ike_->remove(if_id_of(id));
                          sas_.remove_tunnel(if_id_of(id));
                          up_.erase(id);
                          said_.erase(id);
                          (void)was;
                        });
    Tunnels::difference(before.tunnels, after.tunnels,
                        [&](TunnelId id, const CompiledTunnel* was, const CompiledTunnel* is) {
                          if (is == nullptr || (was != nullptr && was->model == is->model)) return;
                          sas_.add_tunnel(if_id_of(id), 0);
                          ike_->set(if_id_of(id), *spec_of(*is), now);
                        });
    keep_addresses(before, after, now);
    // Nobody needs charon before there is a tunnel.
    if (!after.own.empty()) process_->start();
  }
  compiled_ = compiled;
}

void IpsecControl::keep_addresses(const CompiledIpsec& before, const CompiledIpsec& after,
                                  Instant now) {
  for (const auto& [address, network] : before.own) {
    if (!after.own.contains(address)) leaving_.emplace(address, now + kFarewells);
  }
  for (const auto& [address, network] : after.own) {
    leaving_.erase(address);
    addresses_.insert_or_assign(address, network);
  }
  tell_addresses();
}

void IpsecControl::tell_addresses() {
  std::vector<IpAddress<Space::external>> addresses;
  for (const auto& [address, network] : addresses_) addresses.push_back(address);
  process_->set_addresses(std::move(addresses));
}

void IpsecControl::add_to(std::vector<pollfd>& fds) const {
  if (!process_) return;
  process_->add_to(fds);
  channel_->add_to(fds);
  ike_->add_to(fds);
  fds.push_back({tun_.get(), POLLIN, 0});
}

// What each SA carried, for charon: dead peers, idle tunnels and volume are judged by it.
void IpsecControl::collect_use(Instant now) {
  if (now < next_use_) return;
  next_use_ = now + kUseEvery;
  const SaTable table = sas_.table();
  std::map<uint64_t, Instant> since;
  for (const auto* side : {&table.inbound, &table.outbound}) {
    for (size_t i = 0; i < side->size(); ++i) {
      const auto& sa = (*side)[i];
      if (sa == nullptr) continue;
      const auto seen = sas_since_.find(sa->uid);
      since.emplace(sa->uid, seen == sas_since_.end() ? now : seen->second);
      const SaUse use = sa->state->use();
      const SaUse* known = sas_.use_of(sa->uid);
      if (use.packets != 0 && (known == nullptr || known->packets != use.packets)) {
        sas_.count(sa->uid, use);
      }
    }
  }
  sas_since_ = std::move(since);
}

void IpsecControl::step(Instant now) {
  if (!process_) return;
  process_->step(now);
  channel_->step(now);
  ike_->step(now);
  if (std::erase_if(leaving_, [&](const auto& one) {
        return one.second <= now && addresses_.erase(one.first) > 0;
      }) > 0) {
    tell_addresses();
  }
  collect_use(now);
  say_faults(now);
  for (const uint32_t if_id : sas_.take_changed_tunnels()) {
    const TunnelId id = tunnel_of(if_id);
    const CompiledTunnel* tunnel = compiled_ ? compiled_->ipsec->tunnels.find(id) : nullptr;
    if (tunnel == nullptr) continue;
    const bool up =
        sas_.tunnel(if_id).outbound == TunnelSas::Outbound::open && sas_.tunnel(if_id).inbound > 0;
    if (up == up_.contains(id)) continue;
    turned_[id] = up;
    const IkeTunnelState* ike = ike_->tunnel(if_id);
    if (up) {
      up_.emplace(id, now);
      spdlog::info("{}/networkConnections/{}: the tunnel is up, to {}", tunnel->domain,
                   tunnel->connection, ike == nullptr ? std::string() : ike->remote_host);
    } else {
      up_.erase(id);
      spdlog::warn("{}/networkConnections/{}: the tunnel is down", tunnel->domain,
                   tunnel->connection);
    }
  }
}

void IpsecControl::stop() {
  if (process_) process_->stop();
}

TurnedTunnels IpsecControl::take_turned() { return std::exchange(turned_, {}); }

bool IpsecControl::is_up(TunnelId tunnel) const { return up_.contains(tunnel); }

void IpsecControl::take(const IpsecNotice& notice, Instant now) {
  if (!process_ || compiled_ == nullptr) return;
  const auto& view = compiled_->ipsec->views[notice.tunnel.value()];
  if (view == nullptr || view->uid != notice.tunnel_uid) return;  // of one that is gone
  switch (notice.kind) {
    case IpsecNotice::Kind::wanted:
      spdlog::debug("{}: a packet asks for the tunnel", view->name);
      ike_->connect(view->if_id(), now);
      break;
    case IpsecNotice::Kind::exhausted:
      spdlog::warn("{}: an SA has used all its sequence numbers", view->name);
      ike_->rekey(view->if_id());
      break;
    case IpsecNotice::Kind::moved: {
      const SaTable& table = sas_.table();
      for (size_t i = 0; i < table.inbound.size(); ++i) {
        const auto& sa = table.inbound[i];
        if (sa == nullptr || sa->uid != notice.sa_uid) continue;
        spdlog::info("{}: the site is at {} now", view->name, endpoint(sa->spec, notice.remote));
        channel_->mapping({SaDirection::inbound, sa->spec.spi, sa->spec.destination.address},
                          notice.remote);
        break;
      }
      break;
    }
  }
}

Result<void> IpsecControl::act(TunnelId tunnel, TunnelAction action, Instant now) {
  if (!process_) return fail(ErrorCode::unavailable, "IPsec is off: " + off_);
  const CompiledTunnel* known = compiled_->ipsec->tunnels.find(tunnel);
  const TunnelSpec& spec = *known->model->spec.tunnel;
  if (spec.admin_status == AdminStatus::disabled) {
    return fail(ErrorCode::unfit, "its adminStatus is Disabled: enable it first");
  }
  const uint32_t if_id = if_id_of(tunnel);
  switch (action) {
    case TunnelAction::connect:
      if (!spec.destination_ip_address) {
        return fail(ErrorCode::unfit, "has no destinationIPAddress: the site has to begin");
      }
      ike_->connect(if_id, now);
      break;
    case TunnelAction::disconnect:
      ike_->disconnect(if_id, now);
      break;
    case TunnelAction::rekey:
      if (!is_up(tunnel)) return fail(ErrorCode::unfit, "the tunnel is not up: connect it first");
      ike_->rekey(if_id);
      break;
  }
  return {};
}

// Why a tunnel is not up, as an operator would say it.
std::string IpsecControl::reason(const CompiledTunnel& tunnel, uint32_t if_id) const {
  if (!process_) return "IPsec is off: " + off_;
  const TunnelSpec& spec = *tunnel.model->spec.tunnel;
  if (spec.admin_status == AdminStatus::disabled) return "adminStatus is Disabled";
  if (ike_->state() == IkeControl::State::refused) {
    return fmt::format("strongSwan {} is of a release that is not supported", ike_->version());
  }
  if (ike_->state() != IkeControl::State::ready) return "charon is being started";
  const IkeTunnelState* ike = ike_->tunnel(if_id);
  if (ike == nullptr) return "not configured yet";
  if (!ike->fault.empty()) return "charon refuses it: " + ike->fault;
  if (sas_.tunnel(if_id).outbound == TunnelSas::Outbound::closed) {
    return "new keys are under way, after a restart";
  }
  const std::string site = spec.destination_ip_address ? spec.destination_ip_address->to_string()
                                                       : std::string("the site");
  std::string fault = fault_of(spec, if_id);
  switch (ike->phase) {
    case IkeTunnelState::Phase::failed:
      return fmt::format("{}; tried {} times, connect tries again",
                         fault.empty() ? site + " did not answer" : fault, ike->tries);
    case IkeTunnelState::Phase::connecting:
      if (!fault.empty()) return fault;
      return fmt::format("{} has not answered yet, try {}", site, ike->tries);
    case IkeTunnelState::Phase::up:
      return "its SAs are being made";
    case IkeTunnelState::Phase::idle:
      break;
  }
  if (!fault.empty() && spec.initiation != Initiation::on_start) return fault;
  if (spec.initiation == Initiation::on_demand) return "no packet has asked for it";
  if (spec.initiation == Initiation::never) return "the site has not begun";
  return "disconnected";
}

std::string IpsecControl::fault_of(const TunnelSpec& spec, uint32_t if_id) const {
  const IkeAttempt* attempt = ike_->doctor().fault_of(if_id);
  return attempt == nullptr ? std::string() : diagnose(spec, *attempt).summary;
}

void IpsecControl::say_faults(Instant now) {
  for (const uint32_t if_id : ike_->doctor().take_new_faults()) {
    const TunnelId id = tunnel_of(if_id);
    const CompiledTunnel* tunnel = compiled_ ? compiled_->ipsec->tunnels.find(id) : nullptr;
    if (tunnel == nullptr) continue;
    const auto last = said_.find(id);
    if (last != said_.end() && now - last->second < kBetweenFaults) continue;
    const std::string fault = fault_of(*tunnel->model->spec.tunnel, if_id);
    if (fault.empty()) continue;
    said_[id] = now;
    spdlog::warn("{}/networkConnections/{}: {}", tunnel->domain, tunnel->connection, fault);
  }
}

TunnelDoctorState IpsecControl::doctor(TunnelId tunnel, Instant now) const {
  TunnelDoctorState out;
  const ConnectionState current = state(tunnel, now);
  out.connection_state = current.connection_state;
  out.summary = current.unreachability_reason.empty() ? std::string("the tunnel is up")
                                                      : current.unreachability_reason;
  out.cause = to_name(TunnelFault::none);
  const CompiledTunnel* known = compiled_ ? compiled_->ipsec->tunnels.find(tunnel) : nullptr;
  if (!ike_ || known == nullptr) return out;
  const TunnelSpec& spec = *known->model->spec.tunnel;
  const IkeAttempt* attempt = ike_->doctor().fault_of(if_id_of(tunnel));
  if (attempt != nullptr) {
    Diagnosis diagnosis = diagnose(spec, *attempt);
    out.cause = to_name(attempt->fault);
    if (is_up(tunnel)) out.summary = diagnosis.summary;
    out.age_seconds = in_seconds(now - attempt->found);
    for (auto& one : diagnosis.compared) {
      out.compared.push_back({std::move(one.what), std::move(one.gateway), std::move(one.site)});
    }
    out.what_to_change = std::move(diagnosis.what_to_change);
  } else {
    attempt = ike_->doctor().last_of(if_id_of(tunnel));
  }
  if (attempt == nullptr) return out;
  out.initiated_by = attempt->began == IkeAttempt::Began::site ? "site" : "gateway";
  out.site_address = attempt->remote_host;
  const bool both = attempt->gateway_behind_nat && attempt->site_behind_nat;
  out.nat = both                          ? "both"
            : attempt->gateway_behind_nat ? "gateway"
            : attempt->site_behind_nat    ? "site"
                                          : "none";
  for (const IkeAttempt::Line& line : attempt->lines) {
    out.attempt.push_back({in_seconds(now - line.at), line.text});
  }
  return out;
}

std::vector<IkeFaultState> IpsecControl::ike_faults(Instant now) const {
  std::vector<IkeFaultState> out;
  if (!ike_) return out;
  for (const StrangerFault& one : ike_->doctor().strangers()) {
    Diagnosis diagnosis = diagnose(one);
    IkeFaultState& state = out.emplace_back();
    state.cause = to_name(one.fault);
    state.summary = std::move(diagnosis.summary);
    state.remote_address = one.remote_address;
    state.local_address = one.local_address;
    state.claimed_identity = one.claimed;
    state.asked_identity = one.asked;
    state.count = one.count;
    state.age_seconds = in_seconds(now - one.last);
    state.what_to_change = std::move(diagnosis.what_to_change);
  }
  return out;
}

void IpsecControl::add_sas(uint32_t if_id, Instant now, TunnelState& out) const {
  if (!process_) return;
  if (const IkeTunnelState* ike = ike_->tunnel(if_id)) {
    out.remote_address = ike->remote_host;
    out.tries = ike->tries;
    out.rekeys = ike->rekeys;
    for (const auto& [number, sa] : ike->sas) {
      out.ike_sas.push_back(
          {sa.local_host, sa.remote_host, sa.remote_id, sa.algorithms, in_seconds(now - sa.since)});
    }
  }
  const auto add = [&](const std::shared_ptr<const Sa>& sa) {
    if (sa == nullptr || sa->spec.if_id != if_id) return;
    const SaUse use = sa->state->use();
    const auto since = sas_since_.find(sa->uid);
    const bool inbound = sa->spec.direction == SaDirection::inbound;
    out.child_sas.push_back(
        {.inbound = inbound,
         .spi = sa->spec.spi,
         .algorithms = algorithms_of(sa->spec),
         .udp_encapsulated = sa->spec.encapsulation == SaEncapsulation::udp,
         .extended_sequence = sa->spec.sequence == SaSequence::extended,
         .source = endpoint(sa->spec, sa->spec.source),
         .destination = endpoint(sa->spec, sa->spec.destination),
         .age_seconds = since == sas_since_.end() ? 0 : in_seconds(now - since->second),
         .packets = use.packets,
         .bytes = use.bytes});
  };
  const SaTable& table = sas_.table();
  for (size_t i = 0; i < table.inbound.size(); ++i) add(table.inbound[i]);
  add(table.outbound[if_id]);
}

ConnectionState IpsecControl::state(TunnelId tunnel, Instant now) const {
  ConnectionState out;
  TunnelState& details = out.tunnel.emplace();
  const uint32_t if_id = if_id_of(tunnel);
  add_sas(if_id, now, details);
  const auto up = up_.find(tunnel);
  if (up != up_.end()) {
    out.connection_state = "Connected";
    out.connection_up_time_seconds = in_seconds(now - up->second);
    return out;
  }
  const CompiledTunnel* known = compiled_ ? compiled_->ipsec->tunnels.find(tunnel) : nullptr;
  const IkeTunnelState* ike = ike_ ? ike_->tunnel(if_id) : nullptr;
  const bool connecting = ike != nullptr && ike->phase == IkeTunnelState::Phase::connecting;
  out.connection_state = connecting ? "Connecting" : "Disconnected";
  if (known != nullptr) out.unreachability_reason = reason(*known, if_id);
  return out;
}

void IpsecControl::describe(SystemState& out) const {
  out.tunnels = compiled_ ? compiled_->ipsec->tunnels.size() : 0;
  out.tunnels_up = up_.size();
  if (!process_) {
    out.ipsec = "off: " + off_;
    return;
  }
  out.ipsec_restarts = process_->restarts();
  switch (ike_->state()) {
    case IkeControl::State::away:
      out.ipsec = process_->pid() < 0 && out.tunnels == 0 ? "idle: there is no tunnel" : "starting";
      break;
    case IkeControl::State::loading:
      out.ipsec = "starting";
      break;
    case IkeControl::State::ready:
      out.ipsec = "up";
      break;
    case IkeControl::State::refused:
      out.ipsec = "refused: strongSwan " + ike_->version();
      break;
  }
}

}  // namespace hnv
