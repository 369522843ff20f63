// SPDX-License-Identifier: Apache-2.0
#include "api/tunnel_doctor.h"

namespace hnv {

HttpAnswer get_tunnel_doctor(const Call& call) {
  const auto found = call.control.tunnel_doctor({call.parameters[0], call.parameters[1]});
  if (!found) return error_answer(found.error());
  Json json{{"connectionState", found->connection_state},
            {"cause", found->cause},
            {"summary", found->summary},
            {"initiatedBy", found->initiated_by},
            {"siteAddress", found->site_address},
            {"nat", found->nat},
            {"age", found->age_seconds},
            {"compared", Json::array()},
            {"whatToChange", found->what_to_change},
            {"attempt", Json::array()}};
  for (const auto& one : found->compared) {
    json["compared"].push_back({{"what", one.what}, {"gateway", one.gateway}, {"site", one.site}});
  }
  for (const auto& line : found->attempt) {
    json["attempt"].push_back({{"age", line.age_seconds}, {"text", line.text}});
  }
  return json_answer(200, json);
}

HttpAnswer get_ike_faults(const Call& call) {
  Json list = Json::array();
  for (const IkeFaultState& one : call.control.ike_faults()) {
    list.push_back({{"cause", one.cause},
                    {"summary", one.summary},
                    {"remoteAddress", one.remote_address},
                    {"localAddress", one.local_address},
                    {"claimedIdentity", one.claimed_identity},
                    {"askedIdentity", one.asked_identity},
                    {"count", one.count},
                    {"age", one.age_seconds},
                    {"whatToChange", one.what_to_change}});
  }
  return json_answer(200, {{"value", std::move(list)}});
}

}  // namespace hnv
