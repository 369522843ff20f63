// SPDX-License-Identifier: Apache-2.0
#include "vpn/ike_control.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace hnv {
namespace {

constexpr ptrdiff_t kAtOnce = 128;  // starts that wait for their answer
constexpr Duration kAnswered = std::chrono::seconds(4);
constexpr Duration kBetweenStarts = Duration(std::chrono::seconds(1)) / IkeControl::kStartsASecond;
constexpr Duration kLookEvery = std::chrono::milliseconds(200);
// Loading waits for nobody; an answer that takes longer is none.
constexpr Duration kPatience = std::chrono::seconds(30);

using Phase = IkeTunnelState::Phase;

std::string number_of(const ViciSection* child) {
  const std::string* number = child != nullptr ? child->value("uniqueid") : nullptr;
  return number != nullptr ? *number : std::string();
}

void enter(IkeTunnelState& state, Phase phase, Instant now) {
  if (state.phase == phase) return;
  state.phase = phase;
  state.since = now;
}

}  // namespace

IkeControl::IkeControl(std::function<void()> lost)
    : lost_(std::move(lost)),
      vici_(
          {"ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "log"},
          [this](const std::string& event, const ViciSection& message) {
            take_event(event, message);
          },
          [this](const Error& why) {
            spdlog::error("charon's control connection is lost: {}", why.message);
            state_ = State::away;
            if (lost_) lost_();
          }) {}

void IkeControl::attach(OwnedFd commands, OwnedFd events) {
  if (vici_.attached())
    vici_.detach(Error{ErrorCode::unavailable, "charon connected anew", {}, {}});
  vici_.attach(std::move(commands), std::move(events));
  state_ = State::loading;
  check_version();
}

void IkeControl::charon_ended() {
  vici_.detach(Error{ErrorCode::unavailable, "charon ended", {}, {}});
  state_ = State::away;
  doctor_.charon_ended();
  peers_.clear();
  starts_.clear();
  for (auto& [if_id, tunnel] : tunnels_) {
    // What was up shall be again, also where the site began: it would find out minutes later.
    if (tunnel.state.phase == Phase::up) tunnel.wanted = true;
    tunnel.queued = false;
    tunnel.children.clear();
    tunnel.state.sas.clear();
    tunnel.next_try.reset();
    if (tunnel.state.phase != Phase::failed) enter(tunnel.state, Phase::idle, now_);
  }
}

void IkeControl::check_version() {
  ViciClient::Command command;
  command.name = "version";
  command.timeout = kPatience;
  command.done = [this](const Result<ViciClient::Answer>& answer) {
    if (!answer) return;  // lost: said by then
    const std::string* version = answer->response.value("version");
    version_ = version != nullptr ? *version : std::string();
    if (!supported_charon(version_)) {
      state_ = State::refused;
      spdlog::error(
          "charon is strongSwan {}; the plugin is for 5.9.8 to 5.9.11: no tunnel is loaded",
          version_);
      return;
    }
    load_everything();
  };
  vici_.request(std::move(command));
}

// A charon that lived on while the connection was lost may have what is no longer wanted.
void IkeControl::load_everything() {
  spdlog::info("charon is strongSwan {}; loading {} tunnels", version_, tunnels_.size());
  send(CharonCommand{"clear-creds", {}, {}});
  ViciClient::Command command;
  command.name = "get-conns";
  command.timeout = kPatience;
  command.done = [this](const Result<ViciClient::Answer>& answer) {
    if (!answer) return;
    const auto* names = answer->response.list("conns");
    for (const std::string& name : names != nullptr ? *names : std::vector<std::string>()) {
      const auto if_id = if_id_of(name);
      if (if_id && config_.find(*if_id) != nullptr) continue;
      send(CharonCommand{"unload-conn", ViciSection().add("name", name), {}});
      send(CharonCommand{"terminate", ViciSection().add("ike", name).add("timeout", "-1"), {}});
    }
    send(config_.everything());
    finish_loading();
  };
  vici_.request(std::move(command));
}

void IkeControl::finish_loading() {
  ViciClient::Command last;  // answered when all before it were
  last.name = "version";
  last.timeout = kPatience;
  last.done = [this](const Result<ViciClient::Answer>& answer) {
    if (!answer) return;
    state_ = State::ready;
    for (auto& [if_id, tunnel] : tunnels_) {
      if (tunnel.wanted) want(if_id, tunnel);
    }
  };
  vici_.request(std::move(last));
}

void IkeControl::send(std::vector<CharonCommand> commands) {
  for (CharonCommand& command : commands) send(std::move(command));
}

void IkeControl::send(CharonCommand command) {
  if (state_ != State::loading && state_ != State::ready) return;  // everything() comes later
  ViciClient::Command request;
  request.name = command.name;
  request.timeout = kPatience;
  uint32_t if_id = 0;
  if (command.name == "load-conn" && !command.message.items.empty()) {
    if_id = if_id_of(command.message.items.front().name).value_or(0);
  }
  request.message = std::move(command.message);
  request.done = [this, name = command.name, key_of = command.key_of,
                  if_id](const Result<ViciClient::Answer>& answer) {
    answered(name, key_of, if_id, answer);
  };
  vici_.request(std::move(request));
}

void IkeControl::answered(const std::string& name, std::optional<uint32_t> key_of, uint32_t if_id,
                          const Result<ViciClient::Answer>& answer) {
  if (!answer) return;
  const auto done = success_of(answer->response);
  if (key_of && done) {
    if (const std::string* id = answer->response.value("id")) config_.key_loaded(*key_of, *id);
  }
  // What is not there is not a fault: nothing was up, nothing had been loaded.
  const bool loading = name.starts_with("load-");
  const auto tunnel = tunnels_.find(key_of.value_or(if_id));
  if (tunnel != tunnels_.end() && name == "load-conn") {
    tunnel->second.state.fault = done ? std::string() : done.error().message;
  }
  if (!done && loading) spdlog::error("charon refuses {}: {}", name, done.error().message);
}

const IkeTunnelState* IkeControl::tunnel(uint32_t if_id) const {
  const auto at = tunnels_.find(if_id);
  return at == tunnels_.end() ? nullptr : &at->second.state;
}

void IkeControl::set(uint32_t if_id, const TunnelSpec& spec, Instant now) {
  now_ = now;
  Tunnel& tunnel = tunnels_[if_id];
  auto commands = config_.set(if_id, spec);
  peers_.set(if_id, patience_for_answers(spec));
  if (spec.admin_status == AdminStatus::disabled) {
    tunnel.wanted = false;
    doctor_.remove(if_id);
    enter(tunnel.state, Phase::idle, now);
  }
  if (commands.empty()) return;
  send(std::move(commands));
  if (spec.admin_status == AdminStatus::disabled) return;
  doctor_.set(if_id, spec);
  tunnel.state.tries = 0;
  tunnel.next_try.reset();
  enter(tunnel.state, Phase::idle, now);
  tunnel.wanted = spec.initiation == Initiation::on_start;
  if (tunnel.wanted && state_ == State::ready) want(if_id, tunnel);
}

void IkeControl::remove(uint32_t if_id) {
  send(config_.remove(if_id));
  doctor_.remove(if_id);
  peers_.remove(if_id);
  tunnels_.erase(if_id);
}

void IkeControl::connect(uint32_t if_id, Instant now) {
  now_ = now;
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end() || config_.find(if_id) == nullptr) return;
  Tunnel& tunnel = at->second;
  if (tunnel.state.phase == Phase::up) return;
  tunnel.wanted = true;
  tunnel.state.tries = 0;
  if (state_ == State::ready) want(if_id, tunnel);
}

