// SPDX-License-Identifier: Apache-2.0
#include "bgp/peer_state.h"

#include <nlohmann/json.hpp>

namespace hnv {
namespace {

using Json = nlohmann::json;

uint64_t number(const Json& in, const char* name) {
  const auto at = in.find(name);
  return at != in.end() && at->is_number_unsigned() ? at->get<uint64_t>() : 0;
}
std::string text(const Json& in, const char* name) {
  const auto at = in.find(name);
  return at != in.end() && at->is_string() ? at->get<std::string>() : std::string();
}
const Json& object(const Json& in, const char* name) {
  static const Json kNone = Json::object();
  const auto at = in.find(name);
  return at != in.end() && at->is_object() ? *at : kNone;
}

BgpMessageCounts counts(const Json& in, const std::string& way) {
  const auto of = [&](const char* kind) { return number(in, (kind + way).c_str()); };
  return {of("opens"), of("notifications"), of("updates"), of("keepalives"), of("routeRefresh")};
}

BgpPeerState read_one(const Json& in) {
  BgpPeerState out;
  if (auto state = text(in, "bgpState"); !state.empty()) out.connection_state = std::move(state);
  if (out.is_established()) {
    out.up_milliseconds = number(in, "bgpTimerUpMsec");
    out.hold_time_seconds = static_cast<uint32_t>(number(in, "bgpTimerHoldTimeMsecs") / 1'000);
  }
  out.last_reset = text(in, "lastResetDueTo");
  out.last_notification = text(in, "lastNotificationReason");
  out.established = number(in, "connectionsEstablished");
  out.dropped = number(in, "connectionsDropped");
  const Json& messages = object(in, "messageStats");
  out.sent = counts(messages, "Sent");
  out.received = counts(messages, "Recv");
  for (const Json& family : object(in, "addressFamilyInfo")) {
    if (!family.is_object()) continue;
    out.prefixes_accepted += number(family, "acceptedPrefixCounter");
    out.prefixes_sent += number(family, "sentPrefixCounter");
  }
  out.bfd = text(object(in, "peerBfdInfo"), "status");
  // It says why in a place of its own.
  for (const char* name : {"prefixLimit", "adminShutDown"}) {
    if (in.contains(name)) out.last_reset = name;
  }
  return out;
}

}  // namespace

Result<std::map<IpAddress<Space::customer>, BgpPeerState>> read_peer_states(std::string_view json) {
  const Json all = Json::parse(json, nullptr, false);
  if (!all.is_object()) {
    return fail(ErrorCode::internal, "bgpd's answer about its peers is no JSON object");
  }
  std::map<IpAddress<Space::customer>, BgpPeerState> out;
  for (const auto& [name, peer] : all.items()) {
    const auto address = IpAddress<Space::customer>::parse(name);
    if (address && peer.is_object()) out.emplace(*address, read_one(peer));
  }
  return out;
}

}  // namespace hnv