void IkeControl::disconnect(uint32_t if_id, Instant now) {
  now_ = now;
  const auto at = tunnels_.find(if_id);
  if (at == tunnels_.end()) return;
  at->second.wanted = false;
  at->second.next_try.reset();
  enter(at->second.state, Phase::idle, now);
  send(CharonConfig::terminate(if_id));
}

void IkeControl::rekey(uint32_t if_id) { send(CharonConfig::rekey(if_id)); }

// Into the queue of those that are started, unless the site has to begin.
void IkeControl::want(uint32_t if_id, Tunnel& tunnel) {
  const TunnelSpec* spec = config_.find(if_id);
  if (tunnel.queued || spec == nullptr || !spec->destination_ip_address) return;
  tunnel.queued = true;
  starts_.push_back(if_id);
}

void IkeControl::start_some() {
  if (state_ != State::ready) return;
  // After a pause no more at once than the pace allows in one look.
  if (next_start_ + kLookEvery < now_) next_start_ = now_ - kLookEvery;
  if (starts_.empty() || next_start_ > now_) return;
  // A slow charon on either side: more at once would only be sent again. Sites that have been
  // silent for long hold nobody up.
  auto waiting = std::count_if(tunnels_.begin(), tunnels_.end(), [this](const auto& one) {
    const IkeTunnelState& state = one.second.state;
    return state.phase == Phase::connecting && now_ - state.since < kAnswered;
  });
  while (!starts_.empty() && next_start_ <= now_ && waiting < kAtOnce) {
    const uint32_t if_id = starts_.front();
    starts_.pop_front();
    const auto at = tunnels_.find(if_id);
    if (at == tunnels_.end()) continue;
    Tunnel& tunnel = at->second;
    tunnel.queued = false;
    const TunnelSpec* spec = config_.find(if_id);
    if (spec == nullptr || !tunnel.wanted || tunnel.state.phase == Phase::up) continue;
    next_start_ = next_start_ + kBetweenStarts;
    ++waiting;
    ++tunnel.state.tries;
    enter(tunnel.state, Phase::connecting, now_);
    tunnel.next_try = now_ + std::chrono::seconds(spec->retry_interval_seconds);
    send(CharonConfig::initiate(if_id));
  }
}

void IkeControl::retry() {
  if (now_ < next_look_ || state_ != State::ready) return;
  next_look_ = now_ + kLookEvery;
  for (auto& [if_id, tunnel] : tunnels_) {
    if (!tunnel.next_try || now_ < *tunnel.next_try) continue;
    tunnel.next_try.reset();
    const TunnelSpec* spec = config_.find(if_id);
    if (spec == nullptr || !tunnel.wanted || tunnel.state.phase == Phase::up) continue;
    if (spec->number_of_tries != 0 && tunnel.state.tries >= spec->number_of_tries) {
      enter(tunnel.state, Phase::failed, now_);
      continue;
    }
    want(if_id, tunnel);
  }
}

void IkeControl::step(Instant now) {
  now_ = now;
  vici_.step(now);
  abandon_silent();
  retry();
  start_some();
}

// An event has a flag and one section a connection, which is named as we named it.
void IkeControl::take_event(const std::string& event, const ViciSection& message) {
  if (event == "log") return take_log(message);
  const std::string* flag = message.value("up");
  const bool up = flag != nullptr && *flag == "yes";
  for (const ViciItem& item : message.items) {
    const auto* connection = std::get_if<ViciSection>(&item.value);
    if (connection != nullptr) take_connection(event, up, item.name, *connection);
  }
}

namespace {

std::string text_of(const ViciSection& section, const char* key) {
  const std::string* value = section.value(key);
  return value == nullptr ? std::string() : *value;
}

// The names as charon has them, in its order; what an SA does not have is left out.
std::string algorithms_of(const ViciSection& sa) {
  std::string text = text_of(sa, "encr-alg");
  if (const auto bits = text_of(sa, "encr-keysize"); !bits.empty()) text += "-" + bits;
  for (const char* key : {"integ-alg", "prf-alg", "dh-group"}) {
    if (const auto name = text_of(sa, key); !name.empty()) text += "/" + name;
  }
  return text;
}

}  // namespace

void IkeControl::take_ike_sa(const std::string& event, bool up, IkeTunnelState& tunnel,
                             const ViciSection& connection) const {
  const auto take = [&](const ViciSection& sa) {
    const std::string number = text_of(sa, "uniqueid");
    if (number.empty()) return;
    const Instant since = tunnel.sas.contains(number) ? tunnel.sas[number].since : now_;
    tunnel.sas[number] = {text_of(sa, "local-host"), text_of(sa, "remote-host"),
                          text_of(sa, "remote-id"), algorithms_of(sa), since};
  };
  if (event == "ike-rekey") {
    if (const auto* old = connection.section("old")) tunnel.sas.erase(text_of(*old, "uniqueid"));
    if (const auto* fresh = connection.section("new")) take(*fresh);
  } else if (event == "ike-updown" && !up) {
    tunnel.sas.erase(text_of(connection, "uniqueid"));
  } else if (up || event == "ike-update") {
    take(connection);
  }
}

void IkeControl::take_log(const ViciSection& message) {
  const std::string group = text_of(message, "group");
  const std::string connection = text_of(message, "ikesa-name");
  const std::string number = text_of(message, "ikesa-uniqueid");
  const std::string text = text_of(message, "msg");
  IkeLogLine line{group, connection, 0, text};
  (void)std::from_chars(number.data(), number.data() + number.size(), line.ike_sa);
  doctor_.heard(line, now_);
  const auto if_id = if_id_of(connection);
  const auto at = if_id ? tunnels_.find(*if_id) : tunnels_.end();
  if (at != tunnels_.end() && at->second.state.sas.contains(number)) {
    peers_.heard(*if_id, line.ike_sa, text, now_);
  }
}

// The rest is what follows from an SA's end: the tunnel is down, and begun anew.
void IkeControl::abandon_silent() {
  for (const PeerWatch::Silent& one : peers_.take_silent(now_)) {
    const auto at = tunnels_.find(one.if_id);
    if (at == tunnels_.end() || at->second.state.phase != Phase::up) continue;
    at->second.silent = true;
    doctor_.fell_silent(one.if_id, one.ike_sa, now_);
    send(CharonConfig::abandon(one.ike_sa));
  }
}

void IkeControl::take_connection(const std::string& event, bool up, const std::string& name,
                                 const ViciSection& connection) {
  const auto if_id = if_id_of(name);
  const auto at = if_id ? tunnels_.find(*if_id) : tunnels_.end();
  if (at == tunnels_.end()) return;
  Tunnel& tunnel = at->second;
  if (const std::string* host = connection.value("remote-host")) tunnel.state.remote_host = *host;
  take_ike_sa(event, up, tunnel.state, connection);
  const ViciSection* children = connection.section("child-sas");
  if (children == nullptr || event == "ike-updown") return;
  for (const ViciItem& item : children->items) {
    const auto* child = std::get_if<ViciSection>(&item.value);
    if (child == nullptr) continue;
    if (event == "child-rekey") {
      doctor_.came_up(*if_id);
      ++tunnel.state.rekeys;
      tunnel.children.erase(number_of(child->section("old")));
      tunnel.children.insert(number_of(child->section("new")));
    } else if (up) {
      tunnel.children.insert(number_of(child));
    } else {
      tunnel.children.erase(number_of(child));
    }
  }
  judge(*if_id, tunnel);
}

void IkeControl::judge(uint32_t if_id, Tunnel& tunnel) {
  const bool up = !tunnel.children.empty();
  if (up == (tunnel.state.phase == Phase::up)) return;
  if (up) {
    tunnel.silent = false;
    doctor_.came_up(if_id);
    tunnel.state.tries = 0;
    tunnel.next_try.reset();
    enter(tunnel.state, Phase::up, now_);
    return;
  }
  doctor_.went_down(if_id);
  enter(tunnel.state, tunnel.wanted ? Phase::connecting : Phase::idle, now_);
  const TunnelSpec* spec = config_.find(if_id);
  // charon begins anew by itself where it lost the site; this is for when that fails.
  if (tunnel.wanted && spec != nullptr) {
    tunnel.next_try = now_ + std::chrono::seconds(spec->retry_interval_seconds);
    if (std::exchange(tunnel.silent, false)) want(if_id, tunnel);
  }
}

}  // namespace hnv
